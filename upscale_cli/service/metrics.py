"""Figures of the service for Prometheus, counted when they are asked for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from upscale_cli._version import __version__
from upscale_cli.service.store import ENDED, State

if TYPE_CHECKING:
    from upscale_cli.service.service import Service

STATES: Final[tuple[State, ...]] = get_args(State)


class _Figures:
    """What is counted."""

    def __init__(self, service: "Service") -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service = self._service
        info = GaugeMetricFamily("upscale_info", "The version, as a label.", labels=("version",))
        info.add_metric((__version__,), 1)
        yield info
        jobs = GaugeMetricFamily("upscale_jobs", "Jobs that are kept, by state.", labels=("state",))
        counts = service.store.counts()
        for state in STATES:
            jobs.add_metric((state,), counts.get(state, 0))
        yield jobs
        ended = CounterMetricFamily("upscale_jobs_ended", "Jobs that have ended since the start.", labels=("state",))
        for state in ENDED:
            ended.add_metric((state,), service.ended[state])
        yield ended
        seconds = CounterMetricFamily("upscale_job_seconds", "Seconds that jobs with a result took.")
        seconds.add_metric((), service.seconds)
        yield seconds
        workers = GaugeMetricFamily("upscale_worker_jobs", "Jobs in a worker.", labels=("worker", "device"))
        for worker in service.workers():
            workers.add_metric((str(worker["number"]), str(worker["device"])), float(str(worker["jobs"])))
        yield workers
        coming = service.watching.coming
        yield GaugeMetricFamily("upscale_watched_files", "Found in watched folders, and not done yet.", value=coming)
        yield GaugeMetricFamily("upscale_event_streams", "Open streams of events.", value=service.hub.listeners)
        yield GaugeMetricFamily("upscale_disk_free_bytes", "Free on the disk.", value=service.folders.free())


def exposed(service: "Service") -> tuple[bytes, str]:
    """(text, media type) of all figures."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(service))
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
