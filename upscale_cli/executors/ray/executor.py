"""The workers of a Ray cluster as a crew: which errands wait, which are under way, and how many hands there are.

RayCrew.submit  ->  errands (a queue)  ->  Hand (a thread here, an actor there)  ->  Worker.do  ->  Future

A hand takes one errand at a time. When its actor dies the errand goes back to the front of the queue, and a new hand is
started where there is room. How it is meant, and what a cluster needs: docs/cluster.md.
"""

import contextlib
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from upscale_cli.errors import DeviceError, InterruptedRun, OptionError
from upscale_cli.events import Event, Listener, Note, Say
from upscale_cli.executors.ray.connection import connect
from upscale_cli.executors.ray.library import RayError, ray
from upscale_cli.executors.ray.nodes import THREADS, Need, Node, need_of, nodes
from upscale_cli.executors.ray.shared_files import AnyJob, Sign, Tokens, absolute, paths_of
from upscale_cli.executors.ray.worker import name_of, order_for
from upscale_cli.executors.ray.worker_thread import Errand, Hand
from upscale_cli.files.atomic_file import remove_abandoned
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.job import Job
from upscale_cli.jobs.object_job import ObjectJob
from upscale_cli.jobs.video_job import ClipJob
from upscale_cli.jobs.video_segments import Indivisible, Made, StretchJob, is_worth_sharing, run_stretched

FATAL_DEATHS: Final = 3
"""Workers that may die over a job before it is given up."""

TENDING_SECONDS: Final = 2.0
"""How often it is seen whether nodes have come or gone."""

PATIENCE_SECONDS: Final = 30.0
"""How long nothing may go on before that is said: a worker takes some seconds to start."""

STOPPING_SECONDS: Final = 10.0
"""How long a worker may take to drop what it has in hand before it is killed."""

CLIPS_AT_ONCE: Final = 2
"""Clips that are dealt out in stretches at the same time: the second keeps workers busy while the first is joined."""


def open_ray_crew(address: str, say: Say) -> "RayCrew":
    """Connects to a cluster.

    Args:
        address: HOST:PORT of its head, or "auto": what RAY_ADDRESS names, else the one that runs on this machine, else
            one that is started here and ends with the run.

    Raises:
        OptionError: the address makes no sense. (Importing this file raises it where ray is not installed.)
        DeviceError: there is no such cluster, or this machine does not go with it.
    """
    connect(address, say)
    return RayCrew(say)


# What a worker needs


# The crew


