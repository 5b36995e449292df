"""Tiles equal the whole picture; memory that runs out and precision that overflows end well."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.nets import CPU, loaded, stub
from upscale_cli.errors import CheckpointError, DeviceError, OptionError
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixels import white_of
from upscale_cli.inference.color import display_to_linear, linear_to_display
from upscale_cli.inference.device_net import DeviceNet
from upscale_cli.inference.profile import Profile
from upscale_cli.inference.tile_layout import TileLayout, geometry_of
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.archs.espcn import ESPCN
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import Descriptor, LoadedNet

pytestmark = pytest.mark.usefixtures("stubs")
WHOLE = 10_000


def nothing_said(text: str) -> None:
    raise AssertionError(f"unexpected: {text}")


def espcn(scale: int = 2) -> LoadedNet:
    torch.manual_seed(0)
    return loaded(ESPCN(scale))


def srvgg(num_conv: int = 3, scale: int = 4) -> LoadedNet:
    torch.manual_seed(0)
    return loaded(SRVGGNetCompact(num_feat=16, num_conv=num_conv, upscale=scale))


def rrdbnet(unshuffle: int = 1) -> LoadedNet:
    torch.manual_seed(0)
    return loaded(RRDBNet(num_feat=16, num_block=2, num_grow_ch=8, unshuffle=unshuffle))


def tiled_net(net: LoadedNet, **options: Any) -> TiledNet:
    return TiledNet(net, CPU, options.pop("precision", "fp32"), **{"say": nothing_said, **options})


@pytest.mark.slow
@pytest.mark.parametrize("make", [espcn, srvgg])
@pytest.mark.parametrize(("tile", "overlap"), [(32, 0), (32, 8), (48, 47), (7, 3), (0, None)])
@pytest.mark.parametrize("shape", [(52, 56, 3), (33, 67, 3), (20, 20, 1), (1, 1, 3), (3, 110, 3)])
def test_tiles_with_an_exact_halo_equal_the_whole_picture(
    make: Callable[[], LoadedNet],
    tile: int,
    overlap: int | None,
    shape: tuple[int, ...],
    noise: Callable[..., Pixels],
) -> None:
    lr = noise(*shape)
    whole = tiled_net(make(), tile=WHOLE).upscale(lr, np.float32)
    tiled = tiled_net(make(), tile=tile, overlap=overlap).upscale(lr, np.float32)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6)


class _ThreeHalves(nn.Module):
    """2 x 2 LR pixels and all that touch them to 3 x 3 SR pixels: what it sees it sees whole, 2 pixels around."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fold, self.unfold = nn.PixelUnshuffle(2), nn.PixelShuffle(3)
        self.conv = nn.Conv2d(3 * 4, 3 * 9, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        out: Tensor = self.unfold(self.conv(self.fold(lr)))
        return out


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(2, 40), st.integers(0, 38)).filter(lambda one: one[1] + 1 < one[0]),
    st.sampled_from([1, 3]),
)
def test_tiles_of_a_net_of_three_halves_equal_the_whole_picture(
    size: tuple[int, int], tile_and_overlap: tuple[int, int], channels: int
) -> None:
    tile, overlap = tile_and_overlap
    lr = np.random.default_rng(0).random((*size, channels), dtype=np.float32)
    net = stub(_ThreeHalves, scale=Fraction(3, 2), halo=2)
    whole = tiled_net(net, tile=WHOLE).upscale(lr, np.float32)
    assert whole.shape == (-(-size[0] * 3 // 2), -(-size[1] * 3 // 2), channels)
    tiled = tiled_net(net, tile=tile, overlap=overlap).upscale(lr, np.float32)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6)


def test_no_memory_for_the_net_itself_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(DeviceNet, "load", no_room)
    with pytest.raises(DeviceError, match=r"out of memory on cpu\. Close other programs"):
        tiled_net(espcn())


@pytest.mark.parametrize(("unshuffle", "height", "width"), [(1, 107, 93), (2, 107, 93), (4, 191, 173)])
def test_tiles_of_a_deep_net_come_close_to_the_whole_picture(
    unshuffle: int, height: int, width: int, noise: Callable[..., Pixels]
) -> None:
    lr = noise(height, width, 3)
    whole = tiled_net(rrdbnet(unshuffle), tile=WHOLE).upscale(lr, np.float32, clip=False)
    tiled = tiled_net(rrdbnet(unshuffle), tile=40, halo=16 * unshuffle).upscale(lr, np.float32, clip=False)
    assert whole.shape == (height * 4 // unshuffle, width * 4 // unshuffle, 3)
    assert 10 * np.log10(np.ptp(whole) ** 2 / np.mean((tiled - whole) ** 2)) > 50


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 3), (5, 3, 1), (17, 33, 3)])
def test_sides_that_do_not_divide_are_padded_and_cut_again(
    shape: tuple[int, ...], noise: Callable[..., Pixels]
) -> None:
    assert tiled_net(rrdbnet(4)).upscale(noise(*shape), np.uint8).shape == shape


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_depth_is_kept_and_agrees_between_depths(dtype: type, noise: Callable[..., Pixels]) -> None:
    lr = noise(24, 24, 3)
    reference = tiled_net(espcn()).upscale(lr, np.float32)
    white = white_of(np.empty(0, dtype))
    deeper: Pixels = (lr.astype(np.float64) / 255 * white).astype(dtype)
    sr = tiled_net(espcn()).upscale(deeper, dtype)
    assert sr.dtype == dtype
    np.testing.assert_allclose(sr / white, reference, atol=0.5 / white + 1e-5 if white > 1 else 1e-5)


