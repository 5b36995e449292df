"""What AVIF, HEIC, JPEG XL and JPEG 2000 files carry beside their pixels: boxes, and the items of their meta box.

Sources: ISO/IEC 14496-12 (boxes), 23008-12 (HEIF), 18181-2 (JPEG XL), 15444-1 annex I and 15444-2 annex M (JPEG 2000).
"""

import struct
from collections.abc import Iterator
from typing import Final

from upscale_cli.errors import InputError
from upscale_cli.media.image.codecs.boxes import boxes_of
from upscale_cli.media.image.codecs.jxl_header import CODESTREAM, SRGB_CURVE, read_header
from upscale_cli.media.image.colours import of_codes
from upscale_cli.media.image.inventory.blocks import Items, of_exif, of_profile, of_xmp
from upscale_cli.media.inventory import digest

_STRUCTURE: Final = frozenset(
    b"ftyp meta mdat moov free skip wide uuid idat JXL  jxlc jxlp jxll jxli jP   jp2h jp2c jbrd sidx styp".split(b" ")
) | {b"JXL ", b"jP  "}
_CODED: Final = frozenset((b"hvc1", b"av01", b"avc1", b"grid", b"iden", b"iovl", b"jpeg", b"j2k1", b"unci"))
_AUXILIARY: Final = (
    ("alpha", ""), ("hdrgainmap", "gain map: Apple"), ("depth", "depth map"), ("disparity", "depth map"),
    ("matte", "matte"),
)  # fmt: skip
_TRUSTED_SOURCE: Final = {
    b"\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac": "xmp",
    b"JpgTiffExif->JP2": "exif",
    b"\x05\x37\xcd\xab\x9d\x0c\x44\x31\xa7\x2a\xfa\x56\x1f\x2a\x11\x3e": "exif",
}
_GEOJP2: Final = b"\xb1\x4b\xf8\xbd\x08\x3d\x4b\x43\xa5\xae\x8c\xd7\xd5\xa6\xce\x03"


def of_boxes(data: bytes) -> Items:
    """The boxes of a file by what is in them; a bare codestream has none."""
    if data[:2] in (CODESTREAM, b"\xff\x4f"):
        yield from _jxl_colours(data)
        return
    yield from _jxl_colours(next((content for kind, content in boxes_of(data) if kind == b"jxlc"), b""))
    yield from _jxl_colours(next((content[4:] for kind, content in boxes_of(data) if kind == b"jxlp"), b""))
    for kind, content in boxes_of(data):
        if kind == b"meta":
            yield from _meta(content[4:], data)
        elif kind == b"jp2h":
            yield from _jp2_header(content)
        elif kind == b"Exif":
            yield from of_exif(content[4 + int.from_bytes(content[:4], "big") :])
        elif kind == b"xml ":
            yield from of_xmp(content) if b"x:xmpmeta" in content else iter([("XML", digest(content))])
        elif kind == b"uuid":
            yield from _uuid(content)
        elif kind == b"jhgm":
            yield "gain map: JPEG XL", digest(content)
        elif kind == b"jumb":
            yield "content credentials (JUMBF)", digest(content)
        elif kind == b"brob":
            yield from _compressed(content)
        elif kind == b"mpvd":
            yield "motion photo (clip)", digest(content)
        elif kind not in _STRUCTURE:
            yield f"box: {kind.decode('latin-1').strip()}", digest(content)


def _jxl_colours(codestream: bytes) -> Items:
    """What the header of a JPEG XL declares, where that is not sRGB. A profile is coded within the codestream."""
    if not codestream.startswith(CODESTREAM):
        return
    try:
        header = read_header(codestream)
    except InputError:
        return
    if header.has_icc:
        yield "colour profile", ""
    elif header.needs_profile or header.curve != SRGB_CURVE:
        yield "colours", f"{header.white}, {header.primaries}, {header.curve}"


def _compressed(content: bytes) -> Items:
    """A box compressed by brotli: what it holds is told by its first four bytes."""
    names = {b"Exif": "EXIF", b"xml ": "XMP", b"jumb": "content credentials (JUMBF)", b"jhgm": "gain map: JPEG XL"}
    kind = content[:4]
    yield names.get(kind, f"box: {kind.decode('latin-1').strip()}"), digest(content)


