"""What of a frame is computed where windows may be of any shape, and how that they may is found out."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.nets import stub
from tests.test_reuse import TWICE, both, changing, pipeline, with_net
from upscale_cli import Upscaler
from upscale_cli.inference.backends.openvino import OpenVino
from upscale_cli.inference.frame_cells import (
    FORGOTTEN,
    MOST_BLOCKS,
    MOST_CELLS,
    OFTEN,
    Block,
    Blocks,
    FrameCells,
    frame_cells,
)
from upscale_cli.inference.frame_changes import Changes, changes
from upscale_cli.inference.reuse import Reuse
from upscale_cli.inference.tiling import Span

pytestmark = pytest.mark.usefixtures("stubs")

SIZES = st.tuples(st.integers(2, 60), st.integers(2, 100))


def cells_of(height: int, width: int, halo: int = 4) -> FrameCells:
    cells = frame_cells(height, width, halo, 1)
    assert cells is not None
    return cells


# Pure


@given(tens=SIZES, halo=st.integers(1, 40), multiple_of=st.sampled_from([1, 2, 4]))
def test_cells_keep_every_pixel_once_and_are_of_one_shape(tens: tuple[int, int], halo: int, multiple_of: int) -> None:
    height, width = (20 * side for side in tens)
    cells = frame_cells(height, width, halo, multiple_of)
    if cells is None:
        return
    assert len(cells.rows) * len(cells.columns) > 1
    for length, spans in ((height, cells.rows), (width, cells.columns)):
        assert [spans[0].start, *(span.stop for span in spans)] == [0, *(span.start for span in spans[1:]), length]
        for span in spans:
            assert span.window_start == 0 or span.window_start <= span.start - halo
            assert span.window_stop == length or span.window_stop >= span.stop + halo
            assert span.window_start % multiple_of == 0
        assert len({span.read for span in spans}) == 1, "every shape is compiled by itself"
    assert cells.whole.shape == (height, width)


@pytest.mark.parametrize(("height", "width"), [(2160, 3840), (1080, 1920), (540, 960)])
def test_large_frames_have_no_more_cells_than_can_be_looked_at(height: int, width: int) -> None:
    cells = cells_of(height, width)
    assert len(cells.rows) * len(cells.columns) < 1.5 * MOST_CELLS
    bar = round((height - width / 2.39) / 2)
    assert cells.rows[0].window_stop <= bar
    assert cells.rows[-1].window_start >= height - bar


def changed_in(height: int, width: int, *areas: tuple[slice, slice]) -> tuple[FrameCells, Changes]:
    """What is found where just these areas of a frame have changed."""
    cells, before = cells_of(height, width), torch.zeros(1, 1, height, width, dtype=torch.uint8)
    lr = before.clone()
    for rows, columns in areas:
        lr[..., rows, columns] = 1
    return cells, changes(before, lr, cells.rows, cells.columns)


@given(seed=st.integers(0, 1000), count=st.integers(0, 20))
def test_every_way_computes_all_that_has_changed_and_the_cheapest_comes_first(seed: int, count: int) -> None:
    random, height, width, halo = np.random.default_rng(seed), 270, 480, 4
    areas = [(slice(y, y + h), slice(x, x + w)) for y, x, h, w in random.integers(1, 240, (count, 4)).tolist()]
    cells, found = changed_in(height, width, *areas)
    reached = np.zeros((height, width), bool)
    for rows, columns in areas:
        reached[max(0, rows.start - halo) : rows.stop + halo, max(0, columns.start - halo) : columns.stop + halo] = True
    ways = cells.ways(found)
    assert ways == sorted(ways, key=lambda way: way.cost)
    for _, blocks in ways:
        kept = np.zeros_like(reached)
        for block in blocks:
            kept[block.y.start : block.y.stop, block.x.start : block.x.stop] = True
            for span, length in ((block.y, height), (block.x, width)):
                assert span.window_start == 0 or span.window_start <= span.start - halo
                assert span.window_stop == length or span.window_stop >= span.stop + halo
        assert kept[reached].all()
    if not count:
        assert ways == [(0, ())]


def test_a_spot_takes_a_cell_and_what_is_between_bars_a_block_without_them() -> None:
    cells, spot = changed_in(540, 960, (slice(200, 201), slice(300, 301)))
    blocks = Blocks()
    assert blocks.chosen(cells.ways(spot), cells) == tuple(cells.each(spot.cells))
    _, film = changed_in(540, 960, (slice(69, 471), slice(0, 960)))
    taken = [blocks.chosen(cells.ways(film), cells) for _ in range(OFTEN + 1)]
    assert taken[: OFTEN - 1] == [(cells.whole,)] * (OFTEN - 1)
    (block,) = taken[OFTEN]
    assert block == Block(Span(60, 480, 64, 476), cells.whole.x)
    assert blocks.chosen(cells.ways(Changes(np.zeros_like(spot.cells))), cells) == ()


def test_a_block_that_holds_what_has_changed_serves_for_less_too() -> None:
    """The edges of what moves come and go from frame to frame."""
    blocks, large = Blocks(), (slice(100, 400), slice(200, 800))
    for _ in range(OFTEN):
        cells, found = changed_in(540, 960, large)
        (taken,) = blocks.chosen(cells.ways(found), cells)
    cells, less = changed_in(540, 960, (slice(120, 398), slice(210, 790)))
    assert blocks.chosen(cells.ways(less), cells) == (taken,)
    cells, more = changed_in(540, 960, (slice(60, 400), slice(200, 800)))
    (other,) = blocks.chosen(cells.ways(more), cells)
    assert other == cells.whole


def test_engines_have_to_keep_few_shapes_and_those_of_a_scene_that_is_over_make_room() -> None:
    blocks, shapes, cells = Blocks(), set[tuple[int, int]](), cells_of(540, 960)

    def taken(first: int, times: int = 2 * OFTEN) -> set[tuple[int, int]]:
        _, found = changed_in(540, 960, (slice(first, 400), slice(first, 800)))
        ways = cells.ways(found)
        return {block.shape for _ in range(times) for block in blocks.chosen(ways, cells)}

    for first in (10, 60, 110, 160):
        shapes |= taken(first)
    own = {cells.whole.shape, Block(cells.rows[0], cells.columns[0]).shape}
    assert len(shapes - own) == MOST_BLOCKS
    late = taken(210, FORGOTTEN + OFTEN) - own
    assert late - shapes, "the former are not seen any more"


def test_differences_are_what_windows_do_not_share() -> None:
    random, cells = np.random.default_rng(3), cells_of(160, 240)
    before = torch.from_numpy(random.random((1, 3, 160, 240), np.float32))
    lr = before.clone()
    lr[0, 2, 70, 61] = 0.5
    lr[0, 0, 0, 239] = -0.0 if before[0, 0, 0, 239] == 0 else 0.0
    before[0, 1, 150, 3], lr[0, 1, 150, 3] = 0.0, -0.0
    pixels = (before.view(torch.int32) != lr.view(torch.int32)).any(dim=1)[0]
    expected = [
        [bool(pixels[y.window_start : y.window_stop, x.window_start : x.window_stop].any()) for x in cells.columns]
        for y in cells.rows
    ]
    found = changes(before, lr, cells.rows, cells.columns)
    assert found.cells.tolist() == expected
    assert (found.y, found.x) == ((0, 151), (3, 240))
    assert 2 < np.sum(expected) < np.size(expected)
    assert not changes(lr, lr.clone(), cells.rows, cells.columns).cells.any()


# Frames in progress

CELLS = FrameCells((Span(0, 10, 0, 8), Span(6, 16, 8, 16)), (Span(0, 10, 0, 8), Span(6, 16, 8, 16)), 2)


class Computing:
    """Doubles pixels; remembers what it was asked for, and waits before."""

    def __init__(self, lr: Tensor, gate: threading.Event | None = None, error: Exception | None = None) -> None:
        self.lr, self.gate, self.error = lr, gate, error
        self.shapes: list[tuple[int, int]] = []

    def __call__(self, y: Span, x: Span) -> Tensor:
        assert self.gate is None or self.gate.wait(60)
        if self.error is not None:
            raise self.error
        self.shapes.append((y.read, x.read))
        sr = self.lr.repeat_interleave(2, -1).repeat_interleave(2, -2)[0].permute(1, 2, 0)
        return sr[2 * y.start : 2 * y.stop, 2 * x.start : 2 * x.stop].clone()


def made(line: Reuse, computing: Computing, turn: Any = None) -> Tensor:
    with turn or line.turn() as own:
        sr: Tensor = own.frame("colour", "fp32", computing.lr, CELLS, computing, scale=2, macs=1.0)
    return sr


def test_the_whole_then_cells_then_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.inference.frame_cells.CALL_PIXELS", 0)
    line, first = Reuse(), torch.rand(1, 1, 16, 16)
    other = first.clone()
    other[0, 0, 1, 1] += 1
    frames = [Computing(lr) for lr in (first, other, other.clone())]
    results = [made(line, computing) for computing in frames]
    assert [computing.shapes for computing in frames] == [[(16, 16)], [(10, 10)], []]
    assert line.frames == pytest.approx(1 - 100 / 256 + 1)
    for computing, sr in zip(frames, results, strict=True):
        assert torch.equal(sr, Computing(computing.lr)(CELLS.whole.y, CELLS.whole.x))


def test_floats_may_be_changed_by_who_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.inference.frame_cells.CALL_PIXELS", 0)
    line, first = Reuse(), torch.rand(1, 1, 16, 16)
    for _ in range(3):
        whole = made(line, Computing(first.clone()))
        assert torch.equal(whole, Computing(first)(CELLS.whole.y, CELLS.whole.x))
        whole.zero_()


def test_cells_are_taken_from_a_frame_in_progress_and_not_from_one_that_failed() -> None:
    line, lr, gate = Reuse(), torch.rand(1, 1, 16, 16), threading.Event()
    frames = [Computing(lr, gate), Computing(lr.clone()), Computing(lr.clone(), None)]
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(made, line, computing, line.turn()) for computing in frames]
        assert not waiting[1].done()
        gate.set()
        for one in waiting:
            one.result(60)
    assert [computing.shapes for computing in frames] == [[(16, 16)], [], []]
    failing, after, gate = Computing(lr + 1, threading.Event(), OSError("lost")), Computing(lr + 1), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(made, line, computing, line.turn()) for computing in (failing, after)]
        assert failing.gate is not None
        failing.gate.set()
        with pytest.raises(OSError, match="lost"):
            waiting[0].result(60)
        waiting[1].result(60)
    assert after.shapes == [(16, 16)]


# Whether shapes matter


class Shapely(nn.Module):
    """Doubles pixels, and adds what depends on the shape of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, lr: Tensor) -> Tensor:
        return nn.functional.interpolate(lr, scale_factor=2, mode="nearest") * self.weight + lr.shape[-1] * 1e-6


def test_a_net_whose_bits_depend_on_the_window_is_cut_the_same_way_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.inference.tiled.spare_of", lambda *_: 0.6)
    frames, asked = changing("gray", 160, 120), list[Any]()
    chosen = Blocks.chosen

    def spied(*given: Any) -> Any:
        asked.append(given)
        return chosen(*given)

    monkeypatch.setattr(Blocks, "chosen", spied)
    assert both(with_net(stub(Shapely, colour="luma", halo=2)), frames, "gray", 160, 120) > 1
    assert asked == []
    assert both(lambda: Upscaler("espcn", device="cpu"), frames, "gray", 160, 120) > 1
    assert asked


def test_by_openvino_samples_are_the_same_and_a_spot_costs_a_cell() -> None:
    pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")
    frames = changing("gray", 480, 270)
    digests = {}
    for reuse in (True, False):
        upscaler = Upscaler("espcn", device="cpu", precision="fp32", backend=OpenVino(requests=2))
        pipe = pipeline(upscaler, "gray", 480, 270, reuse=reuse, target=TWICE)
        digests[reuse] = [pipe.collect(pipe.submit(samples)).tobytes() for samples in frames]
        assert (pipe.reused > 3) == reuse
    assert digests[True] == digests[False]
