"""The protocol of every encoder: it gets what is coming, then frames one by one, then is asked to finish."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from upscale_cli.files.atomic_file import Stream
from upscale_cli.frames.image import Frame, Layout
from upscale_cli.frames.rows import Rows
from upscale_cli.media.image.convert import Notes
from upscale_cli.media.image.formats import Format
from upscale_cli.media.image.metadata import Metadata, PhotoInfo


@dataclass(frozen=True, slots=True)
class Encoding:
    """What an encoder needs to know before the first frame.

    Attributes:
        stream: where the file is written; seekable.
        row: the format.
        info: of the source; its frame count is the number of frames to come.
        frames: how many frames will be written.
        quality: 0..100 as the user asked for; None for the format's default.
        suffix: extension of the target, lower case, with the dot; "" for a stream.
        notes: reports to the user.
        pyramid: add ever smaller versions of the picture, for viewers; TIFF only.
        folder: where temporary files may lie: next to the target, for there is room; None: the system's own folder.
    """

    stream: Stream
    row: Format
    info: PhotoInfo
    frames: int
    quality: int | None
    suffix: str
    notes: Notes
    pyramid: bool = False
    folder: Path | None = None

    @property
    def lossless(self) -> bool:
        """Keep every level: the source did, and the user asked for no quality."""
        return self.quality == 100 or (self.quality is None and self.info.lossless)

    @property
    def lossy_quality(self) -> int:
        return self.quality if self.quality is not None else self.row.quality or 90


class Encoder(ABC):
    """Writes the frames of one file. Frames arrive in a layout and depth of the format's row."""

    def __init__(self, job: Encoding) -> None:
        self.job = job

    @abstractmethod
    def add(self, frame: Frame, metadata: Metadata) -> None:
        """Encode one frame; `metadata` are the frame's own where a file has pages, else the file's."""

    def add_rows(self, picture: Rows, layout: Layout, metadata: Metadata) -> None:
        """Encode the only frame of a file band by band; for formats whose row has `bands`."""
        raise NotImplementedError(f"{self.job.row.name} is not written band by band")

    def finish(self) -> None:  # noqa: B027 -- most formats are whole after their only frame
        """Write what can be known only at the end."""


def stored_bits(job: Encoding, usual: int) -> int:
    """Bits per sample, of 10 and 12, for pixels of 16: as many as the source has, or as are usual; reports a loss."""
    bits = {9: 10, 10: 10, 11: 12, 12: 12}.get(job.info.sample_bits, usual)
    if not 0 < job.info.sample_bits <= bits:
        job.notes(f"{job.row.name} as written here holds {bits} bits per channel: rounded from 16")
    return bits
