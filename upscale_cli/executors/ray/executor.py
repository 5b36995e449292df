"""The workers of a Ray cluster as a crew. The only file that imports ray.

RayCrew.submit  ->  errands (a queue)  ->  Hand (a thread here, an actor there)  ->  Worker.do  ->  Future

A hand takes one errand at a time. When its actor dies the errand goes back to the front of the queue, and a new hand is
started where there is room. How it is meant, and what a cluster needs: docs/cluster.md.
"""

import contextlib
import logging
import os
import socket
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from upscale_cli._version import __version__
from upscale_cli.errors import DeviceError, InterruptedRun, OptionError, OutputError
from upscale_cli.events import Event, Listener, Note, Say
from upscale_cli.executors.ray.shared_files import AnyJob, Sign, Tokens, absolute, paths_of
from upscale_cli.executors.ray.worker import Begun, Facts, Order, Outcome, Worker, look, name_of, order_for
from upscale_cli.files import object_store
from upscale_cli.files.atomic_file import remove_abandoned
from upscale_cli.inference.device import GPU_SHARE
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.tiled import MAX_WINDOW
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.job import Job
from upscale_cli.jobs.object_job import ObjectJob
from upscale_cli.jobs.video_job import ClipJob
from upscale_cli.jobs.video_segments import Indivisible, Made, StretchJob, is_worth_sharing, run_stretched

try:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless the user wants it
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of what it will do one day
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a late call after the end would start a cluster
    import ray
except ImportError as error:
    raise OptionError('--ray needs Ray, which is not installed: pip install "upscale-cli[ray]".') from error
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

AUTO: Final = "auto"

FATAL_DEATHS: Final = 3
"""Workers that may die over a job before it is given up."""

TENDING_SECONDS: Final = 2.0
"""How often it is seen whether nodes have come or gone."""

PATIENCE_SECONDS: Final = 30.0
"""How long nothing may go on before that is said: a worker takes some seconds to start."""

STOPPING_SECONDS: Final = 10.0
"""How long a worker may take to drop what it has in hand before it is killed."""

REACHING_SECONDS: Final = 5.0
"""How long a cluster may take to answer."""

THREADS: Final = (4, 2, 1)
"""Of a worker without a GPU: more workers of few threads do more than fewer of many, but each takes a GB of memory."""

USED_WELL: Final = 0.8
"""Part of the cluster's CPUs that workers should use; nodes with fewer CPUs than a worker has threads are left out."""

CLIPS_AT_ONCE: Final = 2
"""Clips that are dealt out in stretches at the same time: the second keeps workers busy while the first is joined."""

OBJECT_STORE_BYTES: Final = 80 * 2**20
"""Of a cluster that we start: jobs and events are small, and pixels never go through it."""

ANSWERING_SECONDS: Final = 60.0
"""How long a node may take to tell of itself: its worker imports torch first."""

NO_OPS: Final = 20
"""Tasks that do nothing, to see how long that takes."""

CUDA_BYTES: Final = 800 * 2**20
"""What CUDA and cuDNN take of a GPU's memory for a process."""


# The cluster


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


def connect(address: str, say: Say, *, start: bool = True) -> dict[str, Any]:
    """Connects this process to a cluster; gives what Ray tells of it.

    Args:
        start: begin one on this machine, where none is named and none runs.

    Raises:
        OptionError, DeviceError: as `open_ray_crew`.
    """
    given = os.environ.get("RAY_ADDRESS", AUTO) if address == AUTO else address
    if "://" in given:
        raise OptionError(f"--ray {given}: run this on a machine of the cluster, and give HOST:PORT of its head.")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    _hush()
    if given == AUTO:
        with contextlib.suppress(ConnectionError):
            return dict(ray.init(address=AUTO, **options).address_info)
        if not start:
            raise DeviceError("no Ray cluster runs here. Start one with `ray start --head`, or give HOST:PORT.")
        context = ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **options)
        say("no Ray cluster runs here; one was started on this machine, for this run.")
        return dict(context.address_info)
    _check_reachable(given)
    try:
        return dict(ray.init(address=given, **options).address_info)
    except (RuntimeError, ValueError, OSError, AssertionError) as error:
        raise DeviceError(f"--ray {given}: {_one_line(error)} Give HOST:PORT of the head node.") from error


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes, and then end the process.

    Raises:
        OptionError: it is no address.
        DeviceError: nobody answers there.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        raise OptionError(f"--ray {address!r} is no address. Give auto, or HOST:PORT of the head node (often :6379).")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHING_SECONDS).close()
    except OSError as error:
        raise DeviceError(
            f"--ray {address}: no cluster answers there ({error.strerror or error}). Start one with "
            "`ray start --head`, or give the address of its head node."
        ) from error


