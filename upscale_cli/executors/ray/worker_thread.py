"""A worker of the cluster, as this process sees it: a thread here that gives its actor over there one task at a time.

Tasks come from, and go back to, a `Queue` (the executor). What ends a worker: its actor dies, its node
is unfit (another version, no shared files), or whoever listens to it has failed.
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
from upscale_cli.executors.ray.worker import Begun, Order, Outcome, Worker
from upscale_cli.files import object_listing
from upscale_cli.jobs.video_segments import StretchJob


@dataclass(eq=False, slots=True)
class Errand:
    """An order under way: who is told, and how often a worker has died over it."""

    order: Order
    listener: Listener
    future: "Future[Any]" = field(default_factory=Future)
    deaths: int = 0

    def begins(self) -> bool:
        """Whether anybody still wants it, asked when a hand takes it."""
        return self.future.running() or self.future.set_running_or_notify_cancel()

    def is_as_signed(self) -> bool:
        """Whether this machine, at least, still sees what its worker should have seen."""
        return all(sign.is_seen() for sign in self.order.signs)

    def is_there(self) -> bool:
        """Whether a worker that died over it has given its output its name before that. (No output appears half.)"""
        job = self.order.job
        _, output = paths_of(job)
        return not isinstance(job, StretchJob) and not job.options.overwrite and output is not None and output.exists()


class Queue(Protocol):
    """Where a worker's errands come from; each is settled, or given back."""

    def next(self, hand: "Hand") -> Errand | None:
        """The next errand, when there is one; None when there will be none for this hand."""

    def done(self, errand: Errand) -> None:
        """An errand has come to an end."""

    def again(self, errand: Errand, *, died_over_it: bool, why: str) -> None:
        """An errand has to be done by somebody else, and why."""

    def refuse(self, node: Node, why: str) -> None:
        """A node cannot be used, and why."""

    def gone(self, hand: "Hand", why: str, *, was_ready: bool) -> None:
        """A hand has ended; why is empty where nothing went wrong."""


class Hand(threading.Thread):
    """One worker: an actor over there, and the thread here that gives it errands and waits for it."""

    def __init__(self, crew: Queue, node: Node, need: Need) -> None:
        super().__init__(name=f"hand on {node.name}", daemon=True)
        self._crew, self.node, self._need = crew, node, need
        self._actor: Any = None
        self._is_killed = self._is_busy = False

    def run(self) -> None:
        """The life of a worker."""
        was_ready, why = False, ""
        try:
            self._admit()
            was_ready = True
            while (errand := self._crew.next(self)) is not None:
                self._is_busy = True
                self._do(errand)
                self._is_busy = False
        except RayError as error:
            why = why_gone(error)
        except Unfit as unfit:
            self._crew.refuse(self.node, str(unfit))
        except Spent:
            pass
        finally:
            self.kill()
            self._crew.gone(self, why, was_ready=was_ready)

    def stop(self) -> None:
        """Asks the worker to drop what it has in hand; one that has nothing ends at once."""
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

    def _do(self, errand: Errand) -> None:
        """One errand, to whatever end.

        Raises:
            RayError: the worker died; the errand is queued again.
            Unfit: the worker cannot do it; the same.
        """
        has_begun = False
        try:
            for event in self._events(errand.order):
                if isinstance(event, Outcome):
                    self._settle(errand, event)
                elif isinstance(event, Begun):
                    has_begun = True
                else:
                    errand.listener(event)
        except RayTaskError as error:  # a bug of ours on the other side
            self._crew.done(errand)
            errand.future.set_exception(error)
        except (RayError, Unfit) as error:
            died = isinstance(error, RayError) and has_begun
            self._crew.again(errand, died_over_it=died, why=why_gone(error))
            raise
        except Exception as error:  # whoever listens has failed; the worker is still at it, and of no more use
            self._crew.done(errand)
            errand.future.set_exception(error)
            raise Spent from error

    def _events(self, order: Order) -> Iterator[Any]:
        for reference in self._actor.do.options(num_returns="streaming").remote(order):
            yield ray.get(reference)

    def _settle(self, errand: Errand, outcome: Any) -> None:
        """
        Raises:
            Unfit: this worker cannot do it.
        """
        if outcome.refusal and errand.is_as_signed():
            raise Unfit(outcome.refusal)
        if outcome.refusal:
            errand.order = replace(errand.order, signs=())  # a file has changed meanwhile: that is the job's affair
            self._crew.again(errand, died_over_it=False, why="")
            return
        self._crew.done(errand)
        if outcome.error is None:
            if outcome.put is not None:
                object_listing.seen(*outcome.put)
            errand.future.set_result(outcome.value)
        elif isinstance(outcome.error, OutputError) and errand.deaths and errand.is_there():
            errand.future.set_result("")  # by a worker that was thought dead
        else:
            errand.future.set_exception(outcome.error)


class Spent(Exception):  # noqa: N818  # no error of the run
    """A worker that is not to be used any more, through no fault of its node."""


class Unfit(Exception):  # noqa: N818  # no error of the run: a node that is not used
    """Why a node's workers cannot be used."""
