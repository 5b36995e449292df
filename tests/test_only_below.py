"""`--only-below`: what is large enough is left alone, which is said and counted."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clips import X264, ffmpeg, moving
from tests.command import Run
from upscale_cli import PhotoOptions, upscale_file, upscale_folder
from upscale_cli.errors import LeftAlone, OptionError
from upscale_cli.events import Event, Skipped
from upscale_cli.frames.image import Pixels


@pytest.fixture
def pictures(tmp_path: Path, noise: Callable[..., Pixels]) -> Path:
    """Two that are small, two that are large: on end, and just so."""
    folder = tmp_path / "pics"
    folder.mkdir()
    for name, size in {"small": (20, 30), "wide": (19, 90), "large": (40, 60), "end": (60, 20 + 4)}.items():
        Image.fromarray(noise(*size, 3)).save(folder / f"{name}.png")
    return folder


def test_one_picture_is_left_alone_and_nothing_is_written(run: Run, pictures: Path) -> None:
    outcome = run(pictures / "large.png", "-m", "bicubic", "-s", 2, "--only-below", 40)
    assert outcome.code == 0
    assert "large.png: is 60 x 40, and left alone: --only-below 40." in " ".join(outcome.err.split())
    assert sorted(path.name for path in pictures.iterdir()) == ["end.png", "large.png", "small.png", "wide.png"]
    assert run(pictures / "large.png", "-m", "bicubic", "-s", 2, "--only-below", 41).code == 0
    assert (pictures / "large_2x.png").is_file()


def test_others_named_with_it_are_done(run: Run, pictures: Path) -> None:
    outcome = run(pictures / "large.png", pictures / "small.png", "-m", "bicubic", "-s", 2, "--only-below", 40)
    assert outcome.code == 0
    assert (pictures / "small_2x.png").is_file()
    assert not (pictures / "large_2x.png").exists()


def test_a_folder_counts_them_by_the_shorter_side(run: Run, pictures: Path, tmp_path: Path) -> None:
    line = (pictures, "-o", f"{tmp_path / 'out'}/", "-m", "bicubic", "-s", 2, "--only-below", 24)
    outcome = run(*line)
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.err.split())
    assert "2 files to do" in said
    assert "2 large enough and left alone" in said
    assert "2 done, 2 left alone" in said
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["small_2x.png", "wide_2x.png"]
    again = [json.loads(record) for record in run(*line, "--json").out.splitlines()]
    assert (again[-1]["skipped"], again[-1]["left_alone"], again[-1]["done"]) == (2, 2, 0)


def test_clips_are_left_alone_too(run: Run, tmp_path: Path) -> None:
    ffmpeg(*moving(64, 48), "-frames:v", "4", *X264, tmp_path / "a.mkv")
    outcome = run(tmp_path / "a.mkv", "-m", "bicubic", "--only-below", 48)
    assert outcome.code == 0
    assert "is 64 x 48, and left alone" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_in_python(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(LeftAlone, match="only_below=30"):
        upscale_file(pictures / "large.png", scale=2, model="bicubic", only_below=30)
    events: list[Event] = []
    finished = upscale_folder(
        pictures, tmp_path / "out", 2, model="bicubic", photos=PhotoOptions(only_below=24), listener=events.append
    )
    assert (finished.done, finished.left_alone) == (2, 2)
    assert {Path(event.source).stem for event in events if isinstance(event, Skipped)} == {"large", "end"}
    with pytest.raises(OptionError, match="leaves everything alone"):
        PhotoOptions(only_below=0)


def test_what_is_left_alone_is_no_picture_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(np.arange(99, dtype=np.uint8).tobytes())
    outcome = run(tmp_path / "a.png", "-m", "bicubic", "--only-below", 8)
    assert outcome.code == 1
    assert "a.png" in outcome.line
