"""What is taken over from the frame before is what would have been computed, bit for bit."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.clips import FFV1, ffmpeg
from tests.command import Run
from tests.nets import stub
from upscale_cli import Upscaler
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference import frame_grid, reuse, tiled
from upscale_cli.inference.backends.openvino import OpenVino
from upscale_cli.inference.engines_here import precisions
from upscale_cli.inference.frame_changes import differences
from upscale_cli.inference.frame_grid import frame_spans
from upscale_cli.inference.reuse import Reuse
from upscale_cli.inference.same_bits import SameBits
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.tiling import Span
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.models.interface import Colour, LoadedNet, Precision

pytestmark = pytest.mark.usefixtures("stubs")

Samples = NDArray[Any]
TAGS = ColourTags(matrix="bt709", range="tv")
TWICE = Target(scale=2)
PATIENCE = 60.0


@pytest.fixture
def finely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small frames are cut into several windows, as large ones are, and always the same way."""
    monkeypatch.setattr(tiled, "spare_of", lambda *_: 0.6)
    monkeypatch.setattr(SameBits, "holds", lambda *_: False)


@pytest.fixture(params=["one shape", "any shape"])
def either_way(request: pytest.FixtureRequest) -> None:
    """Frames are cut always the same way, or computed in windows of any shape."""
    if request.param == "one shape":
        request.getfixturevalue("finely")


# How frames are cut


@pytest.mark.slow
@settings(max_examples=100)
@given(
    twelfths=st.tuples(st.integers(1, 90), st.integers(1, 160)), halo=st.integers(1, 40),
    multiple_of=st.sampled_from([1, 2, 4]), spare=st.sampled_from([0.03, 0.1, 0.14, 0.5, 2.0]),
)  # fmt: skip
def test_windows_keep_every_pixel_once_have_their_halo_and_cost_no_more_than_they_may(
    twelfths: tuple[int, int], halo: int, multiple_of: int, spare: float
) -> None:
    height, width = (12 * side for side in twelfths)
    height, width = (
        12 * height // multiple_of * multiple_of or multiple_of,
        12 * width // multiple_of * multiple_of or 4,
    )
    cut = frame_spans(height, width, halo, multiple_of, spare)
    if cut is None:
        return
    assert len(cut[0]) * len(cut[1]) > 1
    for length, spans in zip((height, width), cut, strict=True):
        assert [spans[0].start, *(span.stop for span in spans)] == [0, *(span.start for span in spans[1:]), length]
        for span in spans:
            assert 0 <= span.window_start <= span.start < span.stop <= span.window_stop <= length
            assert span.window_start in (0, *range(span.start - halo + 1)), "less than a halo on the left"
            assert span.window_stop == length or span.window_stop >= span.stop + halo
            assert span.window_start % multiple_of == span.window_stop % multiple_of == 0
    rows, columns = ([span.window_stop - span.window_start for span in spans] for spans in cut)
    assert sum(rows) * sum(columns) <= (1 + spare) * height * width
    assert len(set(rows)) <= 2, "every shape is compiled by itself"
    assert len(set(columns)) == 1


@pytest.mark.parametrize(
    ("height", "width", "spare"), [(360, 640, 0.1), (540, 960, 0.03), (540, 960, 0.1), (1080, 1920, 0.03)]
)
def test_the_bars_of_a_film_hold_windows_of_their_own(height: int, width: int, spare: float) -> None:
    """2.39:1 in 16:9, a net of espcn's halo."""
    bar = round((height - width / 2.39) / 2)
    cut = frame_spans(height, width, 4, 1, spare)
    assert cut is not None
    rows, _ = cut
    assert rows[0].window_stop <= bar - 4
    assert rows[-1].window_start >= height - bar + 4


def test_a_deep_net_is_not_cut_where_that_would_cost_too_much() -> None:
    assert frame_spans(540, 960, 34, 1, frame_grid.USUAL_SPARE) is None


# The same samples


