"""A worker of the cluster, as this process sees it: a thread here that gives its actor over there one task at a time.

Tasks come from, and go back to, a `Queue` (the executor). What ends a worker: its actor dies, its node
is unfit (another version, no shared files), or its listener has failed.
"""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from upscale_cli._version import __version__
from upscale_cli.errors import OutputError
from upscale_cli.events import Listener
from upscale_cli.executors.ray.library import RayActorError, RayError, RayTaskError, is_not_installed, ray, why_gone
from upscale_cli.executors.ray.nodes import Need, Node, on_node
from upscale_cli.executors.ray.shared_files import paths_of
from upscale_cli.executors.ray.worker import Begun, Outcome, Request, Worker
from upscale_cli.files import object_listing


@dataclass(eq=False, slots=True)
class Task:
    """A request in progress: its listener, and how often a worker has died during it."""

    request: Request
    listener: Listener
    future: "Future[Any]" = field(default_factory=Future)
    deaths: int = 0

    def begins(self) -> bool:
        """Whether it is still wanted, asked when a worker takes it."""
        return self.future.running() or self.future.set_running_or_notify_cancel()

    def is_as_probed(self) -> bool:
        """Whether this machine, at least, still sees what its worker should have seen."""
        return all(probe.is_seen() for probe in self.request.probes)

    def is_there(self) -> bool:
        """Whether a worker that died during it has given its output its name before that. (No output appears half.)"""
        work = self.request.work
        _, output = paths_of(work)
        return not work.overwrite and output is not None and output.exists()


class Queue(Protocol):
    """Where a worker's tasks come from; each is settled, or given back."""

    def next(self, worker: "WorkerThread") -> Task | None:
        """The next task, when there is one; None when there will be none for this worker."""

    def done(self, task: Task) -> None:
        """A task has come to an end."""

    def again(self, task: Task, *, killed_worker: bool, why: str) -> None:
        """A task has to be done by another worker, and why."""

    def refuse(self, node: Node, why: str) -> None:
        """A node cannot be used, and why."""

    def gone(self, worker: "WorkerThread", why: str, *, was_ready: bool) -> None:
        """A worker has ended; why is empty where nothing went wrong."""


class WorkerThread(threading.Thread):
    """One worker: an actor over there, and the thread here that gives it tasks and waits for it."""

    def __init__(self, tasks: Queue, node: Node, need: Need) -> None:
        super().__init__(name=f"worker on {node.name}", daemon=True)
        self._tasks, self.node, self._need = tasks, node, need
        self._actor: Any = None
        self._is_killed = self._is_busy = False

    def run(self) -> None:
        """The life of a worker."""
        was_ready, why = False, ""
        try:
            self._admit()
            was_ready = True
            while (task := self._tasks.next(self)) is not None:
                self._is_busy = True
                self._do(task)
                self._is_busy = False
        except RayError as error:
            why = why_gone(error)
        except Unfit as unfit:
            self._tasks.refuse(self.node, unfit.args[0])
        except Spent:
            pass
        finally:
            self.kill()
            self._tasks.gone(self, why, was_ready=was_ready)

    def stop(self) -> None:
        """Asks the worker to drop what it has in progress; one that has nothing ends at once."""
        if not self._is_busy:
            self.kill()
            return
        with contextlib.suppress(RayError):
            self._actor.stop.remote()

    def kill(self) -> None:
        """Ends the worker."""
        if self._actor is not None and not self._is_killed:
            self._is_killed = True
            with contextlib.suppress(Exception):  # it may have gone, and Ray with it
                ray.kill(self._actor)

    def _admit(self) -> None:
        """Starts the actor and asks for its version.

        Raises:
            Unfit: it cannot be used.
            RayError: it died.
        """
        self._actor = (
            ray.remote(Worker)
            .options(
                num_cpus=self._need.cpus, num_gpus=self._need.gpus, max_concurrency=2, max_restarts=0,
                scheduling_strategy=on_node(self.node),
            )
            .remote(self._need.device, self._need.threads)
        )  # fmt: skip
        try:
            version: str = ray.get(self._actor.version.remote())
        except (RayTaskError, RayActorError) as error:
            if is_not_installed(error):
                raise Unfit(f"upscale-cli is not installed there; install {__version__}") from error
            raise
        if version != __version__:
            raise Unfit(f"upscale-cli is {version} there and {__version__} here; install the same")

    def _do(self, task: Task) -> None:
        """One task, to its end.

        Raises:
            RayError: the worker died; the task is queued again.
            Unfit: the worker cannot do it; the same.
        """
        has_begun = False
        try:
            for event in self._events(task.request):
                if isinstance(event, Outcome):
                    self._settle(task, event)
                elif isinstance(event, Begun):
                    has_begun = True
                else:
                    task.listener(event)
        except RayTaskError as error:  # a bug of ours on the other side
            self._tasks.done(task)
            task.future.set_exception(error)
        except (RayError, Unfit) as error:
            died = isinstance(error, RayError) and has_begun
            self._tasks.again(task, killed_worker=died, why=why_gone(error))
            raise
        except Exception as error:  # the listener has failed; the worker goes on, and its result is of no use
            self._tasks.done(task)
            task.future.set_exception(error)
            raise Spent from error

    def _events(self, request: Request) -> Iterator[Any]:
        for reference in self._actor.do.options(num_returns="streaming").remote(request):
            yield ray.get(reference)

    def _settle(self, task: Task, outcome: Any) -> None:
        """
        Raises:
            Unfit: this worker cannot do it.
        """
        if outcome.refusal and task.is_as_probed():
            raise Unfit(outcome.refusal)
        if outcome.refusal:
            task.request = replace(task.request, probes=())  # a file has changed meanwhile: the job reports that
            self._tasks.again(task, killed_worker=False, why="")
            return
        self._tasks.done(task)
        if outcome.error is None:
            if outcome.put is not None:
                object_listing.seen(*outcome.put)
            task.future.set_result(outcome.value)
        elif isinstance(outcome.error, OutputError) and task.deaths and task.is_there():
            task.future.set_result("")  # by a worker that was thought dead
        else:
            task.future.set_exception(outcome.error)


class Spent(Exception):  # noqa: N818  # no error of the run
    """A worker that is not to be used any more, through no fault of its node."""


class Unfit(Exception):  # noqa: N818  # no error of the run: a node that is not used
    """Why a node's workers cannot be used."""
