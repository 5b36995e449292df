"""Real-CUGAN for x2, x3 and x4, with and without squeeze-and-excitation, and its "pro" models."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests import arch_checks
from tests.arch_checks import seeded
from tests.command import Run
from tests.conftest import SHARED
from tests.test_models import reach
from upscale_cli import load_model
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.models.archs.realcugan import SEBlock, UpCunet, least_side
from upscale_cli.models.loading import build_net

FILE = SHARED / "weights-more" / "realcugan-up2x-conservative.safetensors"
needs_shared = pytest.mark.skipif(not FILE.is_file(), reason="the shared folder with weights is not here")

KINDS = [(2, True), (2, False), (3, True), (3, False), (4, True), (4, False)]


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "se"), KINDS)
def test_every_kind_comes_back_from_its_keys(scale: int, se: bool, tmp_path: Path) -> None:
    facts = arch_checks.comes_back(seeded(lambda: UpCunet(scale, se=se)), tmp_path).descriptor
    assert (facts.arch, facts.config, facts.sees_whole) == ("realcugan", {"scale": scale, "se": se}, se)
    assert facts.input_range == (0.0, 1.0)


def test_a_key_or_a_card_tells_pro_models(tmp_path: Path) -> None:
    net = seeded(lambda: UpCunet(2))
    plain = load_model(arch_checks.saved(net.state_dict(), tmp_path), card={"arch": {"pro": True}})
    pro = load_model(arch_checks.saved({**net.state_dict(), "pro": torch.zeros(1)}, tmp_path))
    for model in (plain, pro):
        assert model.descriptor.input_range == model.descriptor.output_range == (0.15, 0.85)
        assert "pro" not in model.net.state_dict()


@needs_shared
def test_it_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("realcugan") == {FILE.stem}


@pytest.mark.parametrize("key", ["unet1.conv_bottom.weight", "unet2.conv1.conv.0.weight"])
@pytest.mark.parametrize("shape", [(), (3,), (64, 3, 6, 6), (64, 9, 4, 4)])
def test_keys_of_other_shapes_are_not_known(key: str, shape: tuple[int, ...]) -> None:
    from upscale_cli.models.archs.realcugan import recognise
    from upscale_cli.models.interface import SidecarMetadata

    state_dict = UpCunet(2).state_dict() | {key: torch.zeros(shape)}
    assert recognise(state_dict, SidecarMetadata()) is None


def test_squeeze_and_excitation_is_a_factor_for_each_channel() -> None:
    block = SEBlock(16)
    x = torch.rand(2, 16, 5, 7, generator=torch.Generator().manual_seed(0))
    squeeze, excite = (layer.weight[..., 0, 0].detach().numpy() for layer in (block.conv1, block.conv2))
    means = x.numpy().mean(axis=(2, 3))  # (2, 16)
    hidden = np.maximum(means @ squeeze.T + block.conv1.bias.detach().numpy(), 0)  # type: ignore[union-attr]
    factors = 1 / (1 + np.exp(-(hidden @ excite.T + block.conv2.bias.detach().numpy())))  # type: ignore[union-attr]
    with torch.inference_mode():
        np.testing.assert_allclose(block(x).numpy(), x.numpy() * factors[..., None, None], rtol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_picture_may_be_as_small_as_its_mirror_image_needs(scale: int) -> None:
    net, side = UpCunet(scale).eval(), least_side(scale)
    with torch.inference_mode():
        assert net(torch.rand(1, 3, side, side + 1)).shape == (1, 3, scale * side, scale * (side + 1))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_without_squeeze_and_excitation_tiles_equal_the_whole(scale: int, tmp_path: Path) -> None:
    net = arch_checks.of(seeded(lambda: UpCunet(scale, se=False)), tmp_path)
    arch_checks.tiles_equal_the_whole(net)
    module = build_net(net).requires_grad_(True).double()
    found = reach(lambda lr: module(lr.double()), 3, scale, net.descriptor.halo + 2)
    assert found <= net.descriptor.halo < found + net.descriptor.multiple_of


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "se"), [(2, True), (3, False), (3, True), (4, True)])
def test_engines_take_it_at_odd_sides_too(scale: int, se: bool, tmp_path: Path) -> None:
    arch_checks.runs_elsewhere(arch_checks.of(seeded(lambda: UpCunet(scale, se=se)), tmp_path))


@needs_shared
@pytest.mark.slow
def test_the_published_net_keeps_the_picture(tmp_path: Path, run: Run) -> None:
    """Shrunk again, SR is the LR picture; and a picture below its least size comes out at its size."""
    lr = arch_checks.picture(61, 75)
    sr = Upscaler(FILE, device="cpu")(lr.astype(np.float32) / 255, scale=2)
    shrunk = F.avg_pool2d(torch.from_numpy(sr).permute(2, 0, 1)[None], 2)[0].permute(1, 2, 0).numpy()
    assert sr.shape == (122, 150, 3)
    assert np.abs(shrunk - lr / 255).mean() < 0.05
    Image.fromarray(lr[:5, :9]).save(tmp_path / "small.png")
    result = run(tmp_path / "small.png", "-m", FILE, "-o", tmp_path / "sr.png")
    assert result.code == 0, result.err
    with Image.open(tmp_path / "sr.png") as picture:
        assert picture.size == (18, 10)
