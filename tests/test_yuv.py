"""Colours agree with zimg's, chroma lies where it should, and what need not change does not."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from upscale_cli.frames.colour_tags import ColourTags, Range
from upscale_cli.frames.pixel_format import FORMATS, PixelFormat
from upscale_cli.inference.yuv import (
    LUMA_WEIGHTS,
    SITING,
    Axis,
    Grid,
    Levels,
    Resampler,
    chroma_grid,
    chroma_levels,
    full_levels,
    luma_levels,
    pixel_grid,
    planes_in,
    store,
    to_rgb,
)
from upscale_cli.models.registry import Kernel

CPU = torch.device("cpu")
RANGES: tuple[Range, ...] = ("tv", "pc")
KERNELS: tuple[Kernel, ...] = ("bicubic", "lanczos")


@pytest.fixture(scope="session")
def zimg() -> str:
    """ffmpeg with the zscale filter, which knows siting and matrices and shares no code with us."""
    ffmpeg: str = imageio_ffmpeg.get_ffmpeg_exe()
    filters = subprocess.run([ffmpeg, "-hide_banner", "-filters"], capture_output=True, text=True, check=True).stdout
    if " zscale " not in filters:
        pytest.skip("this ffmpeg was built without zimg")
    return ffmpeg


def filtered(
    ffmpeg: str, samples: NDArray[np.generic], width: int, height: int, source: str, target: str, chain: str
) -> NDArray[np.generic]:
    """Raw frames through ffmpeg's filters, from one pixel format to another."""
    done = subprocess.run(
        [ffmpeg, "-v", "error", "-f", "rawvideo", "-pixel_format", source, "-video_size", f"{width}x{height}",
         "-i", "pipe:0", "-vf", chain, "-f", "rawvideo", "-pix_fmt", target, "pipe:1"],
        input=samples.tobytes(), capture_output=True, check=True,
    )  # fmt: skip
    return np.frombuffer(done.stdout, FORMATS[target].dtype)


# Colours


def test_levels_are_those_of_the_standard() -> None:
    assert luma_levels(8, "tv") == Levels(16, 219)
    assert luma_levels(10, "tv") == Levels(64, 876)
    assert luma_levels(12, "pc") == full_levels(12) == Levels(0, 4095)
    assert chroma_levels(8, "tv") == Levels(128, 224)
    assert chroma_levels(10, "pc") == Levels(512, 1023)


