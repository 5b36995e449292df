"""What a format cannot hold, made into what it can: depth, alpha, ink, profile. Each loss is reported once."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np

from upscale_cli.events import Say, each_once
from upscale_cli.frames.image import Frame, Layout, Pixels, Transfer
from upscale_cli.frames.pixels import (
    by_strips,
    display_of_light,
    from_float,
    light_of_display,
    on_white,
    to_8_bits,
)
from upscale_cli.media.image import icc, xmp_parts
from upscale_cli.media.image.foreign_header import without_header
from upscale_cli.media.image.formats import Format
from upscale_cli.media.image.metadata import Metadata


class Notes:
    """Tells the user each thing once, however many frames it is true of."""

    def __init__(self, say: Say, name: str) -> None:
        self._say, self.name = each_once(say), name

    def __call__(self, text: str) -> None:
        self._say(f"{self.name}: {text}")


def fitted(frame: Frame, metadata: Metadata, row: Format, notes: Notes) -> tuple[Frame, Metadata]:
    """The frame as the format can hold it, and the metadata that still describe it.

    Colours are converted while there are most bits to convert, so the depth comes last; float comes down first,
    because the colour engine's ranges are those of integers.
    """
    if metadata.header is not None and metadata.header.format != row.name:
        frame, metadata = without_header(frame, metadata, row, notes)
    if frame.extra and not row.extra_channels:
        notes(f"{row.name} holds no further bands: {frame.extra} of {frame.pixels.shape[2]} are left out")
        frame = frame.without_extra()
    if frame.pixels.dtype == np.float32 and 32 not in row.depths:
        frame, metadata = _without_float(frame, metadata, row, notes)
    metadata = _declared(frame, metadata, row, notes)
    frame, metadata = _in_a_layout_of(frame, metadata, row, notes)
    frame, metadata = _with_a_profile_of(frame, metadata, row, notes)
    if 8 * frame.pixels.dtype.itemsize not in row.depths:
        frame = _in_a_depth_of(frame, row, notes)
    return frame, _kept_by(row, metadata, notes)


def _declared(frame: Frame, metadata: Metadata, row: Format, notes: Notes) -> Metadata:
    """With a profile of what is declared by numbers, unless the format holds those, or the profile is there.

    A format without profiles gets one, too: by it the colours are converted next.
    """
    colours = metadata.colours
    if colours is None or (row.name == "PNG" and metadata.png_chunks) or (row.name == "JPEG" and colours.in_exif):
        return metadata
    if colours.hdr and row.codes:
        return replace(metadata, icc=None)
    if colours.hdr:
        notes(f"{row.name} as written here cannot say that colours are HDR ({colours.hdr}): their values stay the same")
        return replace(metadata, colours=None)
    if metadata.icc is None and not (row.name == "JPEG XL" and frame.layout in ("RGB", "RGBA") and colours.codes):
        profile = colours.profile(frame.layout.removesuffix("A") if frame.has_alpha else frame.layout)
        if profile is None:
            notes("declares colours that are not known here: taken as sRGB")
        return replace(metadata, icc=profile, colours=colours if profile else None)
    return metadata


def _without_float(frame: Frame, metadata: Metadata, row: Format, notes: Notes) -> tuple[Frame, Metadata]:
    dtype = np.uint16 if 16 in row.depths else np.uint8
    clipped = f"clipped to 0..1 and written with {8 * np.dtype(dtype).itemsize} bits"
    if frame.transfer == "linear" and metadata.icc is None:  # nothing would tell the reader that it is light
        notes(f"{row.name} holds no float: light is brought to sRGB's curve, {clipped}")
        frame = _through(display_of_light, frame, "display")
        metadata = replace(metadata, colours=metadata.colours and metadata.colours.on_srgb_curve())
    else:
        notes(f"{row.name} holds no float: {clipped}")
    return replace(frame, pixels=from_float(frame.pixels, dtype)), metadata


def _through(curve: Callable[[Pixels], Pixels], frame: Frame, transfer: Transfer) -> Frame:
    """The same picture with its colours, not its alpha, through a curve."""
    pixels = curve(frame.pixels)
    if frame.has_alpha:
        pixels[..., -1] = frame.pixels[..., -1]
    return replace(frame, pixels=pixels, transfer=transfer)


def _in_a_layout_of(frame: Frame, metadata: Metadata, row: Format, notes: Notes) -> tuple[Frame, Metadata]:
    if frame.layout in row.layouts:
        return frame, metadata
    if frame.layout in ("CMYK", "LAB"):
        through = "its profile" if metadata.icc else ("no profile" if frame.layout == "CMYK" else "its definition")
        notes(f"{row.name} holds no {frame.layout}: converted to sRGB through {through}")
        return _to_srgb(frame, metadata, notes)
    if frame.layout in ("LA", "RGBA") and not any(layout in ("LA", "RGBA") for layout in row.layouts):
        notes(f"{row.name} holds no alpha: flattened on white")
        opaque = cast(Layout, frame.layout[:-1])
        return _in_a_layout_of(replace(frame, pixels=on_white(frame.pixels), layout=opaque), metadata, row, notes)
    # What remains is gray for a format that has colour only.
    if metadata.icc and icc.space(metadata.icc) == "L":
        notes(f"{row.name} holds no gray: converted to sRGB through its profile")
        return _to_srgb(frame, metadata, notes)
    alpha = frame.pixels[..., 1:]
    pixels = np.concatenate([np.repeat(frame.pixels[..., :1], 3, axis=2), alpha], axis=2)
    return replace(frame, pixels=pixels, layout="RGBA" if alpha.shape[2] else "RGB"), metadata


def _with_a_profile_of(frame: Frame, metadata: Metadata, row: Format, notes: Notes) -> tuple[Frame, Metadata]:
    if row.icc:
        return frame, metadata
    return without_profile(frame, metadata, f"{row.name} as written here holds no ICC profile", notes)


def without_profile(frame: Frame, metadata: Metadata, reason: str, notes: Notes) -> tuple[Frame, Metadata]:
    """The same in sRGB, in the same layout, where the profile would be lost and it matters; `reason` is the cause."""
    profile = metadata.icc
    if profile is None:
        return frame, metadata
    base = frame.layout.removesuffix("A") if frame.layout in ("LA", "RGBA") else frame.layout
    if icc.is_srgb(profile) or icc.space(profile) != base:
        return frame, replace(metadata, icc=None, colours=None)
    if frame.pixels.dtype == np.float32:
        notes(f"{reason}: it is lost, the values stay as they were")
        return frame, replace(metadata, icc=None, colours=None)
    notes(f"{reason}: colours converted to sRGB")
    converted, metadata = _to_srgb(frame, metadata, notes)
    if base == "L":
        alpha = converted.pixels[..., 3:]
        pixels = np.concatenate([converted.pixels[..., 1:2], alpha], axis=2)
        converted = replace(converted, pixels=pixels, layout=frame.layout)
    return converted, metadata


def _to_srgb(frame: Frame, metadata: Metadata, notes: Notes) -> tuple[Frame, Metadata]:
    """Any layout to RGB(A) in sRGB; a profile that cannot be used is left aside."""
    if frame.pixels.dtype == np.float32:
        frame = replace(frame, pixels=from_float(frame.pixels, np.uint16))
    alpha_channels = 1 if frame.has_alpha else 0
    channels = frame.pixels.shape[2] - alpha_channels
    base = frame.layout[:-1] if frame.has_alpha else frame.layout
    profile = metadata.icc if metadata.icc and icc.space(metadata.icc) == base else None

    def convert(strip: Pixels) -> Pixels:
        color = icc.to_srgb(strip[..., :channels], base, profile)
        return np.concatenate([color, strip[..., channels:]], axis=2) if alpha_channels else color

    try:
        pixels = by_strips(convert, frame.pixels)
    except (ValueError, RuntimeError):
        notes("its ICC profile is damaged and left aside")
        profile = None
        pixels = by_strips(convert, frame.pixels)
    layout: Layout = "RGBA" if alpha_channels else "RGB"
    return Frame(pixels, layout, "display", frame.duration_ms), replace(metadata, icc=None, colours=None)


def _in_a_depth_of(frame: Frame, row: Format, notes: Notes) -> Frame:
    if row.depths == (32,):
        top = np.float32(np.iinfo(frame.pixels.dtype).max)
        frame = replace(frame, pixels=frame.pixels.astype(np.float32) / top)
        return _through(light_of_display, frame, "linear") if row.light and frame.transfer == "display" else frame
    if frame.pixels.dtype == np.uint8:  # pragma: no cover -- every integer format holds 8 bits
        return replace(frame, pixels=frame.pixels.astype(np.uint16) * 257)
    notes(f"{row.name} holds 8 bits per channel: rounded from 16")
    return replace(frame, pixels=to_8_bits(frame.pixels))


def _kept_by(row: Format, metadata: Metadata, notes: Notes) -> Metadata:
    if (metadata.exif and not row.exif) or (metadata.xmp and not row.xmp):
        notes(f"{row.name} holds no EXIF or XMP: left out")
    aspect = metadata.aspect
    if aspect and not row.aspect and aspect[0] != aspect[1]:
        notes(f"{row.name} as written here holds no pixel aspect: pixels of {aspect[0]}:{aspect[1]} are shown square")
    metadata = _with_parts_of(row, metadata, notes)
    if metadata.tiff:
        lost = list(metadata.tiff.lost) + ([] if row.name == "TIFF" else metadata.tiff.beyond_tiff())
        if lost:
            notes(f"left out: {'; '.join(lost)}")
    return replace(
        metadata,
        icc=metadata.icc if row.icc else None,
        exif=metadata.exif if row.exif else None,
        xmp=metadata.xmp if row.xmp else None,
        dpi=metadata.dpi if row.dpi else None,
        aspect=aspect if row.aspect else None,
        tiff=metadata.tiff if row.name == "TIFF" else None,
        png_chunks=metadata.png_chunks if row.name == "PNG" else (),
    )


_LOST_PARTS = {
    "clip": "the clip of this motion photo, and what its XMP says of it, is",
    "gain map": "the gain map, which makes it an HDR picture, and what its XMP says of it, is",
    "trailer": "data after the picture, which a Samsung camera appended, is",
}


def _with_parts_of(row: Format, metadata: Metadata, notes: Notes) -> Metadata:
    """With what the format can hold beside a picture; XMP that speaks of anything else is told to stop."""
    kept = tuple(part for part in metadata.parts if part.kind in row.parts)
    for part in metadata.parts:
        if part not in kept:
            notes(f"{_LOST_PARTS[part.kind]} left out, for {row.name} as written here holds none")
    packet = metadata.xmp
    if packet and not kept:  # else the encoder says what the file holds, once it knows
        packet = xmp_parts.described(packet, xmp_parts.Held())
        if packet != metadata.xmp and not metadata.parts:
            notes("its XMP announces a clip, a gain map or extended XMP that is not there: that is left out")
    return replace(metadata, xmp=packet, parts=kept)
