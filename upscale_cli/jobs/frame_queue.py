"""Read, upscale and write at the same time: three threads, and bounded channels between them.

frames  ->  [channel]  ->  upscalers  ->  [channel]  ->  write
(thread)                   (this one)                    (thread)
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.video import VideoFrame

Item = TypeVar("Item")

_POLL_SECONDS: Final = 0.5
"""Waits are cut into pieces of this length, because on Windows Ctrl-C does not end one."""

CHANNEL_BYTES: Final = 256 * 2**20
"""What the frames in one channel may take; at least one frame is always let through."""

CHANNEL_FRAMES: Final = 4

GLANCE_SAMPLES: Final = 2**14
"""How many samples of two frames are compared before all of them are."""


class Closed(Exception):  # noqa: N818  # no error: the other side has gone
    """The other side will not take, or give, any more."""


class Channel(Generic[Item]):
    """Items from one thread to another, at most `capacity` of them on the way.

    The giver ends with `finish`; the taker's loop then ends after the last item. Either side, or a third, ends it
    early with `abort`: the sides that wait, or come later, get `Closed`.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._finished = self._aborted = False

    def put(self, item: Item) -> None:
        """Waits for room.

        Raises:
            Closed: the channel was aborted.
        """
        with self._changed:
            while len(self._items) >= self._capacity and not self._aborted:
                self._changed.wait(_POLL_SECONDS)
            if self._aborted:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def finish(self) -> None:
        """No more items will come."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Ends it early; what is still on the way is dropped."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()
        self._give_back()

    def _give_back(self) -> None:
        """Releases what this thread still holds: Ctrl-C may fall between the taking of a lock and the block that would
        release it (Python handles signals between any two instructions), and the other threads would wait for ever."""
        with contextlib.suppress(RuntimeError):  # it holds nothing, or nothing any more
            while True:
                self._changed.release()

    def __iter__(self) -> Iterator[Item]:
        """The items as they come, until `finish`.

        Raises:
            Closed: the channel was aborted.
        """
        while True:
            with self._changed:
                while not (self._items or self._finished or self._aborted):
                    self._changed.wait(_POLL_SECONDS)
                if self._aborted:
                    raise Closed
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class Pipeline(Protocol):
    """What turns the LR samples of one stream into SR samples; see `FrameUpscaler`."""

    @property
    def depth(self) -> int:
        """How many frames may be in progress before the oldest is collected."""

    def submit(self, samples: NDArray[Any], *, net: bool = True) -> Any:
        """Starts one frame."""

    def collect(self, pending: Any) -> NDArray[Any]:
        """Waits for it; its samples are never changed any more, for the writer may lend them to a pipe."""

    @property
    def reused(self) -> float:
        """What was taken over from frames before so far, of the net's work, as a number of frames."""


class Finish(Protocol):
    """What is done with the SR samples of one stream, frame by frame in their order; see `Steady`."""

    def __call__(self, lr: NDArray[Any], sr: NDArray[Any], *, net: bool) -> NDArray[Any]:
        """Gives samples that are never changed any more, and leaves those that it gets as they are."""


@dataclass(slots=True)
class Tally:
    """What happened to the frames so far.

    Attributes:
        frames: written.
        net, fallback: upscaled by the net, and by bicubic because the net would have come too late.
        same: equal to the frame before, whose result was taken again.
        reused: of frames that were not, what windows were taken over, as a number of frames.
        last: (stream, timestamp) of the frame written last.
    """

    frames: int = 0
    net: int = 0
    fallback: int = 0
    same: int = 0
    reused: float = 0.0
    last: tuple[int, int] | None = None
    per_stream: dict[int, int] = field(default_factory=dict)

    @property
    def saved(self) -> float:
        """The share of the net's work that was not done, for the frame before had its result."""
        return (self.same + self.reused) / max(1, self.net + self.same)