def noisy(name: str, width: int, height: int, seed: int) -> Samples:
    form = FORMATS[name]
    codes = np.random.default_rng(seed).integers(0, form.white + 1, form.frame_samples(width, height))
    return codes.astype(form.dtype)


def changing(name: str, width: int, height: int) -> list[Samples]:
    """Frames of which now nothing changes, now a spot in one plane, now an edge, now all."""
    form, frames = FORMATS[name], [noisy(name, width, height, 0)]
    random = np.random.default_rng(7)

    def changed(plane: int, rows: slice, columns: slice) -> None:
        samples, start = frames[-1].copy(), 0
        for number, (height_, width_) in enumerate(form.plane_sizes(width, height)):
            view = samples[start : start + height_ * width_].reshape(height_, width_)[rows, columns]
            if number == plane:
                view[:] = random.integers(0, form.white + 1, view.shape)
            start += height_ * width_
        frames.append(samples)

    planes = len(form.plane_sizes(width, height))
    changed(0, slice(50, 53), slice(70, 74))
    changed(planes - 1, slice(20, 24), slice(30, 40))
    frames.append(frames[-1].copy())
    changed(0, slice(0, 1), slice(0, 1))
    changed(min(1, planes - 1), slice(-1, None), slice(-1, None))
    frames += [noisy(name, width, height, 1), frames[-1], frames[-1]]
    changed(0, slice(60, 61), slice(0, None))
    return frames


def pipeline(upscaler: Upscaler, name: str, width: int, height: int, *, reuse: bool, target: Target) -> VideoUpscaler:
    return VideoUpscaler(upscaler, FORMATS[name], width, height, TAGS, target, reuse=reuse)


def both(
    make: Callable[[], Upscaler], frames: Sequence[Samples], name: str, width: int, height: int, target: Target = TWICE
) -> float:
    """What was reused, once the samples with and without were seen to be the same; also from a later frame on."""
    made = []
    for reuse_, first in ((True, 0), (False, 0), (True, 3)):
        one = pipeline(make(), name, width, height, reuse=reuse_, target=target)
        made.append([one.collect(one.submit(samples)).tobytes() for samples in frames[first:]])
        if reuse_ and not first:
            reused = one.reused
        elif not reuse_:
            assert one.reused == 0
    assert made[0] == made[1]
    assert made[0][3:] == made[2]
    return reused


def tiny_srvgg(**facts: Any) -> LoadedNet:
    """Two convolutions, R'G'B', as x2; of random weights."""
    torch.manual_seed(3)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))
    return stub(lambda: body, colour="rgb", halo=2, **facts)


def with_net(net: LoadedNet, precision: Precision = "fp32", **options: Any) -> Callable[[], Upscaler]:
    """Upscalers whose only net is that one."""

    def make() -> Upscaler:
        upscaler = Upscaler("espcn", device="cpu", precision=precision)
        one = TiledNet(net, upscaler.device, precision, say=lambda _: None, **options)
        upscaler.net = lambda *_: one  # type: ignore[method-assign]
        upscaler.wrap = options.get("wrap", False)
        return upscaler

    return make


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("name", ["gray", "yuv420p", "yuv422p10le", "yuva420p", "gbrp"])
def test_samples_are_the_same_whatever_planes_change(name: str) -> None:
    width, height = 160, 120
    assert both(lambda: Upscaler("espcn", device="cpu"), changing(name, width, height), name, width, height) > 3


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(
    "options",
    [{}, {"tta": True}, {"wrap": True}, {"tile": 32}, {"tile": 32, "overlap": 8}, {"multiple_of": 4}, {"exact": False},
     {"tile": 48, "exact": False}],
    ids=str,
)  # fmt: skip
def test_samples_are_the_same_however_a_net_for_colours_is_run(options: dict[str, Any]) -> None:
    facts = {key: options[key] for key in ("multiple_of", "exact") if key in options}
    rest = {key: value for key, value in options.items() if key not in facts}
    assert both(with_net(tiny_srvgg(**facts), **rest), changing("yuv420p", 162, 122), "yuv420p", 162, 122) > 1


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(
    "target", [Target(scale=4), Target(scale=3), Target(scale=1.5), Target(box=(301, 199))], ids=str
)
def test_samples_are_the_same_after_two_passes_and_resampling(target: Target) -> None:
    make = with_net(tiny_srvgg())
    assert both(make, changing("yuv420p", 132, 98)[:7], "yuv420p", 132, 98, target) > 1