def test_a_linear_picture_goes_through_the_net_in_display_values(noise: Callable[..., Pixels]) -> None:
    linear = noise(16, 16, 3, dtype=np.float32)
    display = linear_to_display(torch.from_numpy(linear)).numpy()
    expected = display_to_linear(torch.from_numpy(tiled_net(espcn()).upscale(display, np.float32, clip=False)))
    sr = tiled_net(espcn()).upscale(linear, np.float32, transfer="linear", clip=False)
    np.testing.assert_allclose(sr, expected.numpy(), atol=1e-5)


def test_a_texture_wraps_without_a_seam(noise: Callable[..., Pixels]) -> None:
    lr = noise(24, 30, 3)
    wrapped = tiled_net(espcn(), wrap=True, tile=16).upscale(lr, np.float32)
    shifted = tiled_net(espcn(), wrap=True).upscale(np.roll(lr, (7, 11), axis=(0, 1)), np.float32)
    np.testing.assert_allclose(np.roll(shifted, (-14, -22), axis=(0, 1)), wrapped, atol=2e-6)


def test_the_ensemble_does_not_care_how_the_picture_is_turned(noise: Callable[..., Pixels]) -> None:
    lr = noise(12, 18, 3)
    sr = tiled_net(espcn(), tta=True).upscale(lr, np.float32)
    turned = tiled_net(espcn(), tta=True).upscale(np.rot90(lr)[:, ::-1].copy(), np.float32)
    np.testing.assert_allclose(turned, np.rot90(sr)[:, ::-1], atol=2e-6)
    assert not np.allclose(sr, tiled_net(espcn()).upscale(lr, np.float32), atol=1e-4)


def test_every_tile_is_counted(noise: Callable[..., Pixels]) -> None:
    seen: list[int] = []
    net = tiled_net(espcn(), tile=16)
    net.upscale(noise(50, 40, 3), np.uint8, on_tile=lambda: seen.append(1))
    assert len(seen) == net.tile_count(50, 40) > 4


def test_overlap_beyond_the_tile_is_refused() -> None:
    with pytest.raises(OptionError, match="overlap 64 leaves no room in a tile of 64"):
        tiled_net(espcn(), tile=64, overlap=64)


# Memory


class _Hungry(nn.Module):
    """ESPCN that cannot allocate for windows of more than `room` pixels."""

    room = WHOLE**2

    def __init__(self, error: Exception) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = ESPCN(2)
        self.error = error

    def forward(self, lr: Tensor) -> Tensor:
        if lr.shape[-1] * lr.shape[-2] > self.room:
            raise self.error
        out: Tensor = self.net(lr)
        return out


@pytest.fixture
def hungry(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TiledNet]:
    """Makes nets whose memory gets short once they are there."""

    def make(room: int, error: Exception, **options: Any) -> TiledNet:
        made = tiled_net(stub(lambda: _Hungry(error), colour="luma", halo=4), tile=WHOLE, **options)
        monkeypatch.setattr(_Hungry, "room", room)
        return made

    return make


CPU_ALLOCATOR = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no"), CPU_ALLOCATOR, MemoryError()])
def test_out_of_memory_halves_the_window_and_goes_on(
    error: Exception, hungry: Callable[..., TiledNet], noise: Callable[..., Pixels]
) -> None:
    reported: list[str] = []
    lr = noise(90, 120, 3)
    short = hungry(40 * 40, error, say=reported.append)
    expected = tiled_net(espcn(), tile=WHOLE).upscale(lr, np.float32)
    np.testing.assert_allclose(short.upscale(lr, np.float32), expected, atol=2e-6)
    assert [line.split(":")[0] for line in reported] == ["out of memory on cpu"] * 2
    reported.clear()
    short.upscale(lr, np.float32)
    assert not reported, "what was learnt is kept"


