"""The first hour of somebody who comes from another program: what is typed by mistake, and what is shown then."""

import contextlib
import io
import json
import os
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import av
import pytest
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Task
from typer.core import TyperGroup

from tests.albums import paint
from tests.clips import X264, ffmpeg, moving
from tests.command import Run
from upscale_cli.cli import app
from upscale_cli.cli.better_model import BetterModelHint, is_due
from upscale_cli.cli.console import JsonLines, Terminal
from upscale_cli.cli.flags import in_flags
from upscale_cli.cli.group import MAIN_VERB
from upscale_cli.cli.help_pages import COMMANDS, COMMON, ROWS, WIDTH
from upscale_cli.cli.lines import broken, put_error, put_on
from upscale_cli.cli.models_report import show_info
from upscale_cli.cli.progress_bars import moving_bar, time_column
from upscale_cli.cli.unknown_words import FOREIGN, OTHER_WORDS, VERBS
from upscale_cli.errors import UnknownModelError
from upscale_cli.events import Chosen, Detail, Event, Note, Progress, Surveyed, ignore, saying
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.media.video.colour import is_usual
from upscale_cli.media.video.container import ending_of
from upscale_cli.models import store
from upscale_cli.models.registry import model_names, named, other_names, rows_of
from upscale_cli.models.store import bundled_folder

