"""The command line as a person meets it: options, names, exit codes, messages; nothing lost, nothing half-done."""

import errno
import importlib
import json
import os
import pickle
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image, PngImagePlugin

from tests.command import Outcome, Piped
from tests.conftest import REPOSITORY
from tests.waiting import PATIENCE
from upscale_cli.cli.group import MAIN_VERB
from upscale_cli.frames.image import Pixels


@pytest.fixture
def photo(tmp_path: Path, noise: Callable[..., Pixels]) -> Path:
    """A small PNG in a folder of its own."""
    path = tmp_path / "photo.png"
    Image.fromarray(noise(12, 16, 3)).save(path)
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


Run = Callable[..., Outcome]
FAST = ("-m", "bicubic")


# What comes out, and under which name


@pytest.mark.parametrize(
    ("options", "name", "size"),
    [
        ((), "photo_4x.png", (64, 48)),
        (("-s", 2), "photo_2x.png", (32, 24)),
        (("-s", 2.5), "photo_2.5x.png", (40, 30)),
        (("-s", 0.5), "photo_0.5x.png", (8, 6)),
        (("--size", "800x600"), "photo_800x600.png", (800, 600)),
        (("--size", "80x80"), "photo_80x60.png", (80, 60)),
        (("--size", "80x80!"), "photo_80x80.png", (80, 80)),
        (("--size", "x30"), "photo_40x30.png", (40, 30)),
        (("--long-side", 100), "photo_100x75.png", (100, 75)),
        (("--megapixels", 0.0048), "photo_80x60.png", (80, 60)),
        (("-f", "jpg"), "photo_4x.jpg", (64, 48)),
        (("-f", "TIFF"), "photo_4x.tiff", (64, 48)),
        (("-o", "{stem}-{width}x{height}-{model}{ext}"), "photo-64x48-bicubic.png", (64, 48)),
    ],
)
def test_names_and_sizes(
    run: Run,
    photo: Path,
    options: tuple[object, ...],
    name: str,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photo.parent)
    outcome = run(photo, *FAST, *options)
    assert outcome.code == 0, outcome.err
    assert files(photo.parent) == {"photo.png", name}
    assert size_of(photo.parent / name) == size


@pytest.mark.parametrize("output", ["large.webp", "new/", "there", "new/deep/{stem}_{scale}x{ext}"])
def test_where_outputs_go(run: Run, photo: Path, output: str) -> None:
    (photo.parent / "there").mkdir()
    assert run(photo, *FAST, "-o", f"{photo.parent}/{output}").code == 0
    expected = {"large.webp": "large.webp", "new/": "new/photo_4x.png", "there": "there/photo_4x.png"}
    assert size_of(photo.parent / expected.get(output, "new/deep/photo_4x.png")) == (64, 48)


def test_the_model_may_come_before_the_input_and_repeat(run: Run, photo: Path) -> None:
    outcome = run("-m", "bicubic", "-n", "lanczos", photo, "-s", "2")
    assert outcome.code == 0, outcome.err
    assert files(photo.parent) == {"photo.png", "photo_bicubic_2x.png", "photo_lanczos_2x.png"}


def test_the_first_line_says_what_is_done_and_why(run: Run, photo: Path) -> None:
    outcome = run(photo, "-s", 2)
    first = outcome.err.splitlines()[0]
    assert re.search(r"photo\.png: 16 x 12 -> 32 x 24, ([a-z-]+) \(\1-x[24]\): chosen for PNG[;,]", first)


def test_what_a_run_tells_a_program(run: Run, photo: Path) -> None:
    outcome = run(photo, "-m", "espcn", "-s", 2, "--json", "--device", "cpu")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert [event["event"] for event in events] == ["started", "progress", "progress", "carried", "finished"]
    assert events[0]["passes"] == ["espcn-x2"]
    assert events[-1] | {"seconds": 0} == {
        "event": "finished", "source": str(photo), "output": str(photo.parent / "photo_2x.png"), "width": 32,
        "height": 24, "seconds": 0,
    }  # fmt: skip
    assert outcome.err == ""


def test_quiet_says_nothing_but_errors(run: Run, photo: Path) -> None:
    outcome = run(photo, "-q", *FAST)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert "exists already" in run(photo, "-q", *FAST).line


