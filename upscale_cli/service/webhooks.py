"""Cog's webhooks: what happens to a prediction, sent to its client. The last one is sent until it arrives, also by the
next service where this one was killed; the others are sent once.

To one host one message goes at a time, in the order in which things happen, so that a host that does not answer holds
up nobody but itself.
"""

import asyncio
import http.client
import json
import logging
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from upscale_cli.errors import InputError
from upscale_cli.service.cog import as_json, prediction_of
from upscale_cli.service.hub import Told
from upscale_cli.service.outbound import send
from upscale_cli.service.service import Service
from upscale_cli.service.store import ENDED, StoredJob

log: Final = logging.getLogger("upscale_cli.service")

AT_ONCE: Final = 8
"""Hosts that are sent to at a time."""

SEND_SECONDS: Final = 10.0
"""Within which a host has to answer."""

PAUSES: Final = (0.0, 1.0, 5.0, 25.0)
"""Seconds before each try of the last one."""

MOST_WAITING: Final = 100
"""Messages for one host; of what comes then only the last of each prediction is kept."""

LEAST_SECONDS: Final = 0.5
"""Between two reports of logs, as cog has it."""


@dataclass(frozen=True, slots=True)
class _Message:
    """Something to be sent, with the prediction as it stands then.

    Attributes:
        event: as cog names it.
        host: where it goes.
        tries: that have failed.
    """

    job: str
    event: str
    host: str
    tries: int = 0

    @property
    def is_last(self) -> bool:
        return self.event == "completed"


class Webhooks:
    """Owner of the threads that send. Made in the event loop of the service."""

    def __init__(self, service: Service) -> None:
        self._service, self._loop = service, asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(AT_ONCE, "webhooks")
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[_Message]] = {}  # by host; one that is here has a thread, or waits for one
        self._is_closing = False
        self._logged_at: dict[str, float] = {}
        service.hub.hear(self._hear)

    def start(self) -> None:
        """Sends what a service that was killed has not."""
        for job in self._service.store.in_state(*ENDED):
            self._completed(job)

    def close(self) -> None:
        """Ends the threads; what was not sent is sent by the next service."""
        with self._lock:
            self._is_closing = True
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _hear(self, told: Told) -> None:
        """Of everything that happens, in the thread in which it does."""
        if told.kind == "note":
            now = time.monotonic()
            if now - self._logged_at.get(told.job, -LEAST_SECONDS) >= LEAST_SECONDS:
                self._logged_at[told.job] = now
                self._once(told.job, "logs")
        elif told.kind == "job" and told.data["state"] == "running":
            self._once(told.job, "start")
        elif told.kind == "job" and told.data["state"] in ENDED:
            self._logged_at.pop(told.job, None)
            job = self._service.store.get(told.job)
            if job is not None:
                self._completed(job)

    def _once(self, id: str, event: str) -> None:
        job = self._service.store.get(id)
        if job is not None and event in job.extra.get("events", ()):
            self._post(_Message(id, event, _host_of(job)))

    def _completed(self, job: StoredJob) -> None:
        if job.extra.get("webhook") and not job.extra.get("told"):
            if job.state == "done" and "output" in job.extra["events"]:
                self._post(_Message(job.id, "output", _host_of(job)))
            self._post(_Message(job.id, "completed", _host_of(job)))

    def _post(self, message: _Message) -> None:
        """Has a message sent when it is its turn."""
        with self._lock:
            if self._is_closing:
                return
            there = self._waiting.get(message.host)
            if there is None:
                self._waiting[message.host] = deque([message])
                self._threads.submit(self._work, message.host)
            elif message.is_last or len(there) < MOST_WAITING:
                there.append(message)

    def _work(self, host: str) -> None:
        """One message for a host; the next has to wait until the other hosts had theirs."""
        with self._lock:
            message = self._waiting[host].popleft()
        try:
            self._deliver(message)
        except Exception:
            log.exception("webhook not sent", extra={"job": message.job})
        with self._lock:
            if self._waiting[host] and not self._is_closing:
                self._threads.submit(self._work, host)
            else:
                del self._waiting[host]

    def _deliver(self, message: _Message) -> None:
        job = self._service.store.get(message.job)
        if job is None:
            return
        is_sent = message.event not in job.extra["events"] or self._sent(job)
        if not message.is_last:
            return
        if not is_sent and message.tries + 1 < len(PAUSES):
            again = replace(message, tries=message.tries + 1)
            self._loop.call_soon_threadsafe(self._loop.call_later, PAUSES[again.tries], self._post, again)
        else:
            self._service.store.update(job.id, extra={**job.extra, "told": True})

    def _sent(self, job: StoredJob) -> bool:
        """Sends how a prediction stands; gives whether it arrived."""
        url = job.extra["webhook"]
        try:
            body = json.dumps(as_json(prediction_of(self._service, job))).encode()
            status = send(url, body, self._service.settings.allow_url, seconds=SEND_SECONDS)
        except (InputError, OSError, http.client.HTTPException) as error:
            log.warning("webhook not sent", extra={"job": job.id, "reason": str(error)})
            return False
        if status >= 400:
            log.warning("webhook refused", extra={"job": job.id, "status": status})
        return status < 500


def _host_of(job: StoredJob) -> str:
    return urlsplit(str(job.extra["webhook"])).netloc.lower()