ROOT: Any = typer.main.get_command(app)
FLAGS = {flag for param in ROOT.commands[MAIN_VERB].params for flag in (*param.opts, *param.secondary_opts)}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a photo, and a folder with another one."""
    (tmp_path / "pics").mkdir()
    for name in ("photo.png", "pics/a.png"):
        paint(tmp_path / name, 1, (24, 16))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# Verbs


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("evall pics", "upscale eval"),
        ("Eval pics", "upscale eval"),
        ("evaluate pics", "upscale eval"),
        ("comapre photo.png pics/a.png", "upscale compare"),
        ("docter", "upscale doctor"),
        ("model list", "upscale models list"),
        ("list", "upscale models list"),
        ("fetch realesrgan", "upscale models fetch"),
        ("help", "upscale --help"),
        ("pics evall", "upscale eval"),
        ("-q evall pics", "upscale eval"),
        ("-s 2 -m bicubic eval pics", "upscale eval"),
        ("--json eval pics", "upscale eval"),
        ("photo pics", "upscale INPUT"),
        ("whatever pics", "upscale --help"),
    ],
)
def test_a_mistyped_verb_upscales_nothing(run: Run, here: Path, line: str, meant: str) -> None:
    outcome = run(*line.split())
    assert outcome.code == 2
    assert f"`{meant}`" in outcome.line
    assert files(here) == {"photo.png", "pics/a.png"}


def test_a_mistyped_verb_of_the_models_is_told(run: Run) -> None:
    outcome = run("models", "lst")
    assert outcome.code == 2
    assert "`upscale models list`" in outcome.err


def test_a_file_or_a_folder_named_like_a_verb_is_taken(run: Run, here: Path) -> None:
    (here / "evall").mkdir()
    (here / "pics/a.png").rename(here / "evall/a.png")
    assert run("evall", "-m", "bicubic", "-s", 2).code == 0
    assert (here / "evall/a_2x.png").is_file()


def test_a_name_that_is_like_no_verb_stops_nothing(run: Run, here: Path) -> None:
    outcome = run("gone.png", "photo.png", "-m", "bicubic", "-s", 2)
    assert outcome.code == 1
    assert "gone.png" in outcome.line
    assert (here / "photo_2x.png").is_file()


def test_the_verbs_are_those_of_the_command_line() -> None:
    models = ROOT.commands["models"]
    assert isinstance(models, TyperGroup)
    assert set(VERBS) == {*ROOT.commands, *models.commands} - {MAIN_VERB}
    for command in {*VERBS.values(), *COMMANDS}:
        _, verb, *rest = command.split()
        assert verb == "INPUT..." or verb in ROOT.commands
        assert verb != "models" or rest[0] in models.commands
    assert not set(OTHER_WORDS) & set(VERBS)


# Options of other programs


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("-i photo.png", r"-i: .*`upscale photo\.jpg`"),
        ("--input photo.png", r"--input: .*`upscale photo\.jpg`"),
        ("photo.png --gpu 0", r"--gpu: .*-g 0"),
        ("photo.png --gpu=0", r"--gpu: .*-g 0"),
        ("photo.png --gpu-id 0", r"--gpu-id: .*-g 0"),
        ("photo.png --face_enhance", r"--face_enhance: .*Leave it out"),
        ("photo.png --outscale 2", r"--outscale: .*-s 4"),
        ("photo.png -dn 0.5", r"-dn: .*--denoise"),
        ("photo.png --model_path net.pth", r"--model_path: .*-m FILE"),
        ("photo.png --tile_pad 10", r"--tile_pad: .*--overlap"),
        ("photo.png --fp32", r"--fp32: .*--precision fp32"),
        ("photo.png --ext png", r"--ext: .*-f png"),
        ("photo.png --suffix big", r"--suffix: .*\{stem\}"),
        ("photo.png -w 300", r"-w: .*--size"),
        ("photo.png --max_memory 2G", r"--max_memory: .*--max-memory"),
        ("photo.png --scael 2", r"--scael: is no option here\. Did you mean --scale\?"),
        ("photo.png --foo", r"--foo: is no option here\. "),
        ("photo.png -k", r"-k: is no option here\. "),
        ("eval pics --modle espcn", r"--modle: .*--model\?"),
        ("compare photo.png pics/a.png --opne", r"--opne: .*--open\?"),
        ("models list --jsno", r"--jsno: .*--json\?"),
        ("doctor --jsno", r"--jsno: .*--json\?"),
    ],
)
def test_an_option_of_another_program_is_answered_in_one_line(run: Run, here: Path, line: str, remedy: str) -> None:
    outcome = run(*line.split())
    assert outcome.code == 2
    assert re.search(remedy, outcome.line)
    assert len(outcome.err.splitlines()) == 1
    assert files(here) == {"photo.png", "pics/a.png"}


def test_what_stands_there_for_an_option_is_no_option_here_and_what_is_advised_is() -> None:
    assert not set(FOREIGN) & FLAGS
    for answer in FOREIGN.values():
        for flag in re.findall(r"(?<![\w-])--?[a-z][\w-]*", answer):
            assert flag in FLAGS or flag == "--version", answer


@pytest.mark.parametrize(
    "line", ["-scale 4", "-output large.png", "-model espcn", "-format=png", "-s 2 -quality 90", "eval -metrics vmaf"]
)
def test_a_long_option_with_one_hyphen_is_no_short_one_with_a_value(run: Run, here: Path, line: str) -> None:
    before = sorted(here.iterdir())
    words = line.split()
    verb = [words.pop(0)] if words[0] == "eval" else []
    outcome = run(*verb, here / "photo.png", *words)
    assert re.search(r"^error: -\w+(=png)?: long options have two hyphens\. Write --\w+\.$", outcome.line), outcome.line
    assert (outcome.code, sorted(here.iterdir())) == (2, before)


def test_an_empty_name_is_told_as_what_it_is(run: Run, here: Path) -> None:
    before = sorted(here.iterdir())
    for words in ((here / "photo.png", "-o", ""), ("",), ("", "photo.png")):
        assert "a variable, perhaps, that is not set" in run(*words).line
    assert sorted(here.iterdir()) == before


def test_a_value_that_looks_like_a_foreign_option_is_a_value(run: Run, here: Path) -> None:
    assert run("pics", "--exclude", "--gpu", "-m", "bicubic", "-s", 2).code == 0
    assert run("pics", "--exclude", "-scale", "-m", "bicubic", "-s", 2).code == 0
    (here / "-i").write_bytes((here / "photo.png").read_bytes())
    assert run("-m", "bicubic", "-s", 2, "-o", "i.png", "--", "-i").code == 0


# Help


def test_the_short_help_fits_a_terminal_and_begins_with_the_commands(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    from upscale_cli.cli import help_pages

    help_pages.print_short(ROOT.commands[MAIN_VERB].params)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < ROWS, "a line is left to type on"
    assert max(map(cell_len, lines)) <= WIDTH
    panels = [line for line in lines if line.startswith("╭")]
    assert ["Commands" in panels[0], "Options" in panels[1]] == [True, True]
    assert len(COMMON) == 10
    rows = [line for line in lines if re.match(r"│ -", line)]
    assert len(rows) == len(COMMON), "each in one line"
    assert "--help-all" in lines[-1]
    commands = " ".join(line for line in lines[: lines.index(panels[1])])
    assert [verb for verb in ROOT.commands if verb != MAIN_VERB and not re.search(rf"\b{verb}\b", commands)] == []
    assert run("--help").out.count("╭") == 2


@pytest.mark.parametrize("line", ["--help-all", "eval --help", "compare --help", "models --help", "models info --help",
                                  "doctor --help"])  # fmt: skip
def test_no_help_shows_types_of_python(run: Run, line: str) -> None:
    outcome = run(*line.split())
    assert outcome.code == 0
    assert not re.search(r"<\w+|\bbool\b|list\[|\bstr\b|\bint\b|(?<!-)\bfloat\b", outcome.out), outcome.out


def test_the_long_help_begins_with_the_commands_and_shows_every_option(run: Run) -> None:
    shown = run("--help-all").out
    assert shown.index("Commands") < shown.index("Usage:") < shown.index("Options")
    assert [flag for flag in FLAGS if flag.startswith("-") and flag not in shown] == []


# Names of models


@pytest.mark.parametrize(
    ("name", "ours", "files"),
    [
        ("realesrgan-x4plus", "realesrgan", ["RealESRGAN_x4plus"]),
        ("RealESRGAN_x4plus", "realesrgan", ["RealESRGAN_x4plus"]),
        ("RealESRGAN_x2plus", "realesrgan", ["RealESRGAN_x2plus"]),
        ("realesrgan-x4plus-anime", "realesrgan-anime", ["RealESRGAN_x4plus_anime_6B"]),
        ("RealESRGAN_x4plus_anime_6B", "realesrgan-anime", ["RealESRGAN_x4plus_anime_6B"]),
        ("RealESRNet_x4plus", "realesrnet", ["RealESRNet_x4plus"]),
        ("realesrnet-x4plus", "realesrnet", ["RealESRNet_x4plus"]),
        ("realesr-animevideov3", "realesr-animevideo", ["realesr-animevideov3"]),
        ("realesr-animevideov3-x2", "realesr-animevideo", ["realesr-animevideov3"]),
        ("realesr-general-x4v3", "realesr-general", ["realesr-general-x4v3"]),
        ("realesr-general-wdn-x4v3", "realesr-general-wdn", ["realesr-general-wdn-x4v3"]),
        ("realesrgan-plus", "realesrgan", ["RealESRGAN_x4plus"]),
        ("R-ESRGAN 4x+", "realesrgan", ["RealESRGAN_x4plus"]),
        ("R-ESRGAN 4x+ Anime6B", "realesrgan-anime", ["RealESRGAN_x4plus_anime_6B"]),
        ("Real-ESRGAN", "realesrgan", ["RealESRGAN_x2plus", "RealESRGAN_x4plus"]),
        ("ESPCN_x3", "espcn", ["espcn-x3"]),
        ("espcn", "espcn", ["espcn-x2", "espcn-x3", "espcn-x4"]),
    ],
)
def test_names_that_others_have_for_a_model(name: str, ours: str, files: list[str]) -> None:
    assert named(name)[0] == ours
    assert [spec.stem for spec in rows_of(name)] == files


def test_every_name_of_ours_means_itself() -> None:
    for name in model_names():
        assert named(name) == (name, None)
        assert all(spec.model == name for spec in rows_of(name))


@pytest.mark.parametrize("name", ["realesrgan-x5plus", "realesrgan-x4", "upscayl-lite-4x", "4x-UltraSharp"])
def test_a_name_of_another_net_is_not_taken_for_one_of_ours(name: str) -> None:
    with pytest.raises(UnknownModelError, match="neither a name in the registry nor a file"):
        rows_of(name)


def test_a_model_goes_by_its_own_name(run: Run, here: Path) -> None:
    outcome = run("photo.png", "-n", "ESPCN-x2", "-m", "Bicubic")
    assert outcome.code == 0, outcome.err
    assert "espcn (espcn-x2): asked for as ESPCN-x2" in outcome.err
    assert files(here) == {"photo.png", "pics/a.png", "photo_espcn_2x.png", "photo_bicubic_4x.png"}
    assert "espcn-x3.safetensors" in run("models", "path", "ESPCN_x3").out


@pytest.mark.usefixtures("here")
def test_a_file_that_is_not_there_leads_to_the_model_that_has_it(run: Run) -> None:
    assert "-m realesrgan has it" in run("photo.png", "-m", "RealESRGAN_x4plus.pth").line
    assert "upscale models list" in run("photo.png", "-m", "other.pth").line


@pytest.mark.usefixtures("here")
def test_what_cannot_be_fetched_names_what_is_here(run: Run) -> None:
    outcome = run("photo.png", "-m", "realesrgan-x4plus")
    assert outcome.code == 1
    here = ", ".join(name for name in model_names() if all(spec.bundled for spec in rows_of(name)))
    assert f"Here are {here} (-m)" in outcome.line


# Lines


@pytest.mark.parametrize("width", [20, 30, 79, 80])
@pytest.mark.parametrize("indent", [0, 4])
def test_lines_are_broken_at_words(width: int, indent: int) -> None:
    text = "error: the picture /a/folder/with a long/name.png: 日本語の 長い 名前 is  kept, " + "and so on " * 9
    lines = broken(text, width, indent).split("\n")
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert all(line.startswith(" " * indent) for line in lines[1:])
    assert all(cell_len(line) <= width or cell_len(line.split()[-1]) > width - indent for line in lines)
    assert all(cell_len(f"{line} {after.split()[0]}") > width for line, after in pairwise(lines))


def test_a_pipe_gets_whole_lines_and_a_terminal_broken_ones(capsys: pytest.CaptureFixture[str]) -> None:
    text = "many words " * 20

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    put_on(screen, text)
    assert max(map(len, screen.getvalue().splitlines())) <= 80
    put_error(text)
    assert len(capsys.readouterr().err.splitlines()) == 1


# What is told, and how often


def test_the_better_model_is_told_once_a_day(tmp_path: Path) -> None:
    stamp, begin = tmp_path / "cache/told", 1e9
    told = []
    for hours in (0, 1, 23, 24.5, 25, 47, 49):
        now = begin + hours * 3600
        if is_due(stamp, now):
            told.append(hours)
            os.utime(stamp, (now, now))
    assert told == [0, 24.5, 49]
    (tmp_path / "file").touch()
    assert not is_due(tmp_path / "file/told", begin), "where it cannot be remembered, it is not told"


@pytest.mark.usefixtures("here")
def test_the_better_model_is_told_to_a_person_only(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "better" not in run("photo.png", "-s", 2).err, "in a pipe"
    assert run("doctor").out.count("-m realesrgan makes sharper photos") == 1
    seen: list[Event] = []
    hint = BetterModelHint(seen.append)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("UPSCALE_OFFLINE", "0")
    hint.show()
    assert seen == [], "no photo has gone through"
    hint(Chosen("a.mp4", "espcn", "h264", "h264 clip", is_clip=True))
    hint.show()
    assert len(seen) == 1
    hint(Chosen("a.png", "espcn", "PNG", "no damage, photograph"))
    hint.show()
    hint.show()
    notes = [in_flags(event.text) for event in seen if isinstance(event, Note)]
    assert notes == ["-m realesrgan makes sharper photos, with detail of its own; it is fetched once."]
    assert capsys.readouterr().err == ""
    assert (store.cache_folder() / "better-model-told").is_file()


@pytest.mark.parametrize(
    ("tags", "size", "is_told"),
    [
        (ColourTags(), (1920, 1080), False),
        (ColourTags(), (720, 576), False),
        (ColourTags(), (640, 360), False),
        (ColourTags(range="tv"), (1920, 1080), False),
        (ColourTags(matrix="bt709"), (1280, 544), False),
        (ColourTags(), (1280, 544), True),
        (ColourTags(), (960, 720), True),
        (ColourTags(transfer="smpte2084"), (3840, 2160), True),
        (ColourTags(primaries="bt2020"), (3840, 2160), True),
        (ColourTags(primaries="smpte432"), (1920, 1080), True),
    ],
)
def test_a_guess_at_colours_is_told_where_others_might_guess_otherwise(
    tags: ColourTags, size: tuple[int, int], is_told: bool
) -> None:
    assert is_usual(tags, *size) != is_told


def test_details_are_shown_to_those_who_ask() -> None:
    events: list[Event] = []
    say = saying(events.append)
    say("a note")
    say(Detail("as usual"))

    def shown(*, verbose: bool, folder: bool) -> str:
        screen = io.StringIO()
        terminal = Terminal(Console(file=screen, width=80), quiet=False, verbose=verbose)
        for event in ([Surveyed(2, 0, 0, {}, 1.0)] if folder else []) + events:
            terminal(event)
        return screen.getvalue()

    for folder in (False, True):
        assert "as usual" not in shown(verbose=False, folder=folder)
        assert "as usual" in shown(verbose=True, folder=folder)
        assert "a note" in shown(verbose=False, folder=folder)
    stream = io.StringIO()
    for event in events:
        JsonLines(stream)(event)
    assert [json.loads(line)["is_detail"] for line in stream.getvalue().splitlines()] == [False, True]


@pytest.mark.slow
def test_the_usual_guess_at_colours_is_told_under_v_only(run: Run, here: Path) -> None:
    ffmpeg(*moving(64, 48, 3, "5"), *X264, "-pix_fmt", "yuv420p", here / "clip.mp4")
    assert "guessed" not in run("clip.mp4", "-m", "bicubic", "--overwrite").err
    assert "guessed as players do" in run("clip.mp4", "-m", "bicubic", "--overwrite", "-v").err
    assert "guessed as players do" in run("clip.mp4", "-m", "bicubic", "--overwrite", "--json").out


# Messages that once misled


@pytest.fixture
def clip(here: Path) -> str:
    ffmpeg(*moving(64, 48, 3, "5"), *X264, "-pix_fmt", "yuv420p", here / "clip.mp4")
    return "clip.mp4"


@pytest.mark.slow
def test_a_container_goes_by_its_name_too(run: Run, here: Path, clip: str) -> None:
    outcome = run(clip, "-m", "bicubic", "-f", "matroska")
    assert outcome.code == 0, outcome.err
    with av.open(str(here / "clip_2x.mkv")) as container:
        assert "matroska" in container.format.name


@pytest.mark.parametrize(("given", "meant"), [("matroska", "mkv"), ("MPEGTS", "ts"), ("mp4", "mp4"), (".mkv", ".mkv"),
                                              ("m4v", "m4v"), ("mts", "mts"), ("jpg", "jpg"), ("x", "x")])  # fmt: skip
def test_names_of_containers(given: str, meant: str) -> None:
    assert ending_of(given) == meant


def test_a_format_that_is_not_known_names_those_of_photos_and_of_clips(run: Run, here: Path) -> None:
    line = run("photo.png", "-f", "doc").line
    assert all(ending in line for ending in (".jpg", ".mkv", "photos", "clips"))
    line = run("photo.png", "-m", "bicubic", "-f", "mkv").line
    assert "no clip" in line
    assert files(here) == {"photo.png", "pics/a.png"}


@pytest.mark.skipif(os.name == "nt", reason="POSIX devices")
def test_links_that_are_no_files_are_named_for_what_they_are(run: Run, here: Path) -> None:
    (here / "pics/device.png").symlink_to("/dev/zero")
    (here / "pics/nowhere.png").symlink_to("gone.png")
    (here / "pics/circle.png").symlink_to("circle.png")
    os.mkfifo(here / "pipe")
    (here / "pics/pipe.png").symlink_to(here / "pipe")
    err = run("pics", "-m", "bicubic").err
    assert re.search(r"device\.png: is a link to a device \(/dev/zero\)", err)
    assert re.search(r"nowhere\.png: is a link that leads nowhere", err)
    assert re.search(r"circle\.png: is a link that leads nowhere", err)
    assert re.search(r"pipe\.png: is a link to a pipe", err)
    assert (here / "pics/a_4x.png").is_file()


def test_addresses_of_the_web_are_named_as_they_are_written(run: Run, here: Path) -> None:
    address = "https://example.org/a.jpg"
    (here / "list.txt").write_text(f"{address}\npics/a.png\n")
    outcome = run("list.txt", "-m", "bicubic")
    assert outcome.code == 1
    assert f"{address}: is an address" in outcome.line
    assert (here / "pics/a_4x.png").is_file(), "the rest is done"
    for arguments in ((address,), ("pics", address), ("compare", address, "photo.png")):
        line = run(*arguments, *(() if "compare" in arguments else ("-m", "bicubic"))).line
        assert f"{address}: is an address, and nothing is fetched from the web. Download it" in line
        assert "--live" not in line
    assert "--live" in run("http://example.org/live.m3u8").line
    assert "nothing is sent to the web" in run("photo.png", "-o", address).line


@pytest.mark.parametrize(("free", "shown"), [(0, "0 bytes"), (700, "700 bytes"), (2_000, "2 kB")])
def test_a_full_disk_is_told_with_figures(
    run: Run, here: Path, free_disk: Callable[[int], None], free: int, shown: str
) -> None:
    free_disk(free)
    line = run("photo.png", "-m", "bicubic", "-s", 8).line
    assert re.search(rf"at least \d+ (bytes|kB) are needed on the disk, {shown} are free", line), line
    assert files(here) == {"photo.png", "pics/a.png"}


class StrangeError(Exception):
    """What a library raises."""


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (IndexError("boolean index did not match indexed array along axis 0"), "not as its format has it"),
        (StrangeError("image file is truncated (5 bytes not processed)"), "its data is truncated"),
        (EOFError(), "its data is truncated"),
    ],
)
def test_words_of_a_library_are_no_reason(
    run: Run, monkeypatch: pytest.MonkeyPatch, raised: Exception, told: str
) -> None:
    def fails(*_: object) -> NoReturn:
        raise raised

    monkeypatch.setattr("upscale_cli.media.image.codecs.png.read_chunks", fails, raising=True)
    outcome = run("photo.png", "-m", "bicubic")
    assert re.search(rf"photo\.png: cannot be decoded: .*{told}. The file is damaged; --salvage", outcome.line)
    assert not str(raised) or str(raised) not in outcome.err
    assert not str(raised) or str(raised) in run("photo.png", "-m", "bicubic", "-v").err


# Options without effect


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--crf", 20), "--crf is for clips"),
        (("--realtime", "--crf", 20), "--crf and --realtime are for clips"),
        (("--no-reuse",), "--no-reuse is for clips"),
        (("--encoder-arg", "a=b"), "--encoder-arg is for clips"),
        (("--preview", 2), "--preview is for clips"),
        (("--start", 1, "--end", 2, "--fps", 25), "--start, --end and --fps are for clips"),
        (("--tta", "-t", 64), "--tile and --tta are for nets, and bicubic is none"),
        (("--quality", 90), "--quality has no effect on PNG"),
        (("--pyramid",), "--pyramid has an effect on TIFF of one page only"),
    ],
)
@pytest.mark.parametrize("name", ["photo.png", "pics"])
def test_options_that_do_not_apply_are_told_once(
    run: Run, here: Path, name: str, options: tuple[object, ...], told: str
) -> None:
    paint(here / "pics/b.png", 2)
    outcome = run(name, "-m", "bicubic", *options)
    assert outcome.code == 0
    assert len(re.findall(rf"^note: .*{re.escape(told)}", outcome.err, re.MULTILINE)) == 1, outcome.err


@pytest.mark.usefixtures("here")
def test_options_that_apply_or_are_not_given_are_not_told(run: Run) -> None:
    for options in ((), ("--resume",), ("-s", 2, "--overwrite", "-q"), ("--max-memory", "100G")):
        assert "note" not in run("photo.png", "-m", "bicubic", "--overwrite", *options).err


@pytest.mark.slow
def test_options_for_photos_on_a_clip_are_told(run: Run, clip: str) -> None:
    outcome = run(clip, "-m", "bicubic", "--pyramid", "--salvage", "--quality", 90, "--crf", 20)
    assert outcome.code == 0
    assert "--quality, --pyramid and --salvage are for photos" in outcome.err
    assert "for clips, and there is none" not in outcome.err


# The bar of a photo


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (Progress("photo.png", 0, 1, 0.0, 100.0), ["0.0 s of about 1 min 40 s", "50.0 s of about 1 min 40 s", "95"]),
        (Progress("photo.png", 0, 1, 0.0), ["0.0 s so far", "50.0 s so far", "to and fro"]),
        (Progress("photo.png", 0, 9, 0.0), ["0.0 s so far", "50.0 s so far", "to and fro"]),
    ],
)
def test_the_bar_moves_before_the_first_tile_is_done(event: Progress, shown: list[str]) -> None:
    screen = io.StringIO()
    terminal = Terminal(Console(file=screen, force_terminal=True, width=90, color_system=None), quiet=False)
    terminal(event)
    bars = terminal._bar
    assert bars is not None
    (task,) = bars.tasks
    terminal.end_bar()
    assert f"{event.done}/{event.total} tiles" in screen.getvalue()
    assert [at(task, 0)[0], at(task, 50)[0], at(task, 1e4)[1]] == shown
    bars.update(task.id, total=4, completed=1)
    assert at(task, 50)[1] == "25", "then it goes by what is done"


def at(task: Task, seconds: float) -> tuple[str, str]:
    """What stands beside the bar after so many seconds, and what part of it is filled, in percent."""
    task.start_time, task._get_time = 0.0, lambda: seconds
    time_is, moving = time_column(), moving_bar()
    bar: Any = moving.render(task)
    return str(time_is.render(task)), "to and fro" if bar.total is None else str(round(100 * bar.completed / bar.total))


@pytest.mark.usefixtures("here")
def test_how_long_a_photo_will_take_is_told_to_programs(run: Run) -> None:
    records = [json.loads(line) for line in run("photo.png", "-m", "espcn", "--json").out.splitlines()]
    steps = [record for record in records if record["event"] == "progress"]
    assert steps
    assert all(record["expected_seconds"] >= 0 for record in steps)


# A model's card


@pytest.mark.parametrize("name", model_names())
def test_a_model_is_shown_as_a_card(run: Run, name: str) -> None:
    card = run("models", "info", name).out
    assert card.startswith(f"{name}\n")
    assert f"upscale photo.jpg -m {name}" in card
    assert not re.search(r"None|True|False|\w_\w+:", card), "facts, and no fields"
    for spec in rows_of(name):
        assert all(fact in card for fact in (spec.file, spec.sha256, spec.licence, spec.about.partition(";")[0][1:]))
        assert (spec.url or "comes with upscale-cli") in card
        assert ("--denoise" in card) == bool(spec.weak_denoise)
    for other in other_names(name):
        assert other in card
        assert named(other)[0] == name
    assert ("upscale models fetch" in card) == any(not spec.bundled for spec in rows_of(name))
    assert len(run("models", "info", name, "--json").out.splitlines()) == max(1, len(rows_of(name)))


def test_a_checkpoint_file_is_shown_as_a_card(run: Run) -> None:
    path = bundled_folder() / "espcn-x3.safetensors"
    card = run("models", "info", path).out
    assert f"{path}\nA checkpoint of espcn x3, 3 convolutions.\n" in card
    assert re.search(r"net +espcn, [\d,]+ parameters", card)
    assert f"-m {path}" in card
    assert not re.search(r"None|True|False|: *$", card)


@pytest.mark.parametrize("name", ["realesrgan", "espcn"])
def test_a_card_fits_the_width_of_a_terminal(name: str) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    with contextlib.redirect_stdout(screen):
        show_info(name, ignore, as_json=False)
    long = [line for line in screen.getvalue().splitlines() if cell_len(line) > WIDTH]
    assert all("https://" in line or "weights" in line for line in long), "addresses and paths are never broken"


# Wrong words


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("x.png -s abc", "-s abc: is not a number. Write one, such as -s 4."),
        ("x.png -sabc", "-s abc: is not a number. Write one, such as -s 4."),
        ("x.png --scale=1,5", "--scale 1,5: is not a number. Write one, such as --scale 4."),
        ("x.png --frames 0", "--frames 0: is not a whole number of at least 1. Choose another."),
        ("x.png --frames 1.5", "--frames 1.5: is not a whole number of at least 1. Choose another."),
        ("x.png -j 65", "-j 65: is not a whole number from 1 to 64. Choose another."),
        (
            "x.png --alpha lancos",
            "--alpha lancos: is none of its choices. Choose net, lanczos or drop. Did you mean lanczos?",
        ),
        ("x.png --precision x", "--precision x: is none of its choices. Choose auto, fp16, bf16, fp32 or int8."),
        ("x.png --overwrite=3", "--overwrite: takes no value. Write --overwrite alone."),
        ("x.png -s", "-s: its value is missing. Write -s NUMBER."),
        ("eval x -s 2 -s abc", "-s abc: is not a whole number from 2 to 16. Choose another."),
        ("eval x --lr-jpeg high", "--lr-jpeg high: is not a whole number from 1 to 100. Choose another."),
        ("models info", "nothing is named. Write `upscale models info MODEL`."),
        ("models archs a b", "more words are given than it takes. Write `upscale models archs`."),
        ("models ifno", "ifno: is no verb of `upscale models`. Did you mean `upscale models info`?"),
        ("models --foo", "--foo: is no option here. Leave it out; the help shows those that there are."),
        (
            "x.png --skip-existing --no-skip-existing",
            "--skip-existing and --no-skip-existing exclude each other. Give one of them.",
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_answered_in_a_line(run: Run, line: str, answer: str) -> None:
    outcome = run(*line.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"error: {answer}\n"


VERBS_WITH_HELP = ("eval", "export", "compare", "serve", "mcp", "tune", "bench", "doctor", "models", "models search")


@pytest.mark.parametrize("words", ["--help", "--help-all", *(f"{verb} --help" for verb in VERBS_WITH_HELP)])
def test_no_help_page_is_cut_on_a_terminal_of_80_cells(run: Run, words: str) -> None:
    page = run(*words.split(), columns=80).out
    assert "\u2026" not in page
    assert max(map(cell_len, page.splitlines())) <= 80


@pytest.mark.parametrize("words", ["--help-all", *(f"{verb} --help" for verb in VERBS_WITH_HELP)])
def test_what_a_value_is_called_stands_in_one_line(run: Run, words: str) -> None:
    """Where a panel of 80 cells has no room for it, rich breaks it in the middle of a word."""
    wide, narrow = (run(*words.split(), columns=columns).out for columns in (240, 80))
    assert [word for word in wide.split() if "|" in word and word not in narrow] == []
