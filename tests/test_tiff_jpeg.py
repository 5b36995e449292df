"""JPEG data within a TIFF that end early are refused in one line, and taken with salvage."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.pictures import frame_of
from upscale_cli.errors import InputError
from upscale_cli.media.image.codecs import tiff_jpeg
from upscale_cli.media.image.reader_writer import ImageReader

LAYOUTS: list[dict[str, Any]] = [{"rowsperstrip": 64}, {"rowsperstrip": 200}, {"tile": (64, 64)}]


def jpeg_tiff(path: Path, photometric: Any = "ycbcr", **how: Any) -> Path:
    pixels = frame_of("RGB", height=192, width=256).pixels
    if photometric == "minisblack":
        pixels = pixels[:, :, 0]
    tifffile.imwrite(path, pixels, photometric=photometric, compression="jpeg", compressionargs={"level": 90}, **how)
    return path


def ended_early(path: Path, share: float, *, closed: bool) -> None:
    """An end marker amid the data of the second segment, or of the only one; or nothing but zeros from there on."""
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        index = min(1, len(page.dataoffsets) - 1)
        at, size = page.dataoffsets[index], page.databytecounts[index]
    data = bytearray(path.read_bytes())
    scan = bytes(data[at : at + size]).find(b"\xff\xda") + 14
    cut = at + scan + int((size - scan) * share)
    data[cut : at + size] = (b"\xff\xd9" if closed else b"").ljust(at + size - cut, b"\0")
    path.write_bytes(data)


def all_of(path: Path, **how: Any) -> Any:
    with ImageReader(path, **how) as reader:
        return next(iter(reader)).pixels


@pytest.mark.parametrize("how", LAYOUTS, ids=str)
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_data_that_end_early_are_refused_in_one_line(how: dict[str, Any], share: float, tmp_path: Path) -> None:
    path = jpeg_tiff(tmp_path / "scan.tif", **how)
    whole = all_of(path)
    ended_early(path, share, closed=True)
    with pytest.raises(InputError, match=r"scan\.tif: its data are damaged \(premature end.*salvage=True") as caught:
        all_of(path)
    assert "\n" not in str(caught.value)
    told: list[str] = []
    taken = all_of(path, salvage=True, say=told.append)
    assert len(told) == 1
    assert "what could be decoded is taken" in told[0]
    np.testing.assert_array_equal(taken[:16, :64], whole[:16, :64])


@pytest.mark.parametrize("how", LAYOUTS[::2], ids=str)
def test_bands_are_looked_at_too(how: dict[str, Any], tmp_path: Path) -> None:
    path = jpeg_tiff(tmp_path / "scan.tif", "minisblack", **how)
    with ImageReader(path) as reader:
        assert reader.row_reader is not None
        assert sum(len(band) for band in reader.row_reader.begin(0)) == 192
    ended_early(path, 0.5, closed=True)
    with ImageReader(path) as reader:
        assert reader.row_reader is not None
        with pytest.raises(InputError, match="its data are damaged"):
            list(reader.row_reader.begin(0))


@pytest.mark.parametrize("how", LAYOUTS, ids=str)
def test_whole_ones_are_decoded_once(how: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_jpeg, "warning_of", lambda _: pytest.fail("decoded a second time"))
    path, told = jpeg_tiff(tmp_path / "scan.tif", **how), list[str]()
    np.testing.assert_array_equal(all_of(path, say=told.append), tifffile.imread(path))
    assert told == []


def test_gray_at_the_end_is_no_damage(tmp_path: Path) -> None:
    pixels, told = np.full((128, 128, 3), 128, np.uint8), list[str]()
    pixels[:40, :40] = frame_of("RGB", height=40, width=40).pixels
    path = tmp_path / "gray.tif"
    tifffile.imwrite(path, pixels, photometric="ycbcr", compression="jpeg", rowsperstrip=64)
    np.testing.assert_array_equal(all_of(path, say=told.append), tifffile.imread(path))
    assert told == []
