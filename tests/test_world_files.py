"""World files beside pictures: the corners on the map stay, whatever the scale and the format."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.albums import paint
from upscale_cli import upscale_file
from upscale_cli.events import Event, Note
from upscale_cli.media.image.world_file import world_in

TURNED = "8.0\n6.0\n6.0\n-8.0\n500005.0\n5000005.0\n"


def corners(path: Path) -> list[tuple[float, float]]:
    """Of a picture, on the map, by GDAL."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path) as raster:
        places = (0, 0), (0, raster.width), (raster.height, raster.width)
        return [raster.xy(*place, offset="ul") for place in places]


@pytest.mark.parametrize(
    ("source", "world", "output", "written"),
    [
        ("a.png", "a.pgw", "a.jpg", "a.jgw"),
        ("a.tif", "a.TFW", "b.tiff", "b.tfw"),
        ("a.jpeg", "a.wld", "b.png", "b.wld"),
    ],
)
def test_gdal_finds_the_same_corners(tmp_path: Path, source: str, world: str, output: str, written: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / world).write_text(TURNED)
    before = paint(tmp_path / source, size=(12, 8))
    after = upscale_file(before, folder / output, 2.5, model="bicubic")
    assert sorted(path.name for path in folder.iterdir()) == sorted([output, written])
    np.testing.assert_allclose(corners(after), corners(before), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "why"), [("ten\n0\n0\n-10\n5\n5\n", "six numbers"), ("1 0 0 1 5\n", "six numbers"), ("1 " * 9999, "long")]
)
def test_what_is_no_world_file_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.pgw").write_text(text)
    notes: list[Event] = []
    upscale_file(paint(tmp_path / "a.png"), tmp_path / "b.png", 2, model="bicubic", listener=notes.append)
    assert not (tmp_path / "b.pgw").exists()
    (line,) = (note.text for note in notes if isinstance(note, Note) and "a.pgw" in note.text)
    assert "left out" in line
    assert why in line


def test_of_a_picture_that_is_stored_turned_it_is_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (12, 8), "gray").save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.jgw").write_text(TURNED)
    notes: list[Event] = []
    upscale_file(tmp_path / "a.jpg", tmp_path / "b.jpg", 2, model="bicubic", listener=notes.append)
    assert not (tmp_path / "b.jgw").exists()
    assert any(isinstance(note, Note) and "stored, which is turned" in note.text for note in notes)


def test_one_that_is_there_stays_unless_outputs_may_be_replaced(tmp_path: Path) -> None:
    source = paint(tmp_path / "a.png", size=(12, 8))
    (tmp_path / "a.pgw").write_text(TURNED)
    (tmp_path / "b.pgw").write_text("somebody's")
    upscale_file(source, tmp_path / "b.png", 2, model="bicubic")
    assert (tmp_path / "b.pgw").read_text() == "somebody's"
    upscale_file(source, tmp_path / "b.png", 2, model="bicubic", overwrite=True)
    assert world_in((tmp_path / "b.pgw").read_text()) == (4.0, 3.0, 3.0, -4.0, 500001.5, 5000005.5)


def test_decimal_commas() -> None:
    assert world_in("0,5\n0\n0\n-0,5\n10,25\n20\n") == (0.5, 0, 0, -0.5, 10.25, 20)
