"""Options of Python's functions: typed, named when misspelt, checked before anything is opened; light to import."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from upscale_cli import (
    ClipOptions,
    DecodeOptions,
    PhotoOptions,
    Upscaler,
    upscale_file,
    upscale_folder,
    upscale_frames,
    upscale_video,
)
from upscale_cli.batch.options import BatchOptions, jobs_within
from upscale_cli.errors import OptionError
from upscale_cli.inference.options import UpscalerKeywords, UpscalerOptions


def test_a_misspelt_option_is_found_by_mypy() -> None:
    """By the run over the tests: it tells of a remark of these that it has no need of."""
    with pytest.raises(TypeError, match="overlapp"):
        upscale_file("a.png", overlapp=8)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="overlapp"):
        upscale_video("a.mp4", overlapp=8)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="overlapp"):
        upscale_folder("a", overlapp=8)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="overlapp"):
        upscale_frames("a.mp4", overlapp=8)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="overlapp"):
        Upscaler(overlapp=8)  # type: ignore[call-arg]
    with pytest.raises(OptionError, match="precision='fp8' is not known"):
        upscale_file("a.png", precision="fp8")  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [upscale_file, upscale_video, upscale_folder, upscale_frames])
def test_a_misspelt_option_is_named_before_anything_is_opened(function: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'overlapp'"):
        function("there is no such file", overlapp=8)
    with pytest.raises(OptionError, match="tile="):
        function("there is no such file", tile=-1)


def test_keywords_are_the_fields() -> None:
    assert UpscalerKeywords.__annotations__ == UpscalerOptions.__annotations__
    options = UpscalerOptions(tile=64, tta=True)
    assert UpscalerOptions(**options.keywords) == options
    assert Upscaler("bicubic", **options.keywords).recipe.options == options


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: UpscalerOptions(denoise=2), ("denoise",)),
        (lambda: UpscalerOptions(precision="fp8"), ("precision",)),  # type: ignore[arg-type]
        (lambda: UpscalerOptions(overlap=-1), ("overlap",)),
        (lambda: UpscalerOptions(tile=8, overlap=9), ("overlap", "tile")),
        (lambda: DecodeOptions(start=2, end=1), ("end", "start")),
        (lambda: DecodeOptions(end=0), ("end", "start")),
        (lambda: DecodeOptions(frames=0), ("frames",)),
        (lambda: ClipOptions(realtime="soon"), ("realtime",)),  # type: ignore[arg-type]
        (lambda: ClipOptions(preview=0), ("preview",)),
        (lambda: PhotoOptions(quality=101), ("quality",)),
        (lambda: PhotoOptions(max_pixels=0), ("max_pixels",)),
        (lambda: BatchOptions(jobs=0), ("jobs",)),
        (lambda: BatchOptions(include=("/a",)), ("include",)),
        (lambda: BatchOptions(skip_existing=True, overwrite=True), ("skip_existing", "overwrite")),
        (lambda: BatchOptions(watch=True, dry_run=True), ("watch", "dry_run")),
        (lambda: jobs_within(2, is_bounded=True), ("max_memory", "jobs")),
    ],
)
def test_values_that_make_no_sense_are_refused_where_they_are_held(make: Any, named: tuple[str, ...]) -> None:
    with pytest.raises(OptionError) as refused:
        make()
    assert refused.value.options == named


def test_what_holds_for_python_is_checked_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"Give live=True to let it in"):
        upscale_video("rtsp://camera/1", tmp_path / "a.mkv")
    with pytest.raises(OptionError, match=r"play=True and output='.*a\.mkv' exclude each other"):
        upscale_video("a.mp4", tmp_path / "a.mkv", options=ClipOptions(play=True))
    with pytest.raises(OptionError, match=r"resume=True does not go with s3://bucket/a"):
        upscale_folder("s3://bucket/a", tmp_path / "out", photos=PhotoOptions(resume=True))
    with pytest.raises(OptionError, match=r"max_memory= is for one picture at a time, and jobs=2 is more"):
        upscale_folder(tmp_path, tmp_path / "out", jobs=2, photos=PhotoOptions(max_memory=10**9))


def test_options_are_values() -> None:
    for options in (UpscalerOptions(), ClipOptions(), BatchOptions()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(options, dataclasses.fields(options)[0].name, None)


@pytest.mark.parametrize(
    "arguments", ["--help", "--help-all", "eval --help", "compare --help", "models --help", "--version"]
)
def test_help_imports_neither_torch_nor_numpy(arguments: str) -> None:
    code = (
        "import sys; from upscale_cli import cli\n"
        f"sys.argv = ['upscale', *{arguments.split()!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'av'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