@pytest.mark.usefixtures("either_way")
def test_samples_are_the_same_in_bf16() -> None:
    frames = changing("yuv420p", 160, 120)
    assert both(lambda: Upscaler("espcn", device="cpu", precision="bf16"), frames, "yuv420p", 160, 120) > 3


class Fussy(nn.Module):
    """Doubles pixels; in bfloat16 it gives NaN for a picture that has a value of 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, lr: Tensor) -> Tensor:
        sr = nn.functional.interpolate(lr, scale_factor=2, mode="nearest") * self.weight
        return sr + float("nan") if lr.dtype == torch.bfloat16 and lr.amax() >= 1 else sr


@pytest.mark.usefixtures("finely")
def test_what_half_precision_spoilt_is_not_taken_over() -> None:
    """The third frame is computed again in fp32, and so is all that follows, where nothing of it has changed too."""
    frames = [np.full(160 * 120, 77, np.uint8) for _ in range(6)]
    for number, samples in enumerate(frames):
        samples[: 160 * 40] = np.random.default_rng(0).integers(16, 200, 160 * 40)
        samples[160 * 60 + 80] = 255 if number >= 2 else 100
        samples[160 * 110 + 80] = number
    net = stub(Fussy, colour="luma", halo=2)
    make = with_net(net, "bf16")
    reused = both(make, frames, "gray", 160, 120)
    one = make()
    pipe = pipeline(one, "gray", 160, 120, reuse=True, target=TWICE)
    for samples in frames:
        sr = pipe.collect(pipe.submit(samples)).reshape(240, 320)
    assert one.net(2, 8).precision == "fp32"
    lr = frames[-1].reshape(120, 160)
    np.testing.assert_array_equal(sr, lr.repeat(2, axis=0).repeat(2, axis=1))
    cut = frame_spans(120, 160, 2, 1, one.net(2, 8)._spare)
    assert cut is not None
    lumas = [samples.reshape(120, 160) for samples in frames]
    shares = [1 - windows_that_change(*pair, cut) for pair in pairwise(lumas)]
    assert min(shares) > 0
    assert reused == pytest.approx(sum(shares) - shares[2]), "of another precision nothing was taken"


# How much


def windows_that_change(before: Samples, samples: Samples, cut: tuple[Sequence[Span], Sequence[Span]]) -> float:
    """The share of windows that differ between two planes, by what is computed for them."""
    differ = [
        bool((before[y.window_start : y.window_stop, x.window_start : x.window_stop]
              != samples[y.window_start : y.window_stop, x.window_start : x.window_stop]).any())
        for y in cut[0] for x in cut[1]
    ]  # fmt: skip
    work = [(y.window_stop - y.window_start) * (x.window_stop - x.window_start) for y in cut[0] for x in cut[1]]
    return float(np.dot(differ, work)) / sum(work)


@pytest.mark.usefixtures("finely")
@pytest.mark.parametrize("name", ["gray", "yuv420p"])
def test_so_much_is_reused_as_has_not_changed(name: str) -> None:
    """A net for luma: what changes in chroma alone costs nothing."""
    width, height = 320, 240
    frames = changing(name, width, height)
    upscaler = Upscaler("espcn", device="cpu")
    pipe = pipeline(upscaler, name, width, height, reuse=True, target=TWICE)
    cut = frame_spans(height, width, 4, 1, upscaler.net(2, 8)._spare)
    assert cut is not None
    assert len(cut[0]) * len(cut[1]) > 4
    for samples in frames:
        pipe.collect(pipe.submit(samples))
    lumas = [samples[: width * height].reshape(height, width) for samples in frames]
    expected = sum(1 - windows_that_change(*pair, cut) for pair in pairwise(lumas))
    assert 3 < expected < len(frames) - 1
    assert pipe.reused == pytest.approx(expected)


@pytest.mark.usefixtures("either_way")
def test_frames_that_come_too_late_have_no_part_in_it() -> None:
    """Bicubic between frames by the net: what those have in common is taken over all the same."""
    frames = changing("gray", 160, 120)
    ways = [True, False, True, False, False, True, True, False, True]
    made = {}
    for reuse_ in (True, False):
        pipe = pipeline(Upscaler("espcn", device="cpu"), "gray", 160, 120, reuse=reuse_, target=TWICE)
        made[reuse_] = [
            pipe.collect(pipe.submit(samples, net=net)).tobytes() for samples, net in zip(frames, ways, strict=False)
        ]
        assert (pipe.reused > 0.5) == reuse_
    assert made[True] == made[False]


def test_what_is_too_large_to_be_kept_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "MOST_BYTES", 160 * 120 * 4)
    assert both(lambda: Upscaler("espcn", device="cpu"), changing("gray", 160, 120), "gray", 160, 120) == 0


# Bits


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(1.0, 1.0, True), (0.0, -0.0, False), (float("nan"), float("nan"), True), (0.5, 0.25, False)],
)  # fmt: skip
def test_equal_means_every_bit(one: float, other: float, same: bool) -> None:
    before, lr = torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 40, 40)
    before[0, 2, 33, 21], lr[0, 2, 33, 21] = one, other
    rows, columns = (Span(30, 40, 32, 40), Span(0, 33, 0, 32)), (Span(0, 40, 0, 40),)
    assert differences(before, lr, rows, columns).tolist() == [[not same], [False]]


# Frames at the same time

ROWS, COLUMNS = (Span(0, 10, 0, 8), Span(6, 16, 8, 16)), (Span(0, 16, 0, 16),)
UPPER, LOWER = ROWS


class Computing:
    """Counts what is computed for a frame; each window may have to wait."""

    def __init__(self, lr: Tensor, gate: threading.Event | None = None, error: Exception | None = None) -> None:
        self.lr, self.done = lr, 0
        self._gate, self._error = gate, error

    def __call__(self, rows: Span, _columns: Span) -> Tensor:
        if self._gate is not None:
            assert self._gate.wait(PATIENCE)
        if self._error is not None:
            raise self._error
        self.done += 1
        return self.lr[0, :, rows.start : rows.stop].permute(1, 2, 0) * 2


def plane(upper: float, lower: float) -> Tensor:
    lr = torch.full((1, 1, 16, 16), upper)
    lr[:, :, 6:] = lower
    return lr


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def started(pool: ThreadPoolExecutor, line: Reuse, computing: Computing, key: str = "fp32") -> Any:
    """A frame in a thread; turns are taken in the order of the calls."""
    turn = line.turn()

    def run() -> list[float]:
        with turn:
            made = turn.windows("colour", key, computing.lr, ROWS, COLUMNS, computing, sr_bytes=0, macs=1.0)
            return [float(window[0, 0, 0]) for window in made]

    return pool.submit(run)


def test_a_frame_takes_what_the_one_before_has_still_in_progress(pool: ThreadPoolExecutor) -> None:
    line, gate = Reuse(), threading.Event()
    first, second, third = Computing(plane(1, 2), gate), Computing(plane(3, 2)), Computing(plane(3, 2))
    frames = [started(pool, line, computing) for computing in (first, second, third)]
    assert not frames[1].done()
    gate.set()
    assert [frame.result(PATIENCE) for frame in frames] == [[2, 4], [6, 4], [6, 4]]
    assert (first.done, second.done, third.done) == (2, 1, 0)
    assert line.frames == 0.5 + 1.0


def test_windows_that_do_not_change_are_taken_one_by_one(pool: ThreadPoolExecutor) -> None:
    line, lr = Reuse(), plane(1, 2)
    other = lr.clone()
    other[0, 0, 12, 5] = 9
    first, second = Computing(lr), Computing(other)
    for computing in (first, second):
        started(pool, line, computing).result(PATIENCE)
    assert (first.done, second.done) == (2, 1)
    assert line.frames == 0.5


def test_a_frame_whose_predecessor_fails_computes_by_itself(pool: ThreadPoolExecutor) -> None:
    line, gate = Reuse(), threading.Event()
    failing, second = Computing(plane(1, 2), gate, OSError("lost")), Computing(plane(1, 2))
    frames = [started(pool, line, failing), started(pool, line, second)]
    gate.set()
    with pytest.raises(OSError, match="lost"):
        frames[0].result(PATIENCE)
    assert frames[1].result(PATIENCE) == [2, 4]
    assert second.done == 2
    assert line.frames == 0


def test_a_frame_that_fails_leaves_the_one_before_alone(pool: ThreadPoolExecutor) -> None:
    """Windows that it wanted to take over are still in progress there."""
    line, gate = Reuse(), threading.Event()
    other = plane(1, 2)
    other[0, 0, 12, 5] = 9
    first, failing, third = Computing(plane(1, 2), gate), Computing(other, None, OSError("lost")), Computing(other)
    frames = [started(pool, line, computing) for computing in (first, failing, third)]
    with pytest.raises(OSError, match="lost"):
        frames[1].result(PATIENCE)
    gate.set()
    assert [frames[0].result(PATIENCE), frames[2].result(PATIENCE)] == [[2, 4], [2, 4]]
    assert (first.done, third.done) == (2, 1)


def test_nothing_is_taken_from_another_precision_or_size(pool: ThreadPoolExecutor) -> None:
    line = Reuse()
    frames = [Computing(plane(1, 2)) for _ in range(2)]
    for key, computing in zip(("bf16", "fp32"), frames, strict=True):
        assert started(pool, line, computing, key).result(PATIENCE) == [2, 4]
    assert [frame.done for frame in frames] == [2, 2]


def test_a_frame_without_that_pass_keeps_nobody_waiting(pool: ThreadPoolExecutor) -> None:
    """As one whose transparency is constant."""
    line = Reuse()
    with line.turn():
        pass
    computing = Computing(plane(1, 2))
    assert started(pool, line, computing).result(PATIENCE) == [2, 4]
    assert computing.done == 2


def test_of_all_frames_but_the_last_nothing_is_kept() -> None:
    import gc
    import weakref

    line, kept = Reuse(), []
    for number in range(5):
        computing = Computing(plane(number, 2))
        kept.append(weakref.ref(computing.lr))
        with line.turn() as turn:
            turn.windows("colour", "fp32", computing.lr, ROWS, COLUMNS, computing, sr_bytes=0, macs=1.0)
        del computing, turn
    gc.collect()
    assert [ref() is not None for ref in kept] == [False] * 4 + [True]


COLOURS: tuple[Colour, ...] = ("luma", "rgb", "ycbcr")


@pytest.mark.usefixtures("finely")
@pytest.mark.parametrize("colour", COLOURS)
def test_chroma_counts_for_nets_that_see_it(colour: Colour) -> None:
    """A sample of U reaches as far as the interpolation that brings it to full size."""

    class Doubling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, lr: Tensor) -> Tensor:
            return nn.functional.interpolate(lr, scale_factor=2, mode="nearest") * self.weight

    width, height = 320, 240
    net = stub(Doubling, colour=colour, luma_range="studio" if colour == "ycbcr" else "full", halo=2)
    one = noisy("yuv420p", width, height, 0)
    other = one.copy()
    other[width * height + 60 * 160 + 80] ^= 0x55
    reused = both(with_net(net), [one, other, other, other, one], "yuv420p", width, height)
    upscaler = with_net(net)()
    cut = frame_spans(height, width, 2, 1, upscaler.net(2, 8)._spare)
    assert cut is not None
    if colour == "luma":
        assert reused == 4
    else:
        touched = np.zeros((height, width))
        touched[120 - 3 : 120 + 5, 160 - 3 : 160 + 4] = 1  # sited left: rows of U lie between those of Y
        share = windows_that_change(np.zeros((height, width)), touched, cut)
        assert reused == pytest.approx(4 - 2 * share)


# The whole way


def frame_digests(clip: Path) -> list[str]:
    """By ffmpeg: every frame's own."""
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(clip), "-f", "framemd5", "-"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    return [line.rpartition(",")[2].strip() for line in lines if not line.startswith("#")]


