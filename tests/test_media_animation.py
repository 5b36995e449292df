"""Animations keep the number of their frames, durations, loops and transparency, whatever an encoder likes to merge."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.pictures import frame_of, info_of, psnr, read, tool, write
from upscale_cli.frames.image import Frame
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.media.image.reader_writer import ImageWriter

DURATIONS = [40.0, 0.0, 130.0, 40.0, 1000.0]
SUFFIX = {"GIF": ".gif", "WebP": ".webp", "PNG": ".png", "AVIF": ".avifs"}


def animation(transparent: bool = False) -> list[Frame]:
    """Five frames, the first three alike; the fourth transparent in part; few colours, so that GIF can keep them."""
    frames = []
    for index, duration in enumerate(DURATIONS):
        frame = frame_of("RGBA", height=20, width=30, seed=max(index - 2, 0))
        pixels = frame.pixels // 64 * 64
        pixels[..., 3] = 255
        if transparent and index >= 3:
            pixels[5:15, 5:20] = 0
        layout = "RGBA" if transparent and index >= 3 else "RGB"
        frames.append(Frame(pixels[..., : len(layout)].copy(), layout, duration_ms=duration))  # type: ignore[arg-type]
    return frames


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("plays", [0, 1, 2, 7])
@pytest.mark.parametrize("name", ["GIF", "WebP", "PNG"])
def test_everything_about_an_animation_stays(tmp_path: Path, name: str, plays: int, transparent: bool) -> None:
    frames = animation(transparent)
    reported: list[str] = []
    path = write(tmp_path / f"a{SUFFIX[name]}", frames, name, metadata=Metadata(plays=plays), reported=reported)
    info, back = read(path)
    assert reported == []
    assert (info.format, info.animated, info.frames, info.metadata.plays) == (name, True, 5, plays)
    assert [frame.duration_ms for frame in back] == DURATIONS
    for frame, again in zip(frames, back, strict=True):
        assert again.layout == frame.layout
        np.testing.assert_array_equal(again.pixels, frame.pixels)


@pytest.mark.parametrize("name", ["GIF", "WebP", "PNG", "AVIF"])
def test_pillow_and_imagemagick_count_the_same(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / f"a{SUFFIX[name]}", animation(True), name, metadata=Metadata(plays=0))
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 5
        if name == "GIF":
            assert image.info["loop"] == 0
    if name == "GIF":  # ImageMagick reads one frame of an APNG
        assert tool("identify")("-format", "%T ", path).split() == ["4", "0", "13", "4", "100"]


def test_webpmux_agrees(tmp_path: Path) -> None:
    webpmux = tool("webpmux")
    path = write(tmp_path / "a.webp", animation(True), "WebP", metadata=Metadata(plays=3, xmp=b"<x/>"))
    text = webpmux("-info", path)
    assert "Number of frames: 5" in text
    assert "Loop Count : 3" in text
    assert [line.split()[6] for line in text.splitlines() if line.strip()[:1].isdigit()] == [
        "40",
        "0",
        "130",
        "40",
        "1000",
    ]
    assert all(word in text for word in ("animation", "transparency", "XMP metadata"))


def test_avif_sequences_keep_frames_and_durations(tmp_path: Path) -> None:
    frames = animation(True)
    frames[1] = Frame(frames[1].pixels, frames[1].layout, duration_ms=20)
    info, back = read(write(tmp_path / "a.avifs", frames, "AVIF", metadata=Metadata(plays=0), lossless=False))
    assert (info.animated, info.frames) == (True, 5)
    assert [frame.duration_ms for frame in back] == [40, 20, 130, 40, 1000]
    assert psnr(back[0], frames[0]) > 30


def test_16_bits_stay_in_an_apng(tmp_path: Path) -> None:
    frames = [frame_of("RGBA", np.uint16, seed=seed, duration_ms=33.0) for seed in (1, 1, 2)]
    info, back = read(write(tmp_path / "a.png", frames, "PNG", metadata=Metadata(plays=0)))
    assert (info.bits, info.frames) == (16, 3)
    for frame, again in zip(frames, back, strict=True):
        np.testing.assert_array_equal(again.pixels, frame.pixels)
        assert again.duration_ms == pytest.approx(33.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_apng_disposal_and_blending_by_hand(dtype: Any) -> None:
    """Parts that lie in corners, over each other, cleared or put back, as the specification wants them seen."""
    data, expected = apng_of_parts(dtype)
    info, frames = read(data)
    assert info.frames == len(expected)
    for frame, canvas in zip(frames, expected, strict=True):
        pixels = frame.pixels
        if frame.layout == "RGB":
            pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], np.iinfo(dtype).max)], axis=2)
        np.testing.assert_allclose(pixels.astype(int), canvas, atol=1)


def apng_of_parts(dtype: Any) -> tuple[bytes, list[Any]]:
    import struct
    import zlib

    from upscale_cli.media.image.codecs.png_chunks import SIGNATURE, chunk

    top = int(np.iinfo(dtype).max)
    red, half_green, blue = ([top, 0, 0, top], [0, top, 0, top // 2], [0, 0, top, top])
    # (color, left, top, width, height, dispose, blend)
    parts = [
        (red, 0, 0, 4, 4, 0, 0),
        (half_green, 1, 1, 2, 2, 2, 1),
        (blue, 2, 2, 2, 2, 1, 0),
        (half_green, 0, 0, 3, 3, 0, 0),
    ]
    out = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8 * np.dtype(dtype).itemsize, 6, 0, 0, 0))
    out += chunk(b"acTL", struct.pack(">II", len(parts), 0))
    canvas, sequence, expected = np.zeros((4, 4, 4)), 0, []
    for index, (color, x, y, width, height, dispose, blend) in enumerate(parts):
        out += chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, width, height, x, y, 1, 10, dispose, blend))
        sequence += 1
        block = np.tile(np.array(color, np.dtype(dtype).newbyteorder(">")), (height, width, 1))
        rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in block))
        out += chunk(b"IDAT", rows) if index == 0 else chunk(b"fdAT", struct.pack(">I", sequence) + rows)
        sequence += index > 0
        before = canvas.copy()
        window = canvas[y : y + height, x : x + width]
        if blend:
            alpha = color[3] / top
            window[..., :3] = np.array(color[:3]) * alpha + window[..., :3] * (1 - alpha)
            window[..., 3] = top
        else:
            window[:] = color
        expected.append(canvas.copy())
        if dispose == 1:
            window[:] = 0
        elif dispose == 2:
            canvas = before
    return out + chunk(b"IEND", b""), expected


def test_durations_that_a_format_counts_coarsely_do_not_drift(tmp_path: Path) -> None:
    frames = [frame_of(height=4, width=4, seed=seed, duration_ms=1000 / 30) for seed in range(30)]
    for name in ("GIF", "WebP", "PNG"):
        _, back = read(write(tmp_path / f"a{SUFFIX[name]}", frames, name, metadata=Metadata(plays=0)))
        assert sum(frame.duration_ms or 0 for frame in back) == pytest.approx(1000, abs=1)
        assert max(frame.duration_ms or 0 for frame in back) <= 40


def test_gif_reduces_colours_and_cuts_transparency_and_says_so(tmp_path: Path) -> None:
    frame = frame_of("RGBA", height=64, width=64)
    reported: list[str] = []
    _, (back,) = read(write(tmp_path / "a.gif", frame, "GIF", reported=reported))
    assert len(reported) == 2
    assert set(np.unique(back.pixels[..., 3])) == {0, 255}
    seen = back.pixels[..., 3] > 0
    error = back.pixels[seen][:, :3].astype(float) - frame.pixels[seen][:, :3]
    assert np.sqrt((error**2).mean()) < 12


def test_an_animation_for_a_still_format_gives_its_first_frame(tmp_path: Path) -> None:
    frames = animation()
    reported: list[str] = []
    info = info_of(frames[0], "GIF", 5, animated=True, metadata=Metadata(plays=0))
    with ImageWriter(tmp_path / "a.jpg", format="JPEG", info=info, say=reported.append) as writer:
        assert writer.frames == 1
        for frame in frames:
            writer.write(frame)
    assert read(tmp_path / "a.jpg")[0].frames == 1
    assert len(reported) == 1
    assert "first of 5" in reported[0]


def test_frames_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    """Each frame owns its memory: a later one does not change it."""
    for name in ("GIF", "PNG", "WebP"):
        _, back = read(write(tmp_path / f"a{SUFFIX[name]}", animation(True), name, metadata=Metadata(plays=0)))
        assert not any(np.shares_memory(a.pixels, b.pixels) for a, b in pairwise(back))
        assert all(frame.pixels.flags.writeable and frame.pixels.flags.c_contiguous for frame in back)
