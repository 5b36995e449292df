"""How strongly a picture was compressed as JPEG: by the tables of the file, or by the traces in its pixels.

Sources: ITU-T T.81 (1992), annex K.1 for the table of luma and B.2.4.1 for how tables stand in a file; libjpeg's
`jpeg_set_quality` for the scale of 1 to 100. The traces: Fan and de Queiroz, "Identification of bitmap compression
history", IEEE TIP 2003. Pure; NumPy only.
"""

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.media.image.codecs.jpeg_segments import Seekable, content_of, segments_of

_DQT: Final = 0xDB

_LUMA: Final = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
"""Steps of luma at quality 50, by vertical and horizontal frequency."""

_ASKED: Final = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1))
"""Frequencies whose coefficients are looked at for traces: low ones, of which many are not 0."""

_STEPS: Final = np.arange(2, 161)
"""That are looked for. A step of 1 leaves no trace beside the rounding of pixels: quality 93 and above. Quality 5 has
steps up to 160."""

_BINS: Final = 4
"""For each level of a coefficient: what lies between is counted as one value."""

_LARGEST: Final = 512
"""Coefficients beyond are not counted; few are."""

_LEAST_COEFFICIENTS: Final = 24
_LEAST_FIT: Final = 0.4
"""Of a step: how many coefficients it needs, and the mean cosine of their phases, 1 for multiples of it, near 0 for
what was not quantised."""

_LEAST_AGREEING: Final = 4
_AGREEMENT: Final = 1.3
"""How many frequencies have to tell of compressions that differ by no more than this factor."""

_BLOCKS: Final = 2000
"""Blocks that are looked at."""


def quality_of_tables(file: Seekable, start: int = 0) -> int | None:
    """The quality of a JPEG file, 1 to 100, by the mean step of its luma; None where it has no such table.

    A table of another program is rated by the table of libjpeg that is as coarse in the mean.

    Args:
        start: where the picture begins in the file.
    """
    for segment in segments_of(file, start):
        if segment.kind == _DQT:
            steps = _first_table(content_of(file, segment))
            if steps is not None:
                means = np.array([tables.mean() for tables in _tables()])
                return int(np.abs(means - steps.mean()).argmin()) + 1
    return None


def _first_table(content: bytes) -> NDArray[np.int64] | None:
    """The 64 steps of the table with the number 0, which is luma's; None where it is not there."""
    at = 0
    while at < len(content):
        length = 128 if content[at] >> 4 else 64
        steps = np.frombuffer(content[at + 1 : at + 1 + length], ">u2" if length == 128 else "u1")
        if content[at] & 15 == 0 and len(steps) == 64:
            return steps.astype(np.int64)
        at += 1 + length
    return None


@functools.cache
def _tables() -> list[NDArray[np.int64]]:
    """Steps of luma as libjpeg makes them, for quality 1 to 100."""
    factors = [5000 // quality if quality < 50 else 200 - 2 * quality for quality in range(1, 101)]
    return [((_LUMA * factor + 50) // 100).clip(1, 255) for factor in factors]


def quality_by_traces(windows: NDArray[np.float32]) -> int | None:
    """The quality of a JPEG that pixels have once been, 1 to 92; None where they show no trace of one.

    The coefficients of what was a JPEG are multiples of its steps, but for the rounding of pixels.

    Args:
        windows: (n, height, width) luma in levels of 8 bits; sides are multiples of 8, and the windows begin where a
            block of the picture may begin.
    """
    for down, across in dict.fromkeys(((0, 0), _grid(windows))):
        found = _quality_of_blocks(_blocks(windows, down, across))
        if found is not None:
            return found
    return None


def _grid(windows: NDArray[np.float32]) -> tuple[int, int]:
    """Where blocks seem to begin, (down, across) in 0..7: where neighbours differ most from how they differ around."""
    starts = []
    for axis in (1, 2):
        step = np.abs(np.diff(windows, axis=axis))
        along = step.mean(axis=tuple({0, 1, 2} - {axis}))
        excess = along[1:-1] - (along[:-2] + along[2:]) / 2
        places = np.arange(len(excess)) + 2  # excess i is of the step from pixel i + 1 to i + 2
        starts.append(int(np.bincount(places % 8, np.minimum(excess, np.median(np.abs(excess)) * 8), 8).argmax()))
    return starts[0], starts[1]


def _blocks(windows: NDArray[np.float32], down: int, across: int) -> NDArray[np.float32]:
    """(n, 8, 8): the blocks of all windows, or an even choice of them."""
    height, width = ((side - shift) // 8 * 8 for side, shift in zip(windows.shape[1:], (down, across), strict=True))
    cut = windows[:, down : down + height, across : across + width]
    blocks = cut.reshape(len(cut), height // 8, 8, width // 8, 8).swapaxes(2, 3).reshape(-1, 8, 8)
    return blocks[:: max(1, len(blocks) // _BLOCKS)]


def _quality_of_blocks(blocks: NDArray[np.float32]) -> int | None:
    is_whole = (blocks.min(axis=(1, 2)) > 0) & (blocks.max(axis=(1, 2)) < 255)  # what is clipped is no multiple
    blocks = blocks[is_whole]
    if len(blocks) < _LEAST_COEFFICIENTS:
        return None
    basis = _basis()
    coefficients = basis @ blocks @ basis.T
    asked = np.stack([np.abs(coefficients[:, down, across]) for down, across in _ASKED])
    steps = zip(_ASKED, _steps_of(asked), strict=True)
    coarseness = [step / _LUMA[place] for place, step in steps if step]
    if len(coarseness) < _LEAST_AGREEING:
        return None
    middle = float(np.median(coarseness))
    agreeing = [one for one in coarseness if middle / _AGREEMENT <= one <= middle * _AGREEMENT]
    if len(agreeing) < _LEAST_AGREEING:
        return None
    percent = 100 * float(np.mean(agreeing))
    return round(5000 / percent if percent > 100 else (200 - percent) / 2)


def _steps_of(values: NDArray[np.float32]) -> list[int]:
    """For each frequency the largest step of which its coefficients are multiples; 0 where there is none.

    Args:
        values: (frequencies, n) absolute coefficients.
    """
    places = (values * _BINS + np.float32(0.5)).astype(np.int64).clip(0, _LARGEST * _BINS)
    counts = np.stack([np.bincount(one, minlength=_LARGEST * _BINS + 1)[:-1] for one in places]).astype(np.float32)
    waves, counted = _waves()
    numbers = counts @ counted
    fits = np.where(numbers >= _LEAST_COEFFICIENTS, counts @ waves / numbers.clip(1), 0)
    best = fits.max(axis=1, keepdims=True)
    last = len(_STEPS) - 1 - (fits >= 0.85 * best)[:, ::-1].argmax(axis=1)  # halves of a step fit, too
    return [int(step) for step in np.where(best[:, 0] >= _LEAST_FIT, _STEPS[last], 0)]


@functools.cache
def _waves() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(values, steps): the cosine of a value's phase in a step, and whether it counts: what is near 0 is a multiple of
    everything."""
    values = np.arange(_LARGEST * _BINS, dtype=np.float32)[:, None] / _BINS
    counted = (values >= 0.5 * _STEPS).astype(np.float32)
    return np.cos(values * (2 * np.pi / _STEPS).astype(np.float32)) * counted, counted


@functools.cache
def _basis() -> NDArray[np.float32]:
    """(8, 8): the cosine transform of T.81, A.3.3."""
    frequency, place = np.mgrid[:8, :8]
    basis = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    rounded: NDArray[np.float32] = basis.astype(np.float32)
    return rounded
