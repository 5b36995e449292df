"""RAISR against its reference, and against its hashing done pixel by pixel with NumPy's gradients and eigenvectors."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from tests import arch_checks
from tests.command import Run
from tests.conftest import SHARED
from tests.family import Pair, bound
from upscale_cli import load_model, upscale_file
from upscale_cli.models.archs.raisr import COHERENCE, CONVENTIONS, RAISR, STRENGTH, WholeRAISR
from upscale_cli.models.interface import LoadedNet, SidecarMetadata
from upscale_cli.models.loading import build_net, load_net
from upscale_cli.models.plugins import architecture

WEIGHTS = SHARED / "weights"
GOLDEN = SHARED / "goldens/raisr"
needs_shared = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the shared folder with weights is not here")
PAIR = Pair(WEIGHTS / "raisr-movehand-x2.safetensors", GOLDEN / "pair1.safetensors", GOLDEN / "card.json", "pair1")
FORMS = pytest.mark.parametrize("form", ["movehand", "intel"])


def tensors(form: str, scale: int = 2, patch: int = 11) -> dict[str, Tensor]:
    """Of a file with filters that differ, each of sum 1."""
    torch.manual_seed(0)
    filters = torch.rand(24, 3, 3, scale**2, patch**2)
    filters /= filters.sum(dim=-1, keepdim=True)
    if form == "movehand":
        return {"filters": filters}
    flat = filters.flatten(0, 2)
    thresholds = {"strength": torch.tensor([0.002, 0.02]), "coherence": torch.tensor([0.2, 0.4])}
    return {
        "filters_2_8": flat, "filters_2_10": 0.5 * flat,
        **{f"{name}_{bits}": values.clone() for name, values in thresholds.items() for bits in ("2_8", "2_10")},
    }  # fmt: skip


def file(form: str, folder: Path, **facts: int) -> Path:
    path = folder / f"{form}.safetensors"
    save_file(tensors(form, **facts), path)
    return path


def luma(height: int, width: int) -> Tensor:
    """(1, 1, H, W), some of it flat."""
    rgb = arch_checks.picture(height, width).astype(np.float32)
    plane = torch.from_numpy(np.rint(rgb @ np.array([0.299, 0.587, 0.114], np.float32)) / 255)[None, None]
    plane[..., :9, :9] = 0.5
    return plane


@needs_shared
def test_it_agrees_with_its_reference() -> None:
    pair = PAIR.tensors()
    model = load_model(PAIR.weights, card=PAIR.card)
    sr = model.net(pair["lr"])
    assert sr.shape == pair["sr"].shape
    assert float((sr - pair["sr"]).abs().max()) <= bound(PAIR, pair["sr"])
    assert isinstance(model.net, RAISR)
    assert torch.allclose(model.net.enlarged(pair["lr"]), pair["cheap"], atol=1e-6)


@needs_shared
def test_a_picture_becomes_what_the_reference_made_of_it(tmp_path: Path) -> None:
    """Chroma too; away from the margin. The reference cuts values off where we round, and rounds YCbCr in between."""
    pair = PAIR.tensors()
    source = tmp_path / "lr.png"
    Image.fromarray(pair["lr_rgb"].numpy()).save(source)
    upscale_file(source, tmp_path / "sr.png", model=str(PAIR.weights), scale=2)
    sr = np.asarray(Image.open(tmp_path / "sr.png")).astype(int)
    apart = np.abs(sr - pair["result_bgr"].numpy()[..., ::-1])[5:-5, 5:-5]
    assert apart.mean() < 1
    assert np.quantile(apart, 0.999) <= 4


@needs_shared
def test_it_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("raisr") == {"raisr-intel-highres-x2", "raisr-intel-lowres-x2", "raisr-movehand-x2"}


def hashed(window: NDArray[np.float64], form: str, strength: Any, coherence: Any) -> int:
    """The number of the filter that a window chooses, as the papers and cards say it; ties apart."""
    down, along = np.asarray(np.gradient(window))
    # Intel's are of the pixels around the window too, and have the vertical axis first.
    gx, gy = (along, down) if form == "movehand" else (down[1:-1, 1:-1], along[1:-1, 1:-1])
    reach = len(gx) // 2
    gauss = np.exp(-(np.arange(-reach, reach + 1) ** 2) / 8.0)
    weights = np.outer(gauss, gauss) / gauss.sum() ** 2
    both = np.stack((gx.ravel(), gy.ravel()))
    tensor = both * weights.ravel() @ both.T
    values, vectors = np.linalg.eigh(tensor)
    angle = math.atan2(vectors[1, 1], vectors[0, 1]) % math.pi
    first, second = np.sqrt(values[1]), np.sqrt(max(values[0], 0))
    ratio = (first - second) / (first + second) if first + second else 0
    number = min(int(angle / math.pi * 24), 23)
    return (number * 3 + int(np.searchsorted(strength, values[1]))) * 3 + int(np.searchsorted(coherence, ratio))


@FORMS
def test_each_pixel_gets_the_filter_that_its_window_chooses(form: str, tmp_path: Path) -> None:
    net = load_model(file(form, tmp_path)).net
    assert isinstance(net, RAISR)
    torch.manual_seed(1)
    cheap = net.enlarged(torch.randint(256, (1, 1, 16, 19)) / 255)
    sr = net.filtered(cheap)[0, 0].numpy()
    facts, picture = CONVENTIONS["movehand" if form == "movehand" else "intel"], cheap[0, 0].double().numpy()
    reach = facts.window // 2 + (form == "intel")
    bank = net.filters.numpy()
    assert sr.shape == (32 - 2 * facts.margin, 38 - 2 * facts.margin)
    strength, coherence = net.strength.numpy(), net.coherence.numpy()
    if form == "movehand":
        assert strength.tolist() == pytest.approx(STRENGTH)
        assert coherence.tolist() == pytest.approx(COHERENCE)
    for y, x in np.ndindex(sr.shape):
        row, column = y + facts.margin, x + facts.margin
        window = picture[row - reach : row + reach + 1, column - reach : column + reach + 1]
        place = (row - 5) % 2 * 2 + (column - 5) % 2
        patch = picture[row - 5 : row + 6, column - 5 : column + 6].ravel()
        expected = bank[hashed(window, form, strength, coherence), place] @ patch
        assert sr[y, x] == pytest.approx(expected, abs=1e-5)


def test_the_grids_of_the_enlargements() -> None:
    ramp = torch.arange(6.0)[None, None, None].expand(1, 1, 4, 6)
    aligned, centred = RAISR("movehand").enlarged(ramp)[0, 0, 0], RAISR("intel").enlarged(ramp)[0, 0, 0]
    assert aligned.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5]
    assert centred.tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5]


@FORMS
def test_the_whole_picture_is_there_with_its_edge_filtered_and_chroma_enlarged(form: str, tmp_path: Path) -> None:
    module, ycbcr = build_net(load_net(file(form, tmp_path))), torch.rand(2, 3, 20, 23)
    assert isinstance(module, WholeRAISR)
    whole, cheap = module(ycbcr), module.net.enlarged(ycbcr)
    margin = module.net.conventions.margin
    assert whole.shape == (2, 3, 40, 46)
    assert torch.allclose(whole[..., margin:-margin, margin:-margin], module.net(ycbcr), atol=1e-6)
    assert torch.allclose(whole[:, 1:], cheap[:, 1:], atol=1e-6)
    assert (whole[:, 0, 0] - cheap[:, 0, 0]).abs().max() > 0.1
    assert module(torch.rand(1, 3, 1, 4)).shape == (1, 3, 2, 8)


@FORMS
def test_the_last_bits_of_a_flat_region_choose_no_filter(form: str, tmp_path: Path) -> None:
    net = load_model(file(form, tmp_path)).net
    assert isinstance(net, RAISR)
    cheap = net.enlarged(luma(16, 20))[:, 0]
    torch.manual_seed(5)
    noisy = cheap * (1 + 1e-7 * torch.rand_like(cheap).sub(0.5).sign())
    assert not torch.equal(noisy, cheap)
    assert torch.equal(net.chosen(noisy), net.chosen(cheap))


@FORMS
def test_a_flat_picture_stays_flat(form: str, tmp_path: Path) -> None:
    sr = build_net(load_net(file(form, tmp_path)))(torch.full((1, 3, 12, 13), 0.3))
    assert torch.allclose(sr, torch.full((), 0.3), atol=1e-5)


@FORMS
@pytest.mark.parametrize("facts", [{"scale": 3}, {"scale": 2, "patch": 9}])
def test_other_scales_and_patches_are_taken_from_the_shapes(form: str, facts: dict[str, int], tmp_path: Path) -> None:
    model = load_model(file(form, tmp_path, **facts))
    scale, margin = facts["scale"], CONVENTIONS["movehand" if form == "movehand" else "intel"].margin
    assert model.descriptor.only_scale == scale
    assert model.net(luma(20, 21)).shape == (1, 1, scale * 20 - 2 * margin, scale * 21 - 2 * margin)


def net_of(form: str, folder: Path) -> LoadedNet:
    real = WEIGHTS / f"raisr-{'movehand' if form == 'movehand' else 'intel-lowres'}-x2.safetensors"
    return load_net(real if real.is_file() else file(form, folder))


@pytest.mark.slow
@FORMS
def test_tiles_equal_the_whole(form: str, tmp_path: Path) -> None:
    arch_checks.tiles_equal_the_whole(net_of(form, tmp_path))


@FORMS
def test_the_halo_is_as_far_as_windows_and_patches_reach(form: str, tmp_path: Path) -> None:
    """Pixels beyond it have no part in what chooses a filter, nor in what is filtered; those at it have."""
    net = net_of(form, tmp_path)
    module, halo = build_net(net), net.descriptor.halo
    assert isinstance(module, WholeRAISR)
    middle = halo + 4
    torch.manual_seed(4)
    lr = torch.rand(1, 3, 2 * middle + 1, 2 * middle + 1)

    def seen(picture: Tensor) -> Tensor:
        margin = module.net.conventions.margin
        own = slice(2 * middle - margin, 2 * middle - margin + 2)
        tensors = module.net.structure(module.net.enlarged(picture)[:, 0].double())
        sr = module(picture)[..., 2 * middle : 2 * middle + 2, 2 * middle : 2 * middle + 2]
        return torch.cat([part[..., own, own].flatten() for part in (*tensors, sr)])

    place = torch.arange(2 * middle + 1) - middle
    distance = torch.maximum(place.abs()[:, None], place.abs()[None])
    for ring, has_a_part in ((halo + 1, False), (halo, True)):
        changed = torch.where(distance == ring, 1 - lr, lr)
        assert torch.equal(seen(changed), seen(lr)) is not has_a_part


@FORMS
def test_what_it_chooses_is_known_to_the_command_line(form: str, run: Run, tmp_path: Path) -> None:
    Image.fromarray(arch_checks.picture(30, 41)).save(tmp_path / "a.png")
    done = run(tmp_path / "a.png", "-m", file(form, tmp_path), "-s", 2, "-o", tmp_path / "out.png")
    assert done.code == 0, done.err
    assert np.asarray(Image.open(tmp_path / "out.png")).shape == (60, 82, 3)


@pytest.mark.parametrize(
    "state_dict",
    [
        {"filters": torch.zeros(24, 3, 3, 4)}, {"filters": torch.zeros(24, 3, 3, 5, 121)},
        {"filters": torch.zeros(24, 3, 3, 4, 120)}, {"filters": torch.zeros(24, 2, 3, 4, 121)},
        {"filters": torch.zeros(24, 3, 3, 4, 225)}, {"filters_2_8": torch.zeros(216, 4, 121)},
        {**tensors("intel"), "conv.weight": torch.zeros(3)},
    ],
)  # fmt: skip
def test_what_is_no_file_of_filters_is_not_claimed(state_dict: dict[str, Tensor]) -> None:
    assert architecture("raisr").recognise(state_dict, SidecarMetadata()) is None
