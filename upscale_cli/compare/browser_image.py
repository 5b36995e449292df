"""A picture file as a browser shows it: upright, 8 bits, gray or RGB, with its profile, and without its metadata."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upscale_cli.compare.pairing import Version
from upscale_cli.compare.strip_metadata import stripped
from upscale_cli.errors import InputError
from upscale_cli.events import Say
from upscale_cli.frames.image import Frame
from upscale_cli.media.image import icc
from upscale_cli.media.image.codecs.pillow_writer import pillow_image
from upscale_cli.media.image.convert import Notes, fitted
from upscale_cli.media.image.formats import Format
from upscale_cli.media.image.metadata import Metadata, PhotoInfo
from upscale_cli.media.image.reader_writer import ImageReader
from upscale_cli.media.image.source import calm_pillow

MAX_SIDE: Final = 16_384
MAX_PIXELS: Final = 100_000_000
"""What every browser of today still decodes and draws."""

PAGE: Final = Format("the page", (), layouts=("L", "LA", "RGB", "RGBA"), max_side=MAX_SIDE, icc=True)
"""What can be shown, as if the page were a picture format."""

_NATIVE: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WebP": "image/webp"}
_LEVEL: Final = 6
"""Of deflate: a page is written once and read often."""
_ORIENTATION: Final = 0x0112


@dataclass(frozen=True, slots=True)
class Picture:
    """A version of a picture, ready to be shown and measured.

    Attributes:
        version: where it is from.
        frame: 8-bit pixels, upright; "L", "LA", "RGB" or "RGBA".
        profile: ICC profile of these pixels; None for sRGB.
        mime, data: the file that goes into the page.
    """

    version: Version
    frame: Frame
    profile: bytes | None
    mime: str
    data: bytes

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frame.width, self.frame.height


def load(version: Version, say: Say) -> Picture:
    """Reads a picture; what a browser shows by itself stays coded as it is, all else becomes PNG.

    Args:
        say: gets what is lost on the way, in one line each.

    Raises:
        InputError: it cannot be read, or is larger than a browser shows.
    """
    info, frame, profile = as_shown(version.source, say)
    native = _native(version.source, info)
    if native is not None:
        return Picture(version, frame, profile, _NATIVE[info.format], native)
    return Picture(version, frame, profile, _NATIVE["PNG"], _png(frame, profile))


def as_shown(source: Path | bytes, say: Say) -> tuple[PhotoInfo, Frame, bytes | None]:
    """What the file says of itself, its first picture in 8 bits, upright, "L", "LA", "RGB" or "RGBA", and its profile.

    Raises:
        InputError: as `load`.
    """
    with ImageReader(source, say=say) as reader:
        info = reader.info
        if max(info.width, info.height) > MAX_SIDE or info.width * info.height > MAX_PIXELS:
            raise InputError(
                f"{info.name}: {info.width} x {info.height} pixels are more than a browser shows "
                f"({MAX_SIDE:,} a side, {MAX_PIXELS // 10**6} million in all). Compare a crop of it."
            )
        if info.frames > 1:
            say(f"{info.name}: only the first of its {info.frames} {'frames' if info.animated else 'pages'} is shown.")
        frame = next(iter(reader))
    return info, *in_8_bits(frame, info, say)


def in_8_bits(frame: Frame, info: PhotoInfo, say: Say) -> tuple[Frame, bytes | None]:
    """A picture of a file in uint8, "L", "LA", "RGB" or "RGBA", and the ICC profile of these; None for sRGB.

    Args:
        say: gets what is lost on the way, in one line each.
    """
    colour = Metadata(icc=info.metadata.icc)  # the rest stays out of the page, which needs no note
    frame, metadata = fitted(frame, colour, PAGE, Notes(say, info.name))
    profile = metadata.icc if metadata.icc and icc.space(metadata.icc) == frame.layout.removesuffix("A") else None
    return frame, profile


def _native(source: Path | bytes, info: PhotoInfo) -> bytes | None:
    """The file's own coded pixels, where a browser shows them as we do; else None."""
    if info.format not in _NATIVE or info.frames > 1 or info.bits != 8 or info.layout not in PAGE.layouts:
        return None
    data = source if isinstance(source, bytes) else source.read_bytes()
    return stripped(data, info.format) if _is_stored_upright(data) else None


def _is_stored_upright(data: bytes) -> bool:
    """Whether neither EXIF nor XMP turns the picture (browsers do not agree on which counts), as far as can be seen."""
    from PIL import Image

    try:
        with calm_pillow(), Image.open(io.BytesIO(data)) as image:
            return bool(image.getexif().get(_ORIENTATION, 1) == 1)
    except Exception:  # metadata that Pillow refuses in many ways, of a picture that our own decoder has read
        return False


def _png(frame: Frame, profile: bytes | None) -> bytes:
    buffer = io.BytesIO()
    pillow_image(frame).save(buffer, format="PNG", compress_level=_LEVEL, icc_profile=profile)
    return buffer.getvalue()
