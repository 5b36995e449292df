"""JPEG put together of what libjpeg makes: pixels with another file's metadata, or bands of 64 rows as one scan.

After a restart marker a row of blocks is coded without regard to the one before. The markers are numbered 0 to 7, over
and over, so bands of eight rows of blocks fit together with one marker between them.

Source: ITU-T T.81 (1992), B.2 and E.1.4.
"""

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from upscale_cli.frames.image import Pixels
from upscale_cli.frames.rows import Rows
from upscale_cli.media.image.codecs.jpeg_segments import segments_of

BAND: Final = 64
"""Rows: eight of blocks, where no channel is subsampled."""

_LAST_RESTART, _END = b"\xff\xd7", b"\xff\xd9"
_FRAME_HEADERS: Final = (0xC0, 0xC1)
_METADATA: Final = (*range(0xE0, 0xF0), 0xFE)
"""APP0 to APP15, and comments."""


def jpeg_parts(picture: Rows, encode: Callable[[Pixels, BinaryIO], None]) -> Iterator[bytes]:
    """The file of a picture, piece by piece, as its rows are read.

    Args:
        encode: writes rows as a JPEG of their own: without subsampling, with a restart marker after every row of
            blocks, and with tables that do not depend on the rows. The header of the first becomes that of the file.
    """
    for top in range(0, picture.height, BAND):
        buffer = io.BytesIO()
        encode(picture.read(top, min(top + BAND, picture.height)), buffer)
        header, scan = _parts(buffer.getvalue(), picture.height)
        yield _LAST_RESTART if top else header
        yield scan
    yield _END


def with_metadata(data: bytes, model: bytes) -> bytes:
    """A JPEG file with the metadata of another one in the place of its own: all segments before the first table."""
    return model[: _metadata_end(model)] + data[_metadata_end(data) :]


def _metadata_end(data: bytes) -> int:
    return next(segment.start for segment in segments_of(io.BytesIO(data)) if segment.kind not in _METADATA)


def _parts(data: bytes, height: int) -> tuple[bytes, bytes]:
    """A JPEG file taken apart: all that comes before its only scan, for a picture of that height; and the scan."""
    header, segments = bytearray(data), [*segments_of(io.BytesIO(data))]
    end = segments[-1].stop
    for segment in segments:
        if segment.kind in _FRAME_HEADERS:
            header[segment.start + 5 : segment.start + 7] = height.to_bytes(2, "big")
    return bytes(header[:end]), data[end : -len(_END)]
