"""What only a GPU can show: it agrees with the CPU, half precision is near, and tiles in progress do not get mixed up.

Skipped where there is none; FAIL_WITHOUT_CUDA=1 makes that a failure, for machines that should have one.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.nets import loaded
from tests.test_frame_upscaler import TV, TWICE, random_frame
from upscale_cli import Upscaler
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.device import Device
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.models.archs.espcn import ESPCN
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import LoadedNet, Precision


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> None:
    if not torch.cuda.is_available():
        if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
            pytest.fail("FAIL_WITHOUT_CUDA is set, and torch finds no CUDA device")
        pytest.skip("no CUDA device")


def module(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "espcn":
        return ESPCN(2)
    if kind == "srvgg":
        return SRVGGNetCompact(num_feat=32, num_conv=6)
    return RRDBNet(num_feat=32, num_block=3, num_grow_ch=16, unshuffle=2)


def net(kind: str) -> LoadedNet:
    return loaded(module(kind))


def sr(kind: str, device: str, precision: Precision, lr: Pixels, tile: int = 48) -> Pixels:
    made = TiledNet(net(kind), Device(device), precision, tile=tile, say=lambda text: pytest.fail(text))
    return made.upscale(lr, np.float32, clip=False)


def psnr(one: Pixels, other: Pixels) -> float:
    return float(10 * np.log10(np.ptp(other) ** 2 / max(np.mean((one - other) ** 2), 1e-30)))


@pytest.mark.parametrize("kind", ["espcn", "srvgg", "rrdbnet"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_fp32_agrees_with_the_cpu(kind: str, dtype: type, noise: Callable[..., Pixels]) -> None:
    lr = noise(150, 131, 3, dtype=dtype)
    np.testing.assert_allclose(sr(kind, "cuda", "fp32", lr), sr(kind, "cpu", "fp32", lr), atol=1e-4)


@pytest.mark.parametrize("kind", ["espcn", "srvgg", "rrdbnet"])
def test_fp16_stays_near_fp32(kind: str, noise: Callable[..., Pixels]) -> None:
    lr = noise(150, 131, 3)
    assert psnr(sr(kind, "cuda", "fp16", lr), sr(kind, "cuda", "fp32", lr)) > 50


@pytest.mark.parametrize("kind", ["espcn", "srvgg"])
def test_many_tiles_under_way_equal_the_whole_picture(kind: str, noise: Callable[..., Pixels]) -> None:
    lr = noise(400, 333, 3)
    np.testing.assert_allclose(sr(kind, "cuda", "fp32", lr, tile=32), sr(kind, "cuda", "fp32", lr, 4000), atol=1e-5)


def test_a_net_that_overflows_in_fp16_goes_on_in_fp32(noise: Callable[..., Pixels]) -> None:
    """Weights blown up between two layers and shrunk after them: fine in fp32, Inf in fp16."""
    reported: list[str] = []
    lr = noise(100, 100, 3)
    weak = module("srvgg")
    plain = TiledNet(net("srvgg"), Device("cuda:0"), "fp32", tile=32, say=reported.append).upscale(lr, np.float32)
    first, last = (weak.get_submodule(name) for name in ("body.0", "body.14"))
    for factor, layer in ((1e6, first), (1e-6, last)):
        for parameter in layer.parameters():
            parameter.data.mul_(factor)
    for name, parameter in weak.named_parameters():
        if name.endswith("bias") and name not in ("body.0.bias", "body.14.bias"):
            parameter.data.mul_(1e6)
    last.bias.data.mul_(1e6)  # type: ignore[operator]
    made = TiledNet(loaded(weak), Device("cuda:0"), "fp16", tile=32, say=reported.append)
    np.testing.assert_allclose(made.upscale(lr, np.float32), plain, atol=1e-3)
    assert made.precision == "fp32"
    assert len(reported) == 1


def test_the_real_net_in_fp16(shared_weights: Path, sample_images: Path) -> None:
    from PIL import Image

    with Image.open(sample_images / "photos/chelsea.png") as image:
        lr = np.asarray(image.convert("RGB"))
    half = Upscaler("realesr-general", device="cuda")(lr).astype(np.float32)
    full = Upscaler("realesr-general", device="cuda", precision="fp32")(lr).astype(np.float32)
    assert 10 * np.log10(255**2 / np.mean((half - full) ** 2)) > 50
    assert str(shared_weights)


def test_memory_that_runs_out_for_real_halves_the_window(noise: Callable[..., Pixels]) -> None:
    """All but a little of the device's memory is taken; the picture comes out all the same."""
    reported: list[str] = []
    lr = noise(700, 700, 3)
    expected = sr("espcn", "cuda", "fp32", lr, 4000)
    made = TiledNet(net("espcn"), Device("cuda:0"), "fp32", tile=4000, say=reported.append)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - 160 * 2**20, dtype=torch.uint8, device="cuda")
    try:
        np.testing.assert_allclose(made.upscale(lr, np.float32, clip=False), expected, atol=1e-5)
    finally:
        del taken
        torch.cuda.empty_cache()
    assert any("out of memory on cuda" in line for line in reported)


def test_pictures_in_several_threads_share_batches(noise: Callable[..., Pixels]) -> None:
    pictures = [noise(64, 80, 3) for _ in range(24)]
    made = TiledNet(net("srvgg"), Device("cuda:0"), "fp32", say=lambda text: pytest.fail(text))
    alone = [made.upscale(lr, np.float32) for lr in pictures]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda lr: made.upscale(lr, np.float32), pictures))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def gpus() -> list[Device]:
    """All of them; of one alone, twice: to the scheduler those are two."""
    found = [Device(f"cuda:{number}") for number in range(torch.cuda.device_count())]
    return found * 2 if len(found) == 1 else found


@pytest.mark.parametrize("kind", ["espcn", "rrdbnet"])
def test_several_gpus_give_what_one_gives(kind: str, noise: Callable[..., Pixels]) -> None:
    lr = noise(300, 310, 3)
    several = TiledNet(net(kind), gpus(), "fp32", tile=48, say=lambda text: pytest.fail(text))
    np.testing.assert_allclose(several.upscale(lr, np.float32, clip=False), sr(kind, "cuda", "fp32", lr), atol=1e-5)


def test_frames_on_several_gpus_come_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [random_frame("yuv420p", 64, 48, seed=number) for number in range(20)]
    upscaler = Upscaler("espcn", device="cuda", precision="fp32")
    one = VideoUpscaler(upscaler, FORMATS["yuv420p"], 64, 48, TV, TWICE, say=pytest.fail)
    wanted = [one.collect(one.submit(frame)) for frame in samples]
    monkeypatch.setattr(upscaler, "devices", gpus())
    monkeypatch.setattr(upscaler, "_nets", {})
    several = VideoUpscaler(upscaler, FORMATS["yuv420p"], 64, 48, TV, TWICE, graph=True, say=lambda _: None)
    in_progress = [several.submit(frame) for frame in samples]
    for future, frame in zip(in_progress, wanted, strict=True):
        made = several.collect(future)
        assert np.abs(made.astype(int) - frame.astype(int)).max() <= 1
