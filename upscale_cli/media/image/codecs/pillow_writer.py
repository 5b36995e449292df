"""JPEG, WebP, BMP, TGA and AVIF stills, through Pillow."""

import io
import threading
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from upscale_cli.files.atomic_file import Stream
from upscale_cli.frames.image import Frame, Layout, Pixels
from upscale_cli.frames.rows import Rows
from upscale_cli.media.image.codecs.jpeg_writer import jpeg_parts, with_metadata
from upscale_cli.media.image.encoder import Encoder, Encoding
from upscale_cli.media.image.exif import without_orientation
from upscale_cli.media.image.metadata import Metadata

if TYPE_CHECKING:
    from PIL import Image

_JPEG_SEGMENT = 65_533
_OPTIMIZED_PIXELS = 16_000_000
_XMP_HEADER = 29
_EXIF_HEADER = 6
_PLUGINS = {"WebP": "WEBP"}
_CONCURRENT = ("L", "RGB")
"""Layouts of JPEGs that are encoded without the GIL, where other threads may be at work."""


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

    def add_rows(self, picture: Rows, layout: Layout, metadata: Metadata) -> None:
        if self.job.row.name != "JPEG":
            super().add_rows(picture, layout, metadata)
        options = _jpeg(self.job, metadata, picture.width * picture.height)
        options |= {"optimize": False, "restart_marker_rows": 1}

        def encode(rows: Pixels, stream: BinaryIO) -> None:
            pillow_image(Frame(rows, layout)).save(stream, format="JPEG", **options)

        for part in jpeg_parts(picture, encode):
            self.job.stream.write(part)


def save_still(job: Encoding, frame: Frame, metadata: Metadata, stream: Stream | BinaryIO) -> None:
    """Write one picture with its metadata to a stream."""
    name = job.row.name
    if name == "JPEG":
        options = _jpeg(job, metadata, frame.width * frame.height)
    elif name in ("WebP", "AVIF"):
        options = webp_options(job) if name == "WebP" else avif_options(job)
        options |= {"exif": metadata.exif or b"", "xmp": metadata.xmp or b"", "icc_profile": metadata.icc or b""}
        if name == "AVIF":  # which notes an orientation elsewhere
            options["exif"] = without_orientation(options["exif"])
    elif name == "TGA":
        options = {"compression": "tga_rle"}
    else:
        options = {"dpi": metadata.dpi} if metadata.dpi else {}
    is_alone = threading.current_thread() is threading.main_thread()
    if name == "JPEG" and frame.layout in _CONCURRENT and options["optimize"] and not is_alone:
        stream.write(_jpeg_concurrently(frame, options))
    else:
        pillow_image(frame).save(cast("IO[bytes]", stream), format=_PLUGINS.get(name, name), **options)


def _jpeg_concurrently(frame: Frame, options: dict[str, Any]) -> bytes:
    """The file that Pillow would write, byte for byte, by way of imagecodecs, which releases the GIL: Pillow's
    own encoder does not. The metadata are still Pillow's."""
    import imagecodecs

    pixels = np.ascontiguousarray(frame.pixels[:, :, 0] if frame.layout == "L" else frame.pixels)
    data = bytes(imagecodecs.jpeg8_encode(pixels, level=options["quality"], subsampling="444", optimize=True))
    model = io.BytesIO()
    options = {**options, "optimize": False}  # which would need all metadata in one buffer of Pillow's
    pillow_image(Frame(frame.pixels[:1, :1], frame.layout)).save(model, format="JPEG", **options)
    return with_metadata(data, model.getvalue())


def _jpeg(job: Encoding, metadata: Metadata, pixels: int) -> dict[str, Any]:
    """Baseline, 4:4:4; metadata that no segment can hold are left out.

    Huffman tables are made for the picture while it is small enough: libjpeg holds all coefficients for that, two
    bytes each, which would be more than the pixels.
    """
    options: dict[str, Any] = {"quality": job.lossy_quality, "subsampling": "4:4:4"}
    options["optimize"] = pixels <= _OPTIMIZED_PIXELS
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    if metadata.dpi:
        options["dpi"] = tuple(min(max(round(side), 1), 65_535) for side in metadata.dpi)
    if metadata.exif:
        if len(metadata.exif) + _EXIF_HEADER <= _JPEG_SEGMENT:
            options["exif"] = b"Exif\0\0" + metadata.exif
        else:
            job.notes("the EXIF block is larger than a JPEG segment (64 kB): left out")
    if metadata.xmp:
        if len(metadata.xmp) + _XMP_HEADER <= _JPEG_SEGMENT:
            options["xmp"] = metadata.xmp
        else:
            job.notes("the XMP packet is larger than a JPEG segment (64 kB): left out")
    return options


def webp_options(job: Encoding) -> dict[str, Any]:
    """`exact` keeps the colour under transparent pixels, which the next resampling would bleed into its neighbours."""
    if job.lossless:
        return {"lossless": True, "quality": 75, "method": 4, "exact": True}
    return {"quality": job.lossy_quality, "method": 4, "exact": True, "use_sharp_yuv": True}


def avif_options(job: Encoding) -> dict[str, Any]:
    return {"quality": job.lossy_quality, "subsampling": "4:4:4", "speed": 6}