@pytest.mark.parametrize("levels", [luma_levels(8, "tv"), luma_levels(12, "tv"), full_levels(10)])
def test_codes_below_black_and_above_white_survive(levels: Levels) -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    torch.testing.assert_close(levels.codes(levels.values(codes)).round(), codes.float(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["yuv444p", "yuv444p10le", "yuv444p12le", "gbrp", "gbrp12le"])
@pytest.mark.parametrize("matrix", sorted(LUMA_WEIGHTS))
@pytest.mark.parametrize("range_", RANGES)
def test_there_and_back_is_the_same(name: str, matrix: str, range_: Range) -> None:
    form = FORMATS[name]
    codes = torch.randint(0, form.white + 1, (3, 40, 50), dtype=torch.int16).float()
    colours = to_rgb(form, ColourTags(matrix=matrix, range=range_))
    torch.testing.assert_close(colours.codes(colours.rgb(codes)).round(), codes, rtol=0, atol=0)


@pytest.mark.parametrize("matrix", sorted(LUMA_WEIGHTS))
@pytest.mark.parametrize("range_", RANGES)
def test_black_white_and_grey_are_what_they_say(matrix: str, range_: Range) -> None:
    black, white = (0, 255) if range_ == "pc" else (16, 235)
    codes = torch.tensor([[black, white], [128, 128], [128, 128]], dtype=torch.uint8)[:, None]
    rgb = to_rgb(FORMATS["yuv444p"], ColourTags(matrix=matrix, range=range_)).rgb(codes)
    torch.testing.assert_close(rgb, torch.tensor([0.0, 1.0]).expand(3, 1, 2), rtol=0, atol=1e-6)


@pytest.mark.parametrize("matrix", sorted(set(LUMA_WEIGHTS) - {"bt2020c"}))
@pytest.mark.parametrize("range_", RANGES)
def test_colours_are_those_of_zimg(zimg: str, matrix: str, range_: Range) -> None:
    """Random colours of the RGB cube, by both, to YUV and from there to RGB: 12 bits, within one code."""
    width, height = 64, 16
    rgb = np.random.default_rng(1).integers(0, 4096, 3 * width * height).astype(np.uint16)
    there = f"zscale=matrixin=gbr:rangein=pc:matrix={matrix}:range={range_}"
    back = f"zscale=matrixin={matrix}:rangein={range_}:matrix=gbr:range=pc"
    yuv = filtered(zimg, rgb, width, height, "gbrp12le", "yuv444p12le", there)
    again = filtered(zimg, yuv, width, height, "yuv444p12le", "gbrp12le", back)

    def planes(samples: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(samples.astype(np.float32)).view(3, height, width)

    ours = to_rgb(FORMATS["yuv444p12le"], ColourTags(matrix=matrix, range=range_))
    cube = to_rgb(FORMATS["gbrp12le"], ColourTags(matrix="gbr", range="pc"))
    assert (ours.codes(cube.rgb(planes(rgb))).round() - planes(yuv)).abs().max() <= 1
    assert (cube.codes(ours.rgb(planes(yuv))).clamp(0, 4095).round() - planes(again)).abs().max() <= 1


# Where samples lie


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv440p", "yuv444p"])
@pytest.mark.parametrize("siting", [None, *SITING])
@pytest.mark.parametrize(("height", "width"), [(36, 48), (35, 47), (1, 1)])
def test_chroma_lies_at_its_luma_samples(name: str, siting: str | None, height: int, width: int) -> None:
    form = FORMATS[name]
    grid = chroma_grid(form, height, width, siting)
    assert grid.shape == form.plane_sizes(width, height)[1]
    down, across = SITING[siting or "left"]
    for axis, pixels, shift, first in ((grid.y, height, form.shift_y, down), (grid.x, width, form.shift_x, across)):
        for sample in range(axis.count):
            luma = sample * (1 << shift) + (first if shift else 0)
            assert (sample + axis.phase) / axis.density == pytest.approx((luma + 0.5) / pixels)


@given(
    count=st.integers(1, 90),
    scale=st.sampled_from([0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0]),
    phases=st.tuples(*[st.sampled_from([0.25, 0.5, 0.75])] * 2),
    kernel=st.sampled_from(KERNELS),
)
def test_a_ramp_stays_a_ramp_at_its_place(
    count: int, scale: float, phases: tuple[float, float], kernel: Kernel
) -> None:
    """Away from the borders a picture that is as bright as its position says so on every grid, in both directions."""
    source, target = Axis(count, count, phases[0]), Axis(max(1, round(count * scale)), count * scale, phases[1])
    other = pixel_grid(5, 5).y

    def place(axis: Axis) -> torch.Tensor:
        return ((torch.arange(axis.count, dtype=torch.float64) + axis.phase) / axis.density).float()

    ramp = 100 * place(source)
    wanted = 100 * place(target)
    border = 3 * max(1, 1 / scale) / count
    inside = (place(target) > border) & (place(target) < 1 - border)
    tolerance = 100 / count * (0.02 if kernel == "lanczos" else 1e-3 if scale >= 1 else 0.02)  # of a sample's step
    across = Resampler(Grid(other, source), Grid(other, target), kernel, CPU)(ramp.expand(2, 5, count))
    down = Resampler(Grid(source, other), Grid(target, other), kernel, CPU)(ramp[:, None].expand(2, count, 5))
    assert across.shape == (2, 5, target.count)
    torch.testing.assert_close(down, across.transpose(1, 2), rtol=0, atol=1e-4)
    assert ((across - wanted).abs()[..., inside] <= tolerance).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", [0, 1, 128, 2048, 4095])
def test_a_blank_plane_stays_blank(kernel: Kernel, value: int) -> None:
    plane = torch.full((1, 37, 53), value, dtype=torch.int16)
    sr = Resampler(pixel_grid(37, 53), pixel_grid(91, 20), kernel, CPU)(plane)
    assert (sr.round() == value).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_kernels_are_those_of_the_photos(kernel: Kernel) -> None:
    """Pillow's, away from the borders, which it treats in its own way."""
    from PIL import Image

    plane = torch.rand(40, 50)
    for height, width in ((80, 100), (91, 133), (17, 23)):
        ours = Resampler(pixel_grid(40, 50), pixel_grid(height, width), kernel, CPU)(plane[None])[0]
        filter_ = Image.Resampling.BICUBIC if kernel == "bicubic" else Image.Resampling.LANCZOS
        theirs = np.array(Image.fromarray(plane.numpy()).resize((width, height), filter_))
        np.testing.assert_allclose(ours.numpy()[8:-8, 8:-8], theirs[8:-8, 8:-8], atol=2e-5)


def test_a_grid_that_is_the_same_leaves_every_bit() -> None:
    plane = torch.randint(0, 256, (1, 9, 7), dtype=torch.uint8)
    assert Resampler(pixel_grid(9, 7), pixel_grid(9, 7), "lanczos", CPU)(plane) is plane


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("height", "width"), [(48, 60), (17, 100)])
def test_a_texture_wraps(kernel: Kernel, height: int, width: int) -> None:
    plane = torch.rand(1, 24, 30)
    doubled = plane.repeat(1, 3, 3)
    wrapped = Resampler(pixel_grid(24, 30), pixel_grid(height, width), kernel, CPU, wrap=True)(plane)
    larger = Resampler(pixel_grid(72, 90), pixel_grid(3 * height, 3 * width), kernel, CPU)(doubled)
    torch.testing.assert_close(wrapped, larger[:, height : 2 * height, width : 2 * width], rtol=0, atol=1e-5)


@pytest.mark.parametrize("siting", sorted(SITING))
def test_siting_is_that_of_zimg(zimg: str, siting: str) -> None:
    """The chroma of a 4:2:0 picture, twice as large by bicubic: within one code, borders included."""
    form, width, height = FORMATS["yuv420p"], 46, 34
    rng = np.random.default_rng(2)
    coarse = rng.integers(20, 230, (6, 8)).repeat(6, 0).repeat(6, 1)  # edges, not noise, at which a shift shows
    planes = [coarse[:rows, :columns] for rows, columns in form.plane_sizes(width, height)]
    samples = np.concatenate([plane.ravel() for plane in planes]).astype(np.uint8)
    chain = f"zscale=w={2 * width}:h={2 * height}:filter=bicubic:chromalin={siting}:chromal={siting}"
    theirs = filtered(zimg, samples, width, height, "yuv420p", "yuv420p", chain)
    lr, sr = chroma_grid(form, height, width, siting), chroma_grid(form, 2 * height, 2 * width, siting)
    ours = Resampler(lr, sr, "bicubic", CPU)(torch.from_numpy(planes[1].astype(np.float32))[None])[0]
    wanted = planes_in(torch.from_numpy(theirs.astype(np.float32)), form, 2 * width, 2 * height)[1]
    assert (ours.round().clamp(0, 255) - wanted).abs().max() <= 1


# Planes in a buffer


@pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))
@pytest.mark.parametrize(("width", "height"), [(6, 4), (5, 3), (1, 1)])
def test_planes_are_views_that_cover_the_frame(form: PixelFormat, width: int, height: int) -> None:
    samples = torch.zeros(form.frame_samples(width, height), dtype=torch.int16)
    planes = planes_in(samples, form, width, height)
    assert [tuple(plane.shape) for plane in planes] == form.plane_sizes(width, height)
    for plane in planes:
        plane.add_(1)
    assert (samples == 1).all()


def test_a_stored_plane_is_rounded_to_even_clipped_and_continued() -> None:
    out = torch.zeros(3, 4, dtype=torch.uint8)
    store(torch.tensor([[-3.0, 0.5, 1.5], [2.5, 254.6, 300.0]]), out, 255)
    assert out.tolist() == [[0, 0, 2, 2], [2, 255, 255, 255], [2, 255, 255, 255]]