def _hush() -> None:
    """Ray prints what it has to say of dying workers on standard output, which is ours; we tell of them ourselves."""
    worker: Any = getattr(ray, "_private", None) and ray._private.worker
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def _one_line(error: BaseException) -> str:
    """The first sentence of what Ray says, which may be pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster.

    Attributes:
        name: for messages.
        cpus, gpus: that Ray may hand out in all.
    """

    id: str
    name: str
    cpus: float
    gpus: float

    def room(self, need: "Need") -> int:
        """How many workers it holds."""
        rooms = [self.cpus // need.cpus] if need.cpus else []
        return int(min([*rooms, *([self.gpus // need.gpus] if need.gpus else [])]))


def nodes() -> list[Node]:
    """All that are alive."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    hosts = Counter(node["NodeManagerHostname"] for node in alive)
    return [
        Node(
            node["NodeID"],
            host if hosts[host] == 1 else f"{host} ({node['NodeID'][:6]})",
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
        )
        for node in alive
        for host in (node["NodeManagerHostname"],)
    ]


def on_node(node: Node) -> NodeAffinitySchedulingStrategy:
    """Makes Ray start something there, or not at all."""
    return NodeAffinitySchedulingStrategy(node.id, soft=False)


# What a worker needs


@dataclass(frozen=True, slots=True)
class Need:
    """What every worker takes of its node.

    Attributes:
        device: "cpu" or "cuda".
        threads: of the net, on the CPU.
        cpus, gpus: as Ray counts them; a GPU may be shared.
    """

    device: str
    threads: int
    cpus: int
    gpus: float = 0.0


def need_of(upscaler: Upscaler, cluster: Sequence[Node]) -> Need:
    """What a worker with that model needs: a GPU or a part of one if the cluster has any, else some CPUs.

    Raises:
        DeviceError: no node has what was asked for.
    """
    wanted = str(upscaler.recipe.options["device"]).lower()
    with_gpu = [node for node in cluster if node.gpus]
    if wanted != "cpu" and with_gpu:
        return Need("cuda", 1, 1, gpu_share(gpu_bytes(upscaler), min(map(_gpu_memory, with_gpu))))
    if wanted not in (AUTO, "cpu"):
        raise DeviceError(f"--device {wanted}: no node of the cluster has a GPU. Choose --device auto or cpu.")
    if not any(node.cpus >= 1 for node in cluster):
        raise DeviceError("no node of the cluster has a CPU to hand out. Start one with `ray start --num-cpus N`.")
    threads = threads_for([int(node.cpus) for node in cluster])
    return Need("cpu", threads, threads)


def threads_for(cpus: Sequence[int]) -> int:
    """Threads of a worker: OMP_NUM_THREADS where that is set, and fits; else as many as use the nodes well.

    Args:
        cpus: of each node.

    >>> threads_for([8, 8, 2]), threads_for([2, 2, 8]), threads_for([1, 1])
    (4, 2, 1)
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and 0 < int(given) <= max(cpus):
        return int(given)
    return next(
        threads for threads in THREADS if sum(one // threads * threads for one in cpus) >= USED_WELL * sum(cpus)
    )


def gpu_share(needed: int, memory: int) -> float:
    """The part of a GPU that a worker gets: a half where two fit, so that one computes while the other decodes.

    >>> gpu_share(2 * 2**30, 80 * 2**30), gpu_share(5 * 2**30, 8 * 2**30)
    (0.5, 1.0)
    """
    return 0.5 if 2 * needed <= GPU_SHARE * memory else 1.0


def gpu_bytes(upscaler: Upscaler) -> int:
    """What the largest window takes of a GPU's memory, in half precision, with CUDA itself."""
    passes = upscaler.plan(1000, 1000, Target(scale=upscaler.default_scale)).passes
    worst = max((upscaler.engine(scale, 8).elements for scale in passes), default=0.0)
    return CUDA_BYTES + int(worst * 2 * MAX_WINDOW**2)


def _gpu_memory(node: Node) -> int:
    """Bytes of the first GPU of a node."""

    def total() -> int:
        import torch

        return int(torch.cuda.mem_get_info(0)[1])

    probe = ray.remote(num_cpus=0, num_gpus=0.01, scheduling_strategy=on_node(node))(total)
    try:
        return int(ray.get(probe.remote()))
    except RayError as error:
        raise DeviceError(
            f"{node.name}: its GPU does not answer ({_one_line(error)}) See `upscale doctor --ray`."
        ) from error


# The crew


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


class Hand(threading.Thread):
    """One worker: an actor over there, and the thread here that gives it errands and waits for it."""

    def __init__(self, crew: RayCrew, node: Node, need: Need) -> None:
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
            why = _why(error)
        except _Unfit as unfit:
            self._crew.refuse(self.node, str(unfit))
        except _Spent:
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
            _Unfit: it cannot be used.
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
            if _is_not_installed(error):
                raise _Unfit(f"upscale-cli is not installed there; install {__version__}") from error
            raise
        if version != __version__:
            raise _Unfit(f"upscale-cli is {version} there and {__version__} here; install the same")

    def _do(self, errand: Errand) -> None:
        """One errand, to whatever end.

        Raises:
            RayError: the worker died; the errand is queued again.
            _Unfit: the worker cannot do it; the same.
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
        except (RayError, _Unfit) as error:
            died = isinstance(error, RayError) and has_begun
            self._crew.again(errand, died_over_it=died, why=_why(error))
            raise
        except Exception as error:  # whoever listens has failed; the worker is still at it, and of no more use
            self._crew.done(errand)
            errand.future.set_exception(error)
            raise _Spent from error

    def _events(self, order: Order) -> Iterator[Any]:
        for reference in self._actor.do.options(num_returns="streaming").remote(order):
            yield ray.get(reference)

    def _settle(self, errand: Errand, outcome: Any) -> None:
        """
        Raises:
            _Unfit: this worker cannot do it.
        """
        if outcome.refusal and errand.is_as_signed():
            raise _Unfit(outcome.refusal)
        if outcome.refusal:
            errand.order = replace(errand.order, signs=())  # a file has changed meanwhile: that is the job's affair
            self._crew.again(errand, died_over_it=False, why="")
            return
        self._crew.done(errand)
        if outcome.error is None:
            if outcome.put is not None:
                object_store.seen(*outcome.put)
            errand.future.set_result(outcome.value)
        elif isinstance(outcome.error, OutputError) and errand.deaths and errand.is_there():
            errand.future.set_result("")  # by a worker that was thought dead
        else:
            errand.future.set_exception(outcome.error)


class _Spent(Exception):  # noqa: N818  # no error of the run
    """A worker that is not to be used any more, through no fault of its node."""


class _Unfit(Exception):  # noqa: N818  # no error of the run: a node that is not used
    """Why a node's workers cannot be used."""


def _why(error: BaseException) -> str:
    """Why a worker has gone, in a few words."""
    text = str(error)
    if "OutOfMemory" in type(error).__name__ or "memory monitor" in text.lower():
        return "out of memory"
    if "node" in text.lower() and "died" in text.lower() and "worker process has died" not in text:
        return "its node has gone"
    if "worker process has died" in text or "unexpectedly exits" in text:
        return "its process was killed or crashed"
    return _one_line(error).rstrip(".")


# For `upscale doctor --ray`


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What was found out about a node.

    Attributes:
        facts: what it says of itself; None: nothing.
        problem: why it says nothing.
        seconds: that a task takes which does nothing.
    """

    node: Node
    facts: Facts | None = None
    problem: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What was found out about a cluster.

    Attributes:
        address: of its head.
        version: of Ray.
        logs: the folder of every node where its workers' logs lie.
    """

    address: str
    version: str
    logs: str
    nodes: tuple[NodeReport, ...]


def examine_cluster(address: str, folder: Path | None, say: Say) -> ClusterReport:
    """Asks every node what it has; nothing is left running.

    Args:
        folder: that all nodes should see.

    Raises:
        OptionError, DeviceError: as `open_ray_crew`.
        OutputError: nothing can be written into the folder.
    """
    tokens = Tokens()
    try:
        sign = None if folder is None else tokens.token_in(folder.absolute())
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror}). Choose a folder you may write to."
        ) from error
    try:
        info = connect(address, say, start=False)
        alive = nodes()
        with ThreadPoolExecutor(max(1, len(alive))) as pool:
            reports = tuple(pool.map(lambda node: _examine(node, sign), alive))
        return ClusterReport(info["address"], ray.__version__, str(Path(info["session_dir"]) / "logs"), reports)
    finally:
        tokens.close()
        ray.shutdown()


def _examine(node: Node, sign: Sign | None) -> NodeReport:
    look_there = ray.remote(num_cpus=0, scheduling_strategy=on_node(node))(look)
    try:
        facts: Facts = ray.get(look_there.remote(sign), timeout=ANSWERING_SECONDS)
        seconds = []
        for _ in range(NO_OPS):
            begin = time.perf_counter()
            ray.get(ray.remote(num_cpus=0, scheduling_strategy=on_node(node))(_nothing).remote())
            seconds.append(time.perf_counter() - begin)
    except GetTimeoutError:
        return NodeReport(node, problem=f"no answer within {ANSWERING_SECONDS:.0f} s")
    except RayError as error:
        if _is_not_installed(error):
            return NodeReport(node, problem=f"upscale-cli is not installed there; install {__version__}")
        return NodeReport(node, problem=_why(error))
    return NodeReport(node, facts, seconds=statistics.median(seconds))


def _nothing() -> None:
    """What takes no time but Ray's own."""


def _is_not_installed(error: RayError) -> bool:
    return "upscale_cli" in str(error) and "ModuleNotFoundError" in str(error)