def _uuid(content: bytes) -> Items:
    kind = _TRUSTED_SOURCE.get(content[:16])
    if kind == "xmp":
        yield from of_xmp(content[16:])
    elif kind == "exif":
        yield from of_exif(content[16:])
    elif content[:16] == _GEOJP2:
        yield "place on the map (GeoJP2)", digest(content[16:])
    else:
        yield f"box: uuid {content[:16].hex()}", digest(content[16:])


def _jp2_header(content: bytes) -> Items:
    for kind, inner in boxes_of(content):
        if kind == b"colr" and inner[:1] in (b"\2", b"\3"):
            yield from of_profile(inner[3:])
        elif kind == b"res ":
            yield "resolution", digest(inner)


def _meta(content: bytes, data: bytes) -> Items:
    parts = dict(boxes_of(content))
    properties = dict(boxes_of(parts.get(b"iprp", b"")))
    for kind, inner in boxes_of(properties.get(b"ipco", b"")):
        if kind == b"colr" and inner[:4] in (b"prof", b"rICC"):
            yield from of_profile(inner[4:])
        elif kind == b"colr" and inner[:4] == b"nclx" and (colours := of_codes(*struct.unpack_from(">HH", inner, 4))):
            yield "colours", repr(colours)
        elif kind == b"auxC":
            yield from _auxiliary(inner)
        elif kind == b"clli":
            yield "content light level", digest(inner)
        elif kind == b"mdcv":
            yield "mastering display", digest(inner)
        elif kind == b"pasp" and inner[:4] != inner[4:8]:
            yield "pixel aspect", digest(inner)
    places = dict(_places(parts.get(b"iloc", b""), data, parts.get(b"idat", b"")))
    for number, kind, mime in _items(parts.get(b"iinf", b"")):
        item = places.get(number, b"")
        if kind == b"Exif":
            yield from of_exif(item[4 + int.from_bytes(item[:4], "big") :])
        elif kind == b"mime" and b"rdf+xml" in mime:
            yield from of_xmp(item)
        elif kind == b"tmap":
            yield "gain map: ISO 21496-1", digest(item)
        elif kind not in _CODED:
            yield f"HEIF item: {kind.decode('latin-1').strip()} {mime.decode('latin-1')}".rstrip(), digest(item)


def _auxiliary(inner: bytes) -> Items:
    name = inner[4:].split(b"\0", 1)[0].decode("latin-1")
    for word, what in _AUXILIARY:
        if word in name.lower():
            if what:
                yield what, ""
            return
    if not name.endswith(("auxid:1", "auxid:2")):  # alpha and depth by number, in HEVC's own words
        yield f"auxiliary picture: {name}", ""
    elif name.endswith("auxid:2"):
        yield "depth map", ""


def _items(iinf: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, type, what its content type says) of each item."""
    at = 6 if iinf[:1] == b"\0" else 8
    for kind, entry in boxes_of(iinf[at:]):
        if kind != b"infe" or entry[:1] not in (b"\2", b"\3"):
            continue
        wide = entry[:1] == b"\3"
        number = int.from_bytes(entry[4:8] if wide else entry[4:6], "big")
        rest = entry[10:] if wide else entry[8:]
        _, _, after = rest[4:].partition(b"\0")
        yield number, rest[:4], after.split(b"\0", 1)[0]


def _places(iloc: bytes, data: bytes, idat: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, bytes) of each item that lies in the file or in the meta box itself."""
    if len(iloc) < 8:
        return
    version, sizes = iloc[0], struct.unpack_from(">H", iloc, 4)[0]
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    wide = 4 if version == 2 else 2
    cursor = 6

    def number(size: int) -> int:
        nonlocal cursor
        cursor += size
        return int.from_bytes(iloc[cursor - size : cursor], "big")

    for _ in range(min(number(wide), 10_000)):
        if cursor >= len(iloc):
            return
        item = number(wide)
        method = number(2) & 15 if version in (1, 2) else 0
        number(2)
        base, parts = number(base_size), []
        for _ in range(min(number(2), 10_000)):
            number(index_size)
            start, length = base + number(offset_size), number(length_size)
            parts.append((idat if method == 1 else data)[start : start + length])
        yield item, b"".join(parts)
