"""Samples of a TIFF as a frame's pixels: which range they have, and what brings them back to it.

All that needs pixels to be known (whether signed samples are negative, which float is white) is found out once, for the
whole page, so that bands are counted alike.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixels import by_strips, stretched, unpremultiplied, white_of
from upscale_cli.media.image.codecs.netpbm import float_white
from upscale_cli.media.image.codecs.tiff_directory import (
    BASES,
    FLOAT,
    IS_LAB,
    IS_PALETTE,
    MIN_IS_WHITE,
    SIGNED,
    UNSIGNED,
    Page,
)
from upscale_cli.media.image.codecs.tiff_tags import nodata_number
from upscale_cli.media.image.source import Source
from upscale_cli.media.image.tiff_facts import Samples

EXACT: Final = 2**24
"""Up to which every integer is a float32."""


@dataclass(frozen=True, slots=True)
class Counting:
    """How the samples of a page become pixels.

    Attributes:
        white: the sample that is 1.0 in a float frame.
        top: the sample that is white in an integer frame; None: as they are.
        shift: added to samples first.
        samples: what brings pixels back; None where they are stored as a frame has them.
        nodata: as of a `Frame`.
    """

    white: float = 1.0
    top: float | None = None
    shift: int = 0
    samples: Samples | None = None
    nodata: int | None = None


def nodata_of(page: Page) -> float | int | None:
    """The sample of a page that is no measurement; None where there is none, or where its type cannot hold it."""
    facts = page.metadata.tiff
    value = nodata_number(facts.nodata if facts else None)
    if value is None or page.photometric in (IS_PALETTE, IS_LAB) or page.layout in ("LA", "RGBA"):
        return None  # with alpha, that says which pixels count
    if page.kind == FLOAT:
        return value
    low, high = (-(2 ** (page.bits - 1)), 2 ** (page.bits - 1) - 1) if page.kind == SIGNED else (0, 2**page.bits - 1)
    return value if isinstance(value, int) and low <= value <= high else None


def needs_pixels(page: Page) -> bool:
    """Whether the range of its samples is known from them alone."""
    if page.photometric in (IS_LAB, IS_PALETTE):
        return False
    return page.kind != UNSIGNED or page.bits > 16 or page.largest is not None


def counting(source: Source, page: Page, samples: NDArray[Any] | None) -> Counting:
    """How a page counts.

    Args:
        samples: all of the page, where it `needs_pixels`.
    """
    if page.photometric in (IS_LAB, IS_PALETTE):
        return Counting()
    nodata = nodata_of(page)
    if page.kind == FLOAT or page.bits > 16:
        assert samples is not None
        return _as_float(source, page, samples, nodata)
    if page.kind == SIGNED:
        assert samples is not None
        return _signed(page, samples, nodata)
    dtype, full = ("uint8", 255) if page.bits <= 8 else ("uint16", 65_535)
    facts = page.metadata.tiff
    measured = nodata is not None or (facts is not None and facts.geo is not None)
    inverted = measured and page.photometric == MIN_IS_WHITE
    top, largest = 2**page.bits - 1, None
    if page.largest is not None and samples is not None and int(samples.max(initial=0)) <= page.largest < top:
        top, largest = page.largest, page.largest
        source.say(f"{source.name}: white is {top:,} as the file declares, stretched to the full range")
    kept = Samples(dtype, top / full, 0.0, nodata, inverted, largest)
    if not measured and largest is None:
        return Counting(top=top)
    frame_nodata = _frame_value(kept, nodata)
    if inverted and frame_nodata is not None:
        frame_nodata = full - frame_nodata
    return Counting(top=top, samples=kept if kept != Samples(dtype, nodata=nodata) else None, nodata=frame_nodata)


def _signed(page: Page, samples: NDArray[Any], nodata: float | int | None) -> Counting:
    """Signed samples without a negative one begin at black; others are shifted to begin there."""
    dtype, half, full = ("int8", 128, 255) if page.bits <= 8 else ("int16", 32_768, 65_535)
    half = min(half, 2 ** (page.bits - 1))
    if int(samples.min(initial=0)) >= 0 and (nodata is None or nodata >= 0):
        top = full / 2  # a factor of 2 exactly, or each odd value would be rounded down on the way back
        kept = Samples(dtype, top / full, 0.0, nodata)
        return Counting(top=top, samples=kept, nodata=_frame_value(kept, nodata))
    kept = Samples(dtype, (2 * half - 1) / full, -float(half), nodata)
    return Counting(top=2 * half - 1, shift=half, samples=kept, nodata=_frame_value(kept, nodata))


def _frame_value(samples: Samples, nodata: float | int | None) -> int | None:
    return None if nodata is None else round((nodata - samples.shift) / samples.factor)


def _as_float(source: Source, page: Page, samples: NDArray[Any], nodata: float | int | None) -> Counting:
    if page.kind == FLOAT:
        known = samples if nodata is None else samples[samples != samples.dtype.type(nodata)]
        white = float_white(known.astype(np.float32) if page.bits < 32 else known)
        if white != 1:
            source.say(f"{source.name}: float values go beyond 1, {white:,.0f} is taken as white")
        if page.bits > 32:
            source.say(f"{source.name}: {page.bits} bits per channel are computed as 32")
        plain = page.bits == 32 and nodata is None
        return Counting(
            white=white, samples=None if plain else Samples(f"float{_stored_bits(page.bits)}", nodata=nodata)
        )
    known = samples if nodata is None else samples[samples != nodata]
    largest = int(known.max(initial=0))
    if max(largest, -int(known.min(initial=0))) > EXACT:
        source.say(f"{source.name}: {page.bits} bits per channel are computed with the first 24 of them")
    white = 65_535.0 if largest <= 65_535 else 2.0 ** (largest - 1).bit_length()  # which divides exactly
    sign = "u" if page.kind == UNSIGNED else ""
    return Counting(white=white, samples=Samples(f"{sign}int{_stored_bits(page.bits)}", nodata=nodata))


def _stored_bits(bits: int) -> int:
    """Of the type that numpy has for samples of so many bits.

    >>> _stored_bits(16), _stored_bits(24), _stored_bits(64)
    (16, 32, 64)
    """
    return next(held for held in (16, 32, 64) if bits <= held)


def pixels_of_samples(page: Page, samples: NDArray[Any], how: Counting) -> Pixels:
    """Samples (H, W, S) as the pixels that they mean, not turned yet."""
    values = _wanted(page, samples)
    if page.photometric == IS_LAB:
        return _lab(values)
    if page.photometric == IS_PALETTE:
        return _coloured(page, values)
    if page.kind == FLOAT or page.bits > 16:
        pixels = _floats(values, how)
    elif how.top is None:
        pixels = np.array(values)
    else:
        shifted = values if not how.shift else values.astype(np.int32) + how.shift
        pixels = stretched(shifted, how.top, page.bits)
    if page.photometric == MIN_IS_WHITE:
        pixels[..., :1] = white_of(pixels) - pixels[..., :1]
    if page.alpha == "premultiplied" and page.layout in ("LA", "RGBA"):
        colour = BASES[page.photometric][1] + 1
        pixels[..., :colour] = unpremultiplied(pixels[..., :colour])
    return pixels


def _wanted(page: Page, samples: NDArray[Any]) -> NDArray[Any]:
    """The channels that the frame has."""
    if page.chosen:
        return samples[..., list(page.chosen)]
    return samples[..., : page.channels]


def _floats(values: NDArray[Any], how: Counting) -> Pixels:
    nodata = how.samples.nodata if how.samples else None

    def convert(strip: NDArray[Any]) -> NDArray[Any]:
        if how.white == 1 or strip.dtype.kind == "f":
            out = strip.astype(np.float32)
            out /= np.float32(how.white) if how.white != 1 else 1
        else:
            out = (strip / how.white).astype(np.float32)
        if nodata is not None:
            out[strip == strip.dtype.type(nodata)] = np.nan
        return out

    with np.errstate(over="ignore", invalid="ignore"):
        return by_strips(convert, values)


def _coloured(page: Page, values: NDArray[Any]) -> Pixels:
    """Palette indices as colours of 8 bits; the palette has 16, of which some writers fill the lower 8 only."""
    palette = np.array(page.palette, np.uint16).reshape(3, -1).T
    shift = 8 if palette.max(initial=0) > 255 else 0
    indices = values[..., 0].astype(np.intp)  # those of 1 bit come as bool, which would be a mask
    return np.asarray((palette >> shift).astype(np.uint8)[indices])


def _lab(values: NDArray[Any]) -> Pixels:
    """TIFF counts a and b signed around 0, a frame around the middle; L alike."""
    middle = 2 ** (8 * values.dtype.itemsize - 1)
    pixels = values.view(np.dtype(f"u{values.dtype.itemsize}")).copy()
    pixels[..., 1:3] ^= middle
    return pixels
