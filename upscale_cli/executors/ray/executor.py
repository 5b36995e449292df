"""The workers of a Ray cluster as an executor: which tasks wait, which are in progress, and how many workers there are.

RayExecutor.submit  ->  tasks (a queue)  ->  WorkerThread (here) and its actor (there)  ->  Worker.do  ->  Future

A worker takes one task at a time. When its actor dies the task goes back to the front of the queue, and a new worker is
started where there is room. How it is meant, and what a cluster needs: docs/cluster.md.
"""

import contextlib
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from upscale_cli.errors import DeviceError, InterruptedRun, OptionError
from upscale_cli.events import Listener, Say, naming_source
from upscale_cli.executors.ray.connection import connect
from upscale_cli.executors.ray.library import RayError, ray
from upscale_cli.executors.ray.nodes import THREADS, Need, Node, need_of, nodes
from upscale_cli.executors.ray.shared_files import Probe, Probes, paths_of
from upscale_cli.executors.ray.worker import request_for
from upscale_cli.executors.ray.worker_thread import Task, WorkerThread
from upscale_cli.files.atomic_file import remove_abandoned
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.job import Job, Result, Work
from upscale_cli.messages import marked, option

FATAL_DEATHS: Final = 3
"""Workers that may die during a job before it is given up."""

TENDING_SECONDS: Final = 2.0
"""How often it is seen whether nodes have come or gone."""

PATIENCE_SECONDS: Final = 30.0
"""How long nothing may go on before that is reported: a worker takes some seconds to start."""

STOPPING_SECONDS: Final = 10.0
"""How long a worker may take to drop what it has in progress before it is killed."""

DIVIDED_AT_ONCE: Final = 2
"""Jobs that are done in parts at the same time: the second keeps workers busy while the first is joined."""


def open_ray_executor(address: str, say: Say) -> "RayExecutor":
    """Connects to a cluster.

    Args:
        address: HOST:PORT of its head, or "auto": what RAY_ADDRESS names, else the one that runs on this machine, else
            one that is started here and ends with the run.

    Raises:
        OptionError: the address makes no sense. (Importing this file raises it where ray is not installed.)
        DeviceError: there is no such cluster, or this machine does not go with it.
    """
    connect(address, say)
    return RayExecutor(say)