def capacity(frame_bytes: int) -> int:
    """How many frames of that size a channel holds."""
    return max(1, min(CHANNEL_FRAMES, CHANNEL_BYTES // max(1, frame_bytes)))


def flow(
    frames: Iterable[VideoFrame],
    pipelines: Mapping[int, Pipeline],
    write: Callable[[VideoFrame], None],
    *,
    tally: Tally,
    stop_reading: Callable[[], None],
    stop_writing: Callable[[], None] = lambda: None,
    finish: Mapping[int, Finish] = MappingProxyType({}),
    reuse: bool = True,
    by_net: Callable[[VideoFrame], bool] = lambda _: True,
    on_frame: Callable[[], None] = lambda: None,
    lr_capacity: int = CHANNEL_FRAMES,
    sr_capacity: int = CHANNEL_FRAMES,
) -> None:
    """Moves every frame through its pipeline, in order. What any thread raises ends all three, and is raised here; what
    was read before `frames` failed is written first.

    Args:
        frames: iterated in a thread of its own.
        pipelines: by stream.
        write: called in a thread of its own with SR frames.
        tally: counts as it goes.
        stop_reading: unblocks `frames`, should it wait; called from here while `frames` may be at work, once.
        stop_writing: unblocks `write`, should it wait for something that may never come; called from here while `write`
            may be at work, where the run is aborted.
        finish: by stream; what is done with SR frames before they are written, also with those that are taken again.
        reuse: a frame with the same samples as the one before in its stream is not computed again, unless the net has
            time for it and had none for that one.
        by_net: asked before each frame; False: bicubic.
        on_frame: called here after each frame passed to the writer.
    """
    decoded: Channel[VideoFrame] = Channel(lr_capacity)
    done: Channel[VideoFrame] = Channel(sr_capacity)

    def read() -> None:
        for frame in frames:
            decoded.put(frame)
        decoded.finish()

    def write_all() -> None:
        for frame in done:
            write(frame)
            tally.frames += 1
            tally.per_stream[frame.stream] = tally.per_stream.get(frame.stream, 0) + 1
            tally.last = frame.stream, frame.pts

    failures: list[BaseException] = []

    def abort() -> None:
        decoded.abort()
        done.abort()

    def fail(error: BaseException) -> None:
        failures.append(error)
        abort()

    def end_early(error: BaseException) -> None:
        failures.append(error)
        decoded.finish()

    writing = _Worker(write_all, "write", fail)
    workers = _Worker(read, "read", end_early), writing
    try:
        for worker in workers:
            worker.start()
        _upscale(decoded, pipelines, done, tally, finish, reuse, by_net, on_frame)
        done.finish()
        writing.join_patiently()
    except Closed:
        pass  # a worker has failed; its reason is raised below
    finally:
        abort()
        stop_reading()
        if writing.is_alive():
            stop_writing()
        for worker in workers:
            worker.join_patiently()
    if failures:
        raise failures[0]  # what came later is a consequence: a reader that was stopped may complain of that


def _upscale(
    decoded: Channel[VideoFrame],
    pipelines: Mapping[int, Pipeline],
    done: Channel[VideoFrame],
    tally: Tally,
    finish: Mapping[int, Finish],
    reuse: bool,
    by_net: Callable[[VideoFrame], bool],
    on_frame: Callable[[], None],
) -> None:
    """The middle of the flow: LR frames in, SR frames out, with as many in progress as the device has use for."""
    before: dict[int, tuple[NDArray[Any], bool]] = {}  # samples computed last, and whether by the net
    results: dict[int, NDArray[Any]] = {}
    in_progress: deque[tuple[VideoFrame, bool, Any]] = deque()
    depth = max(pipeline.depth for pipeline in pipelines.values())

    def pass_on() -> None:
        frame, net, pending = in_progress.popleft()
        if pending is not None:
            results[frame.stream] = pipelines[frame.stream].collect(pending)
        tally.reused = sum(pipeline.reused for pipeline in pipelines.values())
        samples = results[frame.stream]
        if frame.stream in finish:
            samples = finish[frame.stream](frame.samples, samples, net=net)
        if not frame.is_lead:
            done.put(replace(frame, samples=samples))
            on_frame()

    for frame in decoded:
        last, was_net = before.get(frame.stream, (None, False))
        is_same = reuse and last is not None and _is_same(frame.samples, last)
        net = (is_same and was_net) or by_net(frame)
        if is_same and net == was_net:
            tally.same += not frame.is_lead
            in_progress.append((frame, net, None))
        else:
            if not frame.is_lead:
                tally.net += net
                tally.fallback += not net
            in_progress.append((frame, net, pipelines[frame.stream].submit(frame.samples, net=net)))
            before[frame.stream] = frame.samples, net
        while len(in_progress) > depth:
            pass_on()
    while in_progress:
        pass_on()


def _is_same(samples: NDArray[Any], last: NDArray[Any]) -> bool:
    """Whether two frames are equal in every sample. Where they differ, they mostly do near the beginning already."""
    if samples is last:
        return True
    return np.array_equal(samples[:GLANCE_SAMPLES], last[:GLANCE_SAMPLES]) and np.array_equal(samples, last)


class _Worker(threading.Thread):
    """A thread that reports what it raises."""

    def __init__(self, body: Callable[[], None], name: str, fail: Callable[[BaseException], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._body, self._fail = body, fail

    def run(self) -> None:
        try:
            self._body()
        except Closed:
            pass
        except BaseException as error:
            self._fail(error)

    def join_patiently(self) -> None:
        """Waits in short pieces, which Ctrl-C ends on every system."""
        while self.is_alive():
            self.join(0.5)
