"""What is written is read back: every format, layout and depth."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image

from tests.pictures import encoded, frame_of, icc_profile, psnr, read, tool, write
from upscale_cli.frames.image import Frame, Layout
from upscale_cli.media.image.codecs.jpeg_writer import with_metadata
from upscale_cli.media.image.formats import FORMATS
from upscale_cli.media.image.metadata import Metadata

DTYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}
WRITTEN = [name for name, row in FORMATS.items() if row.written and not row.only_own and name != "HEIC"]
LOSSY = ("JPEG", "AVIF", "HEIC")
EVERY = [
    (row.name, layout, bits)
    for row in FORMATS.values()
    if row.written and not row.only_own
    for layout in row.layouts
    for bits in row.depths
    if not (layout == "LAB" and bits == 32)
]

OLD_PILLOW = int(PIL.__version__.split(".")[0]) < 13


def path_for(folder: Path, name: str) -> Path:
    return folder / f"picture{FORMATS[name].extensions[0]}"


@pytest.mark.parametrize(("name", "layout", "bits"), EVERY)
def test_every_format_gives_back_every_layout_and_depth_it_claims(
    tmp_path: Path, name: str, layout: Layout, bits: int
) -> None:
    if name == "HEIC":
        pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    reported: list[str] = []
    frame = frame_of(layout, DTYPES[bits])
    if name == "GIF":
        frame = few_colours(frame)
    path = write(path_for(tmp_path, name), frame, name, reported=reported)
    info, (back,) = read(path)
    assert (info.format, info.width, info.height, info.frames, info.animated) == (name, 37, 24, 1, False)
    assert back.pixels.dtype == frame.pixels.dtype
    if name == "GIF" and layout in ("L", "LA"):  # a GIF's palette is of colours
        back = Frame(back.pixels[..., [0, -1] if back.has_alpha else [0]], layout)
    assert (back.layout, info.bits) == (layout, bits)
    assert len(reported) == (bits == 16 and name in ("AVIF", "HEIC"))  # of which they keep 12 or 10
    if name in LOSSY:
        assert psnr(frame, back) > 34
    elif name == "GIF" and frame.has_alpha:  # under a hole there is no colour
        seen = frame.pixels[..., -1] > 0
        np.testing.assert_array_equal(back.pixels[..., -1], frame.pixels[..., -1])
        np.testing.assert_array_equal(back.pixels[seen], frame.pixels[seen])
    elif name == "EXR" and frame.has_alpha:  # alpha is multiplied into the colours
        seen = frame.pixels[..., -1] > 0
        np.testing.assert_array_equal(back.pixels[..., -1], frame.pixels[..., -1])
        np.testing.assert_allclose(back.pixels[seen], frame.pixels[seen], rtol=1e-6)
    elif name == "Radiance HDR":  # 8 bits and an exponent that the channels share
        assert (np.abs(back.pixels - frame.pixels) <= frame.pixels.max(axis=2, keepdims=True) / 128).all()
    else:
        np.testing.assert_array_equal(back.pixels, frame.pixels)


def few_colours(frame: Frame) -> Frame:
    """So few that a GIF can keep them, transparent or opaque."""
    pixels = frame.pixels // 64 * 64
    if frame.has_alpha:
        pixels[..., -1] = np.where(pixels[..., -1] < 128, 0, 255)
        pixels[..., :-1] = np.where(pixels[..., -1:] == 0, pixels[pixels[..., -1] > 0][0, :-1], pixels[..., :-1])
    return Frame(pixels, frame.layout)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (7, 13)])
@pytest.mark.parametrize(
    "name", [name for name, row in FORMATS.items() if row.written and not (row.only_own or name == "HEIC")]
)
def test_small_and_odd_sizes(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    dtype = DTYPES[FORMATS[name].depths[0]]
    frame = frame_of("RGB", dtype, *size)
    info, (back,) = read(write(path_for(tmp_path, name), frame, name))
    assert (info.height, info.width) == size == back.pixels.shape[:2]


@pytest.mark.parametrize("quality", [20, 60, 90])
@pytest.mark.parametrize("name", ["JPEG", "WebP", "AVIF", "JPEG XL"])
def test_quality_decides_size_and_likeness(tmp_path: Path, name: str, quality: int) -> None:
    frame = frame_of(height=96, width=128)
    path = write(path_for(tmp_path, name), frame, name, quality=quality)
    better = write(tmp_path / f"better{path.suffix}", frame, name, quality=quality + 10)
    assert path.stat().st_size < better.stat().st_size
    assert psnr(frame, read(path)[1][0]) > 22 + quality / 10


@pytest.mark.parametrize("name", ["WebP", "JPEG XL"])
def test_lossless_stays_lossless_and_lossy_becomes_no_larger_than_needed(tmp_path: Path, name: str) -> None:
    frame = frame_of(height=64, width=64)
    exact = write(tmp_path / f"exact{FORMATS[name].extensions[0]}", frame, name, lossless=True)
    lossy = write(path_for(tmp_path, name), frame, name, lossless=False)
    np.testing.assert_array_equal(read(exact)[1][0].pixels, frame.pixels)
    assert lossy.stat().st_size < exact.stat().st_size


def test_jpeg_has_full_colour_resolution_and_quality_95(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", frame_of(), "JPEG")
    identify = tool("identify")
    assert identify("-format", "%[jpeg:sampling-factor] %Q %[interlace]", path) == "1x1,1x1,1x1 95 None"


@pytest.mark.parametrize(
    ("name", "frame", "layout", "dtype", "words"),
    [
        ("JPEG", frame_of("RGBA"), "RGB", np.uint8, ["alpha"]),
        ("JPEG", frame_of("LA", np.uint16), "L", np.uint8, ["alpha", "8 bits"]),
        ("PNG", frame_of("CMYK"), "RGB", np.uint8, ["CMYK"]),
        ("PNG", frame_of("CMYK", np.uint16), "RGB", np.uint16, ["CMYK"]),
        ("PNG", frame_of("LAB"), "RGB", np.uint8, ["LAB"]),
        ("PNG", frame_of("RGB", np.float32), "RGB", np.uint16, ["float"]),
        ("BMP", frame_of("RGB", np.float32), "RGB", np.uint8, ["float"]),
        ("WebP", frame_of("L"), "RGB", np.uint8, []),
        ("WebP", frame_of("LA", np.uint16), "RGBA", np.uint8, ["8 bits"]),
        ("PFM", frame_of("RGBA", np.uint16), "RGB", np.float32, ["alpha"]),
        ("PNM", frame_of("LA"), "L", np.uint8, ["alpha"]),
    ],
)
def test_what_a_format_cannot_hold_is_converted_and_said_once(
    tmp_path: Path, name: str, frame: Frame, layout: str, dtype: Any, words: list[str]
) -> None:
    reported: list[str] = []
    _, (back,) = read(write(path_for(tmp_path, name), frame, name, reported=reported))
    assert (back.layout, back.pixels.dtype) == (layout, dtype)
    assert len(reported) == len(words)
    for text, word in zip(sorted(reported), sorted(words), strict=True):
        assert any(each in text for each in words), (text, word)


def test_16_to_8_bits_rounds_to_the_nearest(tmp_path: Path) -> None:
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256, 1)
    _, (back,) = read(write(tmp_path / "a.bmp", Frame(values, "L"), "BMP"))
    np.testing.assert_array_equal(back.pixels, np.round(values / 257.0).astype(np.uint8))


def test_transparency_is_flattened_on_white(tmp_path: Path) -> None:
    pixels = np.array([[[0, 0, 0, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    _, (back,) = read(write(tmp_path / "a.bmp", Frame(pixels, "RGBA"), "BMP"))
    assert back.pixels.tolist() == [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]


def test_float_is_clipped_to_the_range_of_integers(tmp_path: Path) -> None:
    pixels = np.array([[[-1.0], [0.0], [0.5], [1.0], [7.0], [np.nan]]], np.float32)
    _, (back,) = read(write(tmp_path / "a.png", Frame(pixels, "L"), "PNG"))
    assert back.pixels.ravel().tolist() == [0, 0, 32768, 65535, 65535, 0]


def test_float_beyond_white_stays_in_float_formats(tmp_path: Path) -> None:
    pixels = np.array([[[-0.5], [0.0], [0.5], [4.0]]], np.float32)
    for name in ("TIFF", "PFM"):
        _, (back,) = read(write(path_for(tmp_path, name), Frame(pixels, "L"), name))
        np.testing.assert_array_equal(back.pixels, pixels)


@pytest.mark.parametrize(("white", "levels"), [(255.0, 255), (65535.0, 65535)])
@pytest.mark.parametrize("name", ["TIFF", "PFM"])
def test_float_files_of_integer_levels_keep_their_range(tmp_path: Path, name: str, white: float, levels: int) -> None:
    frame = frame_of("RGB", np.float32)
    path = write(path_for(tmp_path, name), frame, name, metadata=Metadata(white=white))
    reported: list[str] = []
    info, (back,) = read(path, say=reported.append)
    assert info.metadata.white == white
    assert len(reported) == 1
    assert f"{levels:,}" in reported[0]
    np.testing.assert_allclose(back.pixels, frame.pixels, atol=1e-6)


def test_wide_colours_are_converted_where_the_profile_would_be_lost(tmp_path: Path) -> None:
    green = np.zeros((4, 4, 3), np.uint8) + np.array([100, 180, 100], np.uint8)
    reported: list[str] = []
    metadata = Metadata(icc=icc_profile())
    _, (back,) = read(write(tmp_path / "a.bmp", Frame(green, "RGB"), "BMP", metadata=metadata, reported=reported))
    assert len(reported) == 1
    assert "sRGB" in reported[0]
    assert back.pixels[0, 0, 0] < 80  # the same green needs less red in a narrower gamut
    _, (kept,) = read(write(tmp_path / "a.png", Frame(green, "RGB"), "PNG", metadata=metadata))
    np.testing.assert_array_equal(kept.pixels, green)


def test_lab_becomes_the_colour_it_means(tmp_path: Path) -> None:
    for dtype, unit in ((np.uint8, [1, 1, 1]), (np.uint16, [257, 256, 256])):
        lab = np.array([[[255, 128, 128], [0, 128, 128], [138, 209, 198]]], np.uint16) * unit
        _, (back,) = read(write(tmp_path / f"{unit[0]}.png", Frame(lab.astype(dtype), "LAB"), "PNG"))
        eight = back.pixels / (257 if back.pixels.dtype == np.uint16 else 1)
        np.testing.assert_allclose(eight[0, 0], 255, atol=1.5)
        np.testing.assert_allclose(eight[0, 1], 0, atol=1.5)
        np.testing.assert_allclose(eight[0, 2], [255, 0, 0], atol=3)  # Lab 54, 81, 70 is sRGB red, seen in D50


@pytest.mark.parametrize("layout", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_imagemagick_reads_the_same_16_bits(tmp_path: Path, name: str, layout: Layout) -> None:
    convert = tool("convert")
    frame = frame_of(layout, np.uint16)
    path = write(path_for(tmp_path, name), frame, name)
    raw = tmp_path / "raw"
    convert(path, "-depth", "16", "-endian", "LSB", f"{'gray' if layout == 'L' else layout.lower()}:{raw}")
    np.testing.assert_array_equal(np.fromfile(raw, "<u2").reshape(frame.pixels.shape), frame.pixels)


def test_cmyk_jpeg_with_and_without_adobes_inversion(tmp_path: Path) -> None:
    frame = frame_of("CMYK", height=64, width=64)
    ours = write(tmp_path / "a.jpg", frame, "JPEG", quality=100)
    assert psnr(read(ours)[1][0], frame) > 40
    with Image.open(ours) as image:
        assert (image.mode, image.info.get("adobe")) == ("CMYK", 100)
    assert psnr(read(encoded(frame, "JPEG", quality=100, subsampling=0))[1][0], frame) > 40


@pytest.mark.parametrize(
    ("mode", "layout"),
    [("1", "L"), ("P", "RGB"), ("PA", "RGBA"), ("YCbCr", "RGB"), ("I;16", "L"), ("F", "L"), ("I", "L")],
)
def test_pillow_modes_in_tiff(mode: str, layout: str) -> None:
    if mode == "YCbCr" and OLD_PILLOW:
        pytest.skip("Pillow before 13 takes its own uncompressed YCbCr TIFF for truncated")
    gradient = np.linspace(0, 255, 24 * 32).reshape(24, 32).astype(np.uint8)
    color = Image.fromarray(np.stack([gradient, gradient[::-1], gradient[:, ::-1]], axis=2))
    if mode == "PA":
        image = color.quantize(16).convert("PA")
        image = image.convert("RGBA")
    elif mode in ("I;16", "I"):
        image = Image.fromarray((gradient.astype(np.uint32) * 257).astype(np.uint16 if mode == "I;16" else np.int32))
    elif mode == "F":
        image = Image.fromarray(gradient.astype(np.float32) / 255)
    else:
        image = color.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    info, (frame,) = read(buffer.getvalue())
    assert frame.layout == info.layout == layout
    if layout == "L" and mode != "1":
        top = 1 if frame.pixels.dtype == np.float32 else np.iinfo(frame.pixels.dtype).max
        np.testing.assert_allclose(frame.pixels[..., 0] / top, gradient / 255, atol=1e-4)
    elif mode == "YCbCr":
        np.testing.assert_allclose(frame.pixels, np.asarray(color).astype(int), atol=3)


@pytest.mark.parametrize(
    ("dtype", "bits", "largest", "factor"),
    [
        (np.uint16, 16, None, 1),
        (np.uint16, 16, 4095, 65535 / 4095),
        (np.uint32, 32, None, 2.0**-32),
        (np.int16, 16, None, 65535 / 32767),
        (np.uint16, 12, None, 65535 / 4095),
    ],
)
def test_the_true_range_of_tiff_samples_is_found(
    tmp_path: Path, dtype: Any, bits: int, largest: int | None, factor: float
) -> None:
    tifffile = pytest.importorskip("tifffile")
    top = {np.uint32: 2**32 - 1, np.int16: 32767}.get(dtype, largest or 2**bits - 1)
    values = np.linspace(0, top, 24 * 32).reshape(24, 32).astype(dtype)
    path = tmp_path / "a.tif"
    tags = [(281, 3, 1, largest, True)] if largest else []
    if bits == 12:
        path.write_bytes(tiff_of_12_bits(values))
    else:
        tifffile.imwrite(path, values, photometric="minisblack", extratags=tags, metadata=None)
    info, (frame,) = read(path)
    assert info.bits == (32 if dtype is np.uint32 else 16)
    assert frame.pixels.dtype == (np.float32 if dtype is np.uint32 else np.uint16)
    tolerance = 1e-7 if dtype is np.uint32 else 1
    np.testing.assert_allclose(frame.pixels[..., 0], values.astype(float) * factor, atol=tolerance)


def tiff_of_12_bits(values: Any) -> bytes:
    """A TIFF whose samples are packed, two in three bytes."""
    from upscale_cli.media.image.exif import Field, pack

    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    data = packed.astype(np.uint8).tobytes()

    def number(tag: int, value: int) -> Field:
        return Field(tag, 4, 1, value.to_bytes(4, "little"))

    numbers = {256: values.shape[1], 257: values.shape[0], 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: len(values)}
    fields = [number(tag, value) for tag, value in numbers.items()] + [number(279, len(data))]
    directory = pack(fields, 8 + len(data), "<")
    return b"II*\0" + (8 + len(data)).to_bytes(4, "little") + data + directory


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "LAB"])
@pytest.mark.parametrize("coding", [None, "group3", "group4", "jpeg", "tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_tiff_as_libtiff_writes_it(mode: str, coding: str | None) -> None:
    if mode == "YCbCr" and coding is None and OLD_PILLOW:
        pytest.skip("Pillow before 13 takes its own uncompressed YCbCr TIFF for truncated")
    gradient = np.linspace(0, 255, 24 * 32).reshape(24, 32).astype(np.uint8)
    color = Image.fromarray(np.stack([gradient, gradient[::-1], gradient[:, ::-1]], axis=2))
    image = color.convert(mode) if mode != "LAB" else Image.frombytes("LAB", color.size, color.tobytes())
    buffer = io.BytesIO()
    if (coding or "").startswith("group") != (mode == "1") and coding in ("group3", "group4", "jpeg"):
        pytest.skip("there is no such TIFF")
    if coding == "jpeg" and mode in ("P", "LA", "LAB", "RGBA"):
        pytest.skip("there is no such TIFF")
    image.save(buffer, "TIFF", compression=coding, **({"quality": 95} if coding == "jpeg" else {}))
    _, (frame,) = read(buffer.getvalue())
    expected = np.asarray(image.convert({"1": "L", "P": "RGB", "YCbCr": "RGB"}.get(mode, mode)))
    expected = expected.reshape(frame.pixels.shape).astype(int)
    if mode == "LAB":
        expected[..., 1:] ^= 128
    np.testing.assert_allclose(frame.pixels, expected, atol=12 if coding == "jpeg" else 1)


def test_pages_of_different_kinds_stay_pages(tmp_path: Path) -> None:
    pages = [
        frame_of("RGB", height=20, width=30),
        frame_of("L", np.uint16, 11, 13),
        frame_of("RGBA", np.float32, 5, 50),
    ]
    info, back = read(write(tmp_path / "a.tif", pages, "TIFF", animated=False))
    assert (info.frames, info.animated, len(info.pages)) == (3, False, 3)
    assert info.total_pixels == sum(page.width * page.height for page in pages)
    for page, again in zip(pages, back, strict=True):
        assert again.layout == page.layout
        np.testing.assert_array_equal(again.pixels, page.pixels)
    reported: list[str] = []
    info, back = read(write(tmp_path / "a.png", pages, "PNG", animated=False, reported=reported))
    assert (info.frames, len(reported)) == (1, 1)


def test_tiff_beyond_4_gib_becomes_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.media.image.codecs.tiff_writer._BIG", 1000)
    frame = frame_of("RGB", np.uint16)
    pages = write(tmp_path / "a.tif", [frame, frame], "TIFF", animated=False)
    assert pages.read_bytes()[:4] == b"II+\0"
    info, back = read(pages)
    assert info.frames == 2
    np.testing.assert_array_equal(back[1].pixels, frame.pixels)


def test_thumbnail_pages_of_a_tiff_are_ignored(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(frame_of().pixels, photometric="rgb", metadata=None)
        file.write(frame_of(height=6, width=9).pixels, photometric="rgb", subfiletype=1, metadata=None)
    info, frames = read(tmp_path / "a.tif")
    assert info.frames == len(frames) == 1


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("compression", ["none", "lzw", "packbits", "deflate", "zstd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_codings(tmp_path: Path, dtype: Any, compression: str, tile: Any, planar: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    frame = frame_of("RGB", dtype)
    pixels = frame.pixels if planar == "contig" else np.moveaxis(frame.pixels, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", planarconfig=planar, tile=tile, compression=compression
    )
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[1][0].pixels, frame.pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_premultiplied_alpha_in_tiff_is_divided_out(tmp_path: Path, dtype: Any) -> None:
    tifffile = pytest.importorskip("tifffile")
    frame = frame_of("RGBA", dtype)
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    alpha = frame.pixels[..., 3:] / top
    stored = np.concatenate([frame.pixels[..., :3] * alpha, frame.pixels[..., 3:]], axis=2)
    stored = stored.astype(dtype) if dtype is np.float32 else stored.round().astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    _, (back,) = read(tmp_path / "a.tif")
    visible = frame.pixels[..., 3] > 0.2 * top
    np.testing.assert_allclose(back.pixels[visible] / top, frame.pixels[visible] / top, atol=0.02)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("interlaced", [False, True])
def test_png_depths_and_colour_keys(depth: int, interlaced: bool) -> None:
    """Gray PNG of every depth with tRNS, packed by hand."""
    from upscale_cli.media.image.codecs.png_chunks import Header, chunk, wrapped

    del interlaced  # decoders do that; see the samples
    import zlib

    height, width, top = 9, 11, 2**depth - 1
    values = (np.arange(height * width) % (top + 1)).reshape(height, width)
    rows = b"".join(b"\0" + packed_row(row, depth) for row in values)
    data = wrapped(Header(width, height, depth, 0, False), [zlib.compress(rows)], [(b"tRNS", b"\0\1")])
    info, (frame,) = read(data)
    assert info.layout == frame.layout == "LA"
    full = 65_535 if depth == 16 else 255
    np.testing.assert_allclose(frame.pixels[..., 0], values * full / top, atol=0.5)
    np.testing.assert_array_equal(frame.pixels[..., 1] == 0, values == 1)
    assert chunk(b"IEND", b"") == bytes.fromhex("0000000049454e44ae426082")


def packed_row(row: Any, depth: int) -> bytes:
    if depth == 16:
        return bytes(row.astype(">u2").tobytes())
    bits = (row[:, None] >> np.arange(depth - 1, -1, -1) & 1).astype(np.uint8)
    return np.packbits(bits.ravel()).tobytes()


@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("transparent", [True, False])
def test_palettes_become_what_their_colours_are(gray: bool, transparent: bool) -> None:
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 4).convert("P")
    image.putpalette([0, 0, 0, 90, 90, 90, 180, 180, 180, 255, 255, 255 if gray else 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **({"transparency": 2} if transparent else {}))
    info, (frame,) = read(buffer.getvalue())
    assert frame.layout == info.layout == ("L" if gray else "RGB") + ("A" if transparent else "")
    assert frame.pixels[0, 1, 0] == 90
    if transparent:
        assert frame.pixels[0, :4, -1].tolist() == [255, 255, 0, 255]


def test_netpbm_in_words_with_comments_and_odd_maxima() -> None:
    _, (frame,) = read(b"P2\n# a comment\n3 1 # another\n10\n0 5 10\n")
    assert frame.pixels.ravel().tolist() == [0, 128, 255]
    _, (frame,) = read(b"P1 4 2\n10 1 0\n0110")
    assert frame.pixels[..., 0].tolist() == [[0, 255, 0, 255], [255, 0, 0, 255]]
    _, (frame,) = read(b"P5 2 1 1000\n" + np.array([0, 1000], ">u2").tobytes())
    assert frame.pixels.ravel().tolist() == [0, 65535]
    _, (frame,) = read(b"P4 10 1\n" + bytes([0b10100000, 0b01000000]))
    assert frame.pixels.ravel().tolist() == [0, 255, 0, 255, 255, 255, 255, 255, 255, 0]


def test_linear_profiles_are_noticed(tmp_path: Path) -> None:
    for gamma, transfer in ((1.0, "linear"), (1.8, "display"), (2.2, "display")):
        for layout, space in (("RGB", b"RGB "), ("L", b"GRAY")):
            metadata = Metadata(icc=icc_profile(space, gamma))
            path = write(tmp_path / f"{gamma}{layout}.png", frame_of(layout), "PNG", metadata=metadata)  # type: ignore[arg-type]
            assert read(path)[1][0].transfer == transfer


def test_deep_jpeg_xl_is_declared_as_what_it_is(tmp_path: Path) -> None:
    jxlinfo = tool("jxlinfo")
    for dtype in (np.uint16, np.float32):
        for transfer, word in (("display", "sRGB transfer"), ("linear", "Linear transfer")):
            frame = frame_of("RGB", dtype, transfer=transfer)
            path = write(tmp_path / f"{transfer}{np.dtype(dtype)}.jxl", frame, "JPEG XL")
            assert word in jxlinfo("-v", path)
            assert read(path)[1][0].transfer == transfer


@pytest.mark.parametrize("quality", [0, 1, 50, 90, 95, 100])
@pytest.mark.parametrize(("layout", "height", "width"), [("RGB", 1, 1), ("RGB", 33, 47), ("L", 64, 80)])
@pytest.mark.parametrize("has_metadata", [False, True])
def test_a_jpeg_encoded_beside_other_work_is_pillows_own(
    quality: int, layout: Layout, height: int, width: int, has_metadata: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Byte for byte, whatever belongs to it: a profile of several segments, EXIF, XMP, a resolution."""
    frame = frame_of(layout, height=height, width=width)
    exif = Image.Exif()
    exif[0x010E] = "a picture"
    profile = icc_profile() + bytes(70_000)
    some = Metadata(icc=profile, exif=exif.tobytes()[6:], xmp=b"<x:xmpmeta/>", dpi=(300.0, 200.0))
    metadata = some if has_metadata else Metadata()
    monkeypatch.setattr("PIL.ImageFile.MAXBLOCK", 2**22)  # or Pillow cannot write that profile with few pixels
    alone = write(tmp_path / "alone.jpg", frame, "JPEG", metadata=metadata, quality=quality)
    used: list[bytes] = []

    def noted(data: bytes, model: bytes) -> bytes:
        used.append(model)
        return with_metadata(data, model)

    monkeypatch.setattr("upscale_cli.media.image.codecs.jpeg.with_metadata", noted)
    with ThreadPoolExecutor(1) as threads:
        file = tmp_path / "threaded.jpg"
        threaded = threads.submit(write, file, frame, "JPEG", metadata=metadata, quality=quality).result()
    assert threaded.read_bytes() == alone.read_bytes()
    assert len(used) == 1