def test_memory_that_holds_nothing_is_one_clear_error(
    hungry: Callable[..., TiledNet], noise: Callable[..., Pixels]
) -> None:
    with pytest.raises(DeviceError, match=r"out of memory on cpu even for a window of \d+ pixels.*Close other"):
        hungry(10, CPU_ALLOCATOR, say=lambda _: None).upscale(noise(64, 64, 3), np.uint8)


def test_other_errors_of_a_net_are_not_mistaken_for_memory(
    hungry: Callable[..., TiledNet], noise: Callable[..., Pixels]
) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        hungry(10, RuntimeError("a bug")).upscale(noise(64, 64, 3), np.uint8)


# Precision


class _Nearest(nn.Module):
    """Doubles pixels; in half precision it gives what `failure` says instead."""

    def __init__(self, failure: float | None = None, fails_in: tuple[torch.dtype, ...] = (torch.bfloat16,)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.failure, self.fails_in = failure, fails_in

    def forward(self, lr: Tensor) -> Tensor:
        sr = nn.functional.interpolate(lr, scale_factor=2, mode="nearest") * self.weight
        if self.failure is not None and lr.dtype in self.fails_in:
            return torch.full_like(sr, self.failure)
        return sr


@pytest.mark.parametrize("ahead", [0, 1], ids=["one by one", "one in progress, as on CUDA"])
@pytest.mark.parametrize("failure", [float("nan"), float("inf"), 0.0])
def test_a_black_tile_is_computed_again_in_fp32_and_the_rest_with_it(
    failure: float, ahead: int, noise: Callable[..., Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    lr = noise(32, 32, 3)
    net = tiled_net(stub(lambda: _Nearest(failure)), precision="bf16", tile=16, say=reported.append)
    monkeypatch.setattr(TiledNet, "_ahead", ahead)
    np.testing.assert_array_equal(net.upscale(lr, np.uint8), lr.repeat(2, axis=0).repeat(2, axis=1))
    assert net.precision == "fp32"
    assert len(reported) == 1
    assert "fp32" in reported[0]


def test_a_tile_that_is_blank_in_fp32_too_is_accepted(noise: Callable[..., Pixels]) -> None:
    made_up = stub(lambda: _Nearest(0.5, fails_in=(torch.bfloat16, torch.float32)))
    net = tiled_net(made_up, precision="bf16")
    assert (net.upscale(noise(16, 16, 3), np.uint8) == 128).all()
    assert net.precision == "bf16"


def test_a_blank_input_is_no_reason_to_doubt() -> None:
    net = tiled_net(stub(lambda: _Nearest(0.5)), precision="bf16")
    net.upscale(np.full((16, 16, 3), 77, np.uint8), np.uint8)
    assert net.precision == "bf16"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nan_in_full_precision_is_an_error_never_a_picture(precision: str, noise: Callable[..., Pixels]) -> None:
    made_up = stub(lambda: _Nearest(float("nan"), fails_in=(torch.bfloat16, torch.float32)))
    with pytest.raises(CheckpointError, match="NaN or Inf in full precision"):
        tiled_net(made_up, precision=precision).upscale(noise(16, 16, 3), np.uint8)


def test_half_precision_reaches_the_net_and_only_the_net(noise: Callable[..., Pixels]) -> None:
    lr = noise(32, 32, 3)
    half = tiled_net(espcn(), precision="bf16").upscale(lr, np.float32)
    full = tiled_net(espcn()).upscale(lr, np.float32)
    assert 30 < 10 * np.log10(1 / np.mean((half - full) ** 2)) < 90


def test_windows_that_a_cache_holds_unless_their_halo_costs_more() -> None:
    def most(halo: int, elements: float, *, in_cache: bool) -> int:
        facts = Descriptor(arch="srvgg", scales=(4,), halo=halo, exact=True)
        layout = TileLayout(
            facts, geometry_of(facts, 4, 0, None), tile=0, wrap=False, devices=[CPU], cost=Profile(1e6, elements),
            precision="bf16", memory=2**31, in_cache=in_cache,
        )  # fmt: skip
        rows, columns = layout.grid(1000, 1000)
        return max(row.read for row in rows) * max(column.read for column in columns)

    assert most(34, 184, in_cache=False) == 1000**2
    assert most(34, 184, in_cache=True) * 184 * 2 <= 64 * 2**20
    assert most(40, 2704, in_cache=True) == most(40, 2704, in_cache=False)
