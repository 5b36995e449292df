"""Phone pictures: what their XMP claims is there, in the right size, at the right place; or it is not claimed."""

import io
import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.pictures import encoded, exif_block, frame_of, read, tool
from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame
from upscale_cli.media.image import exif, xmp_parts
from upscale_cli.media.image.metadata import ratio
from upscale_cli.media.image.reader_writer import ImageWriter

CLIP = struct.pack(">I", 20) + b"ftypmp42" + bytes(8) + struct.pack(">I", 100) + b"mdat" + bytes(range(92))
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
SPACES = (
    'xmlns:Camera="http://ns.google.com/photos/1.0/camera/" '
    'xmlns:C="http://ns.google.com/photos/1.0/container/" xmlns:I="http://ns.google.com/photos/1.0/container/item/" '
    'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:note="http://ns.adobe.com/xmp/note/" xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/"'
)
MAP_XMP = (
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description {SPACES} hdrgm:Version="1.0" '
    'hdrgm:GainMapMax="2.5"/></rdf:RDF></x:xmpmeta>'
).encode()


def packet(attributes: str, entries: Sequence[tuple[str, str, int]] = ()) -> bytes:
    """XMP with these attributes and a directory of (semantic, MIME type, bytes)."""
    lines = "".join(
        f'<rdf:li rdf:parseType="Resource"><C:Item I:Semantic="{semantic}" I:Mime="{mime}" I:Length="{length}" '
        'I:Padding="0"/></rdf:li>'
        for semantic, mime, length in entries
    )
    directory = f"<C:Directory><rdf:Seq>{lines}</rdf:Seq></C:Directory>" if entries else ""
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description {SPACES} xmp:CreatorTool="kept" '
        f"{attributes}>{directory}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def motion_photo(format: str = "JPEG", **options: Any) -> bytes:
    """A picture with a clip behind it, as the format 1.0 wants it, and as its predecessor did."""
    padding = 8 if format != "JPEG" else 0
    entries = (("Primary", f"image/{format.lower()}", 0), ("MotionPhoto", "video/mp4", len(CLIP)))
    claims = f'Camera:MotionPhoto="1" Camera:MicroVideo="1" Camera:MicroVideoOffset="{len(CLIP)}"'
    words = packet(claims, entries).replace(b'I:Padding="0"', b'I:Padding="%d"' % padding, 1)
    clip = struct.pack(">I", len(CLIP) + 8) + b"mpvd" + CLIP if padding else CLIP
    return encoded(frame_of(), format, xmp=words, **options) + clip


def ultra_hdr(orientation: int = 1, clip: bytes = b"", with_mpf: bool = True) -> tuple[bytes, np.ndarray[Any, Any]]:
    """A JPEG with a gain map of a quarter of its size behind it, and the pixels of that."""
    gains = frame_of("L", height=12, width=20)
    gain_map = encoded(gains, "JPEG", xmp=MAP_XMP, quality=100)
    entries = [("Primary", "image/jpeg", 0), ("GainMap", "image/jpeg", len(gain_map))]
    if clip:
        entries.append(("MotionPhoto", "video/mp4", len(clip)))
    words = packet('hdrgm:Version="1.0"' + (' Camera:MotionPhoto="1"' if clip else ""), entries)
    block = exif_block(orientation, thumbnail=False)
    data = encoded(frame_of(height=48, width=80), "JPEG", xmp=words, exif=b"Exif\0\0" + block)
    iso = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
    extra = struct.pack(">BBH", 0xFF, 0xE2, len(iso) + 2) + iso
    if with_mpf:
        entries_at = 8 + 2 + 3 * 12 + 4
        fields = struct.pack("<HHI4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHII", 0xB001, 4, 1, 2)
        fields += struct.pack("<HHII", 0xB002, 7, 32, entries_at)
        block = b"MPF\0II*\0\x08\0\0\0" + struct.pack("<H", 3) + fields + bytes(4)
        whole = len(data) + len(extra) + 4 + len(block) + 32
        base = 2 + len(extra) + 4 + 4
        block += struct.pack("<III4x", 0x030000, whole, 0) + struct.pack("<III4x", 0, len(gain_map), whole - base)
        extra += struct.pack(">BBH", 0xFF, 0xE2, len(block) + 2) + block
    return data[:2] + extra + data[2:] + gain_map + clip, gains.pixels


