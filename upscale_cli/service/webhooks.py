"""Cog's webhooks: what happens to a prediction, sent to its client. The last one is sent until it arrives, also by the
next service where this one was killed; the others are sent once."""

import http.client
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from upscale_cli.errors import InputError
from upscale_cli.service.cog import as_json, prediction_of
from upscale_cli.service.hub import Told
from upscale_cli.service.outbound import send
from upscale_cli.service.service import Service
from upscale_cli.service.store import ENDED, StoredJob

log: Final = logging.getLogger("upscale_cli.service")

AT_ONCE: Final = 2

PAUSES: Final = (0.0, 1.0, 5.0, 25.0)
"""Seconds before each try of the last one."""

LEAST_SECONDS: Final = 0.5
"""Between two reports of logs, as cog has it."""


class Webhooks:
    """Owner of the threads that send."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads = ThreadPoolExecutor(AT_ONCE, "webhooks")
        self._is_closing = threading.Event()
        self._logged_at: dict[str, float] = {}
        service.hub.hear(self._hear)

    def start(self) -> None:
        """Sends what a service that was killed has not."""
        for job in self._service.store.in_state(*ENDED):
            self._completed(job)

    def close(self) -> None:
        self._is_closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _hear(self, told: Told) -> None:
        """Of everything that happens, in the thread in which it does."""
        if self._is_closing.is_set():
            return
        if told.kind == "note":
            now = time.monotonic()
            if now - self._logged_at.get(told.job, -LEAST_SECONDS) >= LEAST_SECONDS:
                self._logged_at[told.job] = now
                self._threads.submit(self._once, told.job, "logs")
        elif told.kind == "job" and told.data["state"] == "running":
            self._threads.submit(self._once, told.job, "start")
        elif told.kind == "job" and told.data["state"] in ENDED:
            self._logged_at.pop(told.job, None)
            job = self._service.store.get(told.job)
            if job is not None:
                self._completed(job)

    def _completed(self, job: StoredJob) -> None:
        if job.extra.get("webhook") and not job.extra.get("told"):
            if job.state == "done":
                self._threads.submit(self._once, job.id, "output")
            self._threads.submit(self._last, job)

    def _once(self, id: str, event: str) -> None:
        job = self._service.store.get(id)
        if job is not None and event in job.extra.get("events", ()):
            self._sent(job)

    def _last(self, job: StoredJob) -> None:
        if "completed" in job.extra["events"]:
            for pause in PAUSES:
                if self._is_closing.wait(pause):
                    return
                if self._sent(job):
                    break
        self._service.store.update(job.id, extra={**job.extra, "told": True})

    def _sent(self, job: StoredJob) -> bool:
        """Sends how a prediction stands; gives whether it arrived."""
        url = job.extra["webhook"]
        try:
            body = json.dumps(as_json(prediction_of(self._service, job))).encode()
            status = send(url, body, self._service.settings.allow_url)
        except (InputError, OSError, http.client.HTTPException) as error:
            log.warning("webhook not sent", extra={"job": job.id, "reason": str(error)})
            return False
        if status >= 400:
            log.warning("webhook refused", extra={"job": job.id, "status": status})
        return status < 500
