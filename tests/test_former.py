"""What the former version has left goes on with this one.

`former/manifest-*.jsonl` were written by commit 1a123c1, killed when b.bmp had its output and no line said so:

    upscale in -o bicubic -r -m bicubic -s 2 -j 1 --include clip.mp4    (to its end)
    upscale in -o bicubic -r -m bicubic -s 2 -j 1                       (killed)
    upscale in -o espcn -r -m espcn -s 2 -j 1 --include "*.bmp"         (killed)

FOLDER stands for where that was, and [0, 0] for the size and time of a file.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.albums import paint
from tests.clips import Clips
from tests.command import Run
from upscale_cli.batch.manifest import MANIFEST_NAME, JobOptions

FORMER = Path(__file__).parent / "former"
SOURCES = ("a.bmp", "b.bmp", "sub/c.bmp")


def records(model: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FORMER / f"manifest-{model}.jsonl").read_text(encoding="utf-8").splitlines()]


def stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


@pytest.fixture
def folder(tmp_path: Path, clips: Clips) -> Path:
    for number, name in enumerate(SOURCES):
        paint(tmp_path / "in" / name, number)
    (tmp_path / "in/clip.mp4").write_bytes(clips("plain").read_bytes())
    return tmp_path


def left_behind(folder: Path, model: str) -> dict[str, bytes]:
    """The folder of outputs as the killed run has left it; gives what is in it."""
    out = folder / model
    out.mkdir()
    lines = records(model)
    made = {line["done"]: b"made before" for line in lines if "done" in line} | {"b_2x.bmp": b"just made"}
    for name, data in made.items():
        (out / name).write_bytes(data)
    for line in lines:
        if "source" in line:
            source = folder / line["source"].removeprefix("FOLDER/")
            line |= {"source": str(source), "stamp": stamp(source)}
            line["made"] = line["made"] and stamp(out / line["done"])
    (out / MANIFEST_NAME).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return made


@pytest.mark.parametrize("model", ["bicubic", "espcn"])
def test_a_folder_run_of_the_former_version_goes_on(run: Run, folder: Path, model: str) -> None:
    before = left_behind(folder, model)
    kinds = ("--include", "*.bmp") if model == "espcn" else ()
    outcome = run(folder / "in", "-o", folder / model, "-r", "-m", model, "-s", 2, "-j", 1, *kinds)
    assert outcome.code == 0, outcome.err
    assert f"1 done, {len(before)} skipped" in outcome.err
    assert {name: (folder / model / name).read_bytes() for name in before} == before
    assert (folder / model / "sub/c_2x.bmp").exists()


@pytest.mark.parametrize("model", ["bicubic", "espcn"])
def test_jobs_of_the_former_version_have_the_same_digest(model: str) -> None:
    jobs = [line for line in records(model) if "options" in line]
    assert [JobOptions(line["options"]).digest for line in jobs] == [line["job"] for line in jobs]