NAMES = ["with space.png", "quote'\".png", "ünïcødé.png", "-dash.png", "a;b&c.png", "{brace}.png"]
NAMES += ["日本語.png", ".hidden.png"]
NAMES += [unicodedata.normalize("NFD", "é.png")]
if os.name != "nt":
    NAMES += ["new\nline.png", "tab\t.png"]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_work(run: Run, photo: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name == "nt" and set(name) & set('"'):
        pytest.skip("Windows has no such names")
    monkeypatch.chdir(photo.parent)
    photo.rename(photo.parent / name)
    outcome = run("-s", 2, *FAST, "--", name)
    assert outcome.code == 0, outcome.err
    assert files(photo.parent) == {name, f"{name.removesuffix('.png')}_2x.png"}
    assert len(outcome.err.splitlines()) == 2


def test_one_bad_file_does_not_stop_the_others(run: Run, photo: Path) -> None:
    (photo.parent / "bad.jpg").write_text("hello")
    outcome = run(photo.parent / "bad.jpg", photo, *FAST)
    assert outcome.code == 1
    assert "bad.jpg" in outcome.line
    assert (photo.parent / "photo_4x.png").exists()


# What is refused, each in one line: the value, the rule, the remedy


def broken(folder: Path, kind: str) -> Path:
    """A file that is not what it says."""
    good = folder / "good.jpg"
    Image.effect_noise((64, 64), 50).convert("RGB").save(good)
    png = folder / "good.png"
    Image.effect_noise((64, 64), 50).save(png)
    data, png_data = good.read_bytes(), png.read_bytes()
    good.unlink()
    png.unlink()
    contents: dict[str, tuple[str, bytes]] = {
        "empty": ("empty.jpg", b""),
        "text": ("text.jpg", b"just some words\n" * 9),
        "page": ("page.png", b"<!DOCTYPE html><html><body>404</body></html>"),
        "truncated JPEG": ("cut.jpg", data[: len(data) // 2]),
        "truncated PNG": ("cut.png", png_data[: len(png_data) // 2]),
        "corrupt chunk": ("corrupt.png", png_data[:60] + b"\xff" * 40 + png_data[100:]),
        "raw": ("shot.cr2", b"II*\0" + b"\0" * 64),
        "clip": ("clip.mp4", b"\0\0\0 ftypisom" + b"\0" * 64),
    }
    name, content = contents[kind]
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("empty", "empty"),
        ("text", "no picture|not a picture"),
        ("page", "no picture|not a picture|HTML|web page"),
        ("truncated JPEG", "truncated.*--salvage"),
        ("truncated PNG", "truncated.*--salvage"),
        ("corrupt chunk", "damaged|corrupt"),
        ("raw", "RAW"),
        ("clip", "no clip that can be read"),
    ],
)
def test_files_that_are_no_whole_pictures(run: Run, tmp_path: Path, kind: str, rule: str) -> None:
    path = broken(tmp_path, kind)
    before = files(tmp_path)
    outcome = run(path, *FAST)
    assert outcome.code == 1
    assert path.name in outcome.line
    assert re.search(rule, outcome.line, re.IGNORECASE), outcome.line
    assert files(tmp_path) == before


def test_salvage_takes_what_decodes(run: Run, tmp_path: Path) -> None:
    path = broken(tmp_path, "truncated JPEG")
    outcome = run(path, *FAST, "-s", 2, "--salvage")
    assert outcome.code == 0, outcome.err
    assert size_of(tmp_path / "cut_2x.jpg") == (128, 128)


def test_a_missing_file_and_a_folder(run: Run, tmp_path: Path) -> None:
    assert re.search(r"gone\.jpg: .*no such file", run(tmp_path / "gone.jpg").line)
    assert "there is no photo and no clip" in run(tmp_path).line


@pytest.mark.slow
def test_a_decompression_bomb_is_refused_by_its_header(run: Run, photo: Path) -> None:
    assert "--max-pixels" in run(photo, *FAST, "--max-pixels", 100).line
    chunk = PngImagePlugin.PngInfo()
    Image.new("1", (40_000, 40_000)).save(photo.parent / "bomb.png", pnginfo=chunk)
    outcome = run(photo.parent / "bomb.png", *FAST, "-s", 1)
    assert re.search(r"bomb\.png: 40000 x 40000 .*1,000,000,000.*--max-pixels", outcome.line)


@pytest.mark.parametrize(
    ("ending", "limit"),
    [("jpg", "65,500"), ("webp", "16,383"), ("gif", "65,535"), ("tga", "65,535"), ("avif", "65,536")],
)
def test_a_picture_too_large_for_its_format_is_refused_before_computing(
    run: Run, tmp_path: Path, ending: str, limit: str
) -> None:
    Image.new("L", (300, 1)).save(tmp_path / "wide.png")
    outcome = run(tmp_path / "wide.png", *FAST, "-s", 300, "-f", ending)
    assert outcome.code == 1
    assert limit in outcome.line
    assert files(tmp_path) == {"wide.png"}


def test_a_picture_too_large_for_memory_or_disk_is_refused_before_computing(
    run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch, free_disk: Callable[[int], None]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("upscale_cli.jobs.bands.free_host_memory", lambda: 10**8)
        line = run(photo, *FAST, "-s", 1000).line
        assert re.search(r"16000 x 12000 pixels need .* GB of memory, 0\.1 GB are free", line)
    free_disk(10)
    assert re.search(r"needed on the disk.*Free space", run(photo, *FAST, "-f", "bmp").line)
    assert files(photo.parent) == {"photo.png"}


def test_a_tiff_may_be_larger_than_other_formats(run: Run, tmp_path: Path) -> None:
    Image.new("L", (300, 1)).save(tmp_path / "wide.png")
    assert run(tmp_path / "wide.png", *FAST, "--size", "70000x1!", "-f", "tiff").code == 0


def test_an_unwritable_folder(run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one refuses everybody but root, whom tests may run as; so the refusal is made here."""
    opened = Path.open

    def refuse(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode == "xb+":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return opened(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert re.search(r"photo_4x\.png: cannot be written \(Permission denied\).*Choose a folder", run(photo, *FAST).line)
    assert files(photo.parent) == {"photo.png"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_leaves_nothing(run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary file lives on a device that is full."""
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode == "xb+":
            opened(self, mode).close()
            return opened(Path("/dev/full"), "wb+", buffering=0)
        return opened(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    outcome = run(photo, *FAST, "-f", "bmp", "-o", photo.parent / "made" / "here.bmp")
    assert re.search(r"here\.bmp: cannot be written \(No space left on device\).*Free space", outcome.line)
    assert files(photo.parent) == {"photo.png"}
    assert not (photo.parent / "made").exists()


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "1e9"])
def test_a_scale_that_is_none(run: Run, photo: Path, scale: str) -> None:
    outcome = run(photo, "-s", scale)
    assert outcome.code == 2
    assert "out of range" in outcome.line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-s", 2, "--size", "10"), "exclude each other"),
        (("--long-side", 9, "--megapixels", 1), "exclude each other"),
        (("--size", "huge"), "--size huge is not understood"),
        (("-t", 64, "--overlap", 64), "overlap 64 leaves no room in a tile of 64 pixels"),
        (("--device", "gpu"), "--device gpu is unknown"),
        (("-g", 0, "--device", "cpu"), "exclude each other"),
        (("-g", "0;1"), "-g .0;1. names no GPUs"),
        (("--device", "cpu,cpu"), "divided among GPUs only"),
        (("--denoise", 2), "denoise 2 is out of range"),
        (("-m", "realesrgam"), "Did you mean realesrgan"),
        (("-o", "{title}.png"), "-o .*{title}.*{stem}"),
        (("-o", "{stem.png"), r"-o \{stem\.png is not understood"),
        (("-o", "x.png", "-f", "jpg"), "contradict each other"),
    ],
)
def test_wrong_usage_exits_with_two(run: Run, photo: Path, options: tuple[object, ...], message: str) -> None:
    outcome = run(photo, *options) if "-m" in options else run(photo, "-m", "espcn", *options)
    assert outcome.code == 2, outcome.err
    assert re.search(message, outcome.line), outcome.line
    assert files(photo.parent) == {"photo.png"}


def test_unknown_options_and_formats(run: Run, photo: Path) -> None:
    assert run(photo, "--foo").code == 2
    assert run(photo, "--alpha", "no").code == 2
    assert re.search(r"--format doc is not known", run(photo, "-f", "doc").line)
    assert "names no picture format" in run(photo, *FAST, "-o", photo.parent / "x.doc").line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("option", [("--device", "cuda"), ("-g", "0")])
def test_cuda_where_there_is_none(run: Run, photo: Path, option: tuple[str, str]) -> None:
    outcome = run(photo, "-m", "espcn", *option)
    assert outcome.code == 1
    assert re.search(r"device cuda.*CPU build|device cuda.*no GPU", outcome.line)


def test_the_input_is_never_overwritten(run: Run, photo: Path) -> None:
    before = photo.read_bytes()
    assert "never overwritten" in run(photo, *FAST, "-s", 1, "--overwrite", "-o", photo).line
    if hasattr(os, "link"):
        os.link(photo, photo.parent / "same.png")
        assert "never overwritten" in run(photo, *FAST, "--overwrite", "-o", photo.parent / "same.png").line
    assert photo.read_bytes() == before


def test_an_existing_output_is_kept_unless_overwrite_is_given(run: Run, photo: Path) -> None:
    output = photo.parent / "photo_4x.png"
    output.write_bytes(b"precious")
    assert "exists already" in run(photo, *FAST).line
    assert output.read_bytes() == b"precious"
    assert run(photo, *FAST, "--overwrite").code == 0
    assert size_of(output) == (64, 48)


def test_two_inputs_with_one_output_name(run: Run, photo: Path) -> None:
    (photo.parent / "other").mkdir()
    (photo.parent / "other/photo.png").write_bytes(photo.read_bytes())
    outcome = run(photo, photo.parent / "other/photo.png", *FAST, "-o", f"{photo.parent}/out/")
    assert outcome.code == 1
    assert re.search(r"its output .*photo_4x\.png is that of .*photo\.png already", outcome.line)
    assert files(photo.parent / "out") == {"photo_4x.png"}


def test_one_output_name_for_several_results(run: Run, photo: Path) -> None:
    assert run(photo, photo, *FAST, "-o", "x.png").code == 2
    assert "one file for 2 results" in run(photo, "-m", "bicubic", "-m", "lanczos", "-o", "x.png").line


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("kind", ["text", "page", "code", "missing keys", "gone"])
def test_checkpoints_that_are_none(run: Run, photo: Path, tmp_path: Path, kind: str) -> None:
    path, proof = tmp_path / "net.pth", tmp_path / "was-here"
    match kind:
        case "text":
            path.write_text("hello world, I am no net")
        case "page":
            path.write_text("<!DOCTYPE html><title>Not found</title>")
        case "code":
            path.write_bytes(pickle.dumps({"params": Malicious(proof)}))
        case "missing keys":
            torch.save({"params": {"conv_first.weight": torch.zeros(64, 3, 3, 3)}}, path)
    outcome = run(photo, "-m", path)
    assert outcome.code == 1
    assert "net.pth" in outcome.line
    assert not proof.exists(), "the code of a pickle was run"
    assert not (tmp_path / "photo_4x.png").exists()


def test_a_checkpoint_that_cannot_be_had_says_where_to_put_it(run: Run, photo: Path) -> None:
    line = run(photo, "-m", "realesrgan").line
    assert "RealESRGAN_x4plus.pth" in line
    assert "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth" in line
    assert "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1" in line
    assert "cache" in line


# The other verbs


def test_help_is_that_of_the_main_verb_and_names_the_others(run: Run) -> None:
    for args in (("--help",), ("-h",), ("--help-all",), ()):
        outcome = run(*args)
        assert outcome.code == 0
        assert re.search(r"Usage: upscale \[OPTIONS\] \S*INPUT", outcome.out)
        assert "upscale models" in outcome.out
        assert "upscale doctor" in outcome.out
        assert MAIN_VERB not in outcome.out
    assert "upscale-cli 0." in run("--version").out


def test_models_list_info_path_and_verify(run: Run, shared_weights: Path) -> None:
    listed = run("models", "list").out
    for name in ("realesrgan", "realesr-general", "espcn", "bicubic", "unpinned", "bundled", "BSD-3-Clause"):
        assert name in listed
    info = run("models", "info", "espcn").out
    assert "sha256" in info
    assert "activation" not in run("models", "info", shared_weights / "espcn-tf-x2.safetensors", "--json").out
    assert str(shared_weights) in run("models", "path").out
    assert run("models", "path", "realesr-general").out.strip().endswith("realesr-general-x4v3.safetensors")
    assert "is not on this machine" in run("models", "path", "realesrgan").line
    verified = run("models", "verify")
    assert verified.code == 0
    assert re.search(r"unpinned +realesr-general x4", verified.out)
    assert re.search(r"ok +espcn x2", verified.out)
    assert re.search(r"absent +realesrgan x4", verified.out)


def test_a_damaged_checkpoint_is_seen_by_verify(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(tmp_path))
    (tmp_path / "RealESRGAN_x4plus.pth").write_bytes(b"x")
    outcome = run("models", "verify", "realesrgan")
    assert outcome.code == 1
    assert re.search(r"wrong +realesrgan x4", outcome.out)


def test_models_fetch_offline_fails_in_words(run: Run) -> None:
    outcome = run("models", "fetch", "espcn", "realesrnet")
    assert outcome.code == 1
    assert "RealESRNet_x4plus.pth" in outcome.err
    assert "Traceback" not in outcome.err


def test_doctor_looks_at_everything(run: Run) -> None:
    outcome = run("doctor")
    for what in ("torch", "cpu", "chosen", "ffmpeg", "weights in", "without -m"):
        assert what in outcome.out
    findings = [json.loads(line) for line in run("doctor", "--json").out.splitlines()]
    assert {finding["state"] for finding in findings} <= {"ok", "note", "problem"}


def test_doctor_sees_a_cpu_build_beside_an_nvidia_gpu(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("upscale_cli.cli.doctor"), "_has_nvidia_gpu", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", None)
    assert "there is an NVIDIA GPU, but this torch is a CPU build" in run("doctor").out


# The process as a whole


def process(*args: object, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """Runs `upscale ...` as a user would, without a terminal."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1", **options.pop("env", {})}
    command = [sys.executable, "-m", "upscale_cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, env=environment, check=False, **options)


@pytest.mark.slow
def test_a_photo_through_standard_input_and_output(photo: Path, piped: Piped) -> None:
    done = process("-", *FAST, "-s", 2, input=photo.read_bytes())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"\x89PNG")
    assert b"32 x 24" in done.stderr
    as_json = piped("-", *FAST, "-o", "-", "-f", "jpg", "--json", source=photo.read_bytes())
    assert as_json.stdout.startswith(b"\xff\xd8")
    assert json.loads(as_json.stderr.splitlines()[-1])["event"] == "finished"
    empty = piped("-", *FAST, source=b"")
    assert (empty.returncode, empty.stdout) == (1, b"")


def test_help_imports_neither_torch_nor_numpy() -> None:
    script = "import sys; sys.argv = ['upscale', '--help']\nfrom upscale_cli.cli import main\ntry: main()\n"
    script += "except SystemExit: pass\nprint({'torch', 'numpy', 'PIL'} & set(sys.modules), file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr.strip() == "set()"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("sign", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path, noise: Callable[..., Pixels], sign: str) -> None:
    import signal
    import time

    path = tmp_path / "photo.png"
    Image.fromarray(noise(400, 400, 3)).save(path)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    args = [sys.executable, "-m", "upscale_cli", str(path), "-m", "espcn", "-s", "8", "-x", "-t", "16", "--json"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        while '"progress"' not in running.stdout.readline():
            assert running.poll() is None
        assert len(files(tmp_path)) == 2, "the temporary file"
        time.sleep(0.1)
        running.send_signal(getattr(signal, sign))
        _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == {"SIGINT": 130, "SIGTERM": 143}[sign]
    assert "Traceback" not in err
    assert files(tmp_path) == {"photo.png"}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="bash")
def test_the_shell_completes_options_and_models() -> None:
    def complete(words: str, number: int) -> str:
        env = {"_UPSCALE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        script = "import sys; sys.argv = ['upscale']\nfrom upscale_cli.cli import main\nmain()"
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env},
        )  # fmt: skip
        return done.stdout

    assert "realesr-general" in complete("upscale photo.jpg -m reales", 3)
    assert "--model" in complete("upscale photo.jpg --mo", 2)
    assert "models" in complete("upscale mod", 1)
    assert "list" in complete("upscale models ", 2)


def test_a_transparent_animation_keeps_its_frames(run: Run, tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (12, 12), (200, 10 * number, 0, 255 * (number % 2))) for number in range(5)]
    path = tmp_path / "moving.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[30, 40, 50, 60, 70], loop=3)
    assert run(path, "-m", "espcn", "-s", 2).code == 0
    with Image.open(tmp_path / "moving_2x.png") as out:
        assert out.n_frames == 5  # type: ignore[attr-defined]
        assert out.info["loop"] == 3
        assert np.asarray(out).shape[:2] == (24, 24)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-f", "doc"), "--format doc is not known"),
        (("-o", "{stem:d}.png"), "{stem} takes no format"),
        (("-o", "{stem!x}.png"), "takes no format"),
        (("-o", "{width:99999999}.png"), "takes no format"),
        (("--long-side", "9" * 400), "is no picture"),
        (("--size", "9" * 400), "is not understood"),
        (("--megapixels", "1e300"), "is no picture"),
    ],
)
def test_wishes_beyond_reason_exit_with_two(run: Run, photo: Path, options: tuple[str, str], message: str) -> None:
    outcome = run(photo, *FAST, *options)
    assert outcome.code == 2, outcome.err
    assert message in outcome.line


def test_names_that_are_too_long_are_one_line(run: Run, photo: Path) -> None:
    assert "cannot be opened" in run("x" * 300 + ".png", *FAST).line
    assert "cannot be written" in run(photo, *FAST, "-o", photo.parent / ("x" * 300 + ".png")).line


def test_a_template_may_be_a_folder_and_pad_numbers(run: Run, photo: Path) -> None:
    assert run(photo, *FAST, "-o", f"{photo.parent}/{{model}}/").code == 0
    assert size_of(photo.parent / "bicubic/photo_4x.png") == (64, 48)
    assert run(photo, *FAST, "-o", f"{photo.parent}/{{stem}}-{{width:05}}{{ext}}").code == 0
    assert (photo.parent / "photo-00064.png").exists()


def test_standard_output_holds_one_picture(photo: Path, piped: Piped) -> None:
    done = piped("-", "-m", "bicubic", "-m", "lanczos", source=photo.read_bytes())
    assert done.returncode == 1
    assert b"standard output holds one result only" in done.stderr
    assert done.stdout.count(b"IEND") == 1


def test_what_is_missing_of_a_model_asked_for_by_name_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from upscale_cli.models.resolve import available_rows

    (tmp_path / "RealESRGAN_x2plus.safetensors").write_bytes(b"a fallback")
    monkeypatch.setenv("UPSCALE_WEIGHTS", str(tmp_path))
    assert set(available_rows("realesrgan", chosen_for_user=False)) == {2}, "offline"
    monkeypatch.delenv("UPSCALE_OFFLINE")
    assert set(available_rows("realesrgan", chosen_for_user=False)) == {2, 4}
    assert set(available_rows("realesrgan", chosen_for_user=True)) == {2}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipes_are_read_once_and_never_replaced(photo: Path, piped: Piped) -> None:
    pipe = photo.parent / "pipe.png"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f'cat "{photo}" > "{pipe}"']) as writer:
        done = piped(pipe, "-m", "bicubic", "-m", "lanczos", "-s", 2)
        assert writer.wait(timeout=PATIENCE) == 0
    assert done.returncode == 0, done.stderr
    assert size_of(photo.parent / "pipe_bicubic_2x.png") == size_of(photo.parent / "pipe_lanczos_2x.png") == (32, 24)
    refused = piped(photo, *FAST, "-o", pipe, "--overwrite")
    assert refused.returncode == 1
    assert b"is no regular file" in refused.stderr
    assert pipe.is_fifo()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs an output that is always full")
@pytest.mark.parametrize("args", [("--version",), ("models", "list"), ("models", "list", "--json")])
def test_a_full_standard_output_is_one_line(args: tuple[str, ...]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "upscale_cli", *args]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "standard output cannot be written" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder that somebody is in")
def test_a_current_folder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f'cd "{tmp_path}/gone" && rmdir "{tmp_path}/gone" && "{sys.executable}" -m upscale_cli doctor'
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: the current folder is gone. Change to one that exists."


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_in_circles_are_one_line(run: Run, photo: Path) -> None:
    loop = photo.parent / "loop.png"
    loop.symlink_to(loop)
    outcome = run(loop, photo, *FAST)
    assert outcome.code == 1
    assert "loop.png" in outcome.line
    assert (photo.parent / "photo_4x.png").exists()


def test_an_input_given_twice_is_said(run: Run, photo: Path) -> None:
    assert "is given twice" in run(photo, photo, *FAST).line


@pytest.mark.parametrize("kind", ["srvgg", "rrdbnet"])
def test_what_a_checkpoint_lacks_is_named(run: Run, photo: Path, tmp_path: Path, kind: str) -> None:
    from upscale_cli.models.archs.rrdbnet import RRDBNet
    from upscale_cli.models.archs.srvgg import SRVGGNetCompact

    net = SRVGGNetCompact(num_conv=4) if kind == "srvgg" else RRDBNet(num_block=1)
    missing = "body.4.weight" if kind == "srvgg" else "conv_hr.weight"
    torch.save({key: tensor for key, tensor in net.state_dict().items() if key != missing}, tmp_path / "net.pth")
    assert f"looks like {kind}, but lacks {missing}" in run(photo, "-m", tmp_path / "net.pth").line


def test_what_ends_a_run_is_told_to_a_program_too(run: Run, photo: Path) -> None:
    outcome = run(photo, "-m", "nosuch", "--json")
    assert outcome.code == 2
    assert json.loads(outcome.out)["event"] == "failed"
    assert "'nosuch'" in json.loads(outcome.out)["message"]
    assert "nosuch" in outcome.line


def test_an_empty_name_is_one_line(run: Run) -> None:
    outcome = run("", *FAST)
    assert outcome.code == 2
    assert "an input has no name" in outcome.line


# Clips


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small clip, H.264 in MP4."""
    path = tmp_path_factory.mktemp("made") / "clip.mp4"
    picture = "testsrc2=size=48x32:rate=25"
    command = [get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", picture, "-frames:v", "8", "-c:v", "libx264", path]
    subprocess.run([*map(str, command)], check=True)
    return path


@pytest.fixture
def clip(made: Path, tmp_path: Path) -> Path:
    """That clip in a folder of its own."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(made.read_bytes())
    return path


def shape_of(path: Path) -> tuple[int, int, int]:
    """(width, height, frames) of a clip."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height, sum(1 for _ in container.decode(stream))


CLIP = (*FAST, "--preset", "ultrafast")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "name", "shape"),
    [
        ((), "clip_2x.mp4", (96, 64, 8)),
        (("-s", 3), "clip_3x.mp4", (144, 96, 8)),
        (("--size", "100x100"), "clip_100x67.mp4", (100, 68, 8)),
        (("--long-side", 24), "clip_24x16.mp4", (24, 16, 8)),
        (("-f", "mkv"), "clip_2x.mkv", (96, 64, 8)),
        (("-f", ".MKV"), "clip_2x.mkv", (96, 64, 8)),
        (("-o", "{stem}-{width}x{height}-{model}{ext}"), "clip-96x64-bicubic.mp4", (96, 64, 8)),
        (("-o", "new.mov"), "new.mov", (96, 64, 8)),
        (("--frames", 3), "clip_2x.mp4", (96, 64, 3)),
        (("--start", "0.08", "--end", "0:0.2"), "clip_2x.mp4", (96, 64, 3)),
        (("--realtime",), "clip_2x.mp4", (96, 64, 8)),
        (("--realtime=strict",), "clip_2x.mp4", (96, 64, 8)),
        (("--preview", 0.2), "clip_preview_2x.mp4", (192, 64, 5)),
        (("--no-reuse", "--deinterlace", "off"), "clip_2x.mp4", (96, 64, 8)),
    ],
)
def test_names_and_sizes_of_clips(
    run: Run,
    clip: Path,
    options: tuple[object, ...],
    name: str,
    shape: tuple[int, int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(clip.parent)
    outcome = run(clip, *CLIP, *options)
    assert outcome.code == 0, outcome.err
    assert files(clip.parent) == {"clip.mp4", name}
    assert shape_of(clip.parent / name) == shape


def test_photos_and_clips_in_one_call(run: Run, clip: Path, photo: Path) -> None:
    """By two models; a photo is enlarged 4 times, a clip twice."""
    outcome = run(clip, photo, "-m", "bicubic", "-m", "lanczos", "--preset", "ultrafast")
    assert outcome.code == 0, outcome.err
    made = {
        f"{stem}_{model}_{scale}"
        for stem, scale in (("clip", "2x.mp4"), ("photo", "4x.png"))
        for model in ("bicubic", "lanczos")
    }
    assert files(clip.parent) == {"clip.mp4", "photo.png", *made}
    assert outcome.err.count("slowest stage") == 2


def test_one_bad_clip_does_not_stop_the_photo(run: Run, clip: Path, photo: Path) -> None:
    clip.write_bytes(b"this is no clip")
    outcome = run(clip, photo, *FAST)
    assert outcome.code == 1
    assert "clip.mp4" in outcome.line
    assert files(clip.parent) == {"clip.mp4", "photo.png", "photo_4x.png"}


def test_what_a_run_tells_a_program_of_a_clip(run: Run, clip: Path) -> None:
    outcome = run(clip, *CLIP, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    records = [json.loads(line) for line in outcome.out.splitlines()]
    by_name = {record["event"]: record for record in records}
    assert set(by_name) <= {"note", "started", "clip_progress", "carried", "clip_finished"}
    assert by_name["started"]["frames"] == 8
    assert by_name["started"]["encoder"] == "libx264"
    assert set(by_name["clip_finished"]) >= {
        "source", "output", "width", "height", "seconds", "frames", "fps", "realtime", "net", "fallback", "same",
        "repeated", "slowest", "stages", "model", "damage",
    }  # fmt: skip
    assert by_name["clip_finished"]["frames"] == 8
    assert by_name["clip_finished"]["damage"] == ""
    assert records[-1]["event"] == "clip_finished"


def test_quiet_says_nothing_of_a_clip(run: Run, clip: Path) -> None:
    outcome = run(clip, *CLIP, "-q")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--start", "soon"), "--start"),
        (("--start", "-1"), "--start"),
        (("--end", "0"), "--end"),
        (("--start", "5", "--end", "4"), "--end"),
        (("--start", "99999999999"), "--start"),
        (("--frames", "0"), "--frames"),
        (("--frames", "x"), "--frames"),
        (("--fps", "PAL"), "--fps"),
        (("--fps", "25/0"), "--fps"),
        (("--crf", "nan"), "--crf"),
        (("--crf", "99"), "--crf"),
        (("--preset", "quick"), "--preset"),
        (("--codec", "none"), "--codec"),
        (("--pix-fmt", "none"), "--pix-fmt"),
        (("--encoder-arg", "tune"), "--encoder-arg"),
        (("--encoder-arg", "none=1"), "--encoder-arg"),
        (("--hwaccel", "abacus"), "--hwaccel"),
        (("--video-stream", "1"), "--video-stream"),
        (("--video-stream", "first"), "--video-stream"),
        (("--deinterlace", "yes"), "--deinterlace"),
        (("--realtime=fast",), "--realtime"),
        (("--realtime=",), "--realtime"),
        (("--preview", "0"), "--preview"),
        (("--preview", "inf"), "--preview"),
        (("--resume", "--preview", "1"), "--resume"),
        (("--resume", "--realtime=strict"), "--resume"),
        (("-f", "mkv", "-o", "new.mp4"), "--format mkv"),
    ],
)
def test_wrong_usage_with_clips_exits_with_two(
    run: Run, clip: Path, options: tuple[str, ...], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    outcome = run(clip, *FAST, *options)
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    assert word in outcome.err
    assert files(clip.parent) == {"clip.mp4"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("-o", "new.jpg"), ".jpg"),
        (("-o", "new.xyz"), ".xyz"),
        (("-f", "tif"), ".tif"),
        (("--start", "9"), "--start 9"),
    ],
)
def test_what_does_not_go_with_one_clip_exits_with_one(
    run: Run, clip: Path, options: tuple[str, ...], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    outcome = run(clip, *FAST, *options)
    assert outcome.code == 1, outcome.err
    assert word in outcome.line
    assert files(clip.parent) == {"clip.mp4"}


def test_a_photo_is_no_clip(run: Run, photo: Path) -> None:
    outcome = run(photo, *FAST, "-f", "mp4")
    assert outcome.code in (1, 2)
    assert "no clip" in outcome.line
    assert files(photo.parent) == {"photo.png"}


def test_a_file_may_be_named_like_the_option(
    run: Run, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows -- is a name, though --realtime alone is rewritten before it is parsed."""
    (tmp_path / "--realtime").write_bytes(made.read_bytes())
    monkeypatch.chdir(tmp_path)
    outcome = run(*CLIP, "-o", "new.mkv", "--", "--realtime")
    assert outcome.code == 0, outcome.err
    assert files(tmp_path) == {"--realtime", "new.mkv"}


def test_a_clip_through_standard_output(clip: Path, tmp_path: Path, piped: Piped) -> None:
    done = piped(clip, *CLIP, "-o", "-")
    assert done.returncode == 0, done.stderr
    (tmp_path / "piped.mkv").write_bytes(done.stdout)
    assert shape_of(tmp_path / "piped.mkv") == (96, 64, 8)


def test_the_clips_panel_of_the_help_names_every_option(run: Run) -> None:
    outcome = run("--help-all")
    panel = outcome.out.partition(" Clips ")[2].partition(" Messages ")[0]
    for option in ("--codec", "--crf", "--start", "--end", "--frames", "--realtime", "--resume", "--preview", "--play"):
        assert option in panel
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_compare_writes_a_page_of_all_versions_beside_the_outputs(
    run: Callable[..., Outcome], photo: Path, tmp_path: Path
) -> None:
    outcome = run(photo, "-m", "bicubic", "-m", "lanczos", "-s", "2", "--compare", "-o", f"{tmp_path}/out/")
    assert outcome.code == 0, outcome.err
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["photo_bicubic_2x.png", "photo_compare.html", "photo_lanczos_2x.png"]
    page = (tmp_path / "out/photo_compare.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("photo.png", "photo_bicubic_2x.png", "photo_lanczos_2x.png"))
    assert "photo_compare.html" in outcome.err


def test_a_page_that_exists_is_seen_before_anything_is_computed(run: Callable[..., Outcome], photo: Path) -> None:
    (photo.parent / "photo_compare.html").write_text("mine")
    outcome = run(photo, "-m", "bicubic", "--compare")
    assert outcome.code == 1
    assert "photo_compare.html: exists already" in outcome.line
    assert sorted(path.name for path in photo.parent.iterdir()) == ["photo.png", "photo_compare.html"]


def test_compare_needs_a_file(run: Callable[..., Outcome], photo: Path) -> None:
    assert "--compare needs two files" in run(photo, "-m", "bicubic", "--compare", "-o", "-").line
