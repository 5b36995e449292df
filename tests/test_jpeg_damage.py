"""JPEG data that end too early: gray from there on, which nobody may take for a picture."""

import io
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.pictures import frame_of, read
from upscale_cli.errors import InputError
from upscale_cli.media.image.codecs import pillow_reader
from upscale_cli.media.image.reader_writer import ImageReader

KINDS: list[dict[str, Any]] = [
    {}, {"subsampling": 0}, {"progressive": True}, {"restart_marker_blocks": 7}, {"restart_marker_rows": 1},
    {"optimize": True},
]  # fmt: skip

HAS_DJPEG = shutil.which("djpeg") is not None


def coded(mode: str = "RGB", **how: Any) -> bytes:
    image = Image.fromarray(frame_of("RGB", height=160, width=211).pixels).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, **how)
    return buffer.getvalue()


def ended_early(data: bytes, share: float) -> bytes:
    """An end marker amid the coded data, as a file has it that was cut and closed again."""
    scan = data.find(b"\xff\xda") + 14
    at = scan + int((len(data) - scan) * share)
    return data[:at] + b"\xff\xd9" + data[at + 2 :]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("how", KINDS, ids=str)
def test_data_that_end_early_are_refused_in_one_line(how: dict[str, Any], mode: str) -> None:
    data = coded(mode, **how)
    for share in np.linspace(0.1, 0.9, 5):
        with pytest.raises(InputError, match="premature end of data segment") as caught:
            read(ended_early(data, share))
        assert "\n" not in str(caught.value)
        assert "salvage=True" in str(caught.value)


@pytest.mark.parametrize("kept", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("how", KINDS[:4], ids=str)
def test_salvage_takes_what_decodes(how: dict[str, Any], kept: bytes) -> None:
    data = coded(**how)
    cut = ended_early(data, 0.6).split(b"\xff\xd9")[0] + kept
    told: list[str] = []
    _, (frame,) = read(cut, salvage=True, say=told.append)
    assert len(told) == 1
    if not how.get("progressive"):
        _, (whole,) = read(data)
        np.testing.assert_array_equal(frame.pixels[:48], whole.pixels[:48])


@pytest.mark.parametrize("how", KINDS, ids=str)
def test_a_whole_picture_is_taken_without_a_word(
    how: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for mode in ("RGB", "L"):
        with monkeypatch.context() as patch:
            patch.setattr(pillow_reader, "warning_of", lambda _: pytest.fail("decoded a second time"))
            _, (frame,) = read(coded(mode, **how), say=told.append)
        expected = np.asarray(Image.open(io.BytesIO(coded(mode, **how))))
        np.testing.assert_array_equal(frame.pixels, expected.reshape(frame.pixels.shape), "as Pillow decodes it")
    (tmp_path / "junk.jpg").write_bytes(b"\0" * 7 + coded(**how))
    read(tmp_path / "junk.jpg", say=told.append)
    assert told == []


def test_gray_at_the_end_of_a_picture_is_no_damage() -> None:
    pixels = frame_of("RGB", height=96, width=96).pixels.copy()
    pixels[48:] = 128
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    assert read(buffer.getvalue())[0].width == 96


def test_what_follows_a_picture_is_not_looked_at() -> None:
    assert read(coded() + b"\xff\xd3 a clip \xff\xd9")[0].width == 211


def test_a_picture_in_bands_is_looked_at_too(tmp_path: Path) -> None:
    pytest.importorskip("pyvips")
    from upscale_cli.media.image.reader_writer import ImageReader

    path = tmp_path / "cut.jpg"
    for data, refused in ((coded(), False), (ended_early(coded(), 0.9), True)):
        path.write_bytes(data)
        with ImageReader(path) as reader:
            assert reader.row_reader is not None
            if not refused:
                assert sum(len(band) for band in reader.row_reader.begin(0)) == 160
                continue
            with pytest.raises(InputError, match="its data are damaged"):
                list(reader.row_reader.begin(0))


def test_restarts_that_are_missing_are_damage(tmp_path: Path) -> None:
    data = coded(restart_marker_rows=1)
    first, second = data.find(b"\xff\xd2"), data.find(b"\xff\xd3")
    path = tmp_path / "photo of ü.jpg"
    path.write_bytes(data[:first] + data[second:])
    with pytest.raises(InputError, match="its data are damaged"):
        read(path)
    path.write_bytes(data)
    assert read(path)[0].width == 211


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("how", KINDS, ids=str)
def test_data_that_end_in_the_last_unit_are_damage(how: dict[str, Any], mode: str) -> None:
    """As libjpeg-turbo's own program says of the same bytes, which are cut a little before their end."""
    data, refused = coded(mode, **how), 0
    for missing in range(3, 12):
        cut = data[: -2 - missing] + b"\xff\xd9"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cut.jpg"
            path.write_bytes(cut)
            heard = subprocess.run(["djpeg", path], capture_output=True, check=False).stderr if HAS_DJPEG else b"?"
        try:
            read(cut)
        except InputError:
            refused += 1
            assert heard
        else:
            assert not HAS_DJPEG or not heard, heard
    assert refused > 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_stand_as_the_camera_was_held(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = coded(exif=exif.tobytes())
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(read(data)[1][0].pixels, expected)


@pytest.mark.parametrize("at", ["at its end", "between its scans"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_harmless_warning_costs_no_pixel(mode: str, at: str, tmp_path: Path) -> None:
    """libjpeg warns of bytes that belong to nothing, skips them, and decodes what there is."""
    noise = np.random.default_rng(0).integers(0, 256, (600, 80, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(stream, "JPEG", quality=90, progressive=at != "at its end")
    data = stream.getvalue()
    place = len(data) - 2 if at == "at its end" else data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:place] + bytes(7) + data[place:])
    with Image.open(path) as image:
        expected = np.asarray(image).reshape(600, 80, -1)
    with ImageReader(path) as reader:
        (frame,) = reader
    np.testing.assert_array_equal(frame.pixels, expected)
