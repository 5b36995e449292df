"""Maps, terrain and satellite pictures: the same corners, kinds of samples, bands and holes as before."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.pictures import read
from upscale_cli import Upscaler, upscale_file
from upscale_cli.errors import InputError, OptionError
from upscale_cli.events import Event, Note
from upscale_cli.frames.image import Pixels
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.media.image.geotiff import GeoReference, gdal_metadata

HEIGHT, WIDTH = 37, 53
UTM = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)
"""GeoKeyDirectory: a projected picture in EPSG:32632, whose pixels are areas."""


def terrain(low: float, high: float, dtype: str, bands: int = 1) -> Pixels:
    """(bands, H, W): hills between two heights."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    hills = [np.sin(x / 7 + band) + np.cos(y / 5) for band in range(bands)]
    return np.stack([low + (hill + 2) / 4 * (high - low) for hill in hills]).astype(dtype)


def holed() -> Any:
    """Where there is no measurement."""
    holes = np.zeros((HEIGHT, WIDTH), bool)
    holes[10:20, 5:30] = holes[0, 0] = holes[36, 50:] = True
    return holes


def placed(path: Path, samples: Pixels, *, point: bool = False, nodata: str | None = None, **more: Any) -> Path:
    """A GeoTIFF of (bands, H, W), 10 m a pixel."""
    keys = (*UTM[:11], 2 if point else 1, *UTM[12:])
    tags: list[tuple[Any, ...]] = [
        (33550, 12, 3, (10.0, 10.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 355530.0, 5299210.0, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    if nodata is not None:
        tags.append((42113, 2, len(nodata) + 1, nodata, True))
    pixels = samples[0] if len(samples) == 1 else np.moveaxis(samples, 0, 2)
    how: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig" if len(samples) > 1 else None}
    tifffile.imwrite(path, pixels, metadata=None, extratags=tags + more.pop("tags", []), **how | more)
    return path


def enlarged(path: Path, scale: float = 2, **how: Any) -> tuple[Path, list[str]]:
    """The output, and what was told."""
    events: list[Event] = []
    output = upscale_file(
        path, path.with_stem("out"), scale=scale, model=how.pop("model", "bicubic"), listener=events.append, **how
    )
    return output, [event.text for event in events if isinstance(event, Note)]


def samples_in(path: Path) -> Pixels:
    """(bands, H, W)."""
    pixels = tifffile.imread(path)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def nearest(mask: Any, shape: tuple[int, ...]) -> Any:
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(shape, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]


def corner(geo: GeoReference, x: float, y: float) -> tuple[float, ...]:
    """Model coordinates of a point of the picture, whose outer corner is (0, 0)."""
    i, j = (x - 0.5, y - 0.5) if geo.is_point else (x, y)
    if geo.transformation:
        rows = np.reshape(geo.transformation, (4, 4))
        return tuple(float(value) for value in rows[:2] @ (i, j, 0, 1))
    first = geo.tie_points[:6]
    return first[3] + (i - first[0]) * geo.pixel_scale[0], first[4] - (j - first[1]) * geo.pixel_scale[1]


PLACES = [
    GeoReference((10.0, 10.0, 0.0), (0.0, 0.0, 0.0, 355530.0, 5299210.0, 0.0)),
    GeoReference((10.0, 20.0, 0.0), (7.0, 3.0, 0.0, 355530.0, 5299210.0, 0.0)),
    GeoReference(transformation=(8.0, 5.0, 0.0, 500.0, 5.0, -8.0, 0.0, 4e6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize("new", [(WIDTH * 2, HEIGHT * 2), (80, 56), (20, 11)])
def test_corners_stay_where_they_are(place: GeoReference, point: bool, new: tuple[int, int]) -> None:
    place = GeoReference(place.pixel_scale, place.tie_points, place.transformation, is_point=point)
    moved = place.scaled((WIDTH, HEIGHT), new)
    for across, down in itertools.product((0, 0.3, 1), repeat=2):
        before = corner(place, across * WIDTH, down * HEIGHT)
        assert corner(moved, across * new[0], down * new[1]) == pytest.approx(before, abs=1e-6)
    if place.tie_points[:2] == (0, 0):
        assert moved.tie_points[:2] == (0, 0), "where many readers expect it"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_lies_where_it_lay(place: GeoReference, point: bool, orientation: int) -> None:
    from upscale_cli.frames.pixels import turned

    place = GeoReference(place.pixel_scale, place.tie_points, place.transformation, is_point=point)
    upright = place.turned(orientation, WIDTH, HEIGHT)
    stored = np.moveaxis(np.mgrid[:HEIGHT, :WIDTH], 0, 2)
    seen = turned(stored, orientation)
    for row, column in ((0, 0), (5, 9), (30, 20)):
        j, i = seen[row, column]
        assert corner(upright, column + 0.5, row + 0.5) == pytest.approx(corner(place, i + 0.5, j + 0.5), abs=1e-6)


def test_control_points_move_with_the_picture() -> None:
    points = tuple(float(value) for value in (0, 0, 0, 1, 2, 0, 10, 4, 0, 3, 5, 0))
    area = GeoReference(tie_points=points).scaled((20, 20), (40, 60))
    assert area.tie_points == (0, 0, 0, 1, 2, 0, 20, 12, 0, 3, 5, 0)
    centre = GeoReference(tie_points=points, is_point=True).scaled((20, 20), (40, 60))
    assert centre.tie_points == (0.5, 1, 0, 1, 2, 0, 20.5, 13, 0, 3, 5, 0)


KINDS: list[tuple[str, str | None, float, float]] = [
    ("int16", "-9999", -300, 2500), ("int16", "-32768", -300, 2500), ("int16", "-9999", 0, 2500),
    ("int16", None, -300, 2500), ("int16", None, 0, 2500), ("uint8", "0", 1, 250), ("uint8", "255", 1, 250),
    ("uint8", "-9999", 0, 250), ("uint16", "0", 1, 9000), ("int8", "-128", -100, 100), ("float32", "0", 1, 2500),
    ("int32", "-2147483648", -3e3, 2e6), ("uint32", "4294967295", 5, 2e6), ("float32", "nan", -300, 2500),
    ("float32", "-3.4028234663852886e+38", -300, 2500), ("float64", "-9999", -300, 2500),
    ("float16", "-9999", -300, 2000),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "nodata", "low", "high"), KINDS)
def test_samples_and_holes_stay_what_they_are(
    tmp_path: Path, dtype: str, nodata: str | None, low: float, high: float
) -> None:
    samples, holes = terrain(low, high, dtype), holed()
    clean = samples[0].astype(float)
    value = float(nodata) if nodata else 0.0
    has_holes = nodata is not None and not (dtype == "uint8" and value < 0)
    if has_holes:
        samples[0][holes] = np.dtype(dtype).type(value)
    output, _ = enlarged(placed(tmp_path / "lr.tif", samples, nodata=nodata))
    (sr,) = samples_in(output)
    assert sr.dtype == dtype
    with tifffile.TiffFile(output) as file:
        assert file.pages[0].tags.valueof(42113) == nodata
    expected = nearest(holes, sr.shape) & has_holes
    none = np.isnan(sr) if nodata == "nan" else sr == np.dtype(dtype).type(value) if has_holes else expected
    np.testing.assert_array_equal(none, expected)
    error = np.abs(sr.astype(float) - nearest(clean, sr.shape))[~expected]
    steepest = max(np.abs(np.diff(clean, axis=axis)).max() for axis in (0, 1))
    assert error.max() < 1.5 * steepest + 1, "what stood in the holes is in none of their neighbours"
    assert (
        abs(sr[~expected].astype(float).mean() - nearest(clean, sr.shape)[~expected].mean()) < (high - low) / 2000 + 0.1
    )


@pytest.mark.parametrize("model", ["bicubic", "espcn"])
@pytest.mark.parametrize(("dtype", "nodata"), [("int16", "-9999"), ("uint16", "65535"), ("float32", "-9999")])
def test_a_plain_around_a_hole_stays_a_plain(tmp_path: Path, dtype: str, nodata: str, model: str) -> None:
    samples = np.full((1, HEIGHT, WIDTH), 700, dtype)
    samples[0][holed()] = np.dtype(dtype).type(float(nodata))
    (sr,) = samples_in(enlarged(placed(tmp_path / "lr.tif", samples, nodata=nodata), model=model)[0])
    assert set(np.unique(sr)) == {700, np.dtype(dtype).type(float(nodata))}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("bands", [2, 4, 11])
def test_all_bands_are_kept(tmp_path: Path, bands: int, planes: str, dtype: str) -> None:
    samples = terrain(1, 200, dtype, bands)
    path = tmp_path / "lr.tif"
    if planes == "contig":
        placed(path, samples)
    else:
        tifffile.imwrite(path, samples, photometric="minisblack", planarconfig="separate", metadata=None)
    output, told = enlarged(path)
    sr = samples_in(output)
    assert sr.shape == (bands, HEIGHT * 2, WIDTH * 2)
    assert not any("left out" in line for line in told)
    for band in range(bands):
        tifffile.imwrite(tmp_path / "one.tif", samples[band], photometric="minisblack", metadata=None)
        (alone,) = samples_in(enlarged(tmp_path / "one.tif", overwrite=True)[0])
        np.testing.assert_array_equal(sr[band], alone)


def test_colour_and_an_infrared_band(tmp_path: Path) -> None:
    samples = np.moveaxis(terrain(1, 200, "uint8", 4), 0, 2)
    how: dict[str, Any] = {"photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "lr.tif", samples, extrasamples=["unspecified"], **how)
    tifffile.imwrite(tmp_path / "rgb.tif", samples[..., :3], **how)
    output, _ = enlarged(tmp_path / "lr.tif", model="espcn")
    with tifffile.TiffFile(output) as file:
        assert file.pages[0].photometric.name == "RGB"
        assert [int(kind) for kind in file.pages[0].extrasamples] == [0]
    colour = samples_in(upscale_file(tmp_path / "rgb.tif", scale=2, model="espcn"))
    np.testing.assert_array_equal(samples_in(output)[:3], colour)


def test_bands_are_chosen(tmp_path: Path) -> None:
    samples = terrain(1, 9000, "uint16", 4)
    path = placed(tmp_path / "lr.tif", samples)
    every = samples_in(enlarged(path)[0])
    output, _ = enlarged(path, bands=(3, 2, 1), overwrite=True)
    np.testing.assert_array_equal(samples_in(output), every[[2, 1, 0]])
    with tifffile.TiffFile(output) as file:
        assert file.pages[0].photometric.name == "RGB"
    np.testing.assert_array_equal(samples_in(enlarged(path, bands=(4, 1), overwrite=True)[0]), every[[3, 0]])
    assert read(upscale_file(path, tmp_path / "out.png", bands=(4,), scale=2, model="bicubic"))[0].layout == "L"
    with pytest.raises(InputError, match="there is no band 5, page 1 has 4"):
        enlarged(path, bands=(1, 5), overwrite=True)
    with pytest.raises(OptionError, match="counts from 1"):
        PhotoOptions(bands=(0, 1))


def test_what_another_format_loses_is_told(tmp_path: Path) -> None:
    path = placed(tmp_path / "lr.tif", terrain(-300, 2500, "int16", 4), nodata="-9999")
    events: list[Event] = []
    upscale_file(path, tmp_path / "out.png", scale=2, model="bicubic", listener=events.append)
    told = "\n".join(event.text for event in events if isinstance(event, Note))
    for words in ("3 of 4 are left out", "place on the map", "no-data value (GDAL): -9999", "int16"):
        assert told.count(words) == 1, told


def test_what_counts_old_pixels_is_left_out_aloud(tmp_path: Path) -> None:
    items = b'<Item name="STATISTICS_MEAN" sample="0">5</Item>\n  <Item name="who">me</Item>'
    text = b"<GDALMetadata>\n  " + items + b"\n</GDALMetadata>"
    tags = [
        (50844, 12, 92, (1.0,) * 92, True),
        (42112, 2, len(text) + 1, text + b"\0", True),
    ]
    output, told = enlarged(placed(tmp_path / "lr.tif", terrain(0, 200, "uint8"), tags=tags))
    assert len(told) == 1
    for words in ("RPC", "statistics"):
        assert words in told[0]
    with tifffile.TiffFile(output) as file:
        found = file.pages[0].tags
        assert 50844 not in found
        assert "STATISTICS" not in found.valueof(42112)
        assert '<Item name="who">me</Item>' in found.valueof(42112)


def test_smaller_versions_are_left_out_aloud(tmp_path: Path) -> None:
    pixels = terrain(0, 200, "uint8")[0]
    with tifffile.TiffWriter(tmp_path / "lr.tif") as file:
        file.write(pixels, subifds=1, metadata=None)
        file.write(pixels[::2, ::2], subfiletype=1, metadata=None)
    assert [("smaller versions" in line) for line in enlarged(tmp_path / "lr.tif")[1]] == [True]


def test_a_mask_is_left_out_aloud(tmp_path: Path) -> None:
    pixels = terrain(0, 200, "uint8")[0]
    with tifffile.TiffWriter(tmp_path / "lr.tif") as file:
        file.write(pixels, metadata=None)
        file.write(pixels > 5, subfiletype=4, photometric="mask", metadata=None)
    assert [("the mask of what is valid" in line) for line in enlarged(tmp_path / "lr.tif")[1]] == [True]


def test_metadata_of_bands_are_renumbered() -> None:
    text = b'<GDALMetadata>\n<Item name="a" sample="0">x</Item>\n<Item name="b" sample="2">y</Item>\n</GDALMetadata>'
    kept = gdal_metadata(text, (2, 1))[0]
    assert kept == b'<GDALMetadata>\n<Item name="b" sample="0">y</Item>\n</GDALMetadata>'


def test_white_that_is_declared_stays_white(tmp_path: Path) -> None:
    samples = terrain(0, 4095, "uint16")
    tifffile.imwrite(tmp_path / "lr.tif", samples[0], metadata=None, extratags=[(281, 3, 1, 4095, True)])
    output, _ = enlarged(tmp_path / "lr.tif", scale=1)
    np.testing.assert_array_equal(samples_in(output), samples)
    with tifffile.TiffFile(output) as file:
        assert file.pages[0].tags.valueof(281) == 4095


def test_gray_that_counts_down_from_white_keeps_its_values(tmp_path: Path) -> None:
    samples = terrain(1, 250, "uint8")
    samples[0][holed()] = 0
    output, _ = enlarged(placed(tmp_path / "lr.tif", samples, nodata="0", photometric="miniswhite"))
    with tifffile.TiffFile(output) as file:
        assert file.pages[0].photometric.name == "MINISWHITE"
        (sr,) = samples_in(output)
    np.testing.assert_array_equal(sr == 0, nearest(holed(), sr.shape))


def test_the_holes_of_a_band_are_its_own(tmp_path: Path) -> None:
    samples = terrain(1, 2000, "float32", 3)
    samples[1][holed()] = np.nan
    sr = samples_in(enlarged(placed(tmp_path / "lr.tif", samples))[0])
    assert np.isfinite(sr[[0, 2]]).all()
    np.testing.assert_array_equal(np.isnan(sr[1]), nearest(holed(), sr[1].shape))


@pytest.mark.parametrize("model", ["bicubic", "espcn"])
def test_a_picture_of_holes_stays_one(tmp_path: Path, model: str) -> None:
    path = placed(tmp_path / "lr.tif", np.full((1, 20, 20), -9999, "int16"), nodata="-9999")
    assert (samples_in(enlarged(path, model=model)[0]) == -9999).all()


def test_array_input_of_floats_is_as_before() -> None:
    heights = terrain(0, 1, "float32")[0]
    heights[holed()] = np.nan
    sr = Upscaler("bicubic")(heights, scale=2)
    np.testing.assert_array_equal(np.isnan(sr), nearest(holed(), sr.shape))


def test_a_second_opinion(tmp_path: Path) -> None:
    """GDAL agrees on corners, coordinate system, kinds and holes."""
    rasterio = pytest.importorskip("rasterio")
    for point in (False, True):
        samples = terrain(-300, 2500, "int16", 3)
        samples[:, holed()] = -9999
        path = placed(tmp_path / f"lr{point:d}.tif", samples, point=point, nodata="-9999")
        output, _ = enlarged(path, overwrite=True)
        with rasterio.open(path) as before, rasterio.open(output) as after:
            assert after.crs == before.crs == rasterio.crs.CRS.from_epsg(32632)
            assert tuple(after.bounds) == pytest.approx(tuple(before.bounds), abs=1e-6)
            assert after.res == (5, 5)
            assert after.dtypes == before.dtypes
            assert after.nodata == before.nodata
            assert after.tags()["AREA_OR_POINT"] == before.tags()["AREA_OR_POINT"]
            holes = after.read_masks(2) == 0
        np.testing.assert_array_equal(holes, nearest(holed(), holes.shape))
