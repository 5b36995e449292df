"""Tiles cover the picture, keep their distance from the border of what was read, and blend without a trace."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.errors import OptionError
from upscale_cli.inference.device import Device
from upscale_cli.inference.device_net import TorchArrays
from upscale_cli.inference.tiling import (
    Limits,
    RowBlender,
    RowJoiner,
    Span,
    automatic_tiles,
    blend_weights,
    tile_spans,
)
from upscale_cli.models.interface import Scale, scaled

geometry = st.tuples(
    st.integers(1, 300), st.integers(1, 80), st.integers(0, 79), st.integers(0, 20), st.sampled_from([1, 2, 4])
).filter(lambda g: g[2] < g[1])


@given(geometry)
def test_tiles_cover_the_axis_with_windows_of_one_length(g: tuple[int, int, int, int, int]) -> None:
    length, tile, overlap, halo, multiple_of = g
    length = -(-length // multiple_of) * multiple_of
    spans = tile_spans(length, tile, overlap, halo, multiple_of)
    assert spans[0].start == 0
    assert spans[-1].stop == length
    assert len({span.window_stop - span.window_start for span in spans}) == 1
    for before, after in itertools.pairwise(spans):
        assert before.start < after.start <= before.stop
        if after is not spans[-1] and multiple_of == 1:
            assert before.stop - after.start == overlap
        assert before.stop - after.start >= min(overlap, before.length) - multiple_of + 1
    for span in spans:
        assert 0 <= span.window_start <= span.start < span.stop <= span.window_stop <= length
        assert span.window_start % multiple_of == 0
        assert (span.window_stop - span.window_start) % multiple_of == 0
        assert span.start - span.window_start >= halo or span.start == 0
        assert span.window_stop - span.stop >= halo or span.stop == length


@given(geometry, st.integers(1, 4))
def test_weights_add_up_to_one(g: tuple[int, int, int, int, int], scale: int) -> None:
    length, tile, overlap, halo, _ = g
    spans = tile_spans(length, tile, overlap, halo)
    total = np.zeros(length * scale)
    for span, weight in zip(spans, blend_weights(spans, overlap, scale), strict=True):
        assert (weight >= 0).all()
        total[span.start * scale : span.stop * scale] += weight
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)


@pytest.mark.slow
@given(geometry, geometry, st.integers(1, 3))
def test_blending_tiles_of_a_picture_gives_the_picture(
    vertical: tuple[int, int, int, int, int], horizontal: tuple[int, int, int, int, int], scale: int
) -> None:
    height, tile, overlap, halo, _ = vertical
    width = horizontal[0]
    picture = np.arange(height * width * scale**2, dtype=np.float32).reshape(height * scale, width * scale, 1)
    rows, columns = (tile_spans(length, tile, overlap, halo) for length in (height, width))
    blender = RowBlender(rows, columns, overlap, scale, channels=1)
    bands, next_row = [], 0
    for row, y in enumerate(rows):
        for column, x in enumerate(columns):
            blender.add(column, picture[y.start * scale : y.stop * scale, x.start * scale : x.stop * scale])
        top, band = blender.finish_row(row)
        assert top == next_row
        next_row = top + len(band)
        bands.append(band.copy())
    np.testing.assert_allclose(np.concatenate(bands), picture, rtol=1e-5, atol=1e-3)


FRACTIONS = st.sampled_from([Fraction(3, 2), Fraction(4, 3), Fraction(5, 4), Fraction(7, 8), Fraction(2, 1), 3])


def spans_for(scale: Scale, g: tuple[int, int, int, int, int], *, divides: bool = True) -> tuple[list[Span], int]:
    """Spans as `TileLayout` has them for such a scale, and their overlap: all begins make whole SR pixels.

    Args:
        divides: the picture is padded, so that its end does, too.
    """
    length, tile, overlap, halo, multiple_of = g
    parts = math.lcm(multiple_of, scale.denominator)
    overlap = math.ceil(overlap / scale.denominator) * scale.denominator
    length = math.ceil(length / parts) * parts if divides else length
    return tile_spans(length, max(tile, overlap + 1), overlap, halo, parts), overlap


@given(geometry, FRACTIONS)
def test_tiles_of_any_scale_begin_and_end_with_whole_pixels(g: tuple[int, int, int, int, int], scale: Scale) -> None:
    spans, overlap = spans_for(scale, g)
    for span in spans:
        for place in (span.start, span.stop, span.window_start, span.window_stop):
            assert scaled(place, scale) == place * scale
    total = np.zeros(scaled(spans[-1].stop, scale))
    for span, weight in zip(spans, blend_weights(spans, overlap, scale), strict=True):
        assert (weight >= 0).all()
        total[scaled(span.start, scale) : scaled(span.stop, scale)] += weight
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)


@given(geometry, FRACTIONS)
def test_a_side_that_does_not_divide_is_covered_by_windows_that_begin_where_whole_pixels_do(
    g: tuple[int, int, int, int, int], scale: Scale
) -> None:
    parts = math.lcm(g[4], scale.denominator)
    spans, overlap = spans_for(scale, g, divides=False)
    assert (spans[0].start, spans[-1].stop) == (0, g[0])
    assert {span.read for span in spans} == {spans[0].read}
    for span in spans:
        assert (span.window_start % parts, span.start % parts) == (0, 0)
        assert scaled(span.length, scale) == scaled(span.stop, scale) - scaled(span.start, scale)
        assert span.stop == g[0] or span.stop % parts == 0
        assert span.start == 0 or span.start - span.window_start >= g[3]
        assert span.stop == g[0] or span.window_stop - span.stop >= g[3]
    for before, after in itertools.pairwise(spans):
        assert before.stop - after.start >= overlap // parts * parts


@pytest.mark.slow
@pytest.mark.parametrize("divides", [True, False])
@pytest.mark.parametrize("blended", [True, False])
@given(vertical=geometry, horizontal=geometry, scale=FRACTIONS)
def test_tiles_of_any_scale_are_put_together_to_the_picture(
    blended: bool,
    divides: bool,
    vertical: tuple[int, int, int, int, int],
    horizontal: tuple[int, int, int, int, int],
    scale: Scale,
) -> None:
    (rows, down), (columns, across) = (
        spans_for(scale, g, divides=divides) for g in (vertical, (*horizontal[:2], *vertical[2:]))
    )
    overlap = min(down, across)
    height, width = scaled(rows[-1].stop, scale), scaled(columns[-1].stop, scale)
    picture = torch.arange(height * width, dtype=torch.float32).reshape(height, width, 1)
    joiner = RowJoiner(rows, columns, scale, 1, np.dtype(np.float32))
    blender = RowBlender(rows, columns, overlap, scale, 1, TorchArrays(Device("cpu")))
    bands, next_row = [], 0
    for row, y in enumerate(rows):
        for column, x in enumerate(columns):
            top, bottom, left, right = (scaled(place, scale) for place in (y.start, y.stop, x.start, x.stop))
            tile = picture[top:bottom, left:right]
            blender.add(column, tile) if blended else joiner.add(column, tile.numpy())
        top, band = blender.finish_row(row) if blended else joiner.finish_row(row)
        assert top == next_row
        next_row = top + len(band)
        bands.append(torch.as_tensor(band).clone())
    torch.testing.assert_close(torch.cat(bands), picture, rtol=1e-5, atol=1e-3)


def test_a_step_between_two_tiles_becomes_a_smooth_ramp() -> None:
    rows, columns = tile_spans(8, 8, 0, 0), tile_spans(40, 24, 8, 0)
    blender = RowBlender(rows, columns, 8, 1, channels=1)
    for column, x in enumerate(columns):
        blender.add(column, np.full((8, x.length, 1), float(column)))
    _, band = blender.finish_row(0)
    line = band[0, :, 0]
    assert line[0] == 0
    assert line[-1] == 1
    assert (np.diff(line) >= 0).all()
    assert np.diff(line).max() < 0.25


def test_an_axis_that_fits_into_one_window_is_one_tile() -> None:
    assert tile_spans(length=50, tile=32, overlap=0, halo=10) == [Span(0, 50, 0, 50)]


@pytest.mark.parametrize(("tile", "overlap"), [(64, 64), (64, 65), (0, 0), (16, -1), (-5, 0)])
def test_tiles_that_cannot_advance_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(OptionError, match=str(tile if tile < 1 else overlap)):
        tile_spans(100, tile, overlap, 0)


@given(
    st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    st.sampled_from([0, 16]),
    st.sampled_from([(4, 1), (34, 1), (16, 1), (32, 2), (64, 4)]),
    st.integers(16, 1024),
    st.integers(1, 2**20),
)
def test_automatic_tiles_keep_the_limits_and_waste_little(
    size: tuple[int, int], overlap: int, net: tuple[int, int], side: int, pixels: int
) -> None:
    halo, multiple_of = net
    height, width = (-(-length // multiple_of) * multiple_of for length in size)
    tiles = automatic_tiles(height, width, overlap, halo, multiple_of, Limits(side, min(pixels, side**2)))
    rows, columns = (
        tile_spans(length, tile, overlap, halo, multiple_of)
        for length, tile in zip((height, width), tiles, strict=True)
    )
    windows = [span.window_stop - span.window_start for span in (rows[0], columns[0])]
    least = 2 * halo + overlap + 8
    for window, spans, length in zip(windows, (rows, columns), (height, width), strict=True):
        assert window <= max(side, least) + 8
        slack = len(spans) * window - (len(spans) - 1) * (2 * halo + overlap) - length
        assert slack <= len(spans) * 16, "windows are no longer than their number needs"
    assert windows[0] * windows[1] <= max(pixels * 1.3, max(windows) * least, least**2) + 16 * sum(windows)


def test_a_picture_that_the_limits_allow_is_one_window() -> None:
    for height, width in ((512, 512), (1, 1), (640, 640), (300, 1300)):
        tile_y, tile_x = automatic_tiles(height, width, 16, 34, 1, Limits(side=1300, pixels=640 * 640))
        assert len(tile_spans(height, tile_y, 16, 34)) == len(tile_spans(width, tile_x, 16, 34)) == 1
