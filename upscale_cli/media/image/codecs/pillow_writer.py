"""WebP, BMP, TGA, PCX and ICO stills, and AVIF of 8 bits, through Pillow."""

import io
import struct
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, cast

import numpy as np

from upscale_cli.files.atomic_file import Stream
from upscale_cli.frames.image import Frame
from upscale_cli.media.image.codecs.heif_parts import appended
from upscale_cli.media.image.encoder import Encoder, Encoding
from upscale_cli.media.image.exif import without_orientation
from upscale_cli.media.image.metadata import Metadata

if TYPE_CHECKING:
    from PIL import Image

AVIF_SPEED: Final = 6
_PLUGINS = {"WebP": "WEBP"}
_ICON_SIDES = (16, 24, 32, 48, 64, 128)


def pillow_image(frame: Frame) -> "Image.Image":
    """An 8-bit frame as a Pillow image that borrows the frame's memory where Pillow's layout is the same."""
    from PIL import Image

    pixels, size = np.ascontiguousarray(frame.pixels), (frame.width, frame.height)
    # Pillow's stubs know bytes and array interfaces only.
    return Image.frombuffer(frame.layout, size, cast(Any, pixels), "raw", frame.layout, 0, 1)


class PillowStill(Encoder):
    """One 8-bit picture in a format that Pillow writes."""

    def add(self, frame: Frame, metadata: Metadata) -> None:
        save_still(self.job, frame, metadata, self.job.stream)


def save_still(job: Encoding, frame: Frame, metadata: Metadata, stream: Stream | BinaryIO) -> None:
    """Write one picture with its metadata to a stream."""
    name = job.row.name
    clip = b""
    if name in ("WebP", "AVIF"):
        options = webp_options(job) if name == "WebP" else avif_options(job)
        packet, clip = appended(metadata, "image/avif")
        options |= {"exif": metadata.exif or b"", "xmp": packet or b"", "icc_profile": metadata.icc or b""}
        if name == "AVIF":  # which notes an orientation elsewhere
            options["exif"] = without_orientation(options["exif"])
    elif name == "TGA":
        options = {"compression": "tga_rle"}
    elif name == "ICO":
        options = {"sizes": _icon_sizes(frame.width, frame.height)}
    else:
        options = {"dpi": metadata.dpi} if metadata.dpi else {}
    if name == "PCX":
        stream.write(_pcx(frame, metadata))
    else:
        pillow_image(frame).save(cast("IO[bytes]", stream), format=_PLUGINS.get(name, name), **options)
    if clip:
        stream.write(clip)


def _icon_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """What an icon holds: the picture, and the usual smaller ones that Pillow makes of it."""
    return [*((side, side) for side in _ICON_SIDES if side < min(width, height)), (width, height)]


def _pcx(frame: Frame, metadata: Metadata) -> bytes:
    """Pillow writes 100 dots per inch into every header (bytes 12 to 15)."""
    buffer = io.BytesIO()
    pillow_image(frame).save(buffer, format="PCX")
    data = bytearray(buffer.getvalue())
    if metadata.dpi:
        data[12:16] = struct.pack("<HH", *(min(max(round(side), 1), 65_535) for side in metadata.dpi))
    return bytes(data)


def webp_options(job: Encoding) -> dict[str, Any]:
    """`exact` keeps the colour under transparent pixels, which the next resampling would bleed into its neighbours."""
    if job.lossless:
        return {"lossless": True, "quality": 75, "method": 4, "exact": True}
    return {"quality": job.lossy_quality, "method": 4, "exact": True, "use_sharp_yuv": True}


def avif_options(job: Encoding) -> dict[str, Any]:
    """What Pillow's AVIF encoder is given; chroma stays at full resolution."""
    return {"quality": job.lossy_quality, "subsampling": "4:4:4", "speed": AVIF_SPEED}
