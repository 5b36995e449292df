"""What the former version has left goes on with this one.

`former/manifest-*.jsonl` were written by commit 1a123c1, killed when b.bmp had its output and no line recorded it:

    upscale in -o bicubic -r -m bicubic -s 2 -j 1 --include clip.mp4    (to its end)
    upscale in -o bicubic -r -m bicubic -s 2 -j 1                       (killed)
    upscale in -o espcn -r -m espcn -s 2 -j 1 --include "*.bmp"         (killed)

FOLDER stands for where that was, and [0, 0] for the size and time of a file. `former/job-*.json` lay in the work
folders of killed runs with --resume, of a clip (x2) and of a photo in bands (x4); "..." stands for what differs from
machine to machine.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.albums import paint
from tests.clips import Clips
from tests.command import Run
from upscale_cli.batch.manifest import JobOptions
from upscale_cli.batch.manifest_file import MANIFEST_NAME
from upscale_cli.files.work_folder import SEGMENT
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs import photo, video_resume
from upscale_cli.jobs.bands_resume import BUDGET
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.prepare import prepare_photo
from upscale_cli.jobs.prepare_video import open_clip, prepare_video
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.jobs.video_resume import ENCODER
from upscale_cli.media.video.segments import Segment

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


# Killed runs with --resume


def assert_same_job(kind: str, now: Mapping[str, Any]) -> None:
    former = json.loads((FORMER / f"job-{kind}.json").read_text(encoding="utf-8"))
    of_machine = [key for key, value in former.items() if value == "..."]
    assert {**json.loads(json.dumps(now)), **dict.fromkeys(of_machine, "...")} == former
    assert set(of_machine) - set(now) <= {BUDGET, ENCODER}


def test_a_clip_of_the_former_version_is_the_same_job(clips: Clips, tmp_path: Path) -> None:
    given, net, options = Input(str(clips("plain"))), Upscaler("bicubic", device="cpu"), ClipOptions(resume=True)
    naming, outputs = Naming(str(tmp_path / "out.mp4"), None, Target(scale=2)), Outputs([given], overwrite=False)
    job = prepare_video(given, open_clip(given, options), net, naming, outputs, options)
    assert_same_job("clip", video_resume.job_record(job, net))


def test_a_photo_of_the_former_version_is_the_same_job(tmp_path: Path) -> None:
    given, net = Input(str(paint(tmp_path / "lr.png"))), Upscaler("bicubic", device="cpu")
    naming, outputs = Naming(str(tmp_path / "out.tif"), None, Target(scale=4)), Outputs([given], overwrite=False)
    job = prepare_photo(given, net, naming, outputs, PhotoOptions(resume=True))
    assert_same_job("photo", photo.job_record(job, net))


def test_a_journal_of_the_former_version_is_read() -> None:
    line = (
        '{"number": 0, "file": "stretch-00000-a5dc2ddc.mkv", "size": 11413, "pts": [0, 512], "delay": 2, "repeats": 0}'
    )
    assert [field.name for field in fields(Segment)] == list(json.loads(line))
    assert line.split('"')[5].startswith(SEGMENT)
