"""Meta-SR: any scale, as it is asked for, in tiles and as a whole."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests import arch_checks
from tests.arch_checks import seeded
from tests.command import Run
from tests.conftest import SHARED
from tests.family import difference, golden
from tests.nets import CPU
from tests.test_models import reach
from upscale_cli import Upscaler, load_model
from upscale_cli.frames.image import Pixels
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.archs.metasr import MOST_FILTERS, ExactScale, MetaRDN
from upscale_cli.models.interface import as_scale, scaled
from upscale_cli.models.loading import build_net, load_net
from upscale_cli.models.onnx_graph import NotTranslatableError, onnx_bytes

SCALES = [2.7, 1.3, 3.37]

needs_shared = pytest.mark.skipif(not (SHARED / "goldens").is_dir(), reason="the shared folder is not here")


def small(**config: Any) -> MetaRDN:
    """A Meta-SR of few weights whose values stay near those of pictures."""
    facts = {"num_feat": 4, "growth": 3, "num_block": 1, "num_conv": 2, "hidden": 8, **config}
    net = seeded(lambda: MetaRDN(**facts))
    assert isinstance(net, MetaRDN)
    return net


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Values leave the picture's range, which hides differences: they are brought back into it."""
    net, lr = small(), torch.from_numpy(arch_checks.picture(30, 40).transpose(2, 0, 1)[None].astype(np.float32))
    weights = net.state_dict()
    with torch.inference_mode():
        sr = net(lr, torch.tensor([2.0]))
    gain = 40 / sr.std()
    weights["add_mean.weight"] = weights["add_mean.weight"] * gain
    weights["add_mean.bias"] = (weights["add_mean.bias"] - sr.mean((0, 2, 3))) * gain + 128
    return arch_checks.saved(weights, tmp_path)


@needs_shared
@pytest.mark.parametrize("pair", ["pair1", "pair1_x2", "pair1_x1.3"])
def test_it_agrees_with_its_reference(pair: str) -> None:
    found, allowed, _ = difference(golden("meta-sr", pair))
    assert found <= allowed


@needs_shared
def test_it_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("meta-sr") == {"meta-sr"}


