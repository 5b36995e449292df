"""Pictures in bands: the same as a whole, value for value, from every reader to every writer."""

import io
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from tests.goldens.recipes import rrdbnet, seeded, srvgg
from tests.pictures import frame_of, info_of
from upscale_cli import Upscaler, upscale_file
from upscale_cli.errors import InputError, InterruptedRun, OptionError, OutputError
from upscale_cli.events import Event, Note, Progress
from upscale_cli.frames.image import Frame, Layout, Pixels
from upscale_cli.frames.rows import Edge, Held, Padded, RowReader, Rows, Streamed
from upscale_cli.inference.resample import FILTERS, Resampled, taps
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.bands import plan_bands
from upscale_cli.jobs.bands_resume import RowCache
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.photo import PhotoJob
from upscale_cli.media.image.formats import FORMATS
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.media.image.reader_writer import ImageReader, ImageWriter
from upscale_cli.models.registry import Kernel

EXIF = b"II*\0" + struct.pack("<IHHHII", 8, 1, 315, 2, 6, 26) + struct.pack("<I", 0) + b"who?\0\0"
"""An EXIF block that names an artist."""

LITTLE = 230 * 10**6
"""Bytes of memory that are too few for any picture as a whole, and enough for bands."""


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Models by name: nets whose tiles stand side by side, nets whose tiles blend, nets that fold pixels, kernels."""
    folder = tmp_path_factory.mktemp("nets")
    shapes = {
        "srvgg": srvgg(2, num_feat=8),
        "rrdbnet": rrdbnet(1, num_feat=8),
        "folding": rrdbnet(1, num_feat=8, unshuffle=2),
    }
    for name, shape in shapes.items():
        save_file(
            {key: torch.from_numpy(value) for key, value in seeded(shape, 0).items()}, folder / f"{name}.safetensors"
        )
    made = {name: str(folder / f"{name}.safetensors") for name in shapes}
    return made | {"espcn": "espcn", "bicubic": "bicubic", "lanczos": "lanczos"}


def row_reader(frame: Frame, heights: list[int]) -> RowReader:
    """A frame as a reader would give it, in bands of those heights, over and over."""

    def begin(start: int) -> Iterator[Pixels]:
        number = 0
        while start < frame.height:
            height = heights[number % len(heights)]
            yield frame.pixels[start : start + height]
            start, number = start + height, number + 1

    return RowReader(frame.height, frame.width, frame.layout, frame.pixels.dtype, frame.transfer, begin)


def read_in_steps(rows: Rows, heights: list[int], start: int = 0) -> Pixels:
    """The rows from `start` on, asked for some at a time."""
    bands, number = [], 0
    while start < rows.height:
        stop = min(start + heights[number % len(heights)], rows.height)
        bands.append(np.array(rows.read(start, stop)))
        start, number = stop, number + 1
    return np.concatenate(bands)


# The arithmetic


@pytest.mark.slow
@pytest.mark.parametrize("model", ["espcn", "srvgg", "rrdbnet", "folding", "bicubic", "lanczos"])
@settings(max_examples=20)
@given(data=st.data())
def test_bands_equal_the_whole(nets: dict[str, str], model: str, data: st.DataObject) -> None:
    scale = data.draw(st.sampled_from([2, 3, 4, 2.5, 0.4]))
    height, width = data.draw(st.integers(1, 50)), data.draw(st.integers(1, 30))
    layout: Layout = data.draw(st.sampled_from(get_args(Layout)))
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    steps = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    tile, seed = data.draw(st.integers(9, 24)), data.draw(st.integers(0, 99))
    frame = frame_of(layout, dtype, height, width, seed)
    upscaler = Upscaler(nets[model], device="cpu", tile=tile, overlap=None if model == "espcn" else 8)
    plan = upscaler.plan(width, height, Target(scale=scale))
    whole = upscaler.upscale(frame, plan).pixels
    np.testing.assert_array_equal(read_in_steps(upscaler.rows(frame, plan), steps), whole)
    start = data.draw(st.integers(0, plan.height - 1))
    np.testing.assert_array_equal(read_in_steps(upscaler.rows(frame, plan), steps, start), whole[start:])
    if layout in ("L", "RGB") and dtype is not np.float32:
        bands = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
        np.testing.assert_array_equal(read_in_steps(upscaler.rows(row_reader(frame, bands), plan), steps), whole)


def test_a_picture_that_wraps_equals_the_whole() -> None:
    frame = frame_of("RGBA", np.uint16, 41, 30)
    upscaler = Upscaler("espcn", device="cpu", tile=12, wrap=True)
    plan = upscaler.plan(frame.width, frame.height, Target(scale=2.5))
    np.testing.assert_array_equal(
        read_in_steps(upscaler.rows(frame, plan), [7, 1]), upscaler.upscale(frame, plan).pixels
    )


@pytest.mark.parametrize("value", [0, 200])
def test_a_constant_picture_in_bands_is_constant(value: int) -> None:
    frame = Frame(np.full((40, 9, 3), value, np.uint8), "RGB")
    upscaler = Upscaler("espcn", device="cpu", tile=9)
    plan = upscaler.plan(9, 40, Target(scale=2))
    assert upscaler.tile_count(row_reader(frame, [6]), plan) == 0
    assert (upscaler.rows(row_reader(frame, [6]), plan).whole() == value).all()
    frame.pixels[39, 8, 2] += 1
    assert upscaler.tile_count(row_reader(frame, [6]), plan) > 0
    np.testing.assert_array_equal(
        upscaler.rows(row_reader(frame, [6]), plan).whole(), upscaler.upscale(frame, plan).pixels
    )


def test_few_rows_are_held() -> None:
    """LR is asked for tile by tile, each row of it once, and not before it is needed."""
    frame, asked = frame_of("RGB", np.uint8, 300, 20), []

    def begin(start: int) -> Iterator[Pixels]:
        for top in range(start, 300, 5):
            asked.append(top)
            yield frame.pixels[top : top + 5]

    upscaler = Upscaler("espcn", device="cpu", tile=20)
    plan = upscaler.plan(20, 300, Target(scale=5))  # two passes and a resampling
    rows = upscaler.rows(RowReader(300, 20, "RGB", frame.pixels.dtype, "display", begin), plan)
    asked.clear()  # the first band was looked at already: is the picture constant?
    rows.read(0, 50)
    assert max(asked) < 80
    rows.read(1000, 1050)
    assert 200 <= max(asked) < 280
    assert asked == sorted(set(asked))


def test_a_picture_that_comes_in_bands_is_the_same_as_a_whole_whatever_was_read_before() -> None:
    pixels = np.random.default_rng(0).integers(0, 60000, (40, 13, 2), np.uint16)
    for first in (0, 7):
        rows = Streamed(40, 13, 2, np.uint16, scanned_bands(pixels))
        if first:
            np.testing.assert_array_equal(rows.read(0, first), pixels[:first])
        np.testing.assert_array_equal(rows.whole(), pixels)


@given(  # a margin that mirrors is smaller than the picture
    height=st.integers(1, 30), edge=st.sampled_from(get_args(Edge)), margins=st.tuples(*[st.integers(0, 12)] * 4),
    steps=st.lists(st.integers(1, 12), min_size=1, max_size=3),
)  # fmt: skip
def test_margins_are_those_of_numpy(height: int, edge: Edge, margins: tuple[int, ...], steps: list[int]) -> None:
    pixels = np.arange(height * 13 * 2).reshape(height, 13, 2).astype(np.uint16)
    top, bottom, left, right = margins if edge != "reflect" else (min(margin, height - 1) for margin in margins)
    source: Rows = Held(pixels) if edge == "wrap" or top else Streamed(height, 13, 2, np.uint16, scanned_bands(pixels))
    padded = Padded(source, top, bottom, left, right, edge)
    expected = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode=edge)
    np.testing.assert_array_equal(read_in_steps(padded, steps), expected)


def scanned_bands(pixels: Pixels) -> Callable[[int], Iterator[Pixels]]:
    return lambda start: (pixels[top : top + 3] for top in range(start, len(pixels), 3))


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos"])
@pytest.mark.parametrize(("source", "length"), [(7, 20), (20, 7), (1, 9), (9, 1), (50, 125), (11, 11)])
def test_taps_are_those_of_pillow(kernel: Kernel, source: int, length: int) -> None:
    plane = np.random.default_rng(0).random((source, 6), dtype=np.float32)
    expected = np.asarray(Image.fromarray(plane).resize((6, length), FILTERS[kernel]))
    rows = Resampled(Held(plane[:, :, None]), length, 6, np.float32, kernel, wrap=False)
    np.testing.assert_allclose(rows.whole()[:, :, 0], expected, atol=1e-6)
    np.testing.assert_allclose(taps(source, length, kernel)[1].sum(axis=1), 1)


# From file to file


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for bands only, and bands of a few rows."""
    monkeypatch.setattr("upscale_cli.jobs.photo.room", lambda _: LITTLE)
    for module in ("frames.rows", "media.image.codecs.png", "media.image.codecs.tiff", "inference.resample"):
        monkeypatch.setattr(f"upscale_cli.{module}.BAND_BYTES", 3000)
    for module in ("media.image.codecs.tiff_writer", "jobs.bands"):
        monkeypatch.setattr(f"upscale_cli.{module}.TILE", 16)


