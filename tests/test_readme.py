"""The README keeps its word: its models, commands, Python, events, variables, exit codes, links and options."""

import functools
import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import safetensors.torch
import torch
import typer
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from tests import readme
from tests.albums import paint
from tests.clips import AAC, X264, ffmpeg, moving, tone
from tests.command import Run
from tests.goldens import recipes
from tests.nets import loaded
from tests.readme import PROGRAM, README, REPOSITORY, Line
from tests.test_models import shapes_of
from upscale_cli import cli, errors
from upscale_cli.cli.console import JsonLines
from upscale_cli.events import Event
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.onnx_graph import onnx_bytes
from upscale_cli.models.registry import KERNELS, MODELS, model_names, rows_of

LINES = [line for line in readme.lines() if re.search(rf"\b{PROGRAM} ", line.text) and "pip install" not in line.text]
UNRUN = {
    "--ray": "wants a cluster",
    "rtsp://": "wants a camera",
    "-g 0,1": "wants two GPUs",
    "--watch": "goes on until Ctrl-C",
}
"""What the lines that are parsed only have in them."""
PLANNED = ("--size", "--megapixels")
"""Options that make a large picture of any: it is only planned."""


def text_of(line: Line) -> str:
    return line.text


# The table of models


def test_the_table_of_models_is_the_registry() -> None:
    rows = readme.table("`-m`")
    named = [re.findall(r"`([^`]+)`", row[0]) for row in rows]
    blended_in = {spec.weak_denoise for spec in MODELS}
    assert [name for names in named for name in names] == [name for name in model_names() if name not in blended_in]
    for names, (_, scales, about, download) in zip(named, rows, strict=True):
        for name in names:
            specs = rows_of(name)
            assert scales == (", ".join(str(spec.scale) for spec in specs) or "any")
            assert ("--denoise" in about) == any(spec.weak_denoise for spec in specs)
            if name in KERNELS:
                assert download == "-"
            elif all(spec.bundled for spec in specs):
                assert download == "bundled"
            else:
                assert download.endswith(" each") == (len(specs) > 1)
                assert_megabytes(download, [spec.size for spec in specs if spec.size is not None])


def assert_megabytes(reported: str, sizes: list[int]) -> None:
    """That "2.5 MB each" is every size, rounded to as many digits."""
    number = reported.split(" MB")[0]
    digits = len(number.partition(".")[2])
    assert all(f"{size / 1e6:.{digits}f}" == number for size in sizes)


# Its commands


def test_there_is_something_to_check() -> None:
    assert len(LINES) > 40
    assert all(any(sign in line.text for line in LINES) for sign in (*UNRUN, *PLANNED))


@pytest.mark.parametrize("line", LINES, ids=text_of)
def test_a_command_line_is_understood(line: Line) -> None:
    assert line.calls
    for call in line.calls:
        parse(call)


def parse(arguments: list[str]) -> None:
    """Raises what the command line says of wrong options, and does nothing."""
    command: Any = typer.main.get_command(cli.app)
    context: Any = command.make_context(PROGRAM, list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, context._protected_args + context.args)
        context = command.make_context(name, rest, parent=context)


def test_options_and_verbs_in_the_text_exist() -> None:
    known = options()
    for span in readme.spans():
        words = span.split()
        for word in words if words[0] in (PROGRAM, *known) else []:
            assert not word.startswith("-") or word.partition("=")[0] in known, span
        if words[0] == PROGRAM and len(words) > 1 and not words[1].startswith("-"):
            parse(words[1:])