def doubled(data: bytes, path: Path, format: str) -> list[str]:
    """Every pixel twice as wide and high, written as `format`; what was said on the way."""
    said: list[str] = []
    info, frames = read(data, say=said.append)
    with ImageWriter(path, format=format, info=info, overwrite=True, say=said.append) as writer:
        for frame in frames:
            writer.write(Frame(frame.pixels.repeat(2, 0).repeat(2, 1), frame.layout, frame.transfer))
    return said


def items_of(path: Path) -> list[tuple[str, str, int, int]]:
    info, _ = read(path)
    return [(i.semantic, i.mime, i.length, i.padding) for i in xmp_parts.items(info.metadata.xmp or b"")]


@pytest.mark.parametrize(("source", "target"), [("JPEG", "JPEG"), ("JPEG", "AVIF"), ("AVIF", "JPEG"), ("AVIF", "AVIF")])
def test_a_motion_photo_keeps_its_clip_where_its_xmp_says(tmp_path: Path, source: str, target: str) -> None:
    path = tmp_path / f"a.{target.lower()}"
    assert doubled(motion_photo(source), path, target) == []
    data = path.read_bytes()
    assert data.endswith(CLIP)
    padding = 8 if target == "AVIF" else 0
    assert items_of(path) == [
        ("Primary", f"image/{target.lower()}", 0, padding),
        ("MotionPhoto", "video/mp4", len(CLIP), 0),
    ]
    words = read(path)[0].metadata.xmp or b""
    assert b'Camera:MicroVideoOffset="%d"' % len(CLIP) in words
    if target == "AVIF":
        assert data[-len(CLIP) - 8 : -len(CLIP)] == struct.pack(">I", len(CLIP) + 8) + b"mpvd"
    with Image.open(path) as image:
        assert image.size == (74, 48)
        image.load()


@pytest.mark.parametrize("target", ["JPEG", "HEIC"])
def test_a_motion_photo_as_heic(tmp_path: Path, target: str) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    assert doubled(motion_photo(), tmp_path / "a.heic", "HEIC") == []
    assert (tmp_path / "a.heic").read_bytes().endswith(struct.pack(">I", len(CLIP) + 8) + b"mpvd" + CLIP)
    path = tmp_path / ("b.heic" if target == "HEIC" else "b.jpg")
    assert doubled((tmp_path / "a.heic").read_bytes(), path, target) == []
    assert path.read_bytes().endswith(CLIP)
    assert [item[:2] for item in items_of(path)] == [
        ("Primary", f"image/{target.lower()}"),
        ("MotionPhoto", "video/mp4"),
    ]
    if target == "HEIC":
        assert pillow_heif.open_heif(path).size == (148, 96)


@pytest.mark.parametrize("target", ["PNG", "WebP", "TIFF", "JPEG XL", "JPEG 2000"])
def test_where_no_clip_can_be_none_is_claimed(tmp_path: Path, target: str) -> None:
    path = tmp_path / "a.bin"
    said = doubled(motion_photo(), path, target)
    assert len(said) == 1
    assert "clip" in said[0]
    words = read(path)[0].metadata.xmp or b""
    assert b"kept" in words
    assert not any(claim in words for claim in (b"Camera:M", b"MotionPhoto=", b"Directory>", b"I:Semantic"))


