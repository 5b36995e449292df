"""JPEG, WebP, BMP, GIF, AVIF, TGA and 8-bit JPEG 2000: what Pillow decodes in full."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame, Layout, Transfer
from upscale_cli.frames.pixels import empty_upright
from upscale_cli.media.image import icc
from upscale_cli.media.image.codecs.avif_reader import deep_frame
from upscale_cli.media.image.codecs.gif_reader import extent_of
from upscale_cli.media.image.codecs.heif_items import Primary, colours_of, primary_of
from upscale_cli.media.image.codecs.heif_parts import parts_of
from upscale_cli.media.image.codecs.jpeg_coding import refuse_rare_codings
from upscale_cli.media.image.codecs.jpeg_damage import decoded, refuse_damage, warning_of
from upscale_cli.media.image.codecs.jpeg_segments import behind_picture
from upscale_cli.media.image.codecs.vips_reader import jpeg_row_reader
from upscale_cli.media.image.colours import adobe_rgb
from upscale_cli.media.image.exif import is_adobe_rgb
from upscale_cli.media.image.metadata import Metadata, PhotoInfo, upright_metadata
from upscale_cli.media.image.photoshop import JPEG_NAME, of_any_size
from upscale_cli.media.image.source import Picture, Source, calm_pillow, decoding, stream_of

if TYPE_CHECKING:
    from PIL import Image

_PLUGINS = {
    "JPEG": ("JPEG", "MPO"),
    "WebP": ("WEBP",),
    "BMP": ("BMP", "DIB"),
    "GIF": ("GIF",),
    "AVIF": ("AVIF",),
    "TGA": ("TGA",),
    "PCX": ("PCX",),
    "ICO": ("ICO",),
    "DDS": ("DDS",),
    "TIFF": ("TIFF",),
    "PNG": ("PNG",),
}
_STRIP_PIXELS = 2**20
_END_OF_JPEG = b"\xff\xd9"
_CUT = "end of JPEG file"
"""In libjpeg's warning about a file that ends before its picture."""

_GIF_ASPECT_AT = 12


def open_with_pillow(source: Source, format: str) -> Picture:
    """A picture that Pillow decodes, of the format that its content shows.

    Raises:
        InputError: damaged, truncated or too large.
    """
    with decoding(source), calm_pillow():
        if format == "WebP":
            source.check_size(*_webp_size(source))  # libwebp takes memory for the canvas as soon as it is opened
        if format == "GIF":
            source.check_size(*extent_of(source.file))
        if format == "JPEG":
            refuse_rare_codings(source)
        image = _opened(source, format)
        source.check_size(*image.size)
        frames = 1 if format == "JPEG" else int(getattr(image, "n_frames", 1))
        primary = primary_of(source.file) if format == "AVIF" else Primary()
        deep = primary.bits > 8 and frames == 1
        _say_what_is_lost(source, image, format, primary, deep)
        metadata, orientation = _metadata(source, image, format, primary)
        if format == "JPEG":
            metadata = _with_parts(source, metadata, image, orientation)
        elif format == "AVIF":
            metadata = replace(metadata, parts=parts_of(source.file))
        animated = frames > 1
        if animated:
            metadata = replace(metadata, plays=_plays(image, format))
        layout, dtype, _ = plan(image, animated)
        width, height = image.size if orientation < 5 else image.size[::-1]
        info = PhotoInfo(
            name=source.name,
            format=format,
            width=width,
            height=height,
            layout=layout,
            bits=16 if deep else {1: 8, 2: 16, 4: 32}[np.dtype(dtype).itemsize],  # type: ignore[arg-type]
            sample_bits=primary.bits if deep else 0,
            frames=frames,
            animated=animated,
            metadata=metadata,
            lossless=_is_lossless(source, format),
            total_pixels=frames * width * height,
        )
    row_reader = None
    if format == "JPEG" and orientation == 1:
        row_reader = jpeg_row_reader(source, height, width, layout, _transfer(info))
    if deep:
        return Picture(info, lambda: deep_frame(source, info, orientation))
    return Picture(info, lambda: _frames(source, image, info, orientation), row_reader)


def _loaded(source: Source, image: "Image.Image", format: str) -> "Image.Image":
    """The still with its pixels decoded; of a JPEG to be salvaged, those that are there."""
    try:
        image.load()
    except OSError:
        if not (source.salvage and format == "JPEG"):
            raise
        source.say(f"{source.name}: truncated or damaged; what could be decoded is taken, the rest is left gray")
        image = _opened(source, format, cut=True)
        image.load()
        return image
    if format == "JPEG":
        _check_data(source)
    return image


def _jpeg_pixels(source: Source, image: "Image.Image", orientation: int) -> "NDArray[Any] | None":
    """A JPEG in gray or R'G'B', upright; None where Pillow has to decode it: inks, and what is damaged and taken.

    Raises:
        InputError, OSError: its data are damaged.
    """
    if image.mode not in ("L", "RGB"):
        return None
    found = decoded(_jpeg(source, cut=False), image.height, image.width, len(image.mode), orientation)
    if found is None or (found[1] and source.salvage):
        return None
    if _CUT in found[1]:
        raise OSError(found[1])
    refuse_damage(source, found[1])
    return found[0]


