"""TIFF directories: whatever they say, a picture or one clear line comes of it, and soon."""

import struct
from pathlib import Path

import pytest

from tests.pictures import exif_block, frame_of, read, write
from upscale_cli.errors import InputError
from upscale_cli.media.image import exif
from upscale_cli.media.image.metadata import Metadata


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
