"""AVIF, written by Pillow; a still of more than 8 bits, or in colours that only numbers declare, by imagecodecs.

Both are libavif inside. imagecodecs writes the picture alone, so its metadata are put into the file here.
"""

from dataclasses import replace
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from upscale_cli.frames.image import Frame
from upscale_cli.frames.pixels import by_strips, to_8_bits
from upscale_cli.media.image.codecs.heif_items import matrix_of, with_metadata
from upscale_cli.media.image.codecs.heif_parts import appended
from upscale_cli.media.image.codecs.pillow_writer import AVIF_SPEED, avif_options, pillow_image, save_still
from upscale_cli.media.image.encoder import Encoder, Encoding, stored_bits
from upscale_cli.media.image.exif import without_orientation
from upscale_cli.media.image.metadata import Metadata

if TYPE_CHECKING:
    from PIL import Image


class AvifStill(Encoder):
    """One picture, 4:4:4; of more than 8 bits 12 are kept, or 10 of a source that has 10."""

    def add(self, frame: Frame, metadata: Metadata) -> None:
        codes = metadata.colours.codes if metadata.colours and not metadata.icc else None
        if frame.pixels.dtype == np.uint8 and codes is None:
            save_still(self.job, frame, metadata, self.job.stream)
            return
        packet, clip = appended(metadata, "image/avif")
        data = with_metadata(
            self._encoded(frame, codes or ((2, 2) if metadata.icc else (1, 13))),
            icc=metadata.icc,
            exif=without_orientation(metadata.exif or b""),
            xmp=packet,
        )
        self.job.stream.write(data + clip)

    def _encoded(self, frame: Frame, codes: tuple[int, int]) -> bytes:
        import imagecodecs

        pixels, bits = frame.pixels, 8
        if pixels.dtype == np.uint16:
            bits = stored_bits(self.job, 12)
            top = 2**bits - 1
            pixels = by_strips(
                lambda strip: ((strip.astype(np.uint32) * top + 32_767) // 65_535).astype(np.uint16), pixels
            )
        return bytes(
            imagecodecs.avif_encode(
                np.ascontiguousarray(pixels),
                level=self.job.lossy_quality,
                speed=AVIF_SPEED,
                bitspersample=bits,
                pixelformat="444",
                primaries=codes[0],
                transfer=codes[1],
                matrix=matrix_of(codes[0]),
            )
        )


class AnimatedAvif(Encoder):
    """Pillow wants all frames at once, so this is the one encoder that holds an animation whole."""

    def __init__(self, job: Encoding) -> None:
        super().__init__(job)
        self._images: list[Image.Image] = []
        self._durations: list[int] = []
        self._metadata = Metadata()
        self._shown_ms = 0.0

    def add(self, frame: Frame, metadata: Metadata) -> None:
        self._metadata = metadata
        if frame.pixels.dtype == np.uint16:
            self.job.notes("animated AVIF as written here holds 8 bits per channel: rounded from 16")
            frame = replace(frame, pixels=to_8_bits(frame.pixels))
        if metadata.colours and metadata.colours.hdr:
            self.job.notes(f"animated AVIF as written here cannot say that it is HDR ({metadata.colours.hdr})")
        if metadata.plays:
            self.job.notes("AVIF as written here holds no loop count: repeats for ever")
        self._shown_ms += frame.duration_ms or 0
        self._durations.append(max(round(self._shown_ms) - sum(self._durations), 0))
        self._images.append(pillow_image(frame))

    def finish(self) -> None:
        if any(image.mode == "RGBA" for image in self._images):
            self._images = [image.convert("RGBA") for image in self._images]
        packet, clip = appended(self._metadata, "image/avif")
        self._images[0].save(
            cast("IO[bytes]", self.job.stream),
            format="AVIF",
            save_all=True,
            append_images=self._images[1:],
            duration=self._durations,
            exif=without_orientation(self._metadata.exif or b""),
            xmp=packet or b"",
            icc_profile=self._metadata.icc or b"",
            **avif_options(self.job),
        )
        if clip:
            self.job.stream.write(clip)