@pytest.mark.parametrize("with_mpf", [True, False])
@pytest.mark.parametrize("clip", [b"", CLIP])
def test_a_gain_map_grows_with_its_picture(tmp_path: Path, clip: bytes, with_mpf: bool) -> None:
    data, gains = ultra_hdr(clip=clip, with_mpf=with_mpf)
    path = tmp_path / "a.jpg"
    assert doubled(data, path, "JPEG") == []
    written = path.read_bytes()
    found = items_of(path)
    assert [item[0] for item in found] == ["Primary", "GainMap", *(["MotionPhoto"] if clip else [])]
    begin = len(written) - len(clip) - found[1][2]
    gain_map = written[begin : len(written) - len(clip)]
    assert written.endswith(clip)
    assert gain_map[:3] == b"\xff\xd8\xff"
    assert gain_map[-2:] == written[begin - 2 : begin] == b"\xff\xd9"
    with Image.open(io.BytesIO(gain_map)) as image:
        assert image.size == (40, 24)
        expected = Image.fromarray(gains[..., 0]).resize((40, 24), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(np.asarray(image, int), np.asarray(expected, int), atol=6)
        assert b'hdrgm:GainMapMax="2.5"' in image.info["xmp"]
    size, offset = directory_of(written)
    assert size == len(gain_map)
    assert offset == begin
    assert b"urn:iso:std:iso:ts:21496:-1" in written[:begin]
    again, _ = read(path)
    assert [part.kind for part in again.metadata.parts] == ["gain map", *(["clip"] if clip else [])]


def directory_of(data: bytes) -> tuple[int, int]:
    """Length and place of the second picture, by the multi-picture directory as written here (big-endian)."""
    base = data.index(b"MPF\0") + 4
    assert data[base : base + 8] == b"MM\0*\0\0\0\x08"
    entries = struct.unpack_from(">I", data, base + 8 + 2 + 2 * 12 + 8)[0] + base
    attributes, size, offset = struct.unpack_from(">III", data, entries)
    assert (attributes, offset) == (0x030000, 0)
    _, further, at = struct.unpack_from(">III", data, entries + 16)
    assert data[size - 2 : size] == b"\xff\xd9"
    assert base + at == size
    return further, base + at


def test_exiftool_finds_the_gain_map(tmp_path: Path) -> None:
    exiftool = tool("exiftool")
    doubled(ultra_hdr()[0], tmp_path / "a.jpg", "JPEG")
    tags = json.loads(exiftool("-j", "-n", "-G1", "-a", "-MPF:all", "-validate", "-warning", tmp_path / "a.jpg"))[0]
    assert tags["MPF0:NumberOfImages"] == 2
    start, length = tags["MPImage2:MPImageStart"], tags["MPImage2:MPImageLength"]
    data = (tmp_path / "a.jpg").read_bytes()
    assert start + length == len(data)
    assert data[start : start + 3] == b"\xff\xd8\xff"


def test_a_gain_map_is_turned_as_its_picture(tmp_path: Path) -> None:
    data, gains = ultra_hdr(orientation=6)
    doubled(data, tmp_path / "a.jpg", "JPEG")
    part = read(tmp_path / "a.jpg")[0].metadata.parts[0]
    assert part.orientation == 1
    with Image.open(io.BytesIO(part.data)) as image:
        assert image.size == (24, 40)
        expected = Image.fromarray(np.rot90(gains[..., 0], -1)).resize((24, 40), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(np.asarray(image, int), np.asarray(expected, int), atol=6)


@pytest.mark.parametrize("target", ["PNG", "WebP", "AVIF"])
def test_where_no_gain_map_can_be_none_is_claimed(tmp_path: Path, target: str) -> None:
    said = doubled(ultra_hdr()[0], tmp_path / "a.bin", target)
    assert len(said) == 1
    assert "gain map" in said[0]
    words = read(tmp_path / "a.bin")[0].metadata.xmp or b""
    assert b"kept" in words
    assert not any(claim in words for claim in (b"hdrgm:Version", b"Directory>", b"I:Semantic"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda data: data[: -len(CLIP)], "is not there"),
        (lambda data: data[: -len(CLIP)] + b"x" * len(CLIP), "data after"),
        (lambda data: data.replace(b"ftypmp42", b"....mp42"), "data after"),
    ],
)
def test_a_clip_that_is_announced_and_not_there(tmp_path: Path, change: Any, word: str) -> None:
    said = doubled(change(motion_photo()), tmp_path / "a.jpg", "JPEG")
    assert any(word in text for text in said)
    assert any("is not there" in text for text in said)
    assert b"Camera:M" not in (read(tmp_path / "a.jpg")[0].metadata.xmp or b"")


def test_a_gain_map_that_is_damaged_is_left_out_and_said(tmp_path: Path) -> None:
    data, _ = ultra_hdr()
    broken = data[:-200] + bytes(198) + data[-2:]
    said = doubled(broken, tmp_path / "a.jpg", "JPEG")
    with Image.open(tmp_path / "a.jpg") as image:
        image.load()
    found = read(tmp_path / "a.jpg")[0]
    assert bool(found.metadata.parts) != any("damaged" in text for text in said)
    assert (b"hdrgm:Version" in (found.metadata.xmp or b"")) == bool(found.metadata.parts)


def test_extended_xmp_is_not_claimed_once_it_is_gone(tmp_path: Path) -> None:
    words = packet('note:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF" GDepth:Format="RangeInverse"')
    said = doubled(encoded(frame_of(), "JPEG", xmp=words), tmp_path / "a.jpg", "JPEG")
    assert len(said) == 1
    found = read(tmp_path / "a.jpg")[0].metadata.xmp or b""
    assert b"kept" in found
    assert b"HasExtendedXMP" not in found
    assert b"GDepth:Format" not in found


def test_a_samsung_trailer_stays_whole(tmp_path: Path) -> None:
    block = struct.pack("<HHI", 0, 0x0A01, 14) + b"Image_UTC_Data1700000000000"
    head = b"SEFH" + struct.pack("<II", 106, 1) + struct.pack("<HHII", 0, 0x0A01, len(block), len(block))
    trailer = block + head + struct.pack("<I", len(head)) + b"SEFT"
    assert doubled(encoded(frame_of(), "JPEG") + trailer, tmp_path / "a.jpg", "JPEG") == []
    assert (tmp_path / "a.jpg").read_bytes().endswith(b"\xff\xd9" + trailer)
    assert len(doubled(encoded(frame_of(), "JPEG") + trailer, tmp_path / "a.png", "PNG")) == 1


def test_what_nobody_knows_behind_a_picture_is_told(tmp_path: Path) -> None:
    said = doubled(encoded(frame_of(), "JPEG") + b"PK\x03\x04 an archive", tmp_path / "a.jpg", "JPEG")
    assert len(said) == 1
    assert "15 bytes" in said[0]
    assert doubled(encoded(frame_of(), "JPEG") + bytes(500), tmp_path / "a.jpg", "JPEG") == []


def test_more_than_any_phone_appends_is_told_and_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.media.image.codecs.jpeg_segments._MOST_BEHIND", len(CLIP) - 1)
    said = doubled(motion_photo(), tmp_path / "a.jpg", "JPEG")
    assert any(f"{len(CLIP):,} bytes of data" in text for text in said)
    assert CLIP not in (tmp_path / "a.jpg").read_bytes()


def test_six_numbers_of_a_photo_sphere(tmp_path: Path) -> None:
    gpano = {
        "FullPanoWidthPixels": 74, "FullPanoHeightPixels": 37, "CroppedAreaImageWidthPixels": 37,
        "CroppedAreaImageHeightPixels": 24, "CroppedAreaLeftPixels": 5, "CroppedAreaTopPixels": 6,
    }  # fmt: skip
    space = 'xmlns:P="http://ns.google.com/photos/1.0/panorama/"'
    as_attributes = " ".join(f'P:{name}="{value}"' for name, value in gpano.items())
    as_elements = "".join(f"<P:{name}>{value}</P:{name}>" for name, value in gpano.items())
    for words in (
        packet(f'{space} P:ProjectionType="equirectangular" {as_attributes}'),
        packet(space).replace(b"</rdf:Description>", as_elements.encode() + b"</rdf:Description>"),
    ):
        doubled(encoded(frame_of(), "JPEG", xmp=words), tmp_path / "a.jpg", "JPEG")
        found = read(tmp_path / "a.jpg")[0].metadata.xmp or b""
        for name, value in gpano.items():
            assert f'P:{name}="{2 * value}"'.encode() in found or f"<P:{name}>{2 * value}<".encode() in found


def test_regions_that_are_given_in_pixels_grow(tmp_path: Path) -> None:
    words = packet(
        'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" stDim:w="37" stDim:h="24" stDim:unit="pixel"'
    )
    doubled(encoded(frame_of(), "JPEG", xmp=words), tmp_path / "a.png", "PNG")
    assert b'stDim:w="74" stDim:h="48"' in (read(tmp_path / "a.png")[0].metadata.xmp or b"")


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_exif_counts_in_pixels_grows(order: str) -> None:
    inner = (
        exif.Field(exif.SUBJECT_AREA, 3, 4, struct.pack(order + "4H", 10, 20, 30, 40)),
        exif.Field(exif.FOCAL_PLANE_X, 5, 1, struct.pack(order + "II", 3000, 2)),
        exif.Field(exif.FOCAL_PLANE_Y, 5, 1, struct.pack(order + "II", 2**32 - 2, 4)),
        exif.Field(exif.SUBJECT_LOCATION, 3, 2, struct.pack(order + "2H", 7, 9)),
    )
    block = exif.block_of([exif.Field(exif.EXIF_IFD, 4, 1, b"", children=inner)], order) or b""
    found = {f.tag: f.data for f in exif.fields(exif.resized(block, 100, 100, (2, 4)))[0][0].children}
    assert struct.unpack(order + "4H", found[exif.SUBJECT_AREA]) == (20, 80, 60, 160)
    assert struct.unpack(order + "2H", found[exif.SUBJECT_LOCATION]) == (14, 36)
    assert struct.unpack(order + "II", found[exif.FOCAL_PLANE_X]) == (6000, 2)
    assert struct.unpack(order + "II", found[exif.FOCAL_PLANE_Y]) == (2**32 - 2, 1)
    assert exif.resized(block, 100, 100) == block


def with_aspect(format: str) -> bytes:
    """A picture with twice as many pixels to the right as down, in no unit."""
    if format == "PNG":
        from upscale_cli.media.image.codecs.png_chunks import chunk

        data = encoded(frame_of(), "PNG")
        return data[:33] + chunk(b"pHYs", struct.pack(">IIB", 2, 1, 0)) + data[33:]
    if format == "TIFF":
        return encoded(frame_of(), "TIFF", resolution_unit=1, x_resolution=2.0, y_resolution=1.0)
    data = encoded(frame_of(), format)
    if format == "GIF":
        return data[:12] + bytes([17]) + data[13:]
    return data[:13] + struct.pack(">BHH", 0, 2, 1) + data[18:]


@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "GIF"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "GIF"])
def test_pixels_that_are_not_square_stay_so(tmp_path: Path, source: str, target: str) -> None:
    path = tmp_path / f"a.{target.lower()}"
    assert not any("aspect" in text for text in doubled(with_aspect(source), path, target))
    data = path.read_bytes()
    if target == "JPEG":
        unit, *density = struct.unpack(">BHH", data[13:18])
    elif target == "PNG":
        *density, unit = struct.unpack(">IIB", data[data.index(b"pHYs") + 4 :][:9])
    elif target == "TIFF":
        with Image.open(path) as image:
            unit, density = image.tag_v2[296] - 1, [float(image.tag_v2[tag]) for tag in (282, 283)]  # type: ignore[attr-defined]
    else:
        unit, density = 0, [64, data[12] + 15]
    assert unit == 0
    assert density[0] / density[1] == 2