def save(path: Path, frame: Frame, kind: str) -> None:
    pixels = frame.pixels if frame.pixels.shape[2] > 1 else frame.pixels[:, :, 0]
    kinds: dict[str, dict[str, Any]] = {
        "strips": {"compression": "zlib", "predictor": True, "rowsperstrip": 7},
        "one strip": {"compression": "zlib", "rowsperstrip": frame.height},
        "tiles": {"compression": "zlib", "tile": (16, 32)},
        "raw": {"byteorder": ">"},
        "raw tiles": {"tile": (16, 16)},
        "planes apart": {"planarconfig": "separate"} if frame.pixels.shape[2] > 1 else {},
        "big": {"bigtiff": True, "compression": "zlib", "rowsperstrip": 5},
    }
    if kind == "planes apart" and frame.pixels.shape[2] > 1:
        pixels = np.moveaxis(pixels, 2, 0)
    photometric = "rgb" if frame.layout == "RGB" else "minisblack"
    tifffile.imwrite(path, pixels, photometric=photometric, metadata=None, **kinds[kind])


def pixels_in(path: Path) -> Pixels:
    with ImageReader(path) as reader:
        (frame,) = reader
    return frame.pixels


def whole(path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> Pixels:
    """What the same job gives where there is memory."""
    with monkeypatch.context() as generous:
        generous.setattr("upscale_cli.jobs.photo.room", lambda _: 10**12)
        return pixels_in(upscale_file(path, output.with_stem("whole"), **how))


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("kind", ["strips", "one strip", "tiles", "raw", "raw tiles", "planes apart", "big"])
@pytest.mark.parametrize("layout", ["L", "RGB"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_to_tiff(kind: str, layout: Layout, dtype: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "lr.tif", frame_of(layout, dtype, 53, 41), kind)
    how: dict[str, Any] = {"scale": 2.5, "model": Upscaler("espcn", device="cpu", tile=16)}
    expected = whole(tmp_path / "lr.tif", tmp_path / "sr.tif", monkeypatch, **how)
    output = upscale_file(tmp_path / "lr.tif", tmp_path / "sr.tif", **how)
    np.testing.assert_array_equal(pixels_in(output), expected)
    with tifffile.TiffFile(output) as file:
        assert file.pages[0].is_tiled, "it was written in bands"


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("model", ["espcn", "bicubic"])
@pytest.mark.parametrize("kind", ["strips", "tiles", "raw", "planes apart"])
@pytest.mark.parametrize(("dtype", "nodata"), [("int16", "-9999"), ("int16", None), ("uint16", "0"), ("uint8", None)])
def test_bands_of_a_satellite(
    kind: str, dtype: str, nodata: str | None, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of them, with samples that are none; the place on the Earth too."""
    pixels = frame_of("CMYK", np.uint8, 53, 41).pixels.astype(dtype) * (1 if dtype == "uint8" else 100)
    pixels -= np.array(300 if dtype == "int16" else 0, dtype)
    pixels[9:30, 5:33, :3] = int(nodata or 7)
    tags: list[tuple[Any, ...]] = [
        (33550, 12, 3, (10.0, 10.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 5.0, 6.0, 0.0), True),
    ]
    tags += [(42113, 2, len(nodata) + 1, nodata, True)] if nodata else []
    layouts: dict[str, dict[str, Any]] = {
        "strips": {"compression": "zlib", "rowsperstrip": 7}, "tiles": {"compression": "zlib", "tile": (16, 32)},
        "raw": {"byteorder": ">"}, "planes apart": {"planarconfig": "separate"},
    }  # fmt: skip
    how = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None, "extratags": tags} | layouts[kind]
    stored = np.moveaxis(pixels, 2, 0) if kind == "planes apart" else pixels
    tifffile.imwrite(tmp_path / "lr.tif", stored, **how)
    options: dict[str, Any] = {
        "scale": 2.5,
        "model": Upscaler(model, device="cpu", tile=0 if model == "bicubic" else 16),
    }
    with monkeypatch.context() as generous:
        generous.setattr("upscale_cli.jobs.photo.room", lambda _: 10**12)
        expected = upscale_file(tmp_path / "lr.tif", tmp_path / "whole.tif", **options)
    output = upscale_file(tmp_path / "lr.tif", tmp_path / "sr.tif", **options)
    with tifffile.TiffFile(output) as file, tifffile.TiffFile(expected) as whole_file:
        assert file.pages[0].is_tiled, "it was written in bands"
        assert not whole_file.pages[0].is_tiled
        assert file.pages[0].tags.valueof(33550)[:2] == pytest.approx((41 / 102 * 10, 53 / 132 * 10))
        assert file.pages[0].tags.valueof(42113) == nodata
        sr = file.asarray()
        np.testing.assert_array_equal(sr, whole_file.asarray())
    assert sr.dtype == dtype
    if nodata:
        assert (sr == int(nodata)).any(axis=(0, 1)).tolist() == [True, True, True, False]


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("layout", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", [".png", ".pam", ".tif"])
def test_png_to_anything_that_is_written_in_bands(
    layout: Layout, dtype: type, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, output = tmp_path / "lr.png", tmp_path / f"sr{ending}"
    write(path, frame_of(layout, dtype, 61, 37))
    how: dict[str, Any] = {"scale": 2, "model": Upscaler("espcn", device="cpu", tile=16)}
    expected = whole(path, output, monkeypatch, **how)
    reported: list[Event] = []
    np.testing.assert_array_equal(pixels_in(upscale_file(path, output, listener=reported.append, **how)), expected)
    assert [event.text for event in reported if isinstance(event, Note)] == [
        f"{path}: too large for memory as a whole, so it is upscaled in bands."
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("layout", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("height", [61, 64, 257])
def test_jpeg_in_bands_decodes_to_what_jpeg_as_a_whole_does(
    layout: Layout, height: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, output = tmp_path / "lr.tif", tmp_path / "sr.jpg"
    with ImageWriter(path, format="TIFF", info=info_of(frame_of(layout, np.uint8, height, 37))) as writer:
        writer.write(frame_of(layout, np.uint8, height, 37))
    how: dict[str, Any] = {"scale": 3, "model": Upscaler("bicubic"), "quality": 80}
    expected = whole(path, output, monkeypatch, **how)
    np.testing.assert_array_equal(pixels_in(upscale_file(path, output, **how)), expected)


def write(path: Path, frame: Frame) -> None:
    with ImageWriter(path, format="PNG", info=info_of(frame)) as writer:
        writer.write(frame)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("source", ["turned.jpg", "lr.bmp", "palette.png", "turned.tif", "cmyk.tif"])
def test_lr_that_cannot_be_decoded_in_bands_is_held(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, image = tmp_path / source, Image.fromarray(frame_of("RGB", np.uint8, 45, 31).pixels)
    if source == "turned.tif":
        image.save(path, tiffinfo={274: 6})
    elif source == "turned.jpg":
        exif = Image.Exif()
        exif[274] = 6
        image.save(path, exif=exif)
    else:
        mode = {"palette.png": "P", "cmyk.tif": "CMYK"}.get(source, "RGB")
        image.convert(mode).save(path)
    with ImageReader(path) as reader:
        assert reader.row_reader is None
    how: dict[str, Any] = {"scale": 2, "model": Upscaler("espcn", device="cpu", tile=16)}
    expected = whole(path, tmp_path / "sr.tif", monkeypatch, **how)
    np.testing.assert_array_equal(pixels_in(upscale_file(path, tmp_path / "sr.tif", **how)), expected)


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_jpeg_through_libvips(mode: str, subsampling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyvips")
    path, noise = tmp_path / "lr.jpg[Q=1]", np.random.default_rng(0).integers(0, 255, (12, 9, 3), np.uint8)
    Image.fromarray(noise).resize((91, 123)).convert(mode).save(path, "JPEG", quality=85, subsampling=subsampling)
    with ImageReader(path) as reader:
        assert reader.row_reader is not None
    how: dict[str, Any] = {"scale": 2, "model": Upscaler("espcn", device="cpu", tile=16)}
    expected = whole(path, tmp_path / "sr.tif", monkeypatch, **how)
    np.testing.assert_array_equal(pixels_in(upscale_file(path, tmp_path / "sr.tif", **how)), expected)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(InputError, match=r"its data are damaged \(Premature end of JPEG file"):
        upscale_file(path, tmp_path / "cut.tif", **how)


@pytest.mark.usefixtures("little_memory")
def test_what_is_beside_the_pixels_stays(tmp_path: Path) -> None:
    path = tmp_path / "lr.tif"
    icc = b"\\0" * 128 + b"profile"
    image = Image.fromarray(frame_of("RGB", np.uint8, 45, 31).pixels)
    image.save(path, icc_profile=icc, dpi=(300, 300), tiffinfo={315: "who made it"})
    for output in (tmp_path / "sr.tif", tmp_path / "sr.png", tmp_path / "sr.jpg"):
        upscale_file(path, output, scale=2, model="bicubic")
        with ImageReader(output) as reader:
            assert reader.info.metadata.icc == icc
            assert reader.info.metadata.dpi == pytest.approx((300, 300), abs=0.01)
            assert b"who made it" in (reader.info.metadata.exif or b"")


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("model", ["espcn", "bicubic"])
def test_progress_reaches_its_end(model: str, tmp_path: Path) -> None:
    write(tmp_path / "lr.png", frame_of("RGB", np.uint8, 61, 37))
    events: list[Event] = []
    upscaler = Upscaler(model, device="cpu", tile=16)
    upscale_file(tmp_path / "lr.png", scale=2, model=upscaler, listener=events.append)
    steps = [event for event in events if isinstance(event, Progress)]
    assert [step.done for step in steps] == list(range(steps[-1].total + 1))
    assert steps[-1].total > 4
    assert steps[-1].megapixels == pytest.approx(122 * 74 / 1e6)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_damage_that_is_met_on_the_way_leaves_no_file(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"lr{ending}"
    noise = np.random.default_rng(0).integers(0, 255, (90, 40, 3), np.uint8)
    if ending == ".tif":
        tifffile.imwrite(path, noise, photometric="rgb", metadata=None)
        path.write_bytes(path.read_bytes()[:-2000])
    else:
        header, short = frame_of("RGB", np.uint8, 90, 40), noise[:60]
        write(path, Frame(short, "RGB"))
        data = bytearray(path.read_bytes())
        data[20:24] = header.height.to_bytes(4, "big")
        data[29:33] = checksum(bytes(data[12:29]))
        path.write_bytes(data)
    with pytest.raises(InputError, match=r"too early|damaged|end at row"):
        upscale_file(path, tmp_path / "sr.tif", scale=2, model=Upscaler("espcn", device="cpu", tile=16))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


@pytest.mark.parametrize("in_bands", [True, False])
@pytest.mark.parametrize(("layout", "dtype"), [("RGB", np.uint8), ("L", np.uint16), ("RGBA", np.float32)])
def test_a_pyramid_holds_ever_smaller_versions(
    in_bands: bool, layout: Layout, dtype: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, frame = tmp_path / "lr.tif", frame_of(layout, dtype, 61, 37)
    with ImageWriter(path, format="TIFF", info=info_of(frame, metadata=Metadata(exif=EXIF))) as writer:
        writer.write(frame)
    monkeypatch.setattr("upscale_cli.media.image.codecs.pyramid.SMALLEST", 40)
    monkeypatch.setattr("upscale_cli.media.image.codecs.tiff_writer.TILE", 16)
    monkeypatch.setattr("upscale_cli.jobs.photo.room", lambda _: LITTLE if in_bands else 10**12)
    output = upscale_file(path, tmp_path / "sr.tif", scale=3, model="bicubic", pyramid=True)
    with tifffile.TiffFile(output) as file:
        (series,) = file.series
        levels = [level.asarray() for level in series.levels]
        assert all(level.keyframe.is_tiled for level in series.levels)
        assert "who" in file.pages[0].tags["Artist"].value
    assert [level.shape[:2] for level in levels] == [(183, 111), (92, 56), (46, 28), (23, 14)]
    for larger, smaller in pairwise(levels):
        mean = larger[: larger.shape[0] // 2 * 2, : larger.shape[1] // 2 * 2].astype(float)
        mean = (mean[::2, ::2] + mean[1::2, ::2] + mean[::2, 1::2] + mean[1::2, 1::2]) / 4
        assert np.abs(smaller[: len(mean), : mean.shape[1]] - mean).max() <= (0.5 if dtype is not np.float32 else 1e-6)
    np.testing.assert_array_equal(pixels_in(output), levels[0].reshape(183, 111, -1))


def test_a_pyramid_in_another_format_is_nothing(tmp_path: Path) -> None:
    write(tmp_path / "lr.png", frame_of())
    events: list[Event] = []
    upscale_file(tmp_path / "lr.png", scale=2, model="bicubic", pyramid=True, listener=events.append)
    assert any("pyramid=True has an effect on TIFF" in event.text for event in events if isinstance(event, Note))


# Killed and gone on with


class Killed(BaseException):
    """What no handler catches."""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    write(tmp_path / "lr.png", frame_of("RGB", np.uint8, 200, 37))
    return tmp_path / "lr.png"


def killed(photo: Path, output: Path, monkeypatch: pytest.MonkeyPatch, rows: int, **how: Any) -> None:
    """A run that is killed when it is asked for that row."""
    real = RowCache.fill

    def fill(cache: RowCache) -> None:
        read = cache._picture.read

        def until_killed(start: int, stop: int) -> Pixels:
            if stop > rows:
                raise Killed
            return read(start, stop)

        monkeypatch.setattr(cache._picture, "read", until_killed)
        real(cache)

    with monkeypatch.context() as fatal:
        fatal.setattr(RowCache, "fill", fill)
        with pytest.raises(Killed):
            upscale_file(photo, output, resume=True, **how)


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("model", ["rrdbnet", "espcn", "bicubic"])
@pytest.mark.parametrize("ending", [".tif", ".png"])
def test_a_killed_run_goes_on_and_the_result_is_equal(
    model: str, ending: str, photo: Path, nets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = photo.with_name(f"sr{ending}")
    how: dict[str, Any] = {"scale": 3, "model": Upscaler(nets[model], device="cpu", tile=24, overlap=8)}
    expected = whole(photo, output, monkeypatch, **how)
    killed(photo, output, monkeypatch, rows=300, **how)
    assert not output.exists()
    with monkeypatch.context() as generous:  # by now there is memory for the whole
        generous.setattr("upscale_cli.jobs.photo.room", lambda _: 10**12)
        events: list[Event] = []
        upscale_file(photo, output, resume=True, listener=events.append, **how)
    np.testing.assert_array_equal(pixels_in(output), expected)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("going on after row 2" in note for note in notes), notes
    steps = [event for event in events if isinstance(event, Progress)]
    assert steps[-1].done == steps[-1].total > len(steps), "and not all was done again"
    left = {path.name for path in photo.parent.iterdir()} - {"cache"}  # outside of the folder, where there is no test
    assert left == {"lr.png", output.name, f"whole{ending}"}


@pytest.mark.usefixtures("little_memory")
def test_rows_that_cannot_be_trusted_are_made_again(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = photo.with_name("sr.tif")
    how: dict[str, Any] = {"scale": 2, "model": Upscaler("espcn", device="cpu", tile=24)}
    expected = whole(photo, output, monkeypatch, **how)
    work = photo.with_name("sr.tif.work")
    for spoil in (
        lambda: (work / "journal.jsonl").write_text('{"rows'),
        lambda: (work / "journal.jsonl").write_text('{"rows": 100000}'),
        lambda: (work / "rows.raw").write_bytes(b"torn"),
        lambda: (work / "job.json").unlink(),
    ):
        killed(photo, output, monkeypatch, rows=200, **how)
        spoil()
        upscale_file(photo, output, resume=True, overwrite=True, **how)
        np.testing.assert_array_equal(pixels_in(output), expected)
        output.unlink()


@pytest.mark.usefixtures("little_memory")
def test_the_work_of_another_job_is_not_gone_on_with(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = photo.with_name("sr.tif")
    killed(photo, output, monkeypatch, rows=200, scale=2, model="bicubic")
    with pytest.raises(OptionError, match=r"holds the work of another job: scale= \(2 then, 3 now\)"):
        upscale_file(photo, output, resume=True, scale=3, model="bicubic")


@pytest.mark.usefixtures("little_memory")
def test_an_interrupted_run_says_how_to_go_on(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: RowCache) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RowCache, "fill", interrupted)
    with pytest.raises(InterruptedRun, match=r"0 of 400 rows are done in .*sr\.tif\.work; the same command goes on"):
        upscale_file(photo, photo.with_name("sr.tif"), resume=True, scale=2, model="bicubic")


@pytest.mark.usefixtures("little_memory")
def test_resume_needs_a_file(photo: Path) -> None:
    job = PhotoJob(photo, "lr.png", io.BytesIO(), "-", FORMATS["PNG"], Target(scale=2), PhotoOptions(resume=True))
    with pytest.raises(OptionError, match="resume=True needs an output file"):
        job.run(Upscaler("bicubic"))


# What is refused


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sr.webp", {}, r"format=.tiff., png or jpg \(which are written in bands\), or close other programs"),
        ("sr.tif", {"wrap": True}, "need .* of memory, .* are free"),
    ],
)
@pytest.mark.usefixtures("little_memory")
def test_what_cannot_go_in_bands_is_refused(name: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "lr.png", frame_of("RGB", np.uint8, 61, 37))
    upscaler = Upscaler("espcn", device="cpu", **options)
    with pytest.raises(OutputError, match=message):
        upscale_file(tmp_path / "lr.png", tmp_path / name, scale=2.5, model=upscaler)


def test_too_little_memory_even_for_bands_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "lr.png", frame_of("RGB", np.uint8, 61, 37))
    with pytest.raises(OutputError, match=r"are left by max_memory=.*or allow more"):
        upscale_file(tmp_path / "lr.png", scale=2, model="espcn", max_memory=10**8)


def test_what_an_engine_takes_by_itself_is_part_of_max_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "lr.png", frame_of("RGB", np.uint8, 61, 37))
    upscaler, loaded = Upscaler("espcn", device="cpu"), []

    def room(_: int | None) -> int:
        loaded.append(len(upscaler._nets))
        return 10**10

    monkeypatch.setattr("upscale_cli.jobs.photo.room", room)
    upscale_file(tmp_path / "lr.png", tmp_path / "sr.png", scale=2, model=upscaler, max_memory=10**10)
    assert len(loaded) > 1
    assert all(loaded[1:]), "the first look refuses what is far too large without loading anything"


def test_what_the_heap_keeps_of_earlier_pictures_is_no_reason_to_refuse_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "lr.png", frame_of("RGB", np.uint8, 61, 37))
    free = [10**6]
    monkeypatch.setattr("upscale_cli.jobs.photo.room", lambda _: free[0])
    monkeypatch.setattr("upscale_cli.jobs.photo.give_back_memory", lambda: free.__setitem__(0, 10**9))
    events: list[Event] = []
    upscale_file(tmp_path / "lr.png", tmp_path / "sr.png", 2, model="espcn", device="cpu", listener=events.append)
    assert not any(isinstance(event, Note) for event in events), "as a whole"


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc's heap")
def test_memory_that_lies_free_goes_back_to_the_system() -> None:
    """In a process of its own: blocks between others, too small to be mapped by themselves."""
    script = """
import ctypes, platform, psutil
from upscale_cli.inference.device import give_back_memory, keep_memory_between_layers
keep_memory_between_layers()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
blocks = [libc.malloc(ctypes.c_size_t(2**20)) for _ in range(200)]
for block in blocks:
    ctypes.memset(block, 1, 2**20)
for block in blocks[:-1]:
    libc.free(ctypes.c_void_p(block))
before = psutil.Process().memory_info().rss
give_back_memory()
print(platform.libc_ver()[0], (before - psutil.Process().memory_info().rss) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    libc, returned = done.stdout.split()
    if libc != "glibc":
        pytest.skip("there is another C library here")
    assert int(returned) > 150


@pytest.mark.slow
def test_the_command_line_goes_on_after_a_kill(tmp_path: Path) -> None:
    """In processes of their own, which find little memory."""
    write(tmp_path / "lr.png", frame_of("RGB", np.uint8, 1600, 500))
    script = (
        f"from upscale_cli import cli; from upscale_cli.jobs import photo; photo.room = lambda _: {LITTLE}; cli.main()"
    )
    command = [
        sys.executable, "-c", script,
        "lr.png", "-o", "sr.tif", "-s", "4", "-m", "bicubic", "--device", "cpu", "--max-memory", "2G", "--resume",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (tmp_path / "sr.tif.work/rows.raw").exists():
            time.sleep(0.01)
        process.kill()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "in bands" in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.suffix != ".part") == ["lr.png", "sr.tif"]
    expected = Upscaler("bicubic")(frame_of("RGB", np.uint8, 1600, 500).pixels, scale=4)
    np.testing.assert_array_equal(pixels_in(tmp_path / "sr.tif"), expected)


@pytest.mark.slow
def test_the_bound_holds_for_what_fits_as_a_whole_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With less memory the windows are smaller, and more."""
    Image.effect_noise((700, 700), 60).save(tmp_path / "lr.png")
    totals = []
    monkeypatch.setattr("upscale_cli.jobs.photo.WORK_MEMORY", 0)
    for room in (10**9, 4 * 10**7):
        events: list[Event] = []
        monkeypatch.setattr("upscale_cli.jobs.photo.room", lambda _, room=room: room)
        how: dict[str, Any] = {"scale": 2, "model": Upscaler("espcn", device="cpu"), "overwrite": True}
        upscale_file(tmp_path / "lr.png", max_memory=10**9, listener=events.append, **how)
        assert not any(isinstance(event, Note) for event in events), "as a whole"
        totals.append(next(event.total for event in events if isinstance(event, Progress)))
    assert totals[0] < totals[1]


def test_memory_in_bands_does_not_grow_with_the_height() -> None:
    frame = frame_of()
    needs = set()
    for height in (10**4, 10**6):
        info = info_of(frame)
        large = type(info)(
            **{name: getattr(info, name) for name in info.__slots__} | {"width": 10**4, "height": height}
        )
        plan = Upscaler("espcn").plan(10**4, height, Target(scale=4))
        bands = plan_bands(large, row_reader(frame, [1]), plan, FORMATS["TIFF"], 10**9, 0, wrap=False)
        assert bands is not None
        needs.add((bands.needed, bands.budget))
    assert len(needs) == 1
