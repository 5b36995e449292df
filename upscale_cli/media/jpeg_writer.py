"""JPEG band by band: what libjpeg makes of bands of 64 rows, put together to one scan.

After a restart marker a row of blocks is coded without regard to the one before. The markers are numbered 0 to 7, over
and over, so bands of eight rows of blocks fit together with one marker between them.

Source: ITU-T T.81 (1992), B.2 and E.1.4.
"""

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from upscale_cli.media.frame import Pixels
from upscale_cli.media.rows import Rows

BAND: Final = 64
"""Rows: eight of blocks, where no channel is subsampled."""

_LAST_RESTART, _END = b"\xff\xd7", b"\xff\xd9"
_FRAME_HEADERS: Final = (0xC0, 0xC1)
_SCAN_HEADER: Final = 0xDA


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


def _parts(data: bytes, height: int) -> tuple[bytes, bytes]:
    """A JPEG file taken apart: all that comes before its only scan, for a picture of that height; and the scan."""
    header, at = bytearray(data), 2
    while True:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind in _FRAME_HEADERS:
            header[at + 5 : at + 7] = height.to_bytes(2, "big")
        at += 2 + length
        if kind == _SCAN_HEADER:
            return bytes(header[:at]), data[at : -len(_END)]
