"""The opened input: its bytes, its limits, and the one place where a decoder's failure becomes a message."""

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

from upscale_cli.errors import InputError, UpscaleError
from upscale_cli.events import Say
from upscale_cli.frames.image import Frame
from upscale_cli.frames.rows import RowReader
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.messages import option


@dataclass(frozen=True, slots=True)
class Source:
    """An input to decode.

    Attributes:
        name: for messages; one line.
        file: seekable; owned by the ImageReader.
        max_pixels: most pixels that one frame may have.
        salvage: take what can be decoded of a damaged file.
        say: gets what the user should know.
        bands: of a TIFF, from 1, in this order; () for all.
    """

    name: str
    file: BinaryIO
    max_pixels: int
    salvage: bool
    say: Say
    bands: tuple[int, ...] = ()

    def read_all(self) -> bytes:
        self.file.seek(0)
        return self.file.read()

    def check_size(self, width: int, height: int) -> None:
        """Refuse a picture by what its header declares, before anything is decoded or allocated.

        Raises:
            InputError: no pixels, or more than `max_pixels`.
        """
        if width < 1 or height < 1:
            raise InputError(f"{self.name}: {width} x {height} pixels are no picture. The file is damaged.")
        if width * height > self.max_pixels:
            raise InputError(
                f"{self.name}: {width} x {height} pixels are more than the limit of {self.max_pixels:,}. "
                f"If the file is to be trusted, allow it with {option('max_pixels', width * height)}."
            )


@dataclass(frozen=True, slots=True)
class Picture:
    """What a decoder gives back: the header, and the frames one at a time, each decoded when it is asked for.

    Attributes:
        row_reader: the only frame, to be decoded band by band; None where that cannot be done.
    """

    info: PhotoInfo
    frames: Callable[[], Iterator[Frame]]
    row_reader: RowReader | None = None


@contextmanager
def decoding(source: Source) -> Iterator[None]:
    """Turn any exception of a decoder at damaged data into one InputError.

    Decoders raise nearly everything (struct.error, IndexError, AssertionError, RuntimeError, MemoryError ...), so
    this boundary has to be wide; the cause stays chained.
    """
    try:
        yield
    except UpscaleError as error:
        if str(error).startswith(source.name):
            raise
        raise InputError(
            f"{source.name}: {error.marked}. The file is damaged, or of a kind that is not read."
        ) from error
    except MemoryError as error:
        raise InputError(
            f"{source.name}: too large to decode in the free memory. Close programs, or crop it."
        ) from error
    except Exception as error:
        way_out = "" if source.salvage else f"; {option('salvage', True)} takes what decodes"
        raise InputError(
            f"{source.name}: cannot be decoded: {_what_is_wrong(error)}. The file is damaged{way_out}."
        ) from error


def _what_is_wrong(error: Exception) -> str:
    """In our words: those of a library are for its authors, and stay with the cause."""
    text = str(error).lower()
    ends = isinstance(error, EOFError) or any(word in text for word in _ENDS)
    return "its data is truncated" if ends else "what is in it is not as its format has it"


_ENDS: Final = ("truncated", "too short", "not enough", "premature", "unexpected end", "end of file", "eof", "cut off")
"""How libraries say that something ends too early."""

_PILLOW_LOCK = threading.RLock()


@contextmanager
def calm_pillow(max_pixels: int | None = None) -> Iterator[None]:
    """Pillow without its own pixel limit, or with ours, and without warnings: all process-wide settings.

    Our limit is checked from the header; for an animation, whose later frames Pillow alone knows, Pillow's check is a
    second line of defence. What matters of the warnings is reported in our words. The lock keeps two threads from
    restoring each other's settings: decoding in Pillow is one thread at a time.
    """
    from PIL import Image

    with _PILLOW_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def stream_of(data: bytes) -> BinaryIO:
    """Bytes as a file at its start, for libraries that read from files only."""
    return io.BytesIO(data)
