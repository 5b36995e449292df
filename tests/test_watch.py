"""Nets watched at work: what they compute and hold, and which of them look at the whole picture."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from tests import toy
from tests.command import Run
from tests.conftest import SHARED
from tests.nets import CPU, loaded, stub
from tests.test_plugins import forget
from upscale_cli import Upscaler
from upscale_cli.frames.image import Pixels
from upscale_cli.inference.profile import Profile, profile
from upscale_cli.inference.tile_layout import TileLayout, geometry_of
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.archs.espcn import ESPCN
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import LoadedNet
from upscale_cli.models.loading import build_net, load_net
from upscale_cli.models.watch import looks_at_the_whole, watched

pytestmark = pytest.mark.usefixtures("stubs")


class Net(nn.Module):
    """Two convolutions, with something between them, and scale 2."""

    def __init__(self, between: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.between = between

    def forward(self, lr: Tensor) -> Tensor:
        out: Tensor = F.pixel_shuffle(self.last(self.between(self.first(lr))), 2)
        return out


class Padding(Net):
    """The same for a picture that is padded by so many pixels, and then to a multiple."""

    def __init__(self, by: int, multiple: int = 1, between: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__(between)
        self.by, self.multiple = by, multiple

    def forward(self, lr: Tensor) -> Tensor:
        right = -(lr.shape[-1] + 2 * self.by) % self.multiple
        padded = F.pad(lr, (self.by, self.by + right, self.by, self.by + right), mode="replicate")
        inner = slice(2 * self.by, 2 * (self.by + lr.shape[-1]))
        return super().forward(padded)[..., inner, inner]


class RunsItself(Net):
    """As some nets do: the watch then sees whole layers instead of what they are made of."""

    def forward(self, lr: Tensor) -> Tensor:
        with torch.inference_mode():
            return super().forward(lr)


def squeezed(x: Tensor) -> Tensor:
    return x * x.mean((2, 3), keepdim=True).sigmoid()


def attended(x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(tokens, tokens, tokens).transpose(1, 2).reshape(x.shape)


def attended_by_hand(x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return ((tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens).transpose(1, 2).reshape(x.shape)


def attended_between_channels(x: Tensor) -> Tensor:
    rows = x.flatten(2)
    return ((rows @ rows.transpose(1, 2) / rows.shape[-1]).softmax(-1) @ rows).reshape(x.shape)


def attended_in_windows(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    tokens = x.reshape(n, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, 64, c)
    seen = (tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens
    return seen.reshape(n, h // 8, w // 8, 8, 8, c).permute(0, 5, 1, 3, 2, 4).reshape(x.shape)


def attended_along_lines(x: Tensor) -> Tensor:
    rows = x.permute(0, 2, 3, 1)
    return ((rows @ rows.transpose(2, 3)).softmax(-1) @ rows).permute(0, 3, 1, 2)


def normalised_over_channels(x: Tensor) -> Tensor:
    return F.layer_norm(x.permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2)


WHOLE = {
    "squeeze and excitation": squeezed,
    "global pooling": lambda x: x * F.adaptive_avg_pool2d(x, 1),
    "greatest value": lambda x: x / x.amax((2, 3), keepdim=True),
    "group normalisation": lambda x: F.group_norm(x, 2),
    "instance normalisation": lambda x: F.instance_norm(x),
    "attention": attended,
    "attention by hand": attended_by_hand,
    "attention between channels": attended_between_channels,
    "attention along lines": attended_along_lines,
}
NEAR = {
    "nothing": lambda x: x,
    "attention in windows": attended_in_windows,
    "normalised over channels": normalised_over_channels,
    "pooled by two": lambda x: F.interpolate(F.avg_pool2d(x, 2), scale_factor=2),
    "mean over channels": lambda x: x * x.mean(1, keepdim=True),
    "batch normalisation, learnt": lambda x: F.batch_norm(x, torch.zeros(8), torch.ones(8)),
}


MAKES = {"plain": Net, "runs itself": RunsItself, "pads": lambda between: Padding(6, 32, between)}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES.keys())
@pytest.mark.parametrize(("name", "expected"), [*((name, True) for name in WHOLE), *((name, False) for name in NEAR)])
def test_who_looks_at_the_whole(make: Callable[[Any], nn.Module], name: str, expected: bool) -> None:
    between = (WHOLE | NEAR)[name]
    module = make(between)
    assert looks_at_the_whole(module, stub(lambda: module).descriptor, 2) is expected
    changed = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    far = changed.clone()
    far[..., -1, -8:] = 9  # below, at the other end
    with torch.no_grad():
        differs = not torch.equal(module(changed)[..., 0, :16], module(far)[..., 0, :16])
    assert differs or not expected or name == "attention along lines", "and it does"
    assert expected or not differs


@pytest.mark.parametrize(
    "make",
    [
        lambda: ESPCN(2),
        lambda: SRVGGNetCompact(num_feat=8, num_conv=2),
        lambda: RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, unshuffle=2),
    ],
)
def test_ours_do_not(make: Callable[[], nn.Module]) -> None:
    net = loaded(make())
    assert not net.descriptor.sees_whole
    assert not looks_at_the_whole(build_net(net), net.descriptor, net.descriptor.only_scale or 1)


def test_what_a_plain_net_costs() -> None:
    net = stub(Net)
    by_hand = 3 + 12 + 12  # the picture, the last layer's planes, and the picture made of those
    assert profile(net, 2).macs == 9 * (3 * 8 + 8 * 12)
    for run in list(watched(build_net(net), net.descriptor, 2))[:2]:
        assert run.elements == pytest.approx(by_hand * run.side**2, rel=0.05)
        assert not run.pads
    assert profile(net, 2).fixed == 0


@pytest.mark.parametrize(("by", "multiple"), [(18, 1), (0, 64), (10, 64)])
@pytest.mark.parametrize("side", [256, 512])
def test_what_a_net_that_pads_inside_costs(by: int, multiple: int, side: int) -> None:
    """The picture of 16 pixels, which alone was asked once, says 10 to 16 times as much of a pixel."""
    cost, plain = profile(stub(lambda: Padding(by, multiple)), 2), profile(stub(Net), 2)
    padded = (-(-(side + 2 * by) // multiple) * multiple) ** 2
    assert (cost.elements * side**2 + cost.fixed) / (plain.elements * padded) == pytest.approx(1.2, abs=0.3)
    assert cost.macs == pytest.approx(plain.macs, rel=0.7)


def test_what_is_there_for_any_picture_is_taken_off_the_memory() -> None:
    net = stub(Net)
    geometry = geometry_of(net.descriptor, 2, 0, None)

    def pixels(cost: Profile) -> int:
        layout = TileLayout(
            net.descriptor, geometry, tile=0, wrap=False, devices=[CPU], cost=cost, precision="fp32", memory=4_000_000
        )
        return layout.affordable.pixels

    assert pixels(Profile(1, 100)) == 10_000
    assert pixels(Profile(1, 100, fixed=400_000)) == 6_000
    assert pixels(Profile(1, 100, fixed=10**9)) == 1, "then the smallest window is tried"


SQUEEZE = "        lr = lr * lr.mean((2, 3), keepdim=True)\n"
SQUEEZING = toy.SOURCE.replace("        picture =", SQUEEZE + "        picture =")


def test_a_plugin_that_does_not_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, noise: Callable[..., Pixels]
) -> None:
    """It is seen to look at the whole picture; then it gets all of it, and tiles are told of and blended."""
    assert "exact=True" in SQUEEZING
    assert "sees_whole" not in SQUEEZING
    monkeypatch.syspath_prepend(str(toy.install(tmp_path / "site", SQUEEZING)))
    forget()
    try:
        file = toy.write_checkpoint(tmp_path / "toy.safetensors")
        assert load_net(file).descriptor.sees_whole
        assert json.loads(run("models", "info", file, "--json").out)["sees_whole"] is True
        assert "looks at all of it" in run("models", "info", file).out
        Image.fromarray(noise(70, 90, 3)).save(tmp_path / "a.png")
        given = (tmp_path / "a.png", "-m", file, "-s", 1.5, "--condition", "noise_level=0.5", "--overwrite")
        assert "whole picture" not in run(*given).err
        told = run(*given, "-t", 32).err
        assert "toynet looks at the whole picture, but --tile is given: computed in tiles" in " ".join(told.split())
    finally:
        forget()


def test_the_largest_window_that_fits(monkeypatch: pytest.MonkeyPatch, noise: Callable[..., Pixels]) -> None:
    """A quarter of the memory that is free, where others have no use for windows of so many pixels."""
    said: list[str] = []
    lr = noise(300, 1200, 3)

    def windows(sees_whole: bool, free: int) -> int:
        monkeypatch.setattr("upscale_cli.inference.device.free_host_memory", lambda: free)
        net = stub(lambda: Net(squeezed), halo=2, exact=False, sees_whole=sees_whole)
        made = TiledNet(net, CPU, "fp32", say=said.append)
        return made.tile_count(*lr.shape[:2])

    assert windows(sees_whole=False, free=8 * 2**30) > 1
    assert windows(sees_whole=True, free=8 * 2**30) == 1
    assert windows(sees_whole=True, free=2**27) > 1


# A real one


@pytest.mark.slow
def test_real_cugan_looks_at_the_whole_and_says_so(run: Run, tmp_path: Path, noise: Callable[..., Pixels]) -> None:
    file = SHARED / "weights-more/realcugan-up2x-conservative.safetensors"
    if not file.is_file():
        pytest.skip("the shared folder with weights is not here")
    net = load_net(file)
    assert (net.descriptor.name, net.descriptor.sees_whole) == ("realcugan", True)
    assert 0.4 < _estimate(net, 200) / _estimate_of_a_run(net, 200) < 2.5
    Image.fromarray(noise(90, 120, 3)).save(tmp_path / "a.png")
    told = run(tmp_path / "a.png", "-m", file, "-t", 48).err
    assert "realcugan looks at the whole picture, but --tile is given" in " ".join(told.split())


def _estimate(net: LoadedNet, side: int) -> float:
    cost = profile(net, 2)
    return cost.elements * side**2 + cost.fixed


def _estimate_of_a_run(net: LoadedNet, side: int) -> float:
    (run,) = (run for run in watched(build_net(net), net.descriptor, 2, least=side) if run.side == side)
    return run.elements


def test_a_file_is_named_by_what_it_holds(run: Run, tmp_path: Path, noise: Callable[..., Pixels]) -> None:
    file = tmp_path / "sharp.pth"
    torch.save(RRDBNet(num_feat=4, num_block=3, num_grow_ch=4).state_dict(), file)
    Image.fromarray(noise(12, 20, 3)).save(tmp_path / "a.png")
    done = run(tmp_path / "a.png", "-m", file)
    assert "sharp (rrdbnet x4, 3 blocks): asked for" in " ".join(done.err.split())
    assert "A checkpoint of rrdbnet x4, 3 blocks." in run("models", "info", file).out
    assert json.loads(run("models", "info", file, "--json").out)["depth"] == "3 blocks"
    plan = (upscaler := Upscaler(file)).plan(10, 10, upscaler.target(16))
    assert upscaler.pass_names(plan) == ("rrdbnet x4, 3 blocks",) * 2


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ESPCN(3), "espcn x3, 3 convolutions"),
        (lambda: SRVGGNetCompact(num_feat=4, num_conv=6, upscale=2), "srvgg x2, 8 convolutions"),
        (lambda: RRDBNet(num_feat=4, num_block=1, num_grow_ch=4, unshuffle=2), "rrdbnet x2, 1 block"),
    ],
)
def test_what_a_net_is_called(make: Callable[[], nn.Module], name: str) -> None:
    net = loaded(make()).descriptor
    assert net.pass_name(net.only_scale or 0) == name
