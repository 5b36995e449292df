"""kill -9 of a service with jobs in the queue, in progress and done: the next one finishes each, once."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from upscale_cli import upscale_file

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")
httpx2 = pytest.importorskip("httpx2", reason="httpx2 is not installed")

if TYPE_CHECKING:
    from tests.clips import Clips

OPTIONS = {"model": "espcn", "target": {"scale": 4}}


class Server:
    """A service, as `upscale serve` runs it. Of its 2 GB torch takes 0.2 by itself, a build of it for GPUs 0.8."""

    def __init__(self, data: Path, log: Path) -> None:
        self._log = log
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "upscale_cli", "serve", "--data", str(data), "--port", "0", "--device", "cpu",
                 "--engine", "torch", "-j", "2", "--max-memory", "2", "--min-free", "0"],
                stderr=stream, env={**os.environ, "UPSCALE_OFFLINE": "1"},
            )  # fmt: skip
        while not (found := re.search(r"serves at (\S+)", log.read_text(encoding="utf-8"))):
            assert self._process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        self.client = httpx2.Client(base_url=found[1], timeout=60)

    def send(self, path: Path, options: dict[str, Any]) -> str:
        """A job's id."""
        with path.open("rb") as file:
            answer = self.client.post(
                "/api/jobs", files={"file": (path.name, file)}, data={"options": json.dumps(options)}
            )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def jobs(self) -> dict[str, dict[str, Any]]:
        return {job["id"]: job for job in self.client.get("/api/jobs").json()["jobs"]}

    def ended(self) -> Counter[str]:
        """How often each job has ended, by the log; a kill may come after the queue's entry and before the log's."""
        return Counter(record["job"] for record in self._records("job ended"))

    def done_before(self) -> int:
        """How many jobs were done when it started."""
        (started,) = self._records("service started")
        return int(started["jobs"].get("done", 0))

    def _records(self, message: str) -> list[dict[str, Any]]:
        lines = self._log.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines if line.startswith("{")]
        return [record for record in records if record["message"] == message]

    def end(self, number: int) -> int:
        """By a signal; gives the exit code."""
        self.client.close()
        self._process.send_signal(number)
        return self._process.wait(60)


@contextmanager
def running(data: Path, log: Path) -> Iterator[Server]:
    """A service, which is gone in the end whatever happens."""
    server = Server(data, log)
    try:
        yield server
    finally:
        server.end(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_what_was_accepted_is_finished_once_by_the_next_service(
    tmp_path: Path, clips: "Clips", monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    pixels = np.random.default_rng(0).integers(0, 255, (160, 200, 3), np.uint8)
    photos = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(photos):
        Image.fromarray(np.roll(pixels, number, 0)).save(path)
    Image.fromarray(np.tile(pixels, (3, 3, 1))).save(tmp_path / "large.tif")
    clip = clips("plain")
    data, logs = tmp_path / "data", [tmp_path / "first.log", tmp_path / "second.log"]
    first = Server(data, logs[0])
    accepted = [first.send(path, OPTIONS) for path in photos[:3]]
    accepted.append(first.send(tmp_path / "large.tif", OPTIONS))
    accepted.append(first.send(clip, {"model": "espcn"}))
    accepted.append(first.send(photos[3], OPTIONS))
    while not any(job["state"] == "done" for job in first.jobs().values()):
        time.sleep(0.05)
    first.end(signal.SIGKILL)
    before = first.ended()
    with running(data, logs[1]) as second:
        while any(job["state"] in ("queued", "running") for job in second.jobs().values()):
            time.sleep(0.1)
        jobs, after = second.jobs(), second.ended()
        assert [*reversed(jobs)] == accepted
        assert not [(job["name"], job["state"], job["message"]) for job in jobs.values() if job["state"] != "done"]
        assert second.done_before() + after.total() == len(accepted)
        assert max((before + after).values()) == 1
        for path, id in zip([*photos, tmp_path / "large.tif"], [*accepted[:3], accepted[5], accepted[3]], strict=True):
            made = upscale_file(path, tmp_path / "made" / path.name, 4, model="espcn", engine="torch", device="cpu")
            assert second.client.get(f"/api/jobs/{id}/result").content == made.read_bytes(), path
        assert second.client.get(f"/api/jobs/{accepted[4]}/result").status_code == 200
        assert not [*data.glob("jobs/*/output/*.work")]
        assert second.end(signal.SIGTERM) == 0