@pytest.mark.parametrize("config", [{"num_feat": 6, "num_block": 2, "hidden": 12}, {"growth": 5, "num_conv": 3}])
@pytest.mark.parametrize("scale", [1.0, 2.7, 4.0])
def test_any_configuration_comes_back_at_any_scale(config: dict[str, Any], scale: float, tmp_path: Path) -> None:
    net, ratio = small(**config), torch.tensor([scale])
    model = load_model(arch_checks.saved(net.state_dict(), tmp_path))
    lr = 255 * torch.rand(2, 3, 11, 13, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        sr = model.net(lr=lr, scale=ratio)
        assert torch.allclose(sr, net(lr, ratio.expand(2)), rtol=1e-4, atol=1e-3)
    assert sr.shape == (2, 3, int(float(ratio) * 11), int(float(ratio) * 13))


def by_definition(net: MetaRDN, lr: Tensor, scale: Fraction) -> Tensor:
    """Each SR pixel by the filter made for it, in exact fractions: the paper's equations, one pixel after the other."""
    patches = F.unfold(net.features(lr), 3, padding=1).reshape(1, -1, *lr.shape[-2:])
    sr = torch.empty(1, 3, *(scaled(side, scale) for side in lr.shape[-2:]))
    for y in range(sr.shape[2]):
        for x in range(sr.shape[3]):
            row, column = y / scale, x / scale
            place = torch.tensor([1 / scale, row % 1, column % 1], dtype=torch.float32)
            kernel = net.P2W.meta_block(place).reshape(-1, 3)  # (num_feat * 9, 3)
            sr[0, :, y, x] = patches[0, :, int(row), int(column)] @ kernel
    out: Tensor = net.add_mean(sr)
    return out


@pytest.mark.parametrize("scale", [Fraction(27, 10), Fraction(4, 3), Fraction(2), Fraction(337, 100)])
def test_a_pass_does_what_the_paper_says(scale: Fraction, tmp_path: Path) -> None:
    net = arch_checks.of(small(), tmp_path)
    lr = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = by_definition(small(), 255 * lr, scale) / 255
        sr = build_net(net.at(scale))(lr)
    assert sr.shape == expected.shape
    assert torch.allclose(sr, expected, rtol=1e-3, atol=1e-4 * float(expected.std()))


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_is_made_as_it_is_asked_for(scale: float, file: Path) -> None:
    """No pass makes more than that, and nothing is resampled: it is what the bare net gives, rounded."""
    lr = arch_checks.picture(22, 29)
    upscaler = Upscaler(file, engine="torch", device="cpu")
    plan = upscaler.plan(29, 22, upscaler.target(scale))
    assert plan.passes == (Fraction(str(scale)),)
    assert (plan.width, plan.height) == (round(29 * scale), round(22 * scale))
    assert plan.is_made(29, 22)
    sr = upscaler(lr, scale=scale)
    assert sr.shape == (plan.height, plan.width, 3)
    with torch.inference_mode():
        bare = load_model(file).net(
            torch.from_numpy(lr.copy()).permute(2, 0, 1)[None].float(), torch.tensor([scale], dtype=torch.float64)
        )
    expected = bare[0].permute(1, 2, 0).clamp(0, 255).numpy()  # of sides that are rounded down
    height, width = (min(sides) for sides in zip(sr.shape[:2], expected.shape[:2], strict=True))
    assert min(height - plan.height, width - plan.width) >= -1
    assert np.abs(sr[:height, :width] - expected[:height, :width]).max() <= 0.5 + 1e-2
    assert sr.std() > 10


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
def test_tiles_equal_the_whole_at_any_scale(scale: float, file: Path) -> None:
    """Also where a side does not divide by what tiles begin at multiples of: 10, 10 and 100."""
    net = load_net(file)
    lr = arch_checks.picture(73, 91) if scale != 3.37 else np.tile(arch_checks.picture(61, 133), (1, 4, 1))
    exact = Fraction(str(scale))

    def tiled(**options: Any) -> Pixels:
        return TiledNet(net.at(exact), CPU, "fp32", scale=exact, say=pytest.fail, **options).upscale(lr, np.float32)

    whole, cut = tiled(tile=arch_checks.WHOLE), tiled(tile=20)
    assert whole.shape[:2] == (scaled(lr.shape[0], exact), scaled(lr.shape[1], exact))
    assert TiledNet(net.at(exact), CPU, "fp32", scale=exact, tile=20, say=pytest.fail).tile_count(*lr.shape[:2]) > 1
    assert np.abs(whole - cut).max() < 1e-4


def test_turned_pictures_begin_with_whole_pixels(file: Path) -> None:
    """The ensemble of the eight turned pictures is one of a picture that is turned itself, sides padded for it."""
    lr = arch_checks.picture(20, 30)
    upscaler = Upscaler(file, engine="torch", device="cpu", tta=True)
    sr, turned = upscaler(lr, scale=2.7), upscaler(np.ascontiguousarray(np.rot90(lr)), scale=2.7)
    assert np.abs(np.rot90(sr).astype(int) - turned).max() <= 1


def test_the_halo_is_its_field(tmp_path: Path) -> None:
    net = arch_checks.of(small(), tmp_path)
    module = build_net(net.at(2)).requires_grad_(True).double()
    halo = net.descriptor.halo
    assert reach(lambda lr: module(lr.double()), 3, 2, halo + 2) == halo


@pytest.mark.slow
def test_the_command_makes_it_too(file: Path, tmp_path: Path, run: Run) -> None:
    from PIL import Image

    picture = tmp_path / "p.png"
    Image.fromarray(arch_checks.picture(33, 45)).save(picture)
    done = run(picture, "-m", file, "-s", "2.7", "-o", tmp_path / "sr.png")
    assert done.code == 0, done.err
    with Image.open(tmp_path / "sr.png") as sr:
        assert sr.size == (round(45 * 2.7), round(33 * 2.7))
    assert "2.7" in done.out + done.err


@pytest.mark.slow
@pytest.mark.parametrize("scale", [Fraction(27, 10), Fraction(4, 3), Fraction(2), Fraction(1)])
def test_at_one_scale_it_is_a_convolution_that_engines_have(scale: Fraction, tmp_path: Path) -> None:
    """Sides that the denominator does not divide, and two pictures at a time."""
    net = arch_checks.of(small(), tmp_path).at(as_scale(scale))
    arch_checks.runs_elsewhere(net)
    lr = torch.rand(2, 3, 11, 13, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        sr = build_net(net)(lr)
        slowly = ExactScale(small())(255 * lr, torch.tensor([float(scale)])) / 255
    assert sr.shape == slowly.shape == (2, 3, scaled(11, scale), scaled(13, scale))
    assert torch.allclose(sr, slowly, rtol=1e-3, atol=1e-4 * float(slowly.std()))


def test_a_scale_of_too_many_filters_is_made_band_by_band(tmp_path: Path) -> None:
    wide = arch_checks.of(small(num_feat=16), tmp_path)
    assert MOST_FILTERS < 3 * 337**2 * 16 * 102**2
    with pytest.raises(NotTranslatableError):
        onnx_bytes(wide.at(Fraction(337, 100)))
