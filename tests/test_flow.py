"""Three threads and two channels: every frame once and in order, one error out, no thread left."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.waiting import PATIENCE
from upscale_cli.frames.video import VideoFrame
from upscale_cli.jobs.frame_queue import CHANNEL_BYTES, CHANNEL_FRAMES, Tally, capacity, flow


@dataclass
class Doubling:
    """A pipeline whose SR frame is LR times 2; as a GPU it computes nothing before it is asked for the result.

    Attributes:
        depth: of the pipeline.
        ways: of every frame that was submitted: by the net or not.
        most: frames that were in progress at once.
    """

    depth: int = 0
    ways: list[bool] = field(default_factory=list)
    most: int = 0
    _in_progress: deque[int] = field(default_factory=deque)

    def submit(self, samples: NDArray[Any], *, net: bool = True) -> tuple[int, NDArray[Any]]:
        number = len(self.ways)
        self.ways.append(net)
        self._in_progress.append(number)
        self.most = max(self.most, len(self._in_progress))
        return number, samples.copy()

    @property
    def reused(self) -> float:
        return len(self.ways) / 4

    def collect(self, pending: tuple[int, NDArray[Any]]) -> NDArray[Any]:
        number, samples = pending
        assert self._in_progress.popleft() == number, "collected out of order"
        return samples * 2


def frame(value: int, pts: int, stream: int = 0) -> VideoFrame:
    return VideoFrame(np.full(4, value, np.uint8), pts, stream)


def frames(count: int, *, value: Callable[[int], int] = lambda at: at % 100) -> Iterator[VideoFrame]:
    return (frame(value(at), at) for at in range(count))


class Sink:
    """Keeps what is written; may be asked to raise, or to be slow."""

    def __init__(self, *, error_at: int | None = None, gate: threading.Event | None = None) -> None:
        self.written: list[tuple[int, int, int]] = []
        self._error_at, self._gate = error_at, gate

    def __call__(self, frame: VideoFrame) -> None:
        if self._gate is not None:
            assert self._gate.wait(PATIENCE)
        if len(self.written) == self._error_at:
            raise OSError("the disk is full")
        self.written.append((frame.stream, frame.pts, int(frame.samples[0])))


def run(source: Iterable[VideoFrame], write: Callable[[VideoFrame], None], **given: Any) -> Tally:
    tally = given.pop("tally", None) or Tally()
    pipelines = given.pop("pipelines", None) or {0: Doubling()}
    flow(source, pipelines, write, tally=tally, stop_reading=given.pop("stop_reading", lambda: None), **given)
    return tally


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert not [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]


# Every frame, in order


@settings(max_examples=40)
@given(
    shown=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=40),
    depth=st.integers(0, 3),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    reuse=st.booleans(),
)
def test_every_frame_of_every_stream_comes_out_once_and_in_order(
    shown: list[tuple[int, int]], depth: int, channels: tuple[int, int], reuse: bool
) -> None:
    """Frames of three streams, few values so that many are equal; pipelines that give their results later."""
    pipelines = {stream: Doubling(depth if stream else 0) for stream in range(3)}
    source = [frame(value, at, stream) for at, (stream, value) in enumerate(shown)]
    sink = Sink()
    tally = run(source, sink, pipelines=pipelines, reuse=reuse, lr_capacity=channels[0], sr_capacity=channels[1])
    assert sink.written == [(stream, at, 2 * value) for at, (stream, value) in enumerate(shown)]
    assert tally.frames == len(shown) == tally.net + tally.same
    assert tally.per_stream == {s: n for s in range(3) if (n := sum(stream == s for stream, _ in shown))}
    assert tally.last == (sink.written[-1][:2] if shown else None)
    assert sum(len(pipeline.ways) for pipeline in pipelines.values()) == tally.net
    assert all(pipeline.most <= max(depth, 0) + 1 for pipeline in pipelines.values())
    if reuse:
        by_stream: list[list[int]] = [[value for stream, value in shown if stream == s] for s in range(3)]
        assert tally.same == sum(sum(a == b for a, b in pairwise(values)) for values in by_stream)
    else:
        assert tally.same == 0


def test_equal_means_every_sample() -> None:
    """One sample of a thousand differs by one."""
    samples = np.zeros(1000, np.uint16)
    other = samples.copy()
    other[777] = 1
    source = [VideoFrame(values, at) for at, values in enumerate((samples, samples.copy(), other, other))]
    pipeline = Doubling()
    got: list[NDArray[Any]] = []
    tally = run(source, lambda frame: got.append(frame.samples), pipelines={0: pipeline})
    assert (tally.net, tally.same) == (2, 2)
    assert [int(values.max()) for values in got] == [0, 0, 2, 2]


def test_a_frame_is_compared_with_its_own_stream_only() -> None:
    source = [frame(7, 0, 0), frame(7, 0, 1), frame(7, 1, 0), frame(7, 1, 1)]
    tally = run(source, Sink(), pipelines={0: Doubling(), 1: Doubling()})
    assert (tally.net, tally.same) == (2, 2)


def test_a_held_picture_goes_to_the_net_as_soon_as_there_is_time() -> None:
    """A slide whose first frames came too late does not stay bicubic; once the net had it, that is kept."""
    asked: list[int] = []

    def by_net(frame: VideoFrame) -> bool:
        asked.append(frame.pts)
        return frame.pts >= 3

    pipeline, sink = Doubling(depth=2), Sink()
    tally = run(frames(8, value=lambda at: 7 if at < 7 else 9), sink, pipelines={0: pipeline}, by_net=by_net)
    assert pipeline.ways == [False, True, True]
    assert asked == [0, 1, 2, 3, 7]
    assert (tally.net, tally.fallback, tally.same) == (2, 1, 5)
    assert [value for *_, value in sink.written] == [14] * 7 + [18]


def test_what_was_saved_is_a_share_of_the_nets_work() -> None:
    """Of eight frames one is the same, and a quarter of each of the others was taken over (by `Doubling.reused`)."""
    tally = run(frames(8, value=lambda at: min(at, 6)), Sink(), pipelines={0: Doubling()})
    assert (tally.net, tally.same, tally.reused) == (7, 1, 7 / 4)
    assert tally.saved == (1 + 7 / 4) / 8
    assert Tally().saved == 0


def test_frames_that_would_come_too_late_take_the_cheap_way_and_are_counted() -> None:
    pipeline = Doubling(depth=2)
    tally = run(frames(9), Sink(), pipelines={0: pipeline}, by_net=lambda frame: frame.pts % 3 != 0)
    assert (tally.net, tally.fallback, tally.same) == (6, 3, 0)
    assert pipeline.ways == [at % 3 != 0 for at in range(9)]


def test_progress_is_told_of_every_frame_in_the_callers_thread() -> None:
    reported: list[threading.Thread] = []
    run(frames(5), Sink(), on_frame=lambda: reported.append(threading.current_thread()))
    assert reported == [threading.main_thread()] * 5


# Bounded


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 2])
def test_never_more_frames_than_the_channels_hold_are_on_the_way(depth: int) -> None:
    """While nothing is written, the reader stands: both channels are full, and each thread has one in progress."""
    read, gate = 0, threading.Event()

    def source() -> Iterator[VideoFrame]:
        nonlocal read
        for one in frames(100):
            read += 1
            yield one

    most: list[int] = []
    sink = Sink(gate=gate)

    def look() -> None:
        most.append(read)
        gate.set()

    timer = threading.Timer(0.4, look)
    timer.start()
    run(source(), sink, pipelines={0: Doubling(depth)}, lr_capacity=3, sr_capacity=2)
    timer.join()
    assert most[0] <= 3 + depth + 2 + 3
    assert len(sink.written) == 100


def test_large_frames_make_small_channels() -> None:
    assert capacity(1000) == CHANNEL_FRAMES
    assert capacity(CHANNEL_BYTES // 2) == 2
    assert capacity(10 * CHANNEL_BYTES) == 1
    assert capacity(0) == CHANNEL_FRAMES


# What goes wrong


class Raising(Doubling):
    """A pipeline that raises at one frame."""

    def __init__(self, error: BaseException, at: int, *, in_collect: bool = False) -> None:
        super().__init__(depth=2 if in_collect else 0)
        self._error, self._at, self._in_collect = error, at, in_collect

    def submit(self, samples: NDArray[Any], *, net: bool = True) -> tuple[int, NDArray[Any]]:
        if len(self.ways) == self._at and not self._in_collect:
            raise self._error
        return super().submit(samples, net=net)

    @property
    def reused(self) -> float:
        return len(self.ways) / 4

    def collect(self, pending: tuple[int, NDArray[Any]]) -> NDArray[Any]:
        if pending[0] == self._at:
            raise self._error
        return super().collect(pending)


def broken(at: int) -> Iterator[VideoFrame]:
    yield from frames(at)
    raise RuntimeError("the clip is broken")


@pytest.mark.parametrize("at", [0, 1, 20])
def test_what_the_reader_raises_is_raised(at: int) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        run(broken(at), Sink())


@pytest.mark.parametrize("at", [0, 1, 20, 29])
def test_what_the_writer_raises_is_raised(at: int) -> None:
    sink = Sink(error_at=at)
    with pytest.raises(OSError, match="full"):
        run(frames(30), sink)
    assert len(sink.written) == at


@pytest.mark.parametrize("error", [ValueError("NaN"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("at", [0, 10])
@pytest.mark.parametrize("in_collect", [False, True])
def test_what_the_upscaler_raises_is_raised(error: BaseException, at: int, in_collect: bool) -> None:
    with pytest.raises(type(error)):
        run(frames(30), Sink(), pipelines={0: Raising(error, at, in_collect=in_collect)})


def test_a_writer_that_raises_while_both_channels_are_full() -> None:
    """The reader waits for room, the upscaler too; then the writer breaks."""
    gate = threading.Event()
    threading.Timer(0.3, gate.set).start()
    with pytest.raises(OSError, match="full"):
        run(frames(1000), Sink(error_at=0, gate=gate), lr_capacity=1, sr_capacity=1)


def test_an_upscaler_that_raises_while_both_channels_are_full() -> None:
    gate = threading.Event()
    sink = Sink(gate=gate)

    class Waiting(Doubling):
        def submit(self, samples: NDArray[Any], *, net: bool = True) -> tuple[int, NDArray[Any]]:
            if len(self.ways) == 2:
                time.sleep(0.2)  # the channels fill up meanwhile
                gate.set()
                raise ValueError("NaN")
            return super().submit(samples, net=net)

    with pytest.raises(ValueError, match="NaN"):
        run(frames(1000), sink, pipelines={0: Waiting()}, lr_capacity=1, sr_capacity=1)


def test_the_first_error_counts_not_what_stopping_the_reader_causes() -> None:
    """The writer breaks while the reader waits for a decoder, which is then stopped, and complains."""
    stopped = threading.Event()

    def source() -> Iterator[VideoFrame]:
        yield from frames(3)
        assert stopped.wait(PATIENCE)
        raise ValueError("I/O operation on closed file")

    with pytest.raises(OSError, match="full"):
        run(source(), Sink(error_at=1), stop_reading=stopped.set)


@pytest.mark.parametrize("where", ["upscale", "progress"])
def test_ctrl_c_ends_a_reader_that_waits(where: str) -> None:
    stopped = threading.Event()

    def source() -> Iterator[VideoFrame]:
        yield from frames(2)
        assert stopped.wait(PATIENCE)

    def interrupt() -> None:
        raise KeyboardInterrupt

    pipelines = {0: Raising(KeyboardInterrupt(), 1)} if where == "upscale" else {0: Doubling()}
    with pytest.raises(KeyboardInterrupt):
        run(
            source(), Sink(), pipelines=pipelines, stop_reading=stopped.set,
            on_frame=interrupt if where == "progress" else lambda: None,
        )  # fmt: skip


def test_what_was_written_before_an_error_is_counted() -> None:
    tally = Tally()
    with pytest.raises(OSError, match="full"):
        run(frames(30), Sink(error_at=7), tally=tally)
    assert tally.frames == 7
    assert tally.last == (0, 6)


def test_a_run_that_is_aborted_does_not_wait_for_a_writer_without_a_reader() -> None:
    paused = threading.Event()

    def write(_: VideoFrame) -> None:
        paused.wait()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flow(
            frames(50), {0: Doubling()}, write, tally=Tally(), stop_reading=lambda: None,
            stop_writing=paused.set, on_frame=interrupt,
        )  # fmt: skip
    assert paused.is_set()


def test_a_run_that_ends_well_leaves_its_writer_alone() -> None:
    stopped: list[None] = []
    flow(
        frames(5), {0: Doubling()}, Sink(), tally=Tally(), stop_reading=lambda: None,
        stop_writing=lambda: stopped.append(None),
    )  # fmt: skip
    assert not stopped
