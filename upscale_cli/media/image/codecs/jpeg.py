"""JPEG, written: pixels and metadata by Pillow and imagecodecs, and behind them what a phone appends."""

import io
import struct
import threading
from typing import IO, Any, BinaryIO, Final, cast

import numpy as np

from upscale_cli.frames.image import Frame, Layout, Pixels
from upscale_cli.frames.rows import Rows
from upscale_cli.media.image import xmp_parts
from upscale_cli.media.image.codecs.jpeg_appendix import Appendix
from upscale_cli.media.image.codecs.jpeg_writer import jpeg_parts, with_metadata
from upscale_cli.media.image.codecs.pillow_writer import pillow_image
from upscale_cli.media.image.encoder import Encoder, Encoding
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.media.image.photoshop import JPEG_NAME

_APP13: Final = 0xED
_JPEG_SEGMENT: Final = 65_533
_OPTIMIZED_PIXELS: Final = 16_000_000
_XMP_HEADER: Final = 29
_EXIF_HEADER: Final = 6
_CONCURRENT: Final = ("L", "RGB")
"""Layouts of JPEGs that are encoded without the GIL, where other threads may be at work."""


class Jpeg(Encoder):
    """One picture: baseline, 4:4:4."""

    def add(self, frame: Frame, metadata: Metadata) -> None:
        appendix = self._appendix(frame.width, frame.height, metadata)
        options = _options(self.job, metadata, frame.width * frame.height, appendix)
        is_alone = threading.current_thread() is threading.main_thread()
        if frame.layout in _CONCURRENT and options["optimize"] and not is_alone:
            self.job.stream.write(_encoded_concurrently(frame, options))
        else:
            pillow_image(frame).save(cast("IO[bytes]", self.job.stream), format="JPEG", **options)
        appendix.write(self.job.stream)

    def add_rows(self, picture: Rows, layout: Layout, metadata: Metadata) -> None:
        appendix = self._appendix(picture.width, picture.height, metadata)
        options = _options(self.job, metadata, picture.width * picture.height, appendix)
        options |= {"optimize": False, "restart_marker_rows": 1}

        def encode(rows: Pixels, stream: BinaryIO) -> None:
            pillow_image(Frame(rows, layout)).save(stream, format="JPEG", **options)

        for part in jpeg_parts(picture, encode):
            self.job.stream.write(part)
        appendix.write(self.job.stream)

    def _appendix(self, width: int, height: int, metadata: Metadata) -> Appendix:
        info = self.job.info
        return Appendix(metadata, (width / info.width, height / info.height), self.job.notes)


def _encoded_concurrently(frame: Frame, options: dict[str, Any]) -> bytes:
    """The file that Pillow would write, byte for byte, by way of imagecodecs, which releases the GIL: Pillow's
    own encoder does not. The metadata are still Pillow's."""
    import imagecodecs

    pixels = np.ascontiguousarray(frame.pixels[:, :, 0] if frame.layout == "L" else frame.pixels)
    data = bytes(imagecodecs.jpeg8_encode(pixels, level=options["quality"], subsampling="444", optimize=True))
    model = io.BytesIO()
    options = {**options, "optimize": False}  # which would need all metadata in one buffer of Pillow's
    pillow_image(Frame(frame.pixels[:1, :1], frame.layout)).save(model, format="JPEG", **options)
    return with_metadata(data, model.getvalue())


def _options(job: Encoding, metadata: Metadata, pixels: int, appendix: Appendix) -> dict[str, Any]:
    """Pillow's options; metadata that no segment can hold are left out.

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
        packet = xmp_parts.described(metadata.xmp, appendix.held)
        if len(packet) + _XMP_HEADER <= _JPEG_SEGMENT:
            options["xmp"] = packet
        else:
            job.notes("the XMP packet is larger than a JPEG segment (64 kB): left out")
    extra = appendix.segments + _photoshop_segment(job, metadata)
    if extra:
        options["extra"] = extra
    if metadata.comment and len(metadata.comment) <= _JPEG_SEGMENT:
        options["comment"] = metadata.comment
    return options


def _photoshop_segment(job: Encoding, metadata: Metadata) -> bytes:
    content = JPEG_NAME + metadata.photoshop
    if len(content) > _JPEG_SEGMENT:
        job.notes("IPTC and Photoshop resources are larger than a JPEG segment (64 kB): left out")
    if not metadata.photoshop or len(content) > _JPEG_SEGMENT:
        return b""
    return struct.pack(">BBH", 0xFF, _APP13, len(content) + 2) + content
