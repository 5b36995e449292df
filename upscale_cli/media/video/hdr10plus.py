"""HDR10+: how the tones of one frame are meant, as libavutil holds it, as a T.35 message, and for another size. Pure.

Sources: SMPTE ST 2094-40 (application 4) and CTA-861-H annex S for the message, bit by bit; `AVDynamicHDRPlus` of
libavutil/hdr_dynamic_metadata.h for the values, which decoders attach to their frames.
"""

import ctypes
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

HEADER: Final = bytes((0xB5, 0x00, 0x3C, 0x00, 0x01, 4))
"""Of the message: country (United States), provider (Samsung), its code for this, application 4."""

_MOST_PIXELS: Final = 2**16 - 1


class _Rational(ctypes.Structure):
    _fields_ = (("num", ctypes.c_int), ("den", ctypes.c_int))


class _Percentile(ctypes.Structure):
    _fields_ = (("percentage", ctypes.c_uint8), ("percentile", _Rational))


class _Window(ctypes.Structure):
    _fields_ = (
        ("upper_left_x", _Rational),
        ("upper_left_y", _Rational),
        ("lower_right_x", _Rational),
        ("lower_right_y", _Rational),
        ("centre_x", ctypes.c_uint16),
        ("centre_y", ctypes.c_uint16),
        ("rotation", ctypes.c_uint8),
        ("semimajor_internal", ctypes.c_uint16),
        ("semimajor_external", ctypes.c_uint16),
        ("semiminor_external", ctypes.c_uint16),
        ("overlap", ctypes.c_int),
        ("maxscl", _Rational * 3),
        ("average_maxrgb", _Rational),
        ("num_percentiles", ctypes.c_uint8),
        ("percentiles", _Percentile * 15),
        ("fraction_bright", _Rational),
        ("has_tone_mapping", ctypes.c_uint8),
        ("knee_x", _Rational),
        ("knee_y", _Rational),
        ("num_anchors", ctypes.c_uint8),
        ("anchors", _Rational * 15),
        ("has_saturation", ctypes.c_uint8),
        ("saturation", _Rational),
    )


class _Metadata(ctypes.Structure):
    _fields_ = (
        ("country", ctypes.c_uint8),
        ("version", ctypes.c_uint8),
        ("num_windows", ctypes.c_uint8),
        ("windows", _Window * 3),
        ("target_luminance", _Rational),
        ("has_target_peaks", ctypes.c_uint8),
        ("target_rows", ctypes.c_uint8),
        ("target_columns", ctypes.c_uint8),
        ("target_peaks", (_Rational * 25) * 25),
        ("has_mastering_peaks", ctypes.c_uint8),
        ("mastering_rows", ctypes.c_uint8),
        ("mastering_columns", ctypes.c_uint8),
        ("mastering_peaks", (_Rational * 25) * 25),
    )


def scaled(metadata: bytes, across: Fraction, down: Fraction) -> bytes:
    """The same for a picture of another size: windows that have coordinates lie where they lay.

    Args:
        metadata: an `AVDynamicHDRPlus`.
        across, down: pixels of the new picture per pixel of the old.
    """
    value: Any = _Metadata.from_buffer_copy(metadata)
    for window in value.windows[1 : value.num_windows]:  # the first is the whole picture, and has none
        for corner, factor in (("upper_left_x", across), ("upper_left_y", down)):
            _set(window, corner, _pixels(_of(window, corner) * factor))
        for corner, factor in (("lower_right_x", across), ("lower_right_y", down)):  # the last pixel inside
            _set(window, corner, _pixels((_of(window, corner) + 1) * factor - 1))
        window.centre_x = _pixels((window.centre_x + Fraction(1, 2)) * across - Fraction(1, 2))
        window.centre_y = _pixels((window.centre_y + Fraction(1, 2)) * down - Fraction(1, 2))
        for axis in ("semimajor_internal", "semimajor_external", "semiminor_external"):
            setattr(window, axis, _pixels(getattr(window, axis) * (across + down) / 2))
    return bytes(value) + metadata[ctypes.sizeof(_Metadata) :]


def message(metadata: bytes) -> bytes:
    """The T.35 message, its country code first.

    Args:
        metadata: an `AVDynamicHDRPlus`.
    """
    value: Any = _Metadata.from_buffer_copy(metadata)
    bits = "".join(f"{number:0{width}b}" for number, width in _numbers(value))
    bits += "0" * (-len(bits) % 8)
    return HEADER + int(bits, 2).to_bytes(len(bits) // 8, "big")


def _numbers(value: Any) -> Iterator[tuple[int, int]]:
    """(value, bits) of each field, in the order of the message."""
    windows = value.windows[: value.num_windows]
    yield value.version, 8
    yield value.num_windows, 2
    for window in windows[1:]:
        for corner in ("upper_left_x", "upper_left_y", "lower_right_x", "lower_right_y"):
            yield _pixels(_of(window, corner)), 16
        yield from ((window.centre_x, 16), (window.centre_y, 16), (window.rotation, 8))
        yield from ((window.semimajor_internal, 16), (window.semimajor_external, 16), (window.semiminor_external, 16))
        yield window.overlap, 1
    yield _coded(value.target_luminance, 1), 27
    yield from _peaks(value.has_target_peaks, value.target_rows, value.target_columns, value.target_peaks)
    for window in windows:
        for level in (*window.maxscl, window.average_maxrgb):
            yield _coded(level, 100_000), 17
        yield window.num_percentiles, 4
        for entry in window.percentiles[: window.num_percentiles]:
            yield from ((entry.percentage, 7), (_coded(entry.percentile, 100_000), 17))
        yield _coded(window.fraction_bright, 1000), 10
    yield from _peaks(value.has_mastering_peaks, value.mastering_rows, value.mastering_columns, value.mastering_peaks)
    for window in windows:
        yield window.has_tone_mapping, 1
        if window.has_tone_mapping:
            yield from ((_coded(window.knee_x, 4095), 12), (_coded(window.knee_y, 4095), 12), (window.num_anchors, 4))
            for anchor in window.anchors[: window.num_anchors]:
                yield _coded(anchor, 1023), 10
        yield window.has_saturation, 1
        if window.has_saturation:
            yield _coded(window.saturation, 8), 6


def _peaks(is_there: int, rows: int, columns: int, peaks: Any) -> Iterator[tuple[int, int]]:
    yield is_there, 1
    if is_there:
        yield from ((rows, 5), (columns, 5))
        for row in peaks[:rows]:
            for peak in row[:columns]:
                yield _coded(peak, 15), 4


def _coded(level: _Rational, unit: int) -> int:
    """A level as the message counts it: in parts of which `unit` make 1."""
    return round(Fraction(int(level.num), int(level.den) or 1) * unit)


def _of(window: Any, name: str) -> Fraction:
    level = getattr(window, name)
    return Fraction(level.num, level.den or 1)


def _set(window: Any, name: str, pixels: int) -> None:
    setattr(window, name, _Rational(pixels, 1))


def _pixels(place: Fraction) -> int:
    return min(max(0, round(place)), _MOST_PIXELS)
