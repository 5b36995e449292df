"""Whether a file is a clip, by its first bytes alone. Pure, but for reading them."""

import os
import re
from pathlib import Path
from typing import Final

_SIGNATURES: Final = (
    *((0, b"\x1a\x45\xdf\xa3"), (0, b"FLV\x01"), (0, b"OggS"), (0, b"DKIF"), (0, b"YUV4MPEG2 "), (0, b".RMF")),
    *((0, b"nut/multimedia container\0"), (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), (0, b"\0\0\x01\xba")),
    *((0, b"\0\0\x01\xb3"), (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02"), (0, b"\x1f\x07\x00")),
    *((0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11"), (0, b"\x12\x00\x0a"), (0, b"NSVf"), (0, b"NSVs"), (0, b"BBCD\0")),
    *((4, b"moov"), (4, b"mdat"), (4, b"wide"), (4, b"free"), (4, b"skip"), (4, b"pnot")),
)
_STILL_BRANDS: Final = (
    b"avif",
    b"avis",
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"mif1",
    b"msf1",
    b"jxl ",
    b"jp2 ",
    b"crx ",
)
_HEAD_BYTES: Final = 4096


def looks_like_clip(path_or_head: str | os.PathLike[str] | bytes) -> bool:
    """Whether a file, or one that begins with these bytes (4 KiB are plenty), is a clip, by its signature.

    For files of unknown ending and for standard input. Pictures that come in a clip's container (AVIF, HEIC) are none.
    A raw stream has no signature but its start codes, which is less certain; the probe has the last word.
    """
    head = path_or_head if isinstance(path_or_head, bytes) else _head(Path(path_or_head))
    if head[4:8] == b"ftyp":
        return head[8:12] not in _STILL_BRANDS
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] in (b"AVI ", b"AVIX"):
        return True
    if any(head[at : at + len(magic)] == magic for at, magic in _SIGNATURES):
        return True
    return _is_transport_stream(head) or _is_raw_h26x(head)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""


def _is_transport_stream(head: bytes) -> bool:
    """MPEG-TS: sync bytes 188 apart; 192 in M2TS (after 4 bytes of time), 204 with error correction."""
    return any(
        len(head) > start + 3 * step and all(head[start + n * step] == 0x47 for n in range(4))
        for start, step in ((0, 188), (4, 192), (0, 204))
    )


def _is_raw_h26x(head: bytes) -> bool:
    """H.264 or HEVC in Annex B: begins with a delimiter, a parameter set or SEI, and goes on with more of the kind."""
    units = [(head[found.end()], head[found.end() + 1]) for found in re.finditer(rb"\0\0\x01(?=..)", head, re.DOTALL)]
    if not units or not head.startswith((b"\0\0\x01", b"\0\0\0\x01")):
        return False
    h264 = [first & 0x1F for first, _ in units if first < 0x80]
    hevc = [first >> 1 & 0x3F for first, _ in units if first < 0x80]
    return (h264[:1] in ([7], [9], [6]) and 7 in h264) or (hevc[:1] in ([32], [35], [39]) and 33 in hevc)
