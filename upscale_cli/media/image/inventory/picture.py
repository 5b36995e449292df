"""What a picture file of any format carries beside its pixels."""

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from upscale_cli.errors import InputError
from upscale_cli.media.image.inventory.blocks import Items, of_profile, of_text
from upscale_cli.media.image.inventory.boxes import of_boxes
from upscale_cli.media.image.inventory.chunks import of_gif, of_png, of_webp
from upscale_cli.media.image.inventory.jpeg import of_jpeg
from upscale_cli.media.image.inventory.tiff import of_tiff
from upscale_cli.media.image.sniff import HEAD_BYTES, format_of_content
from upscale_cli.media.inventory import Inventory, digest

LARGEST: Final = 64 * 2**20
"""No more bytes of a file are held. TIFF and PNG are read by their directory, and a JPEG's segments come first; of
other formats larger files are not looked through."""

_BMP_V5: Final = 124
_EMBEDDED: Final = b"DEBM"  # PROFILE_EMBEDDED, as it lies in the file
_TGA_FOOTER: Final = b"TRUEVISION-XFILE.\0"


def _of_bmp(data: bytes) -> Items:
    if int.from_bytes(data[14:18], "little") >= _BMP_V5 and data[70:74] == _EMBEDDED:
        start, length = struct.unpack_from("<II", data, 126)
        yield from of_profile(data[14 + start : 14 + start + length])


def _of_tga(data: bytes) -> Items:
    if data[:1] != b"\0":
        yield from of_text("comment", data[18 : 18 + data[0]].rstrip(b"\0"))
    if data.endswith(_TGA_FOOTER):
        area = int.from_bytes(data[-26:-22], "little")
        if area:
            yield "TGA extension area", digest(data[area : area + 495])


def _of_netpbm(data: bytes) -> Items:
    comments = re.findall(rb"^#[^\n]*", data[:HEAD_BYTES].split(b"\nENDHDR", 1)[0][:4096], re.MULTILINE)
    if comments and data[:2] not in (b"PF", b"Pf"):
        yield from of_text("comment", b" ".join(comments))


_PARSERS: Final[dict[str, Callable[[bytes], Items]]] = {
    "JPEG": of_jpeg, "WebP": of_webp, "GIF": of_gif, "BMP": _of_bmp, "TGA": _of_tga,
    "PNM": _of_netpbm, "PAM": _of_netpbm, "AVIF": of_boxes, "HEIC": of_boxes, "JPEG XL": of_boxes,
    "JPEG 2000": of_boxes,
}  # fmt: skip


def inventory_of_picture(source: Path | bytes | BinaryIO) -> Inventory | None:
    """What a picture file carries beside its pixels, by name; None for one that cannot be looked through.

    Args:
        source: a file, its bytes, or an open file, whose position is moved.
    """
    if isinstance(source, bytes):
        return _first_of_each(io.BytesIO(source))
    if not isinstance(source, Path):
        return _first_of_each(source)
    try:
        with source.open("rb") as file:
            return _first_of_each(file)
    except OSError:
        return None


def _first_of_each(file: BinaryIO) -> Inventory | None:
    """By name; of several of one name the first value, and how many there are."""
    found: dict[str, list[str]] = {}
    try:
        items = _items(file)
        if items is None:
            return None
        for name, value in items:
            found.setdefault(name, []).append(value)
    except (ValueError, LookupError, TypeError, ArithmeticError, struct.error, OSError):
        pass  # what follows makes no sense; what came before it stands
    return {name: values[0] + (f" (x {len(values)})" if len(values) > 1 else "") for name, values in found.items()}


def _items(file: BinaryIO) -> Items | None:
    file.seek(0)
    head = file.read(HEAD_BYTES)
    try:
        format = format_of_content(head, "")
    except InputError:
        return None
    if format in ("TIFF", "PNG"):
        return of_tiff(file) if format == "TIFF" else of_png(file)
    parser = _PARSERS.get(format)
    if parser is None:
        return iter(())
    file.seek(0)
    data = file.read(LARGEST + 1)
    return None if len(data) > LARGEST and format != "JPEG" else parser(data)