def _check_data(source: Source) -> None:
    """Refuses a JPEG whose data end too early for its pixels; with salvage, says so."""
    wrong = warning_of(_jpeg(source, cut=False))
    if wrong and source.salvage:
        source.say(f"{source.name}: damaged ({wrong}); what could be decoded is taken, the rest is left gray")
    else:
        refuse_damage(source, wrong)


def _opened(source: Source, format: str, cut: bool = False) -> "Image.Image":
    from PIL import Image, UnidentifiedImageError

    source.file.seek(0)
    file = _jpeg(source, cut) if format == "JPEG" else source.file
    try:
        return Image.open(file, formats=_PLUGINS[format])
    except UnidentifiedImageError as error:
        if format == "GIF":
            source.file.seek(6)
            source.check_size(*struct.unpack("<HH", source.file.read(4).ljust(4, b"\0")))
        raise InputError(f"{source.name}: begins as {format}, but is none that can be read. It is damaged.") from error


def _jpeg(source: Source, cut: bool) -> BinaryIO:
    """The file from where the JPEG begins; `cut` adds an end marker, which makes libjpeg finish with what it has."""
    source.file.seek(0)
    junk = max(source.file.read(1024).find(b"\xff\xd8\xff"), 0)
    source.file.seek(0)
    if not junk and not cut:
        return source.file
    return stream_of(source.file.read()[junk:] + (_END_OF_JPEG if cut else b""))


def _transfer(info: PhotoInfo) -> Transfer:
    return "linear" if info.layout != "CMYK" and info.metadata.is_linear else "display"


def _frames(source: Source, image: "Image.Image", info: PhotoInfo, orientation: int) -> Iterator[Frame]:
    transfer = _transfer(info)
    if not info.animated:
        with decoding(source), calm_pillow():
            layout, dtype, convert = plan(image, animated=False)
            whole = _jpeg_pixels(source, image, orientation) if info.format == "JPEG" else None
            if whole is None:
                image = _loaded(source, image, info.format)
                layout, dtype, convert = plan(image, animated=False)  # the palette is known by now
                whole = pixels_of(image, len(layout), dtype, convert, orientation)
            pixels = whole
            image.close()
        yield Frame(pixels, layout, transfer)
        return
    size = image.size
    for index in range(info.frames):
        with decoding(source), calm_pillow(source.max_pixels):
            image.seek(index)
            image.load()
            duration = image.info.get("duration", 0)
            layout, dtype, convert = plan(image, animated=True)
            image_of_frame = image if image.size == size else image.crop((0, 0, *size))
            pixels = pixels_of(image_of_frame, len(layout), dtype, convert, orientation)
            layout, pixels = without_opaque_alpha(layout, pixels)
        yield Frame(pixels, layout, transfer, duration_ms=float(duration))


def without_opaque_alpha(layout: Layout, pixels: NDArray[Any]) -> tuple[Layout, NDArray[Any]]:
    """A composed frame of an animation without its alpha where that is opaque throughout (the net is spared it)."""
    if layout not in ("LA", "RGBA") or (pixels[..., -1] != np.iinfo(pixels.dtype).max).any():
        return layout, pixels
    return cast(Layout, layout[:-1]), np.ascontiguousarray(pixels[..., :-1])


Convert = Callable[["Image.Image"], "Image.Image"]


def plan(image: "Image.Image", animated: bool) -> tuple[Layout, Any, Convert]:
    """Layout and dtype that a Pillow image becomes, and how a strip of it is converted."""
    mode = image.mode
    transparent = "transparency" in image.info
    if animated:
        return "RGBA", np.uint8, lambda strip: strip.convert("RGBA")
    if mode == "P":
        gray = _is_gray_palette(image) and icc.space(image.info.get("icc_profile", b"")) != "RGB"
        target: Layout = ("LA" if gray else "RGBA") if transparent else ("L" if gray else "RGB")
        return (
            target,
            np.uint8,
            lambda strip: strip.convert("RGBA").convert(target) if transparent else strip.convert(target),
        )
    if mode.startswith("I;16"):
        return "L", np.uint16, lambda strip: strip
    if mode == "F":
        return "L", np.float32, lambda strip: strip
    known: dict[str, Layout] = {
        "1": "L",
        "L": "L",
        "La": "LA",
        "LA": "LA",
        "PA": "RGBA",
        "RGB": "RGB",
        "RGBX": "RGB",
        "YCbCr": "RGB",
        "HSV": "RGB",
        "RGBA": "RGBA",
        "RGBa": "RGBA",
        "CMYK": "CMYK",
        "LAB": "LAB",
    }
    if mode not in known:
        raise InputError(f"pixels of Pillow's mode {mode} are not read. Convert the picture to RGB first.")
    layout = known[mode]
    if transparent and layout in ("L", "RGB"):
        layout = "LA" if layout == "L" else "RGBA"
    return layout, np.uint8, lambda strip: strip if strip.mode == layout else strip.convert(layout)


