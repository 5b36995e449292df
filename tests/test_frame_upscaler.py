"""Frames keep their colours, their siting and their range, whatever net sees them, and come back whole."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.nets import CPU, stub
from upscale_cli import Upscaler
from upscale_cli.errors import CheckpointError
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixel_format import FORMATS, PixelFormat
from upscale_cli.inference import frame_upscaler
from upscale_cli.inference.device import Device
from upscale_cli.inference.frame_upscaler import FrameRequest, FrameUpscaler
from upscale_cli.inference.scheduler import Future
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.inference.whole_frames import WholeFrames
from upscale_cli.models.interface import Colour, LoadedNet, LumaRange, Precision

pytestmark = pytest.mark.usefixtures("stubs")

Samples = NDArray[Any]
TV, PC = ColourTags(matrix="bt709", range="tv"), ColourTags(matrix="bt709", range="pc")
ALL = pytest.mark.parametrize("name", list(FORMATS))
TWICE = Target(scale=2)


def frames_of(
    model: Upscaler | str, name: str, width: int, height: int, tags: ColourTags = TV, target: Target = TWICE
) -> VideoUpscaler:
    upscaler = Upscaler(model, device="cpu") if isinstance(model, str) else model
    return VideoUpscaler(upscaler, FORMATS[name], width, height, tags, target, say=lambda text: pytest.fail(text))


def upscaled(frames: VideoUpscaler, samples: Samples, *, net: bool = True) -> Samples:
    return frames.collect(frames.submit(samples, net=net))


def random_frame(name: str, width: int, height: int, seed: int = 0) -> Samples:
    """Any code value, and read-only, as frames that come out of a pipe are."""
    form = FORMATS[name]
    codes = np.random.default_rng(seed).integers(0, form.white + 1, form.frame_samples(width, height))
    return np.frombuffer(codes.astype(form.dtype).tobytes(), form.dtype)


def split(samples: Samples, name: str, width: int, height: int) -> list[Samples]:
    """The planes of a frame, cut out without any of our code."""
    planes, start = [], 0
    for rows, columns in FORMATS[name].plane_sizes(width, height):
        planes.append(samples[start : start + rows * columns].reshape(rows, columns))
        start += rows * columns
    assert start == samples.size
    return planes


def joined(planes: Sequence[Any], name: str) -> Samples:
    return np.concatenate([np.asarray(plane).ravel() for plane in planes]).astype(FORMATS[name].dtype)


def flat_frame(name: str, width: int, height: int, *values: int) -> Samples:
    sizes = FORMATS[name].plane_sizes(width, height)
    return joined([np.full(size, value) for size, value in zip(sizes, values, strict=True)], name)


def smooth_frame(name: str, width: int, height: int) -> Samples:
    """Slow waves, different ones in each plane, well within the tv range."""
    planes = []
    white = FORMATS[name].white
    for number, (rows, columns) in enumerate(FORMATS[name].plane_sizes(width, height)):
        y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
        wave = np.sin(5 * x + number) * np.cos(4 * y - number)
        planes.append(np.rint(white * (0.5 + (0.2 if number % 3 == 0 else 0.06) * wave)))
    return joined(planes, name)


class _Stub(nn.Module):
    """Doubles pixels; gives what `failure` says instead in the dtypes of `fails_in`."""

    def __init__(
        self, failure: float | None = None, fails_in: tuple[torch.dtype, ...] = (torch.bfloat16,), multiple_of: int = 1
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.failure, self.fails_in, self.multiple_of = failure, fails_in, multiple_of

    def forward(self, lr: Tensor) -> Tensor:
        assert [side % self.multiple_of for side in lr.shape[-2:]] == [0, 0]
        sr = nn.functional.interpolate(lr, scale_factor=2, mode="nearest") * self.weight
        if self.failure is not None and lr.dtype in self.fails_in:
            return torch.full_like(sr, self.failure)
        return sr


def made_up(
    colour: Colour, failure: float | None = None, *, like: type[_Stub] = _Stub, multiple_of: int = 1, **options: Any
) -> LoadedNet:
    """A net that is such a stub."""
    luma_range: LumaRange = "studio" if colour == "ycbcr" else "full"
    return stub(
        lambda: like(failure, multiple_of=multiple_of, **options),
        colour=colour, luma_range=luma_range, halo=2, multiple_of=multiple_of,
    )  # fmt: skip


def with_net(
    net: LoadedNet,
    precision: Precision = "fp32",
    say: Callable[[str], None] = lambda text: pytest.fail(text),
    **options: Any,
) -> Upscaler:
    """An upscaler whose only net is that one."""
    upscaler = Upscaler("espcn", device="cpu", precision=precision, **options)
    upscaler._nets[2, f"torch {precision}"] = TiledNet(net, CPU, precision, say=say, wrap=upscaler.wrap)
    return upscaler


COLOURS: tuple[Colour, ...] = ("luma", "rgb", "ycbcr")


# Kernels


@ALL
@pytest.mark.parametrize("model", ["bicubic", "lanczos"])
@pytest.mark.parametrize(("width", "height"), [(16, 10), (15, 9), (1, 1)])
def test_kernels_at_scale_one_leave_every_bit(model: str, name: str, width: int, height: int) -> None:
    samples = random_frame(name, width, height)
    frames = frames_of(model, name, width, height, target=Target(scale=1))
    np.testing.assert_array_equal(upscaled(frames, samples), samples)


@pytest.mark.slow
@ALL
@pytest.mark.parametrize("model", ["bicubic", "lanczos", "espcn"])
@pytest.mark.parametrize(
    "target", [Target(scale=2), Target(scale=2.7), Target(scale=0.5), Target(box=(20, 50), stretch=True)]
)
def test_every_format_to_any_size(model: str, name: str, target: Target) -> None:
    samples = smooth_frame(name, 21, 15)
    frames = frames_of(model, name, 21, 15, target=target)
    sr = upscaled(frames, samples)
    assert sr.dtype == FORMATS[name].dtype
    assert (frames.sr_width, frames.sr_height) == (frames.out_width, frames.out_height) == target.size_for(21, 15)
    for before, after in zip(
        split(samples, name, 21, 15), split(sr, name, frames.sr_width, frames.sr_height), strict=True
    ):
        difference = abs(float(before.mean()) - float(after.mean())) / FORMATS[name].white
        assert difference < 0.03, "the same picture, larger or smaller"


# Colours


@pytest.mark.slow
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("tags", [TV, PC, ColourTags("bt2020nc", range="tv"), ColourTags("smpte170m", range="pc")])
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p12le", "yuv440p", "gbrp", "gbrp10le", "gray10le"])
def test_flat_colours_come_back_whatever_the_net_sees(colour: Colour, tags: ColourTags, name: str) -> None:
    """Within a code, also where they leave the RGB cube, or lie below black and above white."""
    white = FORMATS[name].white
    frames = frames_of(with_net(made_up(colour)), name, 6, 4, tags)
    for values in ((0.5, 0.5, 0.5), (0.02, 0.5, 0.5), (0.98, 0.5, 0.5), (0.3, 0.9, 0.2), (0.7, 0.1, 0.6)):
        codes = [round(value * white) for value in values][: len(FORMATS[name].plane_sizes(6, 4))]
        sr = upscaled(frames, flat_frame(name, 6, 4, *codes))
        for plane, code in zip(split(sr, name, 12, 8), codes, strict=True):
            assert np.abs(plane.astype(int) - code).max() <= 1


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p12le"])
def test_grey_stays_exactly_grey(name: str, noise: Callable[..., Pixels]) -> None:
    form = FORMATS[name]
    sizes = form.plane_sizes(30, 22)
    luma = noise(*sizes[0], dtype=np.uint16) >> (16 - form.bits)
    neutral = (form.white + 1) // 2
    samples = joined([luma, *(np.full(size, neutral) for size in sizes[1:])], name)
    sr = split(upscaled(frames_of("espcn", name, 30, 22), samples), name, 60, 44)
    assert (sr[1] == neutral).all()
    assert (sr[2] == neutral).all()
    assert sr[0].std() > 20


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("location", ["left", "center", "topleft", "bottom"])
@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
def test_a_chroma_ramp_stays_in_its_place(colour: Colour, location: str, name: str) -> None:
    """Chroma as bright as its luma position says: SR chroma says it of SR positions, at every siting and by any net."""
    width, height = 48, 40
    form = FORMATS[name]
    across = 0.0 if "left" in location else 0.5
    down = {"left": 0.5, "center": 0.5, "topleft": 0.0, "bottom": 1.0}[location]

    def ramps(sides: tuple[int, int], scale: int) -> list[Samples]:
        rows, columns = form.plane_sizes(*sides)[1]
        x = np.arange(columns) * (1 << form.shift_x) + (across if form.shift_x else 0)
        y = np.arange(rows) * (1 << form.shift_y) + (down if form.shift_y else 0)
        blue = 400 + 6 * ((x + 0.5) / scale)
        red = 620 - 4 * ((y + 0.5) / scale)
        return [np.broadcast_to(blue, (rows, columns)), np.broadcast_to(red[:, None], (rows, columns))]

    luma = np.full((height, width), 500)
    frames = frames_of(
        with_net(made_up(colour, like=_Smooth)),
        name,
        width,
        height,
        ColourTags("bt709", range="tv", chroma_location=location),
    )
    samples = joined([luma, *(np.rint(ramp) for ramp in ramps((width, height), 1))], name)
    sr = split(upscaled(frames, samples), name, 2 * width, 2 * height)
    for ours, wanted in zip(sr[1:], ramps((2 * width, 2 * height), 2), strict=True):
        inner = np.s_[10:-10, 10:-10]
        assert np.abs(ours[inner] - wanted[inner]).max() <= 1.01, "a siting that is off by a quarter is off by 1.5"


class _Smooth(_Stub):
    """Doubles by bicubic, which keeps a ramp."""

    def forward(self, lr: Tensor) -> Tensor:
        return nn.functional.interpolate(lr, scale_factor=2, mode="bicubic", antialias=True) * self.weight


def test_a_picture_is_nearly_the_same_through_luma_and_through_rgb() -> None:
    samples = smooth_frame("yuv420p", 40, 30)
    by_luma = upscaled(frames_of(with_net(made_up("luma", like=_Smooth)), "yuv420p", 40, 30), samples)
    by_rgb = upscaled(frames_of(with_net(made_up("rgb", like=_Smooth)), "yuv420p", 40, 30), samples)
    assert np.abs(by_luma.astype(int) - by_rgb).max() <= 2


@pytest.mark.parametrize("model", ["espcn", "bicubic"])
@pytest.mark.parametrize(("shallow", "deep"), [("yuv420p", "yuv420p10le"), ("gbrp", "gbrp12le"), ("gray", "gray12le")])
def test_depths_agree(model: str, shallow: str, deep: str) -> None:
    """tv range: codes of 8 bits times 4 or 16 are the same colours."""
    factor = 1 << (FORMATS[deep].bits - 8)
    samples = smooth_frame(shallow, 24, 20)
    eight = upscaled(frames_of(model, shallow, 24, 20), samples)
    more = upscaled(frames_of(model, deep, 24, 20), samples.astype("<u2") * factor)
    assert np.abs(more / factor - eight).max() <= 0.51 + 0.5 / factor


def test_a_matrix_we_cannot_compute_with_is_told_where_it_matters() -> None:
    reported: list[str] = []
    tags = ColourTags(matrix="ictcp", range="tv")
    for colour in ("luma", "rgb"):
        FrameUpscaler(with_net(made_up(colour)), FORMATS["yuv420p"], 8, 8, tags, TWICE, say=reported.append)
    assert reported == ["the net sees colours of matrix ictcp as if they were bt709's."]


def test_real_rgb_nets_keep_the_picture(shared_weights: Path) -> None:
    assert shared_weights
    samples = smooth_frame("yuv420p", 32, 24)
    for model, scale in (("realesr-general", 4), (str(shared_weights / "espcn-ycbcr-x2.safetensors"), 2)):
        target = Target(scale=scale)
        by_net = upscaled(frames_of(model, "yuv420p", 32, 24, target=target), samples)
        bicubic = upscaled(frames_of("bicubic", "yuv420p", 32, 24, target=target), samples)
        assert np.abs(by_net.astype(int) - bicubic).mean() < 2, model


# The frame around the picture


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuva444p", "gray"])
@pytest.mark.parametrize("model", ["espcn", "bicubic"])
def test_padding_repeats_the_border(model: str, name: str) -> None:
    samples = random_frame(name, 9, 7)
    target = Target(box=(13, 11), stretch=True)
    plain = split(upscaled(frames_of(model, name, 9, 7, target=target), samples), name, 13, 11)
    frames = frames_of(model, name, 9, 7, target=target)
    frames.pad_to(16, 12)
    assert (frames.sr_width, frames.sr_height, frames.out_width, frames.out_height) == (13, 11, 16, 12)
    for small, large in zip(plain, split(upscaled(frames, samples), name, 16, 12), strict=True):
        rows, columns = large.shape[0] - small.shape[0], large.shape[1] - small.shape[1]
        np.testing.assert_array_equal(large, np.pad(small, ((0, rows), (0, columns)), mode="edge"))


@pytest.mark.parametrize("multiple_of", [1, 4])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 130), (17, 5)])
def test_odd_and_tiny_frames(multiple_of: int, width: int, height: int) -> None:
    samples = random_frame("yuv420p", width, height)
    sr = upscaled(frames_of(with_net(made_up("luma", multiple_of=multiple_of)), "yuv420p", width, height), samples)
    luma = split(samples, "yuv420p", width, height)[0]
    np.testing.assert_array_equal(
        split(sr, "yuv420p", 2 * width, 2 * height)[0], luma.repeat(2, axis=0).repeat(2, axis=1)
    )


@pytest.mark.parametrize("multiple_of", [1, 4])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_texture_wraps_without_a_seam(colour: Colour, multiple_of: int) -> None:
    """Turned by whole chroma samples, the result is turned by as much; also where the margin exceeds the picture."""
    width, height = 12, 8
    planes = split(random_frame("yuv420p", width, height), "yuv420p", width, height)
    turned = [np.roll(plane, (4, 2) if number == 0 else (2, 1), axis=(0, 1)) for number, plane in enumerate(planes)]
    upscaler = with_net(made_up(colour, like=_Smooth, multiple_of=multiple_of), wrap=True)
    frames = frames_of(upscaler, "yuv420p", width, height)
    one, other = (split(upscaled(frames, joined(each, "yuv420p")), "yuv420p", 24, 16) for each in (planes, turned))
    for number, (plane, moved) in enumerate(zip(one, other, strict=True)):
        back = np.roll(moved, (-8, -4) if number == 0 else (-4, -2), axis=(0, 1))
        assert np.abs(plane.astype(int) - back).max() <= 1


def test_pieces_equal_the_whole() -> None:
    samples = random_frame("yuv420p", 90, 70)
    whole = upscaled(frames_of("espcn", "yuv420p", 90, 70), samples)
    tiled = upscaled(frames_of(Upscaler("espcn", device="cpu", tile=24), "yuv420p", 90, 70), samples)
    blended = upscaled(frames_of(Upscaler("espcn", device="cpu", tile=24, overlap=8), "yuv420p", 90, 70), samples)
    short_upscaler = Upscaler("espcn", device="cpu")
    short_upscaler.net(2, 8)._nets[0]._limit = 40  # as after memory ran out
    short = upscaled(frames_of(short_upscaler, "yuv420p", 90, 70), samples)
    for other in (tiled, blended, short):
        assert np.abs(whole.astype(int) - other).max() <= 1


def test_the_ensemble_takes_part() -> None:
    samples = smooth_frame("gray", 20, 16)
    plain = upscaled(frames_of("espcn", "gray", 20, 16), samples)
    turned = upscaled(frames_of(Upscaler("espcn", device="cpu", tta=True), "gray", 20, 16), samples)
    assert 0 < np.abs(plain.astype(int) - turned).max() < 10


def test_two_passes_and_a_size_between() -> None:
    """x5 by x2 and x3 or the like, then Lanczos: near to bicubic on a smooth picture, and of the exact size."""
    samples = smooth_frame("yuv420p", 40, 30)
    target = Target(scale=5.3)
    frames = frames_of("espcn", "yuv420p", 40, 30, target=target)
    assert len(frames.plan.passes) > 1
    by_net = upscaled(frames, samples)
    bicubic = upscaled(frames_of("bicubic", "yuv420p", 40, 30, target=target), samples)
    assert by_net.size == FORMATS["yuv420p"].frame_samples(212, 159)
    assert np.abs(by_net.astype(int) - bicubic).mean() < 1


# Transparency


def with_alpha(name: str, alpha: NDArray[Any]) -> Samples:
    height, width = alpha.shape
    planes = split(smooth_frame(name, width, height), name, width, height)
    return joined([*planes[:-1], alpha], name)


@pytest.mark.parametrize("name", ["yuva420p", "gbrap10le"])
@pytest.mark.parametrize("option", ["net", "lanczos", "drop"])
@pytest.mark.parametrize("model", ["espcn", "bicubic"])
def test_alpha_goes_as_asked(name: str, option: Any, model: str) -> None:
    white = FORMATS[name].white
    matte = np.zeros((20, 24), int)
    matte[:, 12:] = white
    upscaler = Upscaler(model, device="cpu", alpha=option)
    sr = split(upscaled(frames_of(upscaler, name, 24, 20), with_alpha(name, matte)), name, 48, 40)[-1]
    if option == "drop":
        assert (sr == white).all()
    else:
        # Clear of the edge by six pixels: nearer to it nets ring a little.
        assert (sr[8:-8, 8:18] <= 0.02 * white).all(), "transparent is full range, not sub-black"
        assert (sr[8:-8, 30:40] >= 0.98 * white).all()
        assert 0 < sr[20, 23] < sr[20, 24] < white


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_constant_alpha_costs_nothing_and_stays(value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    whole = WholeFrames.upscale

    def counted(self: WholeFrames, *given: Any) -> Tensor:
        seen.append(1)
        return whole(self, *given)

    monkeypatch.setattr(WholeFrames, "upscale", counted)
    samples = with_alpha("yuva420p", np.full((10, 12), value))
    sr = split(upscaled(frames_of("espcn", "yuva420p", 12, 10), samples), "yuva420p", 24, 20)
    assert (sr[-1] == value).all()
    assert len(seen) == 1


# Without the net, in time


@ALL
def test_a_frame_that_would_be_late_is_bicubic(name: str) -> None:
    samples = random_frame(name, 14, 10)
    late = upscaled(frames_of("espcn", name, 14, 10), samples, net=False)
    np.testing.assert_array_equal(late, upscaled(frames_of("bicubic", name, 14, 10), samples))


def test_what_was_given_back_stays_and_what_was_given_is_free() -> None:
    frames = frames_of("espcn", "yuv420p", 16, 12)
    samples = random_frame("yuv420p", 16, 12).copy()
    (one,) = frames._frames
    launched = one.launch([FrameRequest(samples)])
    samples[:] = 0
    launched.wait()
    first = launched.result(0).numpy()
    kept = first.copy()
    upscaled(frames, random_frame("yuv420p", 16, 12, seed=1))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(first, upscaled(frames, random_frame("yuv420p", 16, 12)))


def test_time_is_told_by_stage() -> None:
    frames = frames_of("espcn", "yuv420p", 16, 12)
    upscaled(frames, random_frame("yuv420p", 16, 12))
    assert set(frames.seconds) == {"upload", "net", "download"}
    assert all(seconds > 0 for seconds in frames.seconds.values())
    assert frames.depth == 0
    assert frames.precision == "fp32"
    assert frames.expected_seconds() == 0


def test_one_upscaler_serves_several_streams() -> None:
    upscaler = Upscaler("espcn", device="cpu")
    small, large = frames_of(upscaler, "yuv420p", 8, 6), frames_of(upscaler, "gray10le", 20, 16)
    for frames, name in ((small, "yuv420p"), (large, "gray10le"), (small, "yuv420p")):
        samples = random_frame(name, frames.width, frames.height)
        assert upscaled(frames, samples).size == FORMATS[name].frame_samples(frames.sr_width, frames.sr_height)
    assert len(upscaler._nets) == 1


# Precision


def test_twelve_bits_are_computed_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "upscale_cli.inference.model.choose_precision", lambda *_, bits, **__: "fp32" if bits > 8 else "bf16"
    )
    upscaler = Upscaler("espcn", device="cpu")
    assert [frames_of(upscaler, name, 8, 8).precision for name in ("yuv420p", "yuv420p10le", "yuv420p12le")] == [
        "bf16", "bf16", "fp32",
    ]  # fmt: skip


class _Marks:
    """Two marks in a stream, of which there is none."""

    def __init__(self) -> None:
        self.begin = self.end = SimpleNamespace(record=lambda *_: None, synchronize=lambda: None)
        self.seconds = 0.001


class _Replayed:
    """A CUDA graph that computes what it was made of."""

    made = 0

    def __init__(self, compute: Callable[[Tensor], tuple[Tensor, Tensor]], lr: Tensor) -> None:
        type(self).made += 1
        self._compute = compute
        compute(lr)

    def __call__(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        return self._compute(lr)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[VideoUpscaler, bool], None]:
    """Makes frames on the CPU go the way of those on a GPU: judged only when they are waited for.

    Only what torch has on GPUs alone is replaced: streams, events, pinned memory and graphs.
    """

    def no_stream(*_: object) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    def pageable(*size: int, pin_memory: bool = False, **options: Any) -> Tensor:
        assert pin_memory in (False, True)
        return empty(*size, **options)

    empty = torch.empty
    stream: Any = SimpleNamespace(wait_event=lambda _: None)

    def change(frames: VideoUpscaler, graph: bool = False) -> None:
        for name in ("stream", "device"):
            monkeypatch.setattr(torch.cuda, name, no_stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
        monkeypatch.setattr(torch, "empty", pageable)
        monkeypatch.setattr(Tensor, "record_stream", lambda *_: None)
        monkeypatch.setattr(frame_upscaler, "Stopwatch", _Marks)
        monkeypatch.setattr(frame_upscaler, "FrameGraph", _Replayed)
        monkeypatch.setattr(frame_upscaler, "fetched", Tensor.clone)
        monkeypatch.setattr(_Replayed, "made", 0)
        for one in frames._frames:
            monkeypatch.setattr(one, "_streams", SimpleNamespace(upload=None, download=stream))
            monkeypatch.setattr(one, "_wants_graph", graph)

    return change


LATER = pytest.mark.parametrize("later", ["no", "yes", "graph"], ids=["at once", "as on CUDA", "in a graph, as there"])


@LATER
@pytest.mark.parametrize("colour", ["luma", "rgb"])
@pytest.mark.parametrize("failure", [float("nan"), float("inf"), 0.0])
def test_a_black_frame_is_computed_again_in_fp32_and_the_rest_with_it(
    failure: float, colour: Colour, later: str, as_on_a_gpu: Callable[[VideoUpscaler, bool], None]
) -> None:
    reported: list[str] = []
    upscaler = with_net(made_up(colour, failure), "bf16", reported.append)
    samples = smooth_frame("yuv420p", 16, 12)
    expected = upscaled(frames_of(with_net(made_up(colour)), "yuv420p", 16, 12), samples)
    frames = frames_of(upscaler, "yuv420p", 16, 12)
    if later != "no":
        as_on_a_gpu(frames, later == "graph")
    for _ in range(2):
        np.testing.assert_array_equal(upscaled(frames, samples), expected)
    assert _Replayed.made == (later == "graph"), "what was recorded in half precision is not replayed again"
    assert upscaler.net(2, 8).precision == "fp32"
    assert len(reported) == 1
    assert "the frame was computed again" in reported[0]


@LATER
def test_a_blank_frame_is_no_reason_to_doubt(later: str, as_on_a_gpu: Callable[[VideoUpscaler, bool], None]) -> None:
    upscaler = with_net(made_up("luma", 0.25), "bf16")
    frames = frames_of(upscaler, "gray", 8, 8)
    if later != "no":
        as_on_a_gpu(frames, later == "graph")
    upscaled(frames, flat_frame("gray", 8, 8, 99))
    assert upscaler.net(2, 8).precision == "bf16"


@LATER
def test_a_net_that_means_a_blank_frame_is_believed(
    later: str, as_on_a_gpu: Callable[[VideoUpscaler, bool], None]
) -> None:
    upscaler = with_net(made_up("luma", 0.5, fails_in=(torch.bfloat16, torch.float32)), "bf16")
    frames = frames_of(upscaler, "gray", 8, 8, PC)
    if later != "no":
        as_on_a_gpu(frames, later == "graph")
    assert (upscaled(frames, random_frame("gray", 8, 8)) == 128).all()
    assert upscaler.net(2, 8).precision == "bf16"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@LATER
def test_nan_in_full_precision_is_an_error_never_a_frame(
    precision: Precision, later: str, as_on_a_gpu: Callable[[VideoUpscaler, bool], None]
) -> None:
    net = made_up("luma", float("nan"), fails_in=(torch.bfloat16, torch.float32))
    frames = frames_of(with_net(net, precision), "gray", 8, 8)
    if later != "no":
        as_on_a_gpu(frames, later == "graph")
    with pytest.raises(CheckpointError, match="NaN or Inf in full precision"):
        upscaled(frames, random_frame("gray", 8, 8))


# Against others


@pytest.mark.parametrize("scale", [2, 1.5, 0.5])
def test_a_decoded_frame_by_bicubic_is_that_of_zimg(scale: float) -> None:
    """A synthetic film through a real encoder and decoder: 4:2:0, left siting, both planes of chroma."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    filters = subprocess.run([ffmpeg, "-hide_banner", "-filters"], capture_output=True, text=True, check=True).stdout
    if " zscale " not in filters:
        pytest.skip("this ffmpeg was built without zimg")
    width, height = 160, 96  # zimg wants sides that its chroma divides
    sr_width, sr_height = Target(scale=scale).size_for(width, height)
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1")
    encoded = subprocess.run(
        [ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size={width}x{height}:rate=25", "-frames:v", "1",
         "-vf", "format=yuv420p,lutyuv=y=val/2+64:u=val/2+64:v=val/2+64",  # zimg clips between its two directions
         "-pix_fmt", "yuv420p", "-c:v", "mpeg2video", "-q:v", "4", "-f", "matroska", "pipe:1"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    decode = [ffmpeg, "-v", "error", "-i", "pipe:0"]
    lr = subprocess.run([*decode, *raw], input=encoded, capture_output=True, check=True).stdout
    chain = f"zscale=w={sr_width}:h={sr_height}:filter=bicubic:chromalin=left:chromal=left"
    sr = subprocess.run([*decode, "-vf", chain, *raw], input=encoded, capture_output=True, check=True).stdout
    frames = frames_of("bicubic", "yuv420p", width, height, target=Target(scale=scale))
    ours = upscaled(frames, np.frombuffer(lr, np.uint8))
    planes = (split(each, "yuv420p", sr_width, sr_height) for each in (ours, np.frombuffer(sr, np.uint8)))
    for plane, wanted in zip(*planes, strict=True):
        difference = np.abs(plane.astype(int) - wanted)
        assert difference[4:-4, 4:-4].max() <= 1
        assert difference.max() <= 3, "beyond the border zimg mirrors, where we repeat"
        assert difference.mean() < 0.06


# On a GPU


@pytest.fixture
def cuda() -> str:
    if not torch.cuda.is_available():
        if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
            pytest.fail("FAIL_WITHOUT_CUDA is set, and torch finds no CUDA device")
        pytest.skip("no CUDA device")
    return "cuda"


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("name", ["yuv420p", "yuv444p10le", "yuva420p", "gbrp12le", "gray"])
@pytest.mark.parametrize("model", ["espcn", "bicubic"])
def test_a_gpu_agrees_with_the_cpu_frame_by_frame(cuda: str, model: str, name: str, graph: bool) -> None:
    """Several frames in progress, in order, each its own."""
    form: PixelFormat = FORMATS[name]
    frames = VideoUpscaler(
        Upscaler(model, device=cuda, precision="fp32"), form, 90, 70, TV, TWICE,
        graph=graph, say=lambda text: pytest.fail(text),
    )  # fmt: skip
    reference = frames_of(model, name, 90, 70)
    samples = [random_frame(name, 90, 70, seed) for seed in range(6)]
    pending: list[Future[FrameRequest, Tensor]] = []
    results = []
    for number, each in enumerate(samples):
        pending.append(frames.submit(each, net=number != 3))
        if len(pending) > frames.depth:
            results.append(frames.collect(pending.pop(0)))
    results += [frames.collect(each) for each in pending]
    for number, (each, sr) in enumerate(zip(samples, results, strict=True)):
        wanted = upscaled(reference, each, net=number != 3)
        assert np.abs(sr.astype(int) - wanted).max() <= 1
    assert all(seconds > 0 for seconds in frames.seconds.values())


def test_a_frame_that_fp16_spoils_on_a_gpu_comes_out_in_fp32(cuda: str) -> None:
    reported: list[str] = []
    device = Device(f"{cuda}:0")
    upscaler = Upscaler("espcn", device=cuda, precision="fp16")
    net = made_up("luma", float("nan"), fails_in=(torch.float16,))
    upscaler._nets[2, "torch fp16"] = TiledNet(net, device, "fp16", say=reported.append)
    frames = VideoUpscaler(upscaler, FORMATS["gray"], 16, 12, TV, TWICE, graph=True)
    samples = [random_frame("gray", 16, 12, seed) for seed in range(4)]
    pending = [frames.submit(each) for each in samples]
    for each, future in zip(samples, pending, strict=True):
        wanted = each.reshape(12, 16).repeat(2, axis=0).repeat(2, axis=1).ravel()
        np.testing.assert_array_equal(frames.collect(future), wanted)
    assert len(reported) == 1
