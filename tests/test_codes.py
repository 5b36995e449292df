"""8-bit codes through an engine that takes and gives them, luma and pixels: the same samples as by float values."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.nets import stub
from upscale_cli import Upscaler
from upscale_cli.errors import CheckpointError
from upscale_cli.frames.colour_tags import ColourTags, Range
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.backends import openvino_strips
from upscale_cli.inference.device_net import DeviceNet
from upscale_cli.inference.frame_chroma import ChromaByEngine
from upscale_cli.inference.frame_upscaler import FrameRequest, FrameUpscaler
from upscale_cli.inference.host_net import HostNet
from upscale_cli.inference.net_runner import Window
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.yuv import Resampler, chroma_grid, planes_in
from upscale_cli.models.interface import LumaRange

pytest.importorskip("openvino")
pytestmark = pytest.mark.usefixtures("stubs")


@pytest.fixture
def by_codes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Which frames found a session for codes."""
    found: list[bool] = []
    former = DeviceNet.codes_session

    def asked(self: DeviceNet, *given: object) -> object:
        session = former(self, *given)  # type: ignore[arg-type]
        found.append(session is not None)
        return session

    monkeypatch.setattr(DeviceNet, "codes_session", asked)
    return found


def fp32() -> Upscaler:
    return Upscaler("espcn", device="cpu", engine="openvino", precision="fp32")


def frame(name: str, height: int, width: int, seed: int) -> np.ndarray:
    form = FORMATS[name]
    rng = np.random.default_rng(seed)
    planes = [
        np.cumsum(rng.integers(-9, 10, size), axis=1).astype(np.int64) + 120 for size in form.plane_sizes(width, height)
    ]
    return np.concatenate([plane.ravel().clip(0, form.white) for plane in planes]).astype(form.dtype)


def upscaled(frames: FrameUpscaler, samples: np.ndarray) -> np.ndarray:
    return frames.launch([FrameRequest(samples)]).result(0).numpy()