def pixels_of(image: "Image.Image", channels: int, dtype: Any, convert: Convert, orientation: int = 1) -> NDArray[Any]:
    """The pixels of a loaded image, upright, (H, W, C).

    Copied strip by strip: Pillow's own way holds the picture three times for a moment.
    """
    channels = 3 if image.mode == "LAB" else channels
    width, height = image.size
    upright, stored = empty_upright(height, width, channels, dtype, orientation)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = np.asarray(convert(image.crop((0, top, width, bottom))))
        stored[top:bottom] = strip if strip.ndim == 3 else strip[..., None]
    if image.mode == "LAB":
        upright[..., 1:] ^= 128  # Pillow gives a and b away as signed bytes
    return cast("NDArray[Any]", upright)


def _is_gray_palette(image: "Image.Image") -> bool:
    entries = np.asarray(image.getpalette("RGB") or [], np.uint8)[: 256 * 3].reshape(-1, 3)
    used = image.getextrema()[1] if image.im is not None else 255
    entries = entries[: int(cast(float, used)) + 1]
    return bool(len(entries)) and bool((entries == entries[:, :1]).all())


def _metadata(source: Source, image: "Image.Image", format: str, primary: Primary) -> tuple[Metadata, int]:
    found = image.info
    exif, profile, comment = (found.get(key) for key in ("exif", "icc_profile", "comment"))
    colours = colours_of(primary, profile is not None)
    if (
        format == "JPEG"
        and profile is None
        and isinstance(exif, bytes)
        and is_adobe_rgb(exif.removeprefix(b"Exif\0\0"))
    ):
        colours = adobe_rgb()
    metadata, orientation = upright_metadata(
        icc=profile,
        colours=colours,
        exif=exif if isinstance(exif, bytes) else None,
        xmp=found.get("xmp"),
        dpi=_dpi(found.get("dpi")),
        aspect=primary.aspect[::-1] if primary.aspect else _aspect(source, image, format),
    )
    return replace(metadata, comment=comment if isinstance(comment, bytes) else b""), orientation


def _aspect(source: Source, image: "Image.Image", format: str) -> tuple[int, int] | None:
    """Density without a unit: of JFIF; of GIF, which notes (64 times the pixel's width over its height) - 15."""
    if format == "JPEG" and image.info.get("jfif_unit") == 0:
        across, down = image.info["jfif_density"]
        return int(across), int(down)
    if format == "GIF":
        source.file.seek(_GIF_ASPECT_AT)
        noted = int.from_bytes(source.file.read(1), "little")
        return (64, noted + 15) if noted not in (0, 49) else None
    return None


def _with_parts(source: Source, metadata: Metadata, image: "Image.Image", orientation: int) -> Metadata:
    """The metadata of a JPEG with what is behind it; reports what cannot be carried."""
    found = behind_picture(source, metadata.xmp, orientation, image.size)
    if found.pictures:
        source.say(f"{source.name}: holds further pictures (MPF: a preview or a second view), which are left out")
    if found.unknown:
        source.say(f"{source.name}: {found.unknown:,} bytes of data after the picture are left out")
    resources = b"".join(
        data.removeprefix(JPEG_NAME)
        for kind, data in getattr(image, "applist", ())
        if kind == "APP13" and data.startswith(JPEG_NAME)
    )
    return replace(metadata, parts=found.parts, photoshop=of_any_size(resources))


def _dpi(found: Any) -> tuple[float, float] | None:
    try:
        return float(found[0]), float(found[1])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None


def _plays(image: "Image.Image", format: str) -> int:
    """How often an animation is shown; 0 for ever. A GIF counts repetitions, and has no count if there are none."""
    if format == "GIF":
        loop = image.info.get("loop")
        return 1 if loop is None else int(loop) + 1 if loop else 0
    return int(image.info.get("loop", 0))


def _webp_size(source: Source) -> tuple[int, int]:
    """Width and height from the first chunk of a WebP file (RFC 9649, 2.5 to 2.7)."""
    source.file.seek(12)
    head = source.file.read(18).ljust(18, b"\0")
    if head[:4] == b"VP8X":
        return int.from_bytes(head[12:15], "little") + 1, int.from_bytes(head[15:18], "little") + 1
    if head[:4] == b"VP8L":
        both = int.from_bytes(head[9:13], "little")
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", head, 14)
    return width & 0x3FFF, height & 0x3FFF


def _say_what_is_lost(source: Source, image: "Image.Image", format: str, primary: Primary, deep: bool) -> None:
    """Reports what is left out silently."""
    if format == "ICO" and len(image.info.get("sizes", ())) > 1:
        source.say(f"{source.name}: the largest of its pictures is taken; an icon gets smaller ones made of that")
    if primary.bits > 8 and not deep:
        source.say(f"{source.name}: animated AVIF of more than 8 bits per channel is read with 8")
    if b"tmap" in primary.types:
        source.say(f"{source.name}: its gain map, which makes it an HDR picture, is left out")


def _is_lossless(source: Source, format: str) -> bool:
    if format != "WebP":
        return format in ("BMP", "GIF", "TGA", "PCX", "ICO", "DDS")
    source.file.seek(0)
    return b"VP8L" in source.file.read(64 * 1024)
