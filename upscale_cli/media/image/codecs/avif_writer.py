"""Animated AVIF through Pillow, whose encoder keeps every frame."""

from typing import IO, TYPE_CHECKING, cast

from upscale_cli.frames.image import Frame
from upscale_cli.media.image.codecs.heif_parts import appended
from upscale_cli.media.image.codecs.pillow_writer import avif_options, pillow_image
from upscale_cli.media.image.encoder import Encoder, Encoding
from upscale_cli.media.image.exif import without_orientation
from upscale_cli.media.image.metadata import Metadata

if TYPE_CHECKING:
    from PIL import Image


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
