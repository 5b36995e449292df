"""Watched folders: the folder run of `upscale DIR -r --watch`, whose jobs the queue of a service does."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from fastapi.testclient import TestClient

from tests.serving import environment, pictures
from upscale_cli.batch.choice import Sources
from upscale_cli.batch.options import BatchOptions
from upscale_cli.errors import LeftAlone, OptionError, UpscaleError
from upscale_cli.jobs.inputs import Input
from upscale_cli.service.app import create_app
from upscale_cli.service.messages_between import Found, Made, Refused, Settled
from upscale_cli.service.problem import Problem
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings
from upscale_cli.service.watcher_process import QueueExecutor, _Watcher

if TYPE_CHECKING:
    from tests.command import Run

__all__ = ["environment", "pictures"]

OPTIONS = '{"model": "bicubic", "target": {"scale": 2}}'

PATIENCE = 120.0
"""Seconds after which something hangs."""


def jobs_of(client: TestClient, count: int) -> list[dict[str, Any]]:
    """All jobs, once so many have ended."""
    end = time.monotonic() + PATIENCE
    while True:
        jobs: list[dict[str, Any]] = client.get("/api/jobs").json()["jobs"]
        if sum(job["ended"] is not None for job in jobs) >= count:
            return jobs
        assert time.monotonic() < end, jobs
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_what_lies_in_a_watched_folder_is_done_as_the_folder_run_does_it(
    pictures: Path, tmp_path: Path, run: "Run"
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shutil.copytree(pictures, source / "deep {er}")
    settings = ServiceSettings(
        data=tmp_path / "data", device=("cpu",), engine="torch", jobs=2, min_free=0, watch_folder=(source,),
        watch_output=output, watch_options=OPTIONS,
    )  # fmt: skip
    with TestClient(create_app(Service(settings)), base_url="http://localhost") as client:
        jobs = {job["name"]: job for job in jobs_of(client, 3)}
        assert {name: job["state"] for name, job in jobs.items()} == {
            "a.png": "done", "b.jpg": "done", "none.png": "failed",
        }  # fmt: skip
        assert str(tmp_path) not in str(jobs)
        made = {path.name: path.read_bytes() for path in (output / "deep {er}").iterdir()}
        assert set(made) == {"a_2x.png", "b_2x.jpg"}
        for name, data in made.items():
            job = next(job for job in jobs.values() if job["result_name"] == name)
            assert client.get(f"/api/jobs/{job['id']}/result").content == data
        assert client.get("/api/results.zip").status_code == 404  # they lie where they belong
        assert client.delete(f"/api/jobs/{jobs['a.png']['id']}").status_code == 204
        assert (output / "deep {er}" / "a_2x.png").exists()
        while "upscale_watched_files 0.0" not in client.get("/metrics").text:
            time.sleep(0.05)
    again = run(source, "-o", output, "-r", "-m", "bicubic", "-s", 2)
    assert again.code == 1  # the one that is no picture
    assert "2 skipped" in again.out + again.err
    assert {path.name: path.read_bytes() for path in (output / "deep {er}").iterdir()} == made
    by_command = tmp_path / "by command"
    run(source, "-o", by_command, "-r", "-m", "bicubic", "-s", 2)
    assert {path.name: path.read_bytes() for path in (by_command / "deep {er}").iterdir()} == made


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Service]:
    """A service without workers and watcher: jobs wait."""
    (tmp_path / "in").mkdir()
    settings = ServiceSettings(
        data=tmp_path / "data", min_free=0, watch_folder=(tmp_path / "in",), watch_options=OPTIONS, keep_size=1000
    )
    made = Service(settings)
    yield made
    made.close()


def found(service: Service, name: str = "a.png") -> Found:
    source = service.settings.watch_folder[0] / name
    if not source.exists():
        source.write_bytes(b"x")
    return Found(1, source, source.with_name("a_2x.png"), overwrite=False)


def test_a_watched_file_is_one_job_until_it_changes(watched: Service) -> None:
    one = found(watched)
    accept = watched.watching._accept
    assert [accept(one), accept(one)] == [True, True]
    (job,) = watched.store.newest(10)
    assert (job.name, job.state, job.place) == ("a.png", "queued", one.output)
    watched.cancel(job.id)
    accept(one)
    assert watched.job(job.id).state == "cancelled"  # nor does the next service do it
    one.source.write_bytes(b"xy")
    accept(one)
    assert [job.state for job in watched.store.newest(10)] == ["queued", "cancelled"]


def test_one_whose_result_is_gone_is_done_again(watched: Service) -> None:
    one = found(watched)
    watched.watching._accept(one)
    (job,) = watched.store.newest(10)
    one.output.write_bytes(b"result")
    watched.store.update(job.id, state="done", ended=1.0, result=one.output.name, result_bytes=6)
    watched.watching._accept(one)
    assert watched.job(job.id).state == "done"
    one.output.unlink()
    watched.watching._accept(one)
    assert watched.job(job.id).state == "queued"


def test_what_clients_send_goes_first_and_what_was_left_unfinished_is_found_anew(watched: Service) -> None:
    watched.watching._accept(found(watched))
    sent = watched.store.add("sent", name="b.png", kind="photo", request="{}", source="", input_bytes=1, most=9)
    assert sent is not None
    assert [job.name for job in watched.store.waiting(9)] == ["b.png", "a.png"]
    watched.store.forget_watched()
    assert [job.name for job in watched.store.waiting(9)] == ["b.png"]


def test_what_comes_to_nothing_before_it_is_a_job_is_listed_once(watched: Service) -> None:
    one = found(watched)
    for _ in range(2):
        watched.watching._note_failure(Refused(str(one.source), f"{one.source}: is damaged."))
    (job,) = watched.store.newest(10)
    assert (job.state, job.message) == ("failed", "a.png: is damaged.")
    with pytest.raises(Problem, match="refused before it was a job"):
        watched.retry(job.id)
    watched.watching._accept(one)  # as it is, the next service tries it again, and knows where the result goes
    assert (watched.job(job.id).state, watched.job(job.id).place) == ("queued", one.output)


def test_a_result_in_a_library_is_not_the_service_s_to_remove(watched: Service) -> None:
    one = found(watched)
    watched.watching._accept(one)
    (job,) = watched.store.newest(10)
    one.output.write_bytes(bytes(5000))  # more than is kept
    watched.store.update(job.id, state="done", ended=time.time(), result=one.output.name, result_bytes=5000)
    watched.tidy()
    assert watched.job(job.id).state == "done"
    watched.remove(job.id)
    assert one.output.exists()


def test_a_folder_run_hears_what_the_queue_made_of_its_jobs(tmp_path: Path) -> None:
    class Job:
        name, source, output, overwrite = "a.png", tmp_path / "a.png", tmp_path / "b.png", False

        def absolute(self) -> "Job":
            return self

    sent: list[Any] = []
    executor = QueueExecutor(sent.append, 8)
    futures = [executor.submit(Job(), None, None) for _ in range(4)]  # type: ignore[arg-type]
    assert [one.number for one in sent] == [1, 2, 3, 4]
    for number, state in enumerate(("done", "failed", "skipped", "cancelled"), 1):
        executor.settle(Settled(number, state, "why" if number < 4 else ""))  # type: ignore[arg-type]
    assert futures[0].result() == "why"
    assert [type(future.exception()) for future in futures[1:]] == [UpscaleError, LeftAlone, UpscaleError]


def test_what_failed_and_was_tried_again_is_in_the_manifest(watched: Service, pictures: Path) -> None:
    class Failing:
        concurrency = 1

        def submit(self, *_: Any) -> "Future[str]":
            future: Future[str] = Future()
            future.set_exception(UpscaleError("the disk was full."))
            return future

        def close(self) -> None:
            pass

    source = watched.settings.watch_folder[0] / "a.png"
    shutil.copy(pictures / "a.png", source)
    sent: list[Any] = []
    process = _Watcher(cast(Any, SimpleNamespace(send=sent.append)), watched.watching._setup())
    process._queue = cast(Any, Failing())
    run = process._folder_run(BatchOptions(recursive=True, watch=True))
    inputs = [Input(str(source), root=str(source.parent))]
    assert run.all(Sources(inputs, [], Counter())) == 1
    output = source.with_name("a_2x.png")
    # The queue has tried it once more, for a client.
    watched.watching._accept(Found(1, source, output, overwrite=False))
    (job,) = watched.store.newest(1)
    watched.watching._forget(job.id)
    here = watched.watching._connection = cast(Any, Pipe())
    output.write_bytes(b"made")
    done = watched.store.update(job.id, state="done", ended=1.0, result=output.name, result_bytes=4)
    assert done is not None
    watched._dispatcher.tell(done)
    (made,) = here.sent
    assert made == Made(str(source), "")
    run.made_since(made.source, made.message)
    process._queue = cast(Any, None)  # nothing is left to do
    assert run.all(Sources(inputs, [], Counter())) == 0
    assert run.tally.skipped == 1


class Pipe:
    """The service's end of it."""

    closed = False

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.send = self.sent.append


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"watch_options": "{"}, "watch_options"),
        ({"watch_options": '{"model": "/etc/passwd"}'}, "is not known here"),
        ({"watch_options": '{"target": {"scale": -1}}'}, "target.scale"),
        ({"watch_options": '{"format": "exe"}'}, "not known"),
        ({"watch_folder": ("none",)}, "is no folder"),
        ({"watch_folder": ()}, "there is none"),
        ({"watch_output": Path("{stem}")}, "no template"),
        ({"data": "."}, "own files"),
    ],
)
def test_what_cannot_be_watched_is_refused(tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    given: dict[str, Any] = {
        "watch_folder": (tmp_path,),
        "data": tmp_path.parent / "elsewhere",
        "watch_options": OPTIONS,
    }
    given |= settings
    if given["data"] == ".":
        given["data"] = tmp_path / "data"
    with pytest.raises(OptionError, match=why):
        Service(ServiceSettings(**given))
