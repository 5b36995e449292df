"""SAN: the square root of a covariance, attention within quarters, and no memory for either that grows too fast."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import arch_checks
from tests.arch_checks import seeded
from tests.conftest import SHARED
from tests.family import difference, golden
from tests.nets import CPU
from upscale_cli import load_model
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.archs.san import MOST_SIDE, SAN, SOCA, NonLocal, NonLocalQuarters, covariance, square_root
from upscale_cli.models.interface import Descriptor
from upscale_cli.models.loading import build_net
from upscale_cli.models.watch import watched

needs_shared = pytest.mark.skipif(not (SHARED / "goldens").is_dir(), reason="the shared folder is not here")


@needs_shared
def test_it_agrees_with_its_reference() -> None:
    found, allowed, model = difference(golden("san"))
    assert found <= allowed
    assert model.descriptor.sees_whole


@needs_shared
def test_it_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("san") == {"san"}


@pytest.mark.parametrize(
    "config",
    [
        {"num_feat": 16, "num_group": 2, "num_block": 1, "reduction": 4, "upscale": 4},
        {"num_feat": 24, "num_group": 1, "num_block": 3, "reduction": 8, "upscale": 3},
        {"num_feat": 8, "num_group": 3, "num_block": 2, "reduction": 2, "upscale": 8},
    ],
)
def test_any_configuration_comes_back(config: dict[str, Any], tmp_path: Path) -> None:
    model = load_model(arch_checks.saved(small(**config).state_dict(), tmp_path))
    assert model.descriptor.config == config
    lr = 255 * torch.rand(2, 3, 11, 13, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        sr = model.net(lr=lr)
        assert torch.allclose(sr, small(**config)(lr), rtol=1e-3, atol=1e-3 * float(sr.std()))
        assert torch.allclose(sr[1:], model.net(lr[1:]), rtol=1e-3, atol=1e-3 * float(sr.std()))
    assert sr.shape == (2, 3, 11 * config["upscale"], 13 * config["upscale"])


def small(**config: Any) -> SAN:
    """A SAN of weights so small that its values stay as the picture's are."""
    net = seeded(
        lambda: SAN(**{"num_feat": 16, "num_group": 1, "num_block": 1, "reduction": 4, "upscale": 2, **config})
    )
    assert isinstance(net, SAN)
    return net


def test_the_square_root_is_one() -> None:
    """Of a covariance whose eigenvalues are not too far apart; five iterations do no better."""
    torch.manual_seed(0)
    x = torch.rand(2, 6, 9, 11, dtype=torch.float64)
    matrix = covariance(x)
    assert torch.allclose(matrix[0], torch.cov(x[0].flatten(1), correction=0))
    values, vectors = torch.linalg.eigh(matrix)
    exact = vectors @ torch.diag_embed(values.sqrt()) @ vectors.transpose(1, 2)
    root = square_root(matrix)
    assert torch.allclose(root, exact, atol=0.02 * float(exact.abs().max()))
    assert torch.allclose(square_root(9 * matrix), 3 * root), "it scales as a square root does"


def test_a_picture_without_variance_is_no_division_by_zero() -> None:
    assert not square_root(covariance(torch.ones(1, 4, 5, 6))).isnan().any()


def test_attention_is_softmax_over_the_pooled_places_of_a_quarter() -> None:
    torch.manual_seed(0)
    layer, x = NonLocal(16).double(), torch.rand(2, 16, 7, 6, dtype=torch.float64)
    flat = {name: getattr(layer, name)(x).flatten(2) for name in ("theta", "phi", "g")}
    weights = torch.einsum("ncq,nck->nqk", flat["theta"], flat["phi"]).softmax(2)
    found = torch.einsum("nqk,nck->ncq", weights, flat["g"]).reshape(2, 2, 7, 6)
    assert torch.allclose(layer(x), x + layer.W(found))


def test_quarters_know_nothing_of_each_other() -> None:
    torch.manual_seed(0)
    layer, x = NonLocalQuarters(16, 4), torch.rand(1, 16, 9, 11)
    changed = x.clone()
    changed[:, :, 8, 10] += 1  # in the last quarter, which begins at (4, 5)
    differs = (layer(changed) - layer(x)).abs().sum((0, 1)) > 0
    assert differs[4:, 5:].any()
    assert not differs[:4].any()
    assert not differs[:, :5].any()


def test_of_a_large_picture_the_middle_counts() -> None:
    torch.manual_seed(0)
    layer, x = SOCA(4, 2), torch.rand(1, 4, 2, MOST_SIDE + 6)

    def weights(x: Tensor) -> Tensor:
        found: Tensor = (layer(x) / x)[0, :, 0, 500]
        return found

    inside, outside = x.clone(), x.clone()
    outside[..., [0, 2, -3, -1]] += 1
    inside[..., [3, -4]] += 1
    assert torch.equal(weights(outside), weights(x))
    assert not torch.equal(weights(inside), weights(x))


def test_memory_grows_as_the_picture_does(tmp_path: Path) -> None:
    """The weights of the attention, which nobody holds, would be 16 times as many in a picture of twice the side."""
    net = arch_checks.of(small(), tmp_path)
    held = {run.side: run.elements / run.side**2 for run in watched(build_net(net), net.descriptor, 2)}
    assert held[128] < 1.2 * held[32]


def test_the_attention_of_a_large_quarter_holds_no_matrix() -> None:
    """Alone it is computed without it, too, whatever else there is that takes more."""
    layer = NonLocal(16)
    watch = next(
        watched(nn.Sequential(nn.Conv2d(3, 16, 1), layer), Descriptor(arch="any", scales=(1,), halo=0), 1, least=160)
    )
    assert watch.elements < 160**2 * 160**2 / 4 / 50


def test_a_tiled_one_says_what_that_means(tmp_path: Path) -> None:
    said: list[str] = []
    TiledNet(arch_checks.of(small(), tmp_path), CPU, "fp32", tile=32, say=said.append).upscale(
        arch_checks.picture(40, 60), "uint8"
    )
    assert "looks at the whole picture" in said[0]
