"""What a still says of its colours in tags that are true in any size is kept: PNG's HDR chunks, TIFF's colorimetry."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.pictures import png_chunk
from upscale_cli import upscale_file
from upscale_cli.events import Event, Note

WHITE = (3127, 10_000, 3290, 10_000)
PRIMARIES = (64, 100, 33, 100, 30, 100, 60, 100, 15, 100, 6, 100)


def chunks_of(data: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found[data[at + 4 : at + 8]] = data[at + 8 : at + 8 + length]
        at += length + 12
    return found


def pixels(dtype: Any = np.uint8) -> Any:
    y, x = np.mgrid[:12, :10]
    return (np.stack([x * 20, y * 18, x * y * 2], -1) * (257 if dtype == np.uint16 else 1)).astype(dtype)


def test_png_keeps_mastering_display_and_light_level(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, "PNG")
    data = buffer.getvalue()
    wanted = {
        b"cICP": bytes((9, 16, 0, 1)),
        b"mDCV": struct.pack(">8H2I", 35_400, 14_600, 8500, 39_850, 6550, 2300, 15_635, 16_450, 10_000_000, 50),
        b"cLLI": struct.pack(">2I", 10_000_000, 4_000_000),
    }
    source, output = tmp_path / "in.png", tmp_path / "out.png"
    source.write_bytes(data[:33] + b"".join(png_chunk(*each) for each in wanted.items()) + data[33:])
    upscale_file(source, output, 2, model="bicubic")
    found = chunks_of(output.read_bytes())
    assert {kind: found.get(kind) for kind in wanted} == wanted


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", ["tif", "png"])
def test_tiff_keeps_its_colorimetry(dtype: Any, ending: str, tmp_path: Path) -> None:
    count = 256 if dtype == np.uint8 else 65_536
    curve = tuple(round(65_535 * (step / (count - 1)) ** 1.8) for step in range(count))
    tags = [(318, 5, 2, WHITE, True), (319, 5, 6, PRIMARIES, True), (301, 3, count, curve, True)]
    source, output, events = tmp_path / "in.tif", tmp_path / f"out.{ending}", list[Event]()
    tifffile.imwrite(source, pixels(dtype), photometric="rgb", extratags=tags)
    upscale_file(source, output, 2, model="bicubic", listener=events.append)
    told = " ".join(event.text for event in events if isinstance(event, Note))
    if ending == "png":
        assert "white point" in told
        assert "primaries" in told
        return
    assert "white point" not in told
    assert "transfer function" not in told
    with Image.open(output) as image:  # Pillow reads them by itself
        assert tuple(float(value) for value in image.tag_v2[318]) == pytest.approx((0.3127, 0.3290))  # type: ignore[attr-defined]
        assert tuple(float(value) for value in image.tag_v2[319]) == pytest.approx((0.64, 0.33, 0.3, 0.6, 0.15, 0.06))  # type: ignore[attr-defined]
    with tifffile.TiffFile(output) as file:
        assert tuple(file.pages[0].tags.valueof(301)) == curve


def test_a_curve_of_another_depth_is_left_out_with_a_line(tmp_path: Path) -> None:
    source, output, events = tmp_path / "in.tif", tmp_path / "out.tif", list[Event]()
    tifffile.imwrite(source, pixels(), photometric="rgb", extratags=[(301, 3, 16, tuple(range(16)), True)])
    upscale_file(source, output, 2, model="bicubic", listener=events.append)
    assert any("transfer function" in event.text for event in events if isinstance(event, Note))
    with tifffile.TiffFile(output) as file:
        assert 301 not in file.pages[0].tags