def options() -> set[str]:
    """Every option of every verb."""
    found: set[str] = {"--help"}
    commands: list[Any] = [typer.main.get_command(cli.app)]
    while commands:
        command = commands.pop()
        commands += getattr(command, "commands", {}).values()
        found |= {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return found | {"-", "--install-completion"}


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the commands name, small."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("photo.jpg", "b.jpg", "scan.tif", "texture.png", "drawing.png", "map.tif"):
        paint(folder / name, len(name), (24, 16))
    for name in ("photo_4x.jpg", "a_4x.png", "b_4x.png"):
        paint(folder / name, 0, (96, 64))
    for name in ("photos/a.jpg", "photos/b.jpg", "photos/sub/c.jpg", "photos/drafts/d.jpg", "lr/a.png"):
        paint(folder / name, len(name), (120, 96))
    for name in ("sr/a.png", "hr/a.png", "HR/a.png"):
        paint(folder / name, 1, (240, 192))
    paint(folder / "LR/a.png", 1, (120, 96))
    for name in ("Set5/a.png", "Set14/b.png"):
        paint(folder / name, 2, (48, 36))
    (folder / "selection.txt").write_text("photo.jpg\nscan.tif\n")
    for name, seconds in (("clip.mp4", 1), ("long.mp4", 92)):
        how = ("-frames:v", 4 * seconds, *X264, "-pix_fmt", "yuv420p", *AAC)
        ffmpeg(*moving(32, 24, 4 * seconds, "4"), *tone(seconds=seconds), *how, folder / name)
    ffmpeg("-i", folder / "clip.mp4", "-vf", "scale=64:48", *X264, "-c:a", "copy", folder / "clip_2x.mp4")
    for name in ("clip.mkv", "clip.mov", "film.mkv", "in.ts"):
        ffmpeg("-i", folder / "clip.mp4", "-c", "copy", "-an", folder / name)
    nets(folder / "weights")
    (folder / "nets").mkdir()
    save({**recipes.rrdbnet(1, num_feat=8)}, folder / "nets/4x-anything.pth")
    save({**recipes.srvgg(1, num_feat=8, upscale=2)}, folder / "my.pth")
    torch.manual_seed(0)
    (folder / "4x-anything.onnx").write_bytes(onnx_bytes(loaded(SRVGGNetCompact(num_feat=8, num_conv=2, upscale=4))))
    return folder


def nets(folder: Path) -> None:
    """Random nets of the right kind under the names of the checkpoints that would be fetched; small, where we can."""
    folder.mkdir()
    for spec in MODELS:
        if not spec.bundled:
            small = {
                "srvgg": recipes.srvgg(1, num_feat=8, upscale=spec.scale),
                "rrdbnet": recipes.rrdbnet(1, num_feat=8, unshuffle=4 // spec.scale),
            }
            save(small.get(spec.arch) or shapes_of(spec), folder / f"{spec.stem}.safetensors")


def save(shapes: recipes.Shapes, path: Path) -> None:
    weights = {key: torch.from_numpy(value) for key, value in recipes.seeded(shapes, 0).items()}
    if path.suffix == ".pth":
        torch.save(weights, path)
    else:
        safetensors.torch.save_file(weights, path)


@pytest.fixture
def place(things: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a user who has all that: links, so that nothing is copied, and outputs stay here."""
    folder = tmp_path / "place"
    for path in things.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(things)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("webbrowser.open", lambda *_: True)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in {
        "mpv": f"exec cat > {folder}/played",
        "ffmpeg": f'exec {get_ffmpeg_exe()} -loglevel error "$@"',
        PROGRAM: f'exec {sys.executable} -m upscale_cli "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return folder


shell = pytest.mark.skipif(sys.platform == "win32", reason="these lines are for a Unix shell")


@pytest.mark.slow
@shell
@pytest.mark.parametrize("line", [line for line in LINES if line.is_plain], ids=text_of)
def test_a_command_does_what_it_says(
    line: Line, place: Path, run: Run, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sign, why in UNRUN.items():
        if sign in line.text:
            pytest.skip(f"{why}; it was parsed")
    if "s3://bucket" in line.text:
        request.getfixturevalue("store").bucket("bucket").put_all(place / "photos", "photos/")
    models = [spec.model for spec in MODELS if not spec.bundled]
    if any(f"-m {model}" in line.text for model in models):
        monkeypatch.setenv("UPSCALE_WEIGHTS", str(place / "weights"))
    if "--start" in line.text:
        (place / "long.mp4").replace(place / "clip.mp4")
    for made in ("photo_4x.jpg", "clip_2x.mp4"):
        if made not in line.text:
            (place / made).unlink()
    if "--max-memory" in line.text:  # of the whole process, which has run many tests before
        monkeypatch.setattr("upscale_cli.jobs.photo.room", lambda _: 2 * 2**30)
    if "upscale bench" in line.text:  # a process for each row; all engines: tests/test_tune.py
        monkeypatch.setattr("upscale_cli.tuning.bench.models_here", lambda: [("espcn", 4)])
        monkeypatch.setattr("upscale_cli.tuning.trial.engines_on", lambda _: ("torch",))
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    is_planned = any(option in line.text for option in PLANNED)
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line.text.removeprefix(PROGRAM)}"], capture_output=True, text=True, check=True
    ).stdout.split("\0")[:-1]
    outcome = run(*words, *(["--dry-run"] if is_planned else []))
    assert outcome.code == 0, outcome.err
    assert "error" not in outcome.err
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.is_file())
    if line.output:
        assert (place / line.output).is_file()
    if (
        "-o" in words
        and "--dry-run" not in words
        and not is_planned
        and "{" not in line.text
        and "s3:" not in line.text
    ):
        assert (place / words[words.index("-o") + 1]).exists()
    if "--play" in words:
        assert (place / "played").stat().st_size > 0


@pytest.mark.slow
@shell
@pytest.mark.parametrize("line", [line for line in LINES if not line.is_plain], ids=text_of)
def test_a_pipeline_does_what_it_says(line: Line, place: Path) -> None:
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line.text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = next(name for name in ("large.png", "large", "played") if (place / name).exists())
    assert (place / made).is_dir() or (place / made).stat().st_size > 100


def test_the_first_picture_comes_out_where_it_is_said(run: Run) -> None:
    (first,) = (line for line in readme.lines() if "pip install ." in line.text and PROGRAM in line.text)
    (call,) = first.calls
    (output,) = re.findall(r"to\s+`(docs/\S+)`", README)
    planned = run(REPOSITORY / call[0], "--dry-run", "--overwrite", "--json")  # it may be there already
    records = [json.loads(text) for text in planned.out.splitlines()]
    assert [record["output"] for record in records if record["event"] == "planned"] == [str(REPOSITORY / output)]


@pytest.mark.parametrize("arguments", [["--help"], ["models", "list"]])
def test_what_shows_everything_shows_it(arguments: list[str], run: Run) -> None:
    assert f"`{PROGRAM} {' '.join(arguments)}`" in README
    outcome = run(*arguments)
    assert outcome.code == 0
    expected = options() if "--help" in arguments else model_names()
    assert sum(word in outcome.out for word in expected) > 5


def test_extras_exist() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {name for group in re.findall(r'"?\.\[([a-z,0-9]+)\]', README) for name in group.split(",")}
    named |= set(re.findall(r"extras? `\[([a-z0-9]+)\]`", README))
    assert named
    assert named <= set(project["optional-dependencies"])


# Its Python


def test_the_python_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(place / "weights"))
    (code,) = readme.blocks("python")
    names: dict[str, Any] = {"image": Image.open("drawing.png")}
    exec(compile(code, "README.md", "exec"), names)
    assert isinstance(names["sr"], Image.Image)
    assert names["sr"].size == (96, 64)
    assert {path.name for path in place.iterdir()} >= {"large.jpg", "large.mp4", "large"}
    assert names["frame"].to_rgb().dtype == np.uint8


# Scripts


def test_events_are_those_that_are_printed() -> None:
    (reported,) = re.findall(r"`--json` prints one object per event: (.*?)\. `eval", README, re.DOTALL)
    stream = io.StringIO()
    listener: Callable[[Any], None] = JsonLines(stream)
    for kind in get_args(Event):
        listener(kind(**{field.name: "" for field in fields(kind)}))
    printed = {json.loads(line)["event"] for line in stream.getvalue().splitlines()}
    assert set(re.findall(r"`([a-z_]+)`", reported)) == printed | {"compared"}


def test_variables_are_those_of_the_code() -> None:
    reported = {re.findall(r"`(\w+)", row[0])[0] for row in readme.table("variable")}
    code = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "upscale_cli").rglob("*.py"))
    assert reported == set(re.findall(r"\bUPSCALE_[A-Z]+\b", code))


def exit_codes() -> dict[str, int]:
    """What they mean: {"all done": 0, ...}."""
    (reported,) = re.findall(r"Exit codes: (.*?)\)\.", README, re.DOTALL)
    return {" ".join(what.split()): int(code) for code, what in re.findall(r"(\d+)\s+([^,\d()]*\w)", reported)}


def test_exit_codes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = exit_codes()
    photo = paint(tmp_path / "photo.png")

    def during(act: Callable[[], None]) -> int:
        """The code of a run in which that happens."""
        with monkeypatch.context() as patch:
            patch.setattr(cli, "app", lambda **_: act())
            return run().code

    def interrupt() -> None:
        raise errors.InterruptedRun

    before = signal.getsignal(signal.SIGTERM)
    try:
        ended = during(lambda: signal.raise_signal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert codes == {
        "all done": run(photo, "-m", "bicubic", "-s", 2).code,
        "something failed": run(tmp_path / "none.png", "-m", "bicubic").code,
        "wrong usage": run(photo, "--scale", 0).code,
        "interrupted": during(interrupt),
        "by SIGTERM": ended,
    }


# Where it leads

DOCUMENTS = sorted(
    path
    for path in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), *REPOSITORY.glob("*/README.md"))
    if path.name != "CHANGELOG.md"
)


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, link


@functools.cache
def files() -> tuple[str, ...]:
    """All that a document may name, each with a slash before it; what tools have left in hidden folders is not ours."""
    found = []
    for folder, inner, names in os.walk(REPOSITORY):
        inner[:] = [
            name for name in inner if name not in ("__pycache__", "node_modules") and (name == ".ci" or name[0] != ".")
        ]
        found += [f"/{(Path(folder) / name).relative_to(REPOSITORY).as_posix()}" for name in names]
    return tuple(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_that_are_named_exist(document: Path) -> None:
    for span in readme.spans(document.read_text(encoding="utf-8")):
        for name in re.findall(r"[\w./-]+\.(?:py|sh|json)\b", span):
            if name.endswith(".py") or "/" in name:
                name = name.removeprefix("../").replace("xN", "x2")
                assert any(path.endswith(f"/{name}") for path in files()), name
