"""A job: one source and one output."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from upscale_cli.events import Say
from upscale_cli.inference.sizing import Target
from upscale_cli.media.image.formats import MAX_PIXELS, Format
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.media.image.reader_writer import ImageWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """How files are read and written.

    Attributes:
        quality: 0..100 for lossy formats, None for the format's default.
        overwrite: replace an output that exists.
        max_pixels: most pixels a frame of the source may have.
        salvage: take what decodes of a damaged file.
        max_memory: bytes of host memory that the whole process may take; None: what is free.
        pyramid: add smaller versions to a TIFF.
        resume: what is done of a picture that goes through in bands is kept until it is whole; a killed run goes on.
    """

    quality: int | None = None
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
    salvage: bool = False
    max_memory: int | None = None
    resume: bool = False
    pyramid: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One source and one output.

    Attributes:
        source: what to open; `name` for messages.
        output: where to write, in which `format`; `output_name` for messages.
        target: how large the result shall be.
        lr_size, frames: (width, height) of the source, and how many frames or pages are kept, by its header.
    """

    source: Path | bytes
    name: str
    output: Path | BinaryIO
    output_name: str
    format: Format
    target: Target
    options: FileOptions = FileOptions()
    lr_size: tuple[int, int] = (0, 0)
    frames: int = 1

    def writer(self, info: PhotoInfo, say: Say) -> ImageWriter:
        """What makes the output."""
        return ImageWriter(
            self.output,
            format=self.format.name,
            info=info,
            quality=self.options.quality,
            overwrite=self.options.overwrite,
            pyramid=self.options.pyramid,
            say=say,
        )
