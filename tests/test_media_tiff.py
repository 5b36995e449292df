"""TIFF directories: whatever they say, a picture or one clear line comes of it, and soon."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.pictures import exif_block, frame_of, read, write
from upscale_cli import upscale_file
from upscale_cli.errors import InputError
from upscale_cli.frames.image import Pixels
from upscale_cli.media.image import exif
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.media.image.reader_writer import ImageReader


def two_pages(tmp_path: Path) -> tuple[bytearray, list[tuple[int, int]]]:
    """A TIFF of two pages; of each, where its directory begins, and where the offset of the next one stands."""
    path = write(tmp_path / "a.tif", [frame_of(), frame_of(seed=1)], "TIFF", animated=False)
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    places = []
    while at:
        link = at + 2 + 12 * struct.unpack_from("<H", data, at)[0]
        places.append((at, link))
        (at,) = struct.unpack_from("<I", data, link)
    return data, places


@pytest.mark.parametrize(("last", "back_to", "frames"), [(1, 0, 2), (0, 0, 1), (1, 1, 2)])
def test_a_chain_of_directories_that_bites_its_tail_ends_there(
    tmp_path: Path, last: int, back_to: int, frames: int
) -> None:
    data, places = two_pages(tmp_path)
    struct.pack_into("<I", data, places[last][1], places[back_to][0])
    info, pages = read(bytes(data))
    assert info.frames == len(pages) == frames


def test_a_chain_that_leaves_the_file_ends_there(tmp_path: Path) -> None:
    data, places = two_pages(tmp_path)
    struct.pack_into("<I", data, places[1][1], 2**31)
    assert read(bytes(data))[0].frames == 2


@pytest.mark.parametrize("kind", [2, 5, 7, 12, 13, 99])
@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 277])
def test_a_field_of_the_wrong_type_is_a_picture_or_one_line(tmp_path: Path, tag: int, kind: int) -> None:
    data, places = two_pages(tmp_path)
    at = data.find(struct.pack("<H", tag), *places[0])
    struct.pack_into("<H", data, at + 2, kind)
    refusal = ""
    try:
        assert read(bytes(data))[0].frames == 2
    except InputError as error:
        refusal = str(error)
    assert "\n" not in refusal


@pytest.mark.parametrize("count", [4097, 65535])
def test_a_directory_of_too_many_fields_is_refused(tmp_path: Path, count: int) -> None:
    data, places = two_pages(tmp_path)
    struct.pack_into("<H", data, places[0][0], count)
    with pytest.raises(InputError, match="directory makes no sense"):
        read(bytes(data))


def test_a_file_of_a_few_bytes_is_refused(tmp_path: Path) -> None:
    data, places = two_pages(tmp_path)
    for keep in (4, 8, places[0][0] + 1, places[0][0] + 9):
        with pytest.raises(InputError, match=r"directory makes no sense|holds no picture"):
            read(bytes(data[:keep]))


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_that_points_at_itself_is_read_once(tmp_path: Path, order: str) -> None:
    metadata = Metadata(exif=exif_block(order=order, thumbnail=False))
    data = bytearray(write(tmp_path / "a.tif", frame_of(), "TIFF", metadata=metadata).read_bytes())
    (directory,) = struct.unpack_from(order + "I", data, 4)
    entry = data.find(struct.pack(order + "HHI", exif.EXIF_IFD, 4, 1), directory)
    struct.pack_into(order + "I", data, entry + 8, directory)
    assert read(bytes(data))[0].frames == 1


def palette_tiff(bits: int, pages: int) -> tuple[bytes, Pixels]:
    """Palette pages as other programs write them, and the colours of each."""
    indices = (np.add.outer(np.arange(20), np.arange(29)) % 2**bits).astype(np.uint8)
    packed = np.packbits(np.unpackbits(indices[..., None], axis=2)[..., 8 - bits :].reshape(20, -1), axis=1).tobytes()
    entries = 2**bits
    palette = np.stack([np.linspace(0, 65535, entries), np.linspace(65535, 0, entries), np.full(entries, 30000)])
    data, link = bytearray(b"II*\0\0\0\0\0"), 4
    for _ in range(pages):
        at = len(data)
        data += packed + b"\0" * (len(packed) % 2)
        colours = len(data)
        data += palette.astype("<u2").tobytes()
        struct.pack_into("<I", data, link, len(data))
        fields = (
            (256, 3, 1, 29), (257, 3, 1, 20), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 3), (273, 4, 1, at),
            (277, 3, 1, 1), (278, 3, 1, 20), (279, 4, 1, len(packed)), (320, 3, 3 * entries, colours),
        )  # fmt: skip
        data += struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields)
        link = len(data)
        data += bytes(4)
    return bytes(data), (palette.astype(np.uint16) >> 8).astype(np.uint8).T[indices]


@pytest.mark.parametrize("pages", [1, 3])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_few_colours_and_several_pages(bits: int, pages: int) -> None:
    data, expected = palette_tiff(bits, pages)
    info, frames = read(data)
    assert info.frames == pages
    for frame in frames:
        np.testing.assert_array_equal(frame.pixels, expected)


def patched(data: bytes, tag: int, *, value: int | None = None, count: int | None = None) -> bytes:
    """The first directory with another inline value, or count of values, of one field."""
    out = bytearray(data)
    (at,) = struct.unpack_from("<I", out, 4)
    entry = out.find(struct.pack("<H", tag), at + 2)
    if value is not None:
        struct.pack_into("<I", out, entry + 8, value)
    if count is not None:
        struct.pack_into("<I", out, entry + 4, count)
    return bytes(out)


def strips(**how: Any) -> bytes:
    file = io.BytesIO()
    pixels = frame_of(height=40, width=30).pixels
    tifffile.imwrite(file, pixels, photometric="rgb", rowsperstrip=8, metadata=None, **how)
    return file.getvalue()


@pytest.mark.parametrize("planar", [0, 3, 77])
def test_planes_in_no_known_order_are_refused(planar: int) -> None:
    with pytest.raises(InputError, match=f"PlanarConfiguration {planar}, which there is not"):
        read(patched(strips(), 284, value=planar))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("tag", "change"), [(257, {"value": 400}), (279, {"count": 3})])
def test_strips_that_are_missing_are_damage(tag: int, change: dict[str, int], compression: str | None) -> None:
    data = patched(strips(compression=compression), tag, **change)
    with pytest.raises(InputError, match="strips that its size takes") as caught:
        read(data)
    assert "\n" not in str(caught.value)


def test_tiles_that_hold_nothing_are_no_damage(tmp_path: Path) -> None:
    pixels = np.zeros((100, 100), np.uint16)
    pixels[:64, 64:] = 300
    file = io.BytesIO()
    tags = [(42113, 2, 2, "7", True)]
    tifffile.imwrite(file, pixels, tile=(64, 64), compression="zlib", metadata=None, extratags=tags)
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        counts, offsets = page.tags[325], page.tags[324]
    data = bytearray(file.getvalue())
    for tag in (counts, offsets):
        size = tag.valuebytecount // 4
        for index in (0, 2, 3):
            data[tag.valueoffset + index * size : tag.valueoffset + (index + 1) * size] = bytes(size)
    path = tmp_path / "sparse.tif"
    path.write_bytes(data)
    with ImageReader(path) as reader:
        (frame,) = reader
        assert reader.row_reader is not None
        bands = np.concatenate(list(reader.row_reader.begin(0)))
    np.testing.assert_array_equal(bands, frame.pixels)
    assert (frame.pixels[:64, 64:, 0] == 300).all()
    assert frame.pixels[80, 10, 0] == frame.nodata == 7


@pytest.mark.parametrize("strips", [1, 4])
def test_a_map_of_which_nothing_is_stored_holds_no_data(tmp_path: Path, strips: int) -> None:
    """As GDAL writes it: places and lengths of 0."""
    file = io.BytesIO()
    tags = [(42113, "s", 0, "7", True)]
    tifffile.imwrite(file, np.full((16, 24), 99, np.uint16), rowsperstrip=16 // strips, metadata=None, extratags=tags)
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        tag_offsets, tag_counts = page.tags[273], page.tags[279]
    data = bytearray(file.getvalue()) + b"what lies behind it " * 100
    for tag in (tag_offsets, tag_counts):
        data[tag.valueoffset : tag.valueoffset + tag.valuebytecount] = bytes(tag.valuebytecount)
    (tmp_path / "empty.tif").write_bytes(data)
    with ImageReader(tmp_path / "empty.tif") as reader:
        (frame,) = reader
        assert reader.row_reader is not None
        bands = np.concatenate(list(reader.row_reader.begin(5)))
    assert (frame.pixels == 7).all()
    assert bands.shape == (11, 24, 1)
    assert (bands == 7).all()


@pytest.mark.parametrize(("dtype", "bits"), [("uint32", 24), ("uint64", 64), ("int64", 64)])
def test_integers_of_rare_widths_are_read_and_written(tmp_path: Path, dtype: str, bits: int) -> None:
    samples = (np.arange(12 * 16).reshape(12, 16) * 40_000).astype(dtype)
    lr, sr = tmp_path / "lr.tif", tmp_path / "sr.tif"
    tifffile.imwrite(lr, samples, metadata=None)
    if bits == 24:
        packed = samples.astype(">u4").view(np.uint8).reshape(12, 16, 4)[..., 1:].tobytes()  # as GDAL writes them
        data = bytearray(lr.read_bytes())
        with tifffile.TiffFile(lr) as file:
            page = file.pages[0]
            places = (page.tags[258].valueoffset, page.tags[279].valueoffset, page.dataoffsets[0])
        struct.pack_into("<H", data, places[0], bits)
        struct.pack_into("<I", data, places[1], len(packed))
        data[places[2] :] = packed
        lr.write_bytes(data)
    upscale_file(lr, sr, 1, model="bicubic", overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(sr), samples)
    assert tifffile.imread(sr).dtype == dtype


def test_a_chain_of_smaller_versions_is_not_taken_for_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((64, 64), np.uint8), metadata=None)
        file.write(np.zeros((32, 32), np.uint8), subfiletype=1, metadata=None)
    assert read(tmp_path / "a.tif")[0].frames == 1
