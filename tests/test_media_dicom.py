"""DICOM: stored values are upscaled, what gives them their meaning stays, and pydicom reads what is written."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.command import Run
from upscale_cli.media.image.reader_writer import ImageReader

pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")

SLICE = (np.add.outer(np.arange(20) * 30, np.arange(30) * 20) - 200).astype(np.int16)


def dicom(path: Path, pixels: NDArray[Any], photometric: str = "MONOCHROME2", **more: Any) -> Path:
    """A file by pydicom itself; (H, W), (frames, H, W) or (H, W, 3)."""
    import pydicom.uid

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = more.pop("syntax", pydicom.uid.ExplicitVRLittleEndian)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    dataset.PatientName = "Doe^Jane"
    dataset.PhotometricInterpretation = photometric
    dataset.SamplesPerPixel = 3 if pixels.shape[-1] == 3 else 1
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    rows, columns = pixels.shape[:2] if pixels.shape[-1] == 3 or pixels.ndim == 2 else pixels.shape[1:]
    if pixels.ndim == 3 and dataset.SamplesPerPixel == 1:
        dataset.NumberOfFrames = len(pixels)
    dataset.Rows, dataset.Columns = rows, columns
    bits = 8 * pixels.itemsize
    dataset.BitsAllocated, dataset.BitsStored = bits, more.pop("stored", bits)
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels.dtype.kind == "i")
    for name, value in more.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def upscaled(run: Run, source: Path, output: Path, *more: object) -> str:
    outcome = run(source, "-m", "bicubic", "-s", 2, "-o", output, *more)
    assert outcome.code == 0, outcome.err
    return " ".join((outcome.err + outcome.out).split())


def test_stored_values_and_what_they_mean_stay(run: Run, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "RescaleSlope": "2", "RescaleIntercept": "-1024", "WindowCenter": ["40", "600"], "WindowWidth": ["400", "1600"],
        "PixelSpacing": ["0.8", "0.5"], "ImagePositionPatient": ["-10", "-20", "5"],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"], "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    }  # fmt: skip
    source = dicom(tmp_path / "a.dcm", SLICE, **given)
    upscaled(run, source, tmp_path / "b.dcm")
    before, after = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "b.dcm")
    assert (after.RescaleSlope, after.RescaleIntercept) == (2, -1024)
    assert (list(after.WindowCenter), list(after.WindowWidth)) == ([40, 600], [400, 1600])
    assert [float(side) for side in after.PixelSpacing] == [0.4, 0.25]
    # The corner of the first pixel lies half a pixel from its middle, before and after.
    assert [float(part) for part in after.ImagePositionPatient] == pytest.approx([-10.125, -20.2, 5])
    assert after.PatientName == "Doe^Jane"
    assert list(after.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID
    assert "2 times" in after.DerivationDescription
    values = after.pixel_array
    assert (values.shape, values.dtype) == ((40, 60), np.dtype(np.int16))
    expected = np.add.outer((np.arange(40) - 0.5) / 2 * 30, (np.arange(60) - 0.5) / 2 * 20) - 200
    assert np.abs(values - expected)[6:-6, 6:-6].max() <= 2


@pytest.mark.parametrize("kind", ["int16", "uint16", "uint8", "int8"])
def test_nothing_changes_at_scale_1(run: Run, tmp_path: Path, kind: str) -> None:
    info = np.iinfo(kind)
    pixels = np.linspace(info.min, info.max, 600).round().astype(kind).reshape(20, 30)
    source = dicom(tmp_path / "a.dcm", pixels)
    upscaled(run, source, tmp_path / "b.dcm", "-s", 1)
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "b.dcm").pixel_array, pixels)


def test_no_value_leaves_the_bits_that_are_used(run: Run, tmp_path: Path) -> None:
    edge = np.zeros((20, 30), np.uint16)
    edge[:, 15:] = 4095
    upscaled(run, dicom(tmp_path / "a.dcm", edge, stored=12), tmp_path / "b.dcm")
    after = pydicom.dcmread(tmp_path / "b.dcm")
    assert after.BitsStored == 12
    assert after.pixel_array.max() == 4095


def test_all_frames_come_out(run: Run, tmp_path: Path) -> None:
    frames = np.stack([SLICE, SLICE + 100, SLICE + 200])
    source = dicom(tmp_path / "a.dcm", frames)
    upscaled(run, source, tmp_path / "b.dcm")
    after = pydicom.dcmread(tmp_path / "b.dcm")
    assert (after.NumberOfFrames, after.pixel_array.shape) == (3, (3, 40, 60))
    means = after.pixel_array.mean(axis=(1, 2))
    np.testing.assert_allclose(np.diff(means), [100, 100], atol=0.5)


def test_colour_stays_colour(run: Run, tmp_path: Path) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:] = (200, 40, 90)
    upscaled(run, dicom(tmp_path / "a.dcm", pixels, "RGB"), tmp_path / "b.dcm")
    after = pydicom.dcmread(tmp_path / "b.dcm")
    assert after.PhotometricInterpretation == "RGB"
    assert (after.pixel_array == (200, 40, 90)).all()


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_other_formats_get_shades_by_the_window(run: Run, tmp_path: Path, photometric: str) -> None:
    stored = np.repeat(np.array([0, 100, 200, 300], np.int16), 8)[None].repeat(16, axis=0)
    window: dict[str, Any] = {
        "RescaleSlope": "2",
        "RescaleIntercept": "-100",
        "WindowCenter": "200.5",
        "WindowWidth": "401",
    }
    said = upscaled(run, dicom(tmp_path / "a.dcm", stored, photometric, **window), tmp_path / "b.png")
    assert (
        "PNG gets shades of gray, by the window 200.5 / 401; what is said of patient, place and scale is left out"
        in said
    )
    shades = np.asarray(Image.open(tmp_path / "b.png")).astype(float)[16, [8, 24, 40, 56]] / 65_535
    expected = np.array([0, 0.25, 0.75, 1])  # -100, 100, 300 and 500 in a window from 0 to 400
    np.testing.assert_allclose(shades, expected if photometric == "MONOCHROME2" else 1 - expected, atol=0.01)


def test_what_is_not_read_or_written_is_said(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = dicom(tmp_path / "a.dcm", SLICE)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    assert "a DICOM file is about a patient" in run(tmp_path / "a.png", "-m", "bicubic", "-o", tmp_path / "c.dcm").line
    assert not (tmp_path / "c.dcm").exists()
    planned = run(tmp_path / "a.png", "-m", "bicubic", "-o", tmp_path / "c.dcm", "--dry-run")
    assert (planned.code, "a DICOM file is about a patient" in planned.line) == (1, True)
    dataset = pydicom.dcmread(source)
    dataset.BitsAllocated = dataset.BitsStored = 32
    dataset.save_as(tmp_path / "deep.dcm")
    assert "32 bits a value of MONOCHROME2 are not read" in run(tmp_path / "deep.dcm").line
    dataset = pydicom.dcmread(source)
    del dataset.PixelData
    dataset.save_as(tmp_path / "none.dcm")
    assert "holds no picture of whole numbers (CT Image Storage)" in run(tmp_path / "none.dcm").line
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    assert 'pip install "upscale-cli[dicom]" adds DICOM' in run(source).line


def test_a_sign_that_jpeg_2000_has_otherwise_is_corrected() -> None:
    """By the values that pydicom has of all pixels at once."""
    import pydicom.data
    import pydicom.pixels

    name = pydicom.data.get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False)
    if name is None:
        pytest.skip("this pydicom comes without its test files")
    with ImageReader(Path(name)) as reader, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom tells of the mismatch
        (frame,) = reader
        expected = pydicom.pixels.pixel_array(name)
    np.testing.assert_array_equal(frame.pixels[..., 0].astype(int) - 2**15, expected)