@pytest.mark.parametrize("target", ["WebP", "BMP", "JPEG XL", "AVIF"])
def test_an_aspect_that_cannot_be_kept_is_told(tmp_path: Path, target: str) -> None:
    said = doubled(with_aspect("JPEG"), tmp_path / "a.bin", target)
    assert len(said) == 1
    assert "aspect" in said[0]


def test_square_pixels_in_no_unit_are_no_news(tmp_path: Path) -> None:
    data = encoded(frame_of(), "JPEG")
    doubled(data[:13] + struct.pack(">BHH", 0, 72, 72) + data[18:], tmp_path / "a.jpg", "JPEG")
    assert (tmp_path / "a.jpg").read_bytes()[13:18] == struct.pack(">BHH", 0, 72, 72)
    assert doubled(data[:13] + struct.pack(">BHH", 0, 72, 72) + data[18:], tmp_path / "a.webp", "WebP") == []


def test_an_aspect_turns_with_the_picture(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    data = encoded(frame_of(), "JPEG", exif=tag)
    turned = data[:13] + struct.pack(">BHH", 0, 2, 1) + data[18:]
    doubled(turned, tmp_path / "a.jpg", "JPEG")
    assert (tmp_path / "a.jpg").read_bytes()[13:18] == struct.pack(">BHH", 0, 1, 2)


def test_ratios_of_densities() -> None:
    assert ratio(2.0, 1.0) == (2, 1)
    assert ratio(300.0, 150.0) == (300, 150)
    assert ratio(64 / 45, 1.0) == (64, 45)
    assert ratio(0.0, 1.0) is None


def test_a_clip_goes_with_bands_too(tmp_path: Path) -> None:
    from upscale_cli.frames.rows import Held

    info, (frame,) = read(motion_photo())
    with ImageWriter(tmp_path / "a.jpg", format="JPEG", info=info) as writer:
        writer.write_rows(Held(frame.pixels.repeat(2, 0).repeat(2, 1)), frame.layout, frame.transfer)
    assert (tmp_path / "a.jpg").read_bytes().endswith(CLIP)
    assert items_of(tmp_path / "a.jpg")[1][2] == len(CLIP)


def test_parts_of_a_hostile_file_do_no_harm(tmp_path: Path) -> None:
    """Directories that point outside, lengths that lie, trailers that count back too far."""
    whole = ultra_hdr()[0]
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(2, 1500, 3):
            data[at] = rng.integers(256)
        with suppress(InputError):
            doubled(bytes(data), tmp_path / "a.jpg", "JPEG")
    sef = b"SEFH" + struct.pack("<II", 106, 2**31) + struct.pack("<HHII", 0, 1, 2**31, 1)
    tail = sef + struct.pack("<I", len(sef)) + b"SEFT"
    assert len(doubled(encoded(frame_of(), "JPEG") + tail, tmp_path / "a.jpg", "JPEG")) == 1


CASES = Path(__file__).parents[2] / "shared" / "cases"


@pytest.mark.parametrize("name", ["photosphere.jpg", "jpg_aspect21.jpg", "motionphoto.MP.jpg"])
def test_cases(tmp_path: Path, name: str) -> None:
    if not CASES.is_dir():
        pytest.skip("shared/cases is not there")
    said = doubled((CASES / name).read_bytes(), tmp_path / "a.jpg", "JPEG")
    assert said == []
    data = (tmp_path / "a.jpg").read_bytes()
    if name.startswith("photosphere"):
        for pair in (b'FullPanoWidthPixels="256"', b'CroppedAreaImageHeightPixels="80"', b'CroppedAreaTopPixels="24"'):
            assert pair in data
    elif name.startswith("motion"):
        assert data.endswith((CASES / name).read_bytes()[-2672:])
    else:
        assert data[13:18] == struct.pack(">BHH", 0, 2, 1)
