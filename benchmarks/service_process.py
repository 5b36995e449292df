"""`upscale serve` as a process of its own, for benchmarks, and a client of it that costs little."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.report import REPOSITORY

BOUNDARY: Final = "a-boundary-that-is-in-no-picture"


IDLE_SECONDS: Final = 2.0
"""After which a connection is opened anew: servers close those that rest."""


def form(name: str, data: bytes, options: str) -> bytes:
    """The body of an upload."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="options"\r\n\r\n{options}\r\n--{BOUNDARY}\r\n'
    head += f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


class Client:
    """One connection, kept open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._used = time.monotonic()

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """(status, body) of an answer."""
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} if body is not None else {}
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._connection.close()
        self._connection.request(method, path, body, kind)
        answer = self._connection.getresponse()
        content = answer.read()
        self._used = time.monotonic()
        return answer.status, content

    def send(self, body: bytes) -> str:
        """The id of a job for an upload."""
        status, answer = self.ask("POST", "/api/jobs", body)
        if status != 201:
            raise RuntimeError(f"{status}: {answer[:500]!r}")
        return str(json.loads(answer)["id"])

    def follow(self, id: str) -> None:
        """Returns when a job has ended, with the stream of its events."""
        self.ask("GET", f"/api/jobs/{id}/events")

    def jobs(self) -> list[dict[str, Any]]:
        """All of them, at most 500."""
        found: list[dict[str, Any]] = json.loads(self.ask("GET", "/api/jobs?limit=500")[1])["jobs"]
        return found

    def is_busy(self) -> bool:
        """Whether any job has not ended; costs the service less than all counts."""
        return bool(json.loads(self.ask("GET", "/api/jobs?limit=1&state=queued&state=running")[1])["jobs"])

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        text = self.ask("GET", "/metrics")[1].decode()
        found = re.findall(r'^upscale_jobs\{state="(\w+)"\} (\S+)$', text, re.MULTILINE)
        return {state: int(float(count)) for state, count in found}

    def close(self) -> None:
        self._connection.close()


def processor_of(process: psutil.Process) -> float:
    """Seconds of processor time that a process has taken so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


class Served:
    """A service on a port that is free.

    Attributes:
        log: the file with what it says; those of several processes one after the other.
    """

    def __init__(self, data: Path, log: Path, options: Sequence[str] = ()) -> None:
        self.log = log
        begin = log.stat().st_size if log.exists() else 0
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1"}
        command = [sys.executable, "-m", "upscale_cli", "serve", "--data", str(data), "--port", "0", *options]
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, cwd=data.parent)
        self.port = self._told(begin)

    def _told(self, begin: int) -> int:
        while self.process.poll() is None:
            found = re.search(rb"serves at http://127\.0\.0\.1:(\d+)/", self.log.read_bytes()[begin:])
            if found:
                return int(found[1])
            time.sleep(0.05)
        raise RuntimeError(self.log.read_text(encoding="utf-8")[begin:][-2000:])

    def wait(self, *, until_ready: bool = True) -> Client:
        """A client, as soon as the service answers, and a worker is ready."""
        while True:
            client = Client(self.port)
            try:
                status, body = client.ask("GET", "/health")
                if status == 200 and (not until_ready or json.loads(body)["status"] == "ready"):
                    return client
            except OSError:
                if self.process.poll() is not None:
                    raise
            client.close()
            time.sleep(0.05)

    def resident(self) -> dict[str, float]:
        """Megabytes of the server and of its workers."""
        own = psutil.Process(self.process.pid)
        workers = sum(one.memory_info().rss for one in own.children(recursive=True))
        return {"server_mb": round(own.memory_info().rss / 1e6, 1), "workers_mb": round(workers / 1e6, 1)}

    def processor(self) -> dict[str, float]:
        """Seconds of processor time that the server and its workers have taken so far."""
        own = psutil.Process(self.process.pid)
        return {"server": processor_of(own), "workers": sum(map(processor_of, own.children(recursive=True)))}

    def kill(self) -> None:
        """As by kill -9; the workers have to notice by themselves."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As a service manager does it; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()
