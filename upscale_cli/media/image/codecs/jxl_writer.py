"""JPEG XL, written: what has a profile, is linear, or is lossy and deep, by OpenImageIO; all else by imagecodecs.

OpenImageIO writes profiles, and declares what samples of more than 8 bits mean; but it refuses gray with alpha, and to
declare gray's curve (3.2.2). imagecodecs writes every layout, with neither.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from upscale_cli.frames.image import Frame, Layout
from upscale_cli.frames.pixels import from_float, to_8_bits
from upscale_cli.media.image import icc
from upscale_cli.media.image.codecs import openimageio
from upscale_cli.media.image.codecs.boxes import box, boxes_of
from upscale_cli.media.image.codecs.jxl import CONTAINER
from upscale_cli.media.image.codecs.jxl_header import CODESTREAM, HEADER_BYTES, LINEAR, SRGB_CURVE, read_header
from upscale_cli.media.image.convert import without_profile
from upscale_cli.media.image.encoder import Encoder
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.messages import option

_EFFORT = 5
_IN_COLOUR: Final[dict[Layout, Layout]] = {"L": "RGB", "LA": "RGBA"}
_FILE_TYPE = b"jxl \0\0\0\0jxl "


class JpegXl(Encoder):
    """One picture: lossless, or at the distance that libjxl sees in a JPEG of the same quality."""

    def add(self, frame: Frame, metadata: Metadata) -> None:
        job = self.job
        distance = 0.0 if self._is_lossless(frame) else distance_of(job.lossy_quality)
        data = None
        if metadata.icc:
            reason = "JPEG XL as written here holds no ICC profile with gray and alpha"
            if frame.layout != "LA" and icc.space(metadata.icc) == frame.layout.removesuffix("A"):
                reason = "JPEG XL does not hold an ICC profile of this kind"
                data = self._by_openimageio(frame, metadata.icc, distance)
            if data is None:
                frame, metadata = without_profile(frame, metadata, reason, job.notes)
        codes = metadata.colours.codes if metadata.colours and not metadata.icc else None
        if codes and frame.layout in ("L", "LA"):  # which cannot be declared
            frame = replace(
                frame,
                pixels=np.concatenate([frame.pixels[..., :1]] * 2 + [frame.pixels], axis=2),
                layout=_IN_COLOUR[frame.layout],
            )
        wants_meaning = codes or frame.transfer == "linear" or (distance > 0 and frame.pixels.dtype != np.uint8)
        if data is None and frame.layout in ("RGB", "RGBA") and wants_meaning:
            data = self._by_openimageio(frame, None, distance, codes)
        elif data is None:
            data = self._by_imagecodecs(frame, distance)
        if data is None:
            raise RuntimeError("the encoder fails")
        if data.startswith(CODESTREAM):
            job.stream.write(CONTAINER + box(b"ftyp", _FILE_TYPE))
            job.stream.write(box(b"jxlc", data))
        else:
            job.stream.write(data)
        if metadata.exif:
            job.stream.write(box(b"Exif", bytes(4) + metadata.exif))
        if metadata.xmp:
            job.stream.write(box(b"xml ", metadata.xmp))

    def _is_lossless(self, frame: Frame) -> bool:
        return self.job.lossless or (frame.pixels.dtype != np.uint8 and self.job.quality is None)

    def _by_openimageio(
        self, frame: Frame, profile: bytes | None, distance: float, codes: tuple[int, int] | None = None
    ) -> bytes | None:
        codes = codes or (1, LINEAR if frame.transfer == "linear" else SRGB_CURVE)
        attributes = {"effort": _EFFORT, "distance": distance, "use_boxes": 0}
        return openimageio.encode(frame.pixels, profile, attributes, codes, self.job.folder)

    def _by_imagecodecs(self, frame: Frame, distance: float) -> bytes:
        """Without a profile. imagecodecs declares what has more than 8 bits to be linear light.

        That can be set right where samples are stored as they are; a lossy picture is coded by how bright it is meant
        to be, and has to have 8 bits.
        """
        import imagecodecs

        pixels = frame.pixels
        if distance and pixels.dtype != np.uint8:
            self.job.notes(f"gray JPEG XL with a {option('quality')} below 100 is written with 8 bits")
            pixels = to_8_bits(pixels) if pixels.dtype == np.uint16 else from_float(pixels, np.uint8)
        options = {"distance": distance} if distance else {"lossless": True}
        pixels = np.ascontiguousarray(pixels[..., 0] if frame.layout == "L" else pixels)
        data = imagecodecs.jpegxl_encode(pixels, effort=_EFFORT, usecontainer=True, **options)
        deep = pixels.dtype != np.uint8 and frame.transfer == "display"
        return b"".join(
            box(kind, _declared_srgb(content) if kind == b"jxlc" and deep else content)
            for kind, content in boxes_of(bytes(data))
        )


def _declared_srgb(codestream: bytes) -> bytes:
    """The codestream with sRGB's curve for linear light: both are the same number of bits, two and then four."""
    header = read_header(codestream)
    if header.curve != LINEAR or header.curve_at is None:
        return codestream
    head = int.from_bytes(codestream[:HEADER_BYTES], "little")
    head ^= ((LINEAR - 2) ^ (SRGB_CURVE - 2)) << header.curve_at + 2
    return head.to_bytes(len(codestream[:HEADER_BYTES]), "little") + codestream[HEADER_BYTES:]


def distance_of(quality: int) -> float:
    """Butteraugli distance that cjxl takes for a JPEG quality (its JxlEncoderDistanceFromQuality)."""
    if quality >= 100:
        return 0.0
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25