@pytest.mark.slow
def test_a_clip_is_the_same_with_and_without_and_in_segments(run: Run, tmp_path: Path) -> None:
    """A box that moves over bars, and stands still for a second; at a frame a second, segments are of five frames."""
    source = tmp_path / "moving.mkv"
    ffmpeg(
        "-f", "lavfi", "-i", "smptebars=size=480x272:rate=1", "-f", "lavfi", "-i", "color=white:size=20x20:rate=1",
        "-filter_complex", "overlay=x='if(lt(t,6),30*t,200)':y=120,format=yuv420p", "-frames:v", 12, *FFV1, source,
    )  # fmt: skip
    shared = ("-m", "espcn", "-s", 2, "--device", "cpu", "--codec", "ffv1", "--json")
    digests, reused = {}, {}
    for name, options in {"reused": (), "computed": ("--no-reuse",), "segments": ("--resume",)}.items():
        output = tmp_path / f"{name}.mkv"
        outcome = run(source, *shared, "-o", output, *options)
        assert outcome.code == 0, outcome.err
        events = [json.loads(line) for line in outcome.out.splitlines()]
        (finished,) = (event for event in events if event["event"] == "clip_finished")
        digests[name], reused[name] = frame_digests(output), finished["reused"]
        assert finished["frames"] == 12
        assert (finished["same"] > 0) == (name != "computed")
    assert digests["reused"] == digests["computed"] == digests["segments"]
    assert len(set(digests["computed"])) == 7
    assert reused["computed"] == 0
    assert reused["reused"] > 5 / 12 + 0.2, "five frames stand still; of the others most is taken over, too"
    assert reused["segments"] == reused["reused"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_samples_are_the_same_by_openvino_with_frames_in_progress(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests at a time: a frame begins before the one that it takes windows from is done."""
    pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")
    if precision not in precisions("openvino"):
        pytest.skip("OpenVINO does not compute in bf16 on this processor")
    monkeypatch.setattr(tiled, "spare_of", lambda *_: 0.6)
    monkeypatch.setattr(SameBits, "holds", lambda *_: False)
    width, height = 240, 180
    frames = changing("yuv420p", width, height)
    made: dict[bool, list[bytes]] = {}
    reused: dict[bool, float] = {}
    for reuse_ in (True, False):
        upscaler = Upscaler("espcn", device="cpu", precision=precision, backend=OpenVino(requests=2))
        pipe = pipeline(upscaler, "yuv420p", width, height, reuse=reuse_, target=TWICE)
        assert pipe.depth >= 1
        pending = [pipe.submit(samples) for samples in frames[: pipe.depth]]
        made[reuse_] = []
        for samples in frames[pipe.depth :]:
            pending.append(pipe.submit(samples))
            made[reuse_].append(pipe.collect(pending.pop(0)).tobytes())
        made[reuse_] += [pipe.collect(future).tobytes() for future in pending]
        reused[reuse_] = pipe.reused
    assert made[True] == made[False]
    lumas = [samples[: width * height].reshape(height, width) for samples in frames]
    cut = frame_spans(height, width, 4, 1, 0.6)
    assert cut is not None
    assert reused[True] == pytest.approx(sum(1 - windows_that_change(*pair, cut) for pair in pairwise(lumas)))
    assert reused[False] == 0