class RayExecutor:
    """Jobs done by actors, as many as the cluster has room for; an `Executor`.

    What every worker needs is settled by the first job's model. Nodes that join get workers; tasks of workers that
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
        self._workers: list[WorkerThread] = []
        self._waiting: deque[Task] = deque()
        self._in_progress: set[Task] = set()
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # for the tender
        self._work = threading.Condition(lock)  # for idle workers: of a thousand, a task wakes one
        self._idle = 0
        self._is_closing = self._has_reported = False
        self._idle_since = time.monotonic()
        self._probes = Probes()
        self._left_in: set[Path] = set()
        self._divided = ThreadPoolExecutor(DIVIDED_AT_ONCE, "divided")
        self._tender = threading.Thread(target=self._tend, name="ray executor", daemon=True)

    # As an executor

    @property
    def concurrency(self) -> int:
        """Two jobs for each worker that there is room for, so that none waits for its next one."""
        return max(1, 2 * self.room)

    def _count_room(self) -> None:
        """How many workers the cluster holds: asked for every task, so it is counted when something has changed."""
        need = self._need or Need("cpu", 1, THREADS[0])
        self.room = sum(node.room(need) for node in self._nodes if node.id not in self._refused)

    def submit(self, job: Job, upscaler: Upscaler, listener: Listener) -> "Future[str]":
        """See `Executor`.

        Raises:
            OptionError: a worker could not reach the output.
            DeviceError: the cluster has not what the upscaler's device asks for.
        """
        if job.is_local:
            raise OptionError(
                f"{option('executor')} takes files and objects, and writes them. "
                f"Give {option('output')} a file or a folder, and no pipe."
            )
        self._set_up(upscaler)
        listener = naming_source(listener, job.name)
        divided = job.divided()
        if divided is None:
            return self._queue(job, upscaler, listener)

        def submit(work: Work[Result], listener: Listener) -> "Future[Result]":
            return self._queue(work, upscaler, listener)

        return self._divided.submit(divided.run, upscaler, listener, submit, lambda: self.room + 1)

    def close(self) -> None:
        """See `Executor`."""
        with self._changed:
            if self._is_closing:
                return
            self._is_closing = True
            for task in self._waiting:
                self._give_up(task, InterruptedRun())
            self._waiting.clear()
            self._wake_all()
            workers = list(self._workers)
        for worker in workers:
            worker.stop()
        end = time.monotonic() + STOPPING_SECONDS
        for worker in workers:
            worker.join(max(0.0, end - time.monotonic()))
            worker.kill()
        if self._tender.ident is not None:
            self._tender.join()
        self._divided.shutdown(wait=True, cancel_futures=True)
        self._probes.close()
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

    def _queue(self, work: Work[Result], upscaler: Upscaler, listener: Listener) -> "Future[Result]":
        task = Task(request_for(work, upscaler, self.probes_for(work)), listener)
        with self._changed:
            self._waiting.append(task)
            if self._is_closing:
                self._waiting.clear()
                self._give_up(task, InterruptedRun())
            elif self._idle >= len(self._waiting):
                self._work.notify()
            elif len(self._workers) < self.room:
                self._changed.notify()  # another worker is wanted
        return task.future

    def probes_for(self, work: Work[object]) -> tuple[Probe, ...]:
        """What a worker has to see before it begins."""
        return self._probes.probes_for(work)

    def next(self, worker: WorkerThread) -> Task | None:
        """The next task, when there is one; None when there will be none for this worker."""
        with self._changed:
            while not self._is_closing and worker.node.id not in self._refused:
                while self._waiting:
                    task = self._waiting.popleft()
                    if task.begins():
                        self._in_progress.add(task)
                        return task
                self._idle += 1
                self._work.wait()
                self._idle -= 1
            return None

    def done(self, task: Task) -> None:
        """A task has come to an end."""
        with self._changed:
            self._in_progress.discard(task)

    def again(self, task: Task, *, killed_worker: bool, why: str) -> None:
        """A task has to be done again, by another worker.

        Args:
            why: its worker has gone.
        """
        name = task.request.work.name
        with self._changed:
            self._in_progress.discard(task)
            task.deaths += killed_worker
            _, output = paths_of(task.request.work)
            if killed_worker and output is not None:
                self._left_in.add(output.parent)
            if task.future.done():
                pass  # its worker has died just behind it
            elif self._is_closing:
                self._give_up(task, InterruptedRun())
            elif killed_worker and task.is_there():
                task.future.set_result("")
            elif task.deaths >= FATAL_DEATHS:
                text = f"{name}: {task.deaths} workers have died during this job ({why}). Is it too large for memory?"
                self._give_up(task, DeviceError(text))
            else:
                self._waiting.appendleft(task)
            self._wake_all()

    def refuse(self, node: Node, why: str) -> None:
        """Gives up a node and reports it; without any left, all that waits."""
        with self._changed:
            if node.id not in self._refused:
                self._refused[node.id] = why
                self._count_room()
                self._say(f"{node.name} is not used: {marked(why)}.")
            self._wake_all()

    def gone(self, worker: WorkerThread, why: str, *, was_ready: bool) -> None:
        """A worker has ended; a node where none ever gets ready is given up."""
        with self._changed:
            if worker in self._workers:
                self._workers.remove(worker)
            strikes = 0 if was_ready else self._strikes.get(worker.node.id, 0) + 1
            self._strikes[worker.node.id] = strikes
            if why and not self._is_closing:
                alive = {node.id for node in self._nodes}
                if strikes >= FATAL_DEATHS and worker.node.id in alive:
                    self.refuse(worker.node, f"workers die there as they start ({why})")
            self._wake_all()

    def _wake_all(self) -> None:
        """Something rare has happened: what waits may have to do something else."""
        self._work.notify_all()
        self._changed.notify_all()

    def _give_up(self, task: Task, error: Exception) -> None:
        if task.begins():
            task.future.set_exception(error)

    # Tending

    def _tend(self) -> None:
        """Sees to it that there are as many workers as there is room and work for, until the end."""
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
                self._start_workers()
                self._report_waiting()
                self._changed.wait(TENDING_SECONDS)

    def _start_workers(self) -> None:
        assert self._need is not None
        usable = [node for node in self._nodes if node.id not in self._refused and node.room(self._need)]
        if not usable and self._refused and self._waiting:
            why = next(iter(self._refused.values()))
            for task in self._waiting:
                self._give_up(task, DeviceError(f"no node of the cluster can be used: {marked(why)}."))
            self._waiting.clear()
        free = Counter({node: node.room(self._need) for node in usable})
        free.subtract(worker.node for worker in self._workers if worker.node in free)
        for _ in range(len(self._waiting) + len(self._in_progress) - len(self._workers)):
            node, most = free.most_common(1)[0] if free else (None, 0)
            if node is None or most <= 0:
                return
            free[node] -= 1
            self._workers.append(WorkerThread(self, node, self._need))
            self._workers[-1].start()

    def _report_waiting(self) -> None:
        """Reports once that nothing goes on, where others use the cluster or no node is there."""
        if self._in_progress or not self._waiting:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > PATIENCE_SECONDS and not self._has_reported:
            self._has_reported = True
            self._say("waiting for the cluster: none of its nodes has room for a worker, or they are slow to start.")