class RayCrew:
    """Jobs done by actors, as many as the cluster has room for; a `Crew`.

    What every worker needs is settled by the first job's model. Nodes that join get workers; errands of workers that
    die are done again by others.

    Args:
        say: takes what the user should know of the cluster.

    Attributes:
        room: how many workers the cluster holds.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._need: Need | None = None
        self._nodes = nodes()
        self._refused: dict[str, str] = {}
        self.room = 0
        self._count_room()
        self._strikes: dict[str, int] = {}
        self._hands: list[Hand] = []
        self._waiting: deque[Errand] = deque()
        self._under_way: set[Errand] = set()
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # for the tender
        self._work = threading.Condition(lock)  # for idle hands: of a thousand, an errand wakes one
        self._idle = 0
        self._is_closing = self._has_told = False
        self._idle_since = time.monotonic()
        self._tokens = Tokens()
        self._left_in: set[Path] = set()
        self._clips = ThreadPoolExecutor(CLIPS_AT_ONCE, "clip")
        self._tender = threading.Thread(target=self._tend, name="ray crew", daemon=True)

    # As a crew

    @property
    def hands(self) -> int:
        """Two jobs for each worker that there is room for, so that none waits for its next one."""
        return max(1, 2 * self.room)

    def _count_room(self) -> None:
        """How many workers the cluster holds: asked for every order, so it is counted when something has changed."""
        need = self._need or Need("cpu", 1, THREADS[0])
        self.room = sum(node.room(need) for node in self._nodes if node.id not in self._refused)

    def submit(self, job: Job | ClipJob | ObjectJob, upscaler: Upscaler, listener: Listener) -> "Future[str]":
        """See `Crew`.

        Raises:
            OptionError: a worker could not reach the output.
            DeviceError: the cluster has not what the upscaler's device asks for.
        """
        is_stream = isinstance(job, ClipJob) and job.once is not None
        if is_stream or not (isinstance(job, ObjectJob) or isinstance(job.output, Path)):
            raise OptionError("--ray takes files and objects, and writes them. Give -o FILE or a folder, and no pipe.")
        self._set_up(upscaler)
        name = name_of(job)

        def tell(event: Event) -> None:
            listener(replace(event, source=name) if isinstance(event, Note) else event)

        if isinstance(job, ClipJob) and is_worth_sharing(job):
            return self._clips.submit(self._share, job, upscaler, tell)
        return self._queue(job, upscaler, tell)

    def close(self) -> None:
        """See `Crew`."""
        with self._changed:
            if self._is_closing:
                return
            self._is_closing = True
            for errand in self._waiting:
                self._give_up(errand, InterruptedRun())
            self._waiting.clear()
            self._tell_all()
            hands = list(self._hands)
        for hand in hands:
            hand.stop()
        end = time.monotonic() + STOPPING_SECONDS
        for hand in hands:
            hand.join(max(0.0, end - time.monotonic()))
            hand.kill()
        if self._tender.ident is not None:
            self._tender.join()
        self._clips.shutdown(wait=True, cancel_futures=True)
        self._tokens.close()
        for folder in self._left_in:
            remove_abandoned(folder)
        ray.shutdown()

    # Work

    def _set_up(self, upscaler: Upscaler) -> None:
        with self._changed:
            if self._need is None:
                self._need = need_of(upscaler, self._nodes)
                self._count_room()
                self._tender.start()

    def _queue(self, job: AnyJob, upscaler: Upscaler, listener: Listener) -> "Future[Any]":
        errand = Errand(order_for(job, upscaler, self.signs_for(job)), listener)
        with self._changed:
            self._waiting.append(errand)
            if self._is_closing:
                self._waiting.clear()
                self._give_up(errand, InterruptedRun())
            elif self._idle >= len(self._waiting):
                self._work.notify()
            elif len(self._hands) < self.room:
                self._changed.notify()  # another hand is wanted
        return errand.future

    def signs_for(self, job: AnyJob) -> tuple[Sign, ...]:
        """What a worker has to see before it begins with a job."""
        return self._tokens.signs_for(job)

    def _share(self, job: ClipJob, upscaler: Upscaler, listener: Listener) -> str:
        """A clip in stretches by all workers; by one, where that cannot be."""

        def submit(stretch: StretchJob, told: Listener) -> "Future[Made]":
            return self._queue(stretch, upscaler, told)

        whole: Any = absolute(job)
        try:
            return run_stretched(whole, upscaler, submit, listener, hands=lambda: self.room + 1).damage
        except Indivisible as reason:
            listener(Note(f"{job.clip.name}: {reason}, so it is done by one worker, in turn."))
        alone = replace(job, options=replace(job.options, resume=True))
        return str(self._queue(alone, upscaler, listener).result())

    def next(self, hand: "Hand") -> Errand | None:
        """The next errand, when there is one; None when there will be none for this hand."""
        with self._changed:
            while not self._is_closing and hand.node.id not in self._refused:
                while self._waiting:
                    errand = self._waiting.popleft()
                    if errand.begins():
                        self._under_way.add(errand)
                        return errand
                self._idle += 1
                self._work.wait()
                self._idle -= 1
            return None

    def done(self, errand: Errand) -> None:
        """An errand has come to an end."""
        with self._changed:
            self._under_way.discard(errand)

    def again(self, errand: Errand, *, died_over_it: bool, why: str) -> None:
        """An errand has to be done again, by somebody else.

        Args:
            why: its worker has gone.
        """
        name = name_of(errand.order.job)
        with self._changed:
            self._under_way.discard(errand)
            errand.deaths += died_over_it
            _, output = paths_of(errand.order.job)
            if died_over_it and output is not None:
                self._left_in.add(output.parent)
            if errand.future.done():
                pass  # its worker has died just behind it
            elif self._is_closing:
                self._give_up(errand, InterruptedRun())
            elif died_over_it and errand.is_there():
                errand.future.set_result("")
            elif errand.deaths >= FATAL_DEATHS:
                text = f"{name}: {errand.deaths} workers have died over it ({why}). Is it too large for their memory?"
                self._give_up(errand, DeviceError(text))
            else:
                self._waiting.appendleft(errand)
            self._tell_all()

    def refuse(self, node: Node, why: str) -> None:
        """Gives up a node, aloud; without any left, all that waits."""
        with self._changed:
            if node.id not in self._refused:
                self._refused[node.id] = why
                self._count_room()
                self._say(f"{node.name} is not used: {why}.")
            self._tell_all()

    def gone(self, hand: "Hand", why: str, *, was_ready: bool) -> None:
        """A hand has ended; a node where none ever gets ready is given up."""
        with self._changed:
            if hand in self._hands:
                self._hands.remove(hand)
            strikes = 0 if was_ready else self._strikes.get(hand.node.id, 0) + 1
            self._strikes[hand.node.id] = strikes
            if why and not self._is_closing:
                alive = {node.id for node in self._nodes}
                if strikes >= FATAL_DEATHS and hand.node.id in alive:
                    self.refuse(hand.node, f"workers die there as they start ({why})")
            self._tell_all()

    def _tell_all(self) -> None:
        """Something rare has happened: whoever waits may have to do something else."""
        self._work.notify_all()
        self._changed.notify_all()

    def _give_up(self, errand: Errand, error: Exception) -> None:
        if errand.begins():
            errand.future.set_exception(error)

    # Tending

    def _tend(self) -> None:
        """Sees to it that there are as many hands as there is room and work for, until the end."""
        looked = -TENDING_SECONDS
        while True:
            if time.monotonic() - looked >= TENDING_SECONDS:
                with contextlib.suppress(RayError, OSError):
                    self._nodes = nodes()
                looked = time.monotonic()
            with self._changed:
                self._count_room()
                if self._is_closing:
                    return
                self._fill_hands()
                self._tell_of_waiting()
                self._changed.wait(TENDING_SECONDS)

    def _fill_hands(self) -> None:
        assert self._need is not None
        usable = [node for node in self._nodes if node.id not in self._refused and node.room(self._need)]
        if not usable and self._refused and self._waiting:
            why = next(iter(self._refused.values()))
            for errand in self._waiting:
                self._give_up(errand, DeviceError(f"no node of the cluster can be used: {why}."))
            self._waiting.clear()
        free = Counter({node: node.room(self._need) for node in usable})
        free.subtract(hand.node for hand in self._hands if hand.node in free)
        for _ in range(len(self._waiting) + len(self._under_way) - len(self._hands)):
            node, most = free.most_common(1)[0] if free else (None, 0)
            if node is None or most <= 0:
                return
            free[node] -= 1
            self._hands.append(Hand(self, node, self._need))
            self._hands[-1].start()

    def _tell_of_waiting(self) -> None:
        """Says once that nothing goes on, where others use the cluster or no node is there."""
        if self._under_way or not self._waiting:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > PATIENCE_SECONDS and not self._has_told:
            self._has_told = True
            self._say("waiting for the cluster: none of its nodes has room for a worker, or they are slow to start.")


# For `upscale doctor --ray`