def without_codes(frames: FrameUpscaler, samples: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    with monkeypatch.context() as patch:
        patch.setattr(DeviceNet, "codes_session", lambda *_: None)
        return upscaled(frames, samples)


@pytest.mark.parametrize("range_", ["tv", "pc"])
@pytest.mark.parametrize("size", [(54, 96), (61, 87)])
def test_codes_give_the_samples_of_float_values(
    range_: Range, size: tuple[int, int], by_codes: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = ColourTags(matrix="bt709", range=range_)
    frames = FrameUpscaler(fp32(), FORMATS["yuv420p"], size[1], size[0], tags, Target(scale=2))
    for seed in range(3):
        samples = frame("yuv420p", *size, seed)
        sr = upscaled(frames, samples)
        assert by_codes
        assert all(by_codes)
        expected = without_codes(frames, samples, monkeypatch)
        difference = np.abs(sr.astype(int) - expected)
        assert difference.max() <= 1  # other instructions: a half may fall to either side
        assert np.mean(difference > 0) < 1e-3
        assert np.ptp(sr) > 100


def test_windows_that_repeat_are_taken_over(by_codes: list[bool]) -> None:
    """And those that do not are as if nothing had been there before."""
    tags, target = ColourTags(matrix="bt709", range="tv"), Target(scale=2)
    form = FORMATS["yuv420p"]
    first = frame("yuv420p", 540, 960, 1)
    second = first.copy()
    second[: 40 * 960] = frame("yuv420p", 540, 960, 2)[: 40 * 960]  # rows above
    with_reuse = FrameUpscaler(fp32(), form, 960, 540, tags, target)
    made = [upscaled(with_reuse, samples) for samples in (first, second)]
    assert with_reuse.reuse is not None
    assert 0.3 < with_reuse.reuse.frames < 1
    for samples, sr in zip((first, second), made, strict=True):
        alone = FrameUpscaler(fp32(), form, 960, 540, tags, target)
        assert np.array_equal(upscaled(alone, samples), sr)
    assert all(by_codes)


@pytest.mark.parametrize("name", ["yuv420p10le", "gray10le"])
def test_more_bits_go_by_float_values(name: str, by_codes: list[bool]) -> None:
    tags = ColourTags(matrix="bt709", range="tv")
    frames = FrameUpscaler(fp32(), FORMATS[name], 96, 54, tags, Target(scale=2))
    assert np.ptp(upscaled(frames, frame(name, 54, 96, 0))) > 100
    assert not any(by_codes)


class Stretching(nn.Module):
    """Doubles each pixel; what is white becomes what it is told."""

    def __init__(self, white: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.white = white

    def forward(self, lr: Tensor) -> Tensor:
        x = self.conv(lr)
        x = x + torch.relu(x - 0.9) * self.white
        return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


def stretching(white: float, luma_range: LumaRange = "full") -> Upscaler:
    """A made-up net by OpenVINO."""
    from upscale_cli.inference.backends.openvino import OpenVino

    upscaler = fp32()
    net = stub(lambda: Stretching(white), colour="luma", luma_range=luma_range)
    made = TiledNet(net, upscaler.devices[0], "fp32", backend=OpenVino(), say=print)
    upscaler.net = lambda *_: made  # type: ignore[method-assign]
    return upscaler


@pytest.mark.parametrize("luma_range", ["full", "studio"])
def test_codes_mean_what_the_net_takes(luma_range: LumaRange, by_codes: list[bool]) -> None:
    """The made-up net changes nothing but the size: every code has to come back."""
    tags = ColourTags(matrix="bt709", range="tv")
    frames = FrameUpscaler(stretching(0.0, luma_range), FORMATS["gray"], 32, 8, tags, Target(scale=2))
    codes = np.arange(256, dtype=np.uint8)
    sr = upscaled(frames, codes).reshape(16, 64)
    assert np.array_equal(sr[::2, ::2].ravel(), codes)
    assert by_codes == [True]


def test_what_is_not_finite_is_refused_all_the_same(by_codes: list[bool]) -> None:
    frames = FrameUpscaler(stretching(float("inf")), FORMATS["gray"], 32, 8, ColourTags(range="pc"), Target(scale=2))
    with pytest.raises(CheckpointError, match="NaN or Inf"):
        upscaled(frames, np.arange(256, dtype=np.uint8))
    assert by_codes == [True]


# Photos


@pytest.fixture
def in_8_bits(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Which windows of photos were done so."""
    found: list[bool] = []
    former = HostNet._in_8_bits

    def asked(self: HostNet, window: Window) -> object:
        done = former(self, window)
        found.append(done is not None)
        return done

    monkeypatch.setattr(HostNet, "_in_8_bits", asked)
    return found


def photo(height: int, width: int, channels: int, dtype: type = np.uint8) -> np.ndarray:
    steps = np.random.default_rng(3).integers(-9, 10, (height, width, channels))
    codes = (np.cumsum(steps, axis=1) + 120).clip(0, 255).astype(np.uint8)
    return codes[..., 0].astype(dtype) if channels == 1 else codes.astype(dtype)


@pytest.mark.parametrize(("model", "channels"), [("photo-lite", 3), ("espcn", 1)])
def test_photos_in_8_bits_are_those_of_float_values(
    model: str, channels: int, in_8_bits: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one window and in several, whose halos are cut off."""
    pixels = photo(61, 87, channels)
    for tile in (0, 32):
        by_openvino = Upscaler(model, device="cpu", engine="openvino", precision="fp32", tile=tile)
        sr = np.asarray(by_openvino(pixels, 4))
        assert in_8_bits
        assert all(in_8_bits)
        with monkeypatch.context() as patch:
            patch.setattr(HostNet, "_in_8_bits", lambda *_: None)
            by_values = np.asarray(by_openvino(pixels, 4))
        by_torch = np.asarray(Upscaler(model, device="cpu", engine="torch", precision="fp32")(pixels, 4))
        for expected in (by_values, by_torch):
            difference = np.abs(sr.astype(int) - expected)
            assert difference.max() <= 1  # other instructions: a half may fall to either side
            assert np.mean(difference > 0) < 1e-3
    assert np.ptp(sr) > 100


@pytest.mark.parametrize(
    ("model", "channels", "options"),
    [("espcn", 3, {}), ("photo-lite", 1, {}), ("photo-lite", 3, {"tta": True}), ("photo-lite", 3, {"overlap": 8})],
)
def test_what_needs_more_than_the_net_goes_by_float_values(
    model: str, channels: int, options: dict[str, Any], in_8_bits: list[bool]
) -> None:
    """Colours beside a luma net, gray through an RGB net, turned windows, windows that blend."""
    Upscaler(model, device="cpu", engine="openvino", precision="fp32", **options)(photo(24, 40, channels), 4)
    assert in_8_bits
    assert not any(in_8_bits)


def test_flat_windows_are_done_once(in_8_bits: list[bool]) -> None:
    """A blank part of a page is no fault; a net that blanks what varies is one."""
    page = photo(24, 96, 1)
    page[:, 40:] = 255
    Upscaler("espcn", device="cpu", engine="openvino", precision="fp32", tile=20)(page, 2)
    assert len(in_8_bits) > 4
    assert all(in_8_bits)


def test_photos_that_are_not_finite_are_refused_all_the_same(in_8_bits: list[bool]) -> None:
    net = stretching(float("inf")).net(2, 8)
    with pytest.raises(CheckpointError, match="NaN or Inf"):
        net.upscale(np.full((8, 16, 1), 255, np.uint8) - np.arange(16, dtype=np.uint8)[:, None], np.uint8)
    assert in_8_bits == [False]


# Chroma, and how frames are computed


@pytest.fixture(scope="module")
def engine_net() -> TiledNet:
    net: TiledNet = fp32().net(2, 8)
    return net


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "siting"), [("yuv420p", "left"), ("yuv420p", "topleft"), ("yuv420p", "bottom"),
                                              ("yuv422p", "left"), ("yuv444p", "center")])  # fmt: skip
def test_chroma_by_the_engine_is_that_of_the_resampler(
    engine_net: TiledNet, name: str, siting: str, scale: int
) -> None:
    """To its borders, and at odd sides, whose last chroma sample lies half outside."""
    height, width = 25, 31
    source, target = (chroma_grid(FORMATS[name], scale_ * height, scale_ * width, siting) for scale_ in (1, scale))
    lr = torch.from_numpy(np.stack([photo(*source.shape, 1), 255 - photo(*source.shape, 1)[::-1]]))
    sr = torch.zeros(2, *target.shape, dtype=torch.uint8)
    assert ChromaByEngine(source, target, "bicubic", wrap=False)(engine_net.frames, 0, list(lr), list(sr))
    expected = Resampler(source, target, "bicubic", "cpu")(lr).round().clamp(0, 255)
    difference = (sr.int() - expected.int()).abs()
    assert int(difference.max()) <= 1  # other instructions: a half may fall to either side
    assert float((difference > 0).float().mean()) < 0.01


@pytest.mark.slow
def test_frames_in_strips_and_with_even_sides_have_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips change no bit; what makes sides even repeats the last column and row of each plane."""
    size, tags, target = (87, 61), ColourTags(matrix="bt709", range="tv"), Target(scale=3)
    samples = frame("yuv420p", size[1], size[0], 5)
    plain = FrameUpscaler(fp32(), FORMATS["yuv420p"], *size, tags, target)
    sr = planes_in(torch.from_numpy(upscaled(plain, samples)), FORMATS["yuv420p"], 3 * size[0], 3 * size[1])
    divided = list[bool]()
    former = openvino_strips.in_strips

    def watched(model: Any) -> Any:
        made = former(model)
        divided.append(made is not model)
        return made

    monkeypatch.setattr("upscale_cli.inference.backends.openvino.in_strips", watched)
    monkeypatch.setattr(openvino_strips, "STRIP_PIXELS", 20 * size[0])
    frames = FrameUpscaler(fp32(), FORMATS["yuv420p"], *size, tags, target)
    frames.pad_to(3 * size[0] + 1, 3 * size[1] + 1)
    even = planes_in(torch.from_numpy(upscaled(frames, samples)), FORMATS["yuv420p"], 3 * size[0] + 1, 3 * size[1] + 1)
    assert divided[0]
    for plane, its in zip(sr, even, strict=True):
        assert torch.equal(its[: len(plane), : plane.shape[1]], plane)
        assert torch.equal(its[-1, : plane.shape[1]], plane[-1])
        assert torch.equal(its[: len(plane), -1], plane[:, -1])
