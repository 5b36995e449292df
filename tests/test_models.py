"""Every row of the registry and every net: facts, files, fields of view, and agreement with other implementations.

Random nets are compared with spandrel's (tests/goldens/make.py made the goldens, and says how), ESPCN with NumPy, and
trained nets with the PSNR in their metadata where the files are on this machine.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from tests.goldens import recipes
from tests.goldens.recipes import RECIPES, TRAINED, Recipe, Trained, first_esrgan_keys, numbered_keys, seeded
from tests.goldens.reference import espcn
from tests.nets import picture_net
from upscale_cli.evaluation import metrics
from upscale_cli.inference.profile import profile
from upscale_cli.inference.tile_layout import geometry_of
from upscale_cli.models.archs import ARCHS, rrdbnet
from upscale_cli.models.interface import LoadedNet, SidecarMetadata, natural_order
from upscale_cli.models.loading import build_net, load_net, load_spec
from upscale_cli.models.plugins import architecture
from upscale_cli.models.registry import MODELS, Spec
from upscale_cli.models.store import Found, bundled_folder

SHARED = Path(__file__).resolve().parents[2] / "shared"
RRDBNETS = [recipe for recipe in RECIPES if recipe.act_type is None]
SRVGGNETS = [recipe for recipe in RECIPES if recipe.act_type is not None]
SET5 = ("baby", "bird", "butterfly", "head", "woman")


def name_of(item: Any) -> str:
    """What a parameter is called in the list of tests."""
    return (
        f"{item.model}-x{item.scale}"
        if isinstance(item, Spec)
        else str(getattr(item, "name", getattr(item, "stem", "")))
    )


def espcn_shapes(scale: int) -> recipes.Shapes:
    """The published net's."""
    last = scale**2
    return {
        "conv1.weight": (64, 1, 5, 5), "conv1.bias": (64,),
        "conv2.weight": (32, 64, 3, 3), "conv2.bias": (32,),
        "conv3.weight": (last, 32, 3, 3), "conv3.bias": (last,),
    }  # fmt: skip


def shapes_of(spec: Spec) -> recipes.Shapes:
    """Of the tensors of a row's net."""
    with torch.device("meta"):
        net = architecture(spec.arch).net(**spec.config)
    return {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}


def tensors(shapes: recipes.Shapes) -> dict[str, Tensor]:
    """A state_dict with seeded weights."""
    return {key: torch.from_numpy(array) for key, array in seeded(shapes, seed=0).items()}


def saved(state_dict: dict[str, Tensor], path: Path) -> Path:
    """The checkpoint as its authors save it: safetensors, or a .pth with the averaged weights under params_ema."""
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state_dict, path)
    else:
        torch.save({"params_ema": state_dict}, path)
    return path


def loaded(spec: Spec, folder: Path) -> LoadedNet:
    """The net of a row from a file of seeded weights."""
    any_values = {key: torch.rand(shape) - 0.5 for key, shape in shapes_of(spec).items()}
    path = saved(any_values, folder / spec.file)
    return load_spec(spec, Found(path, pinned=False))


def scale_of(net: LoadedNet) -> int:
    """Of a net that has but one, a whole one."""
    scale = net.descriptor.only_scale
    assert isinstance(scale, int)
    return scale


def golden(path: Path) -> tuple[Tensor, Tensor]:
    """(1, C, H, W) float64 in [0, 1], and what another implementation made of it, float64."""
    kept = safetensors.torch.load_file(path)
    return kept["lr"].permute(2, 0, 1)[None].double() / 255, kept["sr"][None].double()


def relative_error(sr: Tensor, reference: Tensor) -> float:
    """Greatest difference, as a part of the reference's greatest value."""
    return float((sr.double() - reference).abs().max() / reference.abs().max())


# The registry


@pytest.mark.slow
@pytest.mark.parametrize("spec", MODELS, ids=name_of)
def test_a_row_builds_saves_loads_and_costs_what_it_says(spec: Spec, tmp_path: Path) -> None:
    net = loaded(spec, tmp_path)
    facts = net.descriptor
    assert (facts.arch, facts.scales, facts.colour) == (spec.arch, (spec.scale,), spec.channels)
    assert facts.config.items() >= spec.config.items()
    assert facts.channels == (1 if spec.channels == "luma" else 3)
    assert profile(net, spec.scale).macs == spec.macs
    side = 2 * facts.multiple_of
    sr = picture_net(net)(torch.rand(1, 3, side, 2 * side))
    assert sr.shape == (1, 3, side * spec.scale, 2 * side * spec.scale)

    again = load_net(saved(dict(build_net(net).state_dict()), tmp_path / "again.safetensors"))
    assert again.descriptor == facts
    assert again.state_dict.keys() == net.state_dict.keys()
    assert all(torch.equal(tensor, net.state_dict[key]) for key, tensor in again.state_dict.items())


def test_no_two_rows_are_the_same_pass() -> None:
    passes = [(spec.model, spec.scale) for spec in MODELS]
    assert len(set(passes)) == len(passes)
    assert len({spec.file for spec in MODELS}) == len(MODELS)


def test_second_checkpoints_for_denoising_differ_in_weights_only() -> None:
    rows = {spec.model: spec for spec in MODELS}
    for spec in MODELS:
        if spec.weak_denoise:
            second = rows[spec.weak_denoise]
            assert (second.scale, second.arch, second.config) == (spec.scale, spec.arch, spec.config)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHS)
def test_an_architecture_recognises_its_own(arch: str) -> None:
    assert architecture(arch).name == arch
    recognise = architecture(arch).recognise
    for spec in MODELS:
        state_dict = {key: torch.empty(shape, device="meta") for key, shape in shapes_of(spec).items()}
        # Without slopes SRVGGNetCompact is a plain row of convolutions, which ESPCN, asked later, would take too.
        expected = spec.arch == arch or (arch == "espcn" and spec.config.get("act_type") == "relu")
        assert (recognise(state_dict, SidecarMetadata()) is not None) == expected


@pytest.mark.parametrize("spec", [spec for spec in MODELS if spec.bundled], ids=name_of)
def test_a_bundled_file_is_the_pinned_one(spec: Spec) -> None:
    data = (bundled_folder() / spec.file).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (spec.size, spec.sha256)
    net = load_net(bundled_folder() / spec.file)
    assert {key: tuple(tensor.shape) for key, tensor in net.state_dict.items()} == shapes_of(spec)


# The field of view


def reach(net: Callable[[Tensor], Tensor], channels: int, scale: int, radius: int) -> int:
    """How many LR pixels away, at most, a pixel still has a part in the SR pixels of another: by the gradient.

    The probe sits in the middle of a picture with `radius` pixels around it.
    """
    side = 2 * radius + 1
    lr = torch.rand(1, channels, side, side, requires_grad=True)
    inner = slice(radius * scale, (radius + 1) * scale)
    net(lr)[..., inner, inner].sum().backward()  # type: ignore[no-untyped-call]
    assert lr.grad is not None
    rows, columns = lr.grad[0].abs().sum(dim=0).nonzero(as_tuple=True)
    return int(max((rows - radius).abs().max(), (columns - radius).abs().max()))


def exact_nets() -> dict[str, recipes.Shapes]:
    """Of the registry, one row a shape of those whose halo is the whole field; and small nets of other depths."""
    rows = {}
    for spec in MODELS:
        shapes = shapes_of(spec)
        state_dict = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
        recognised = architecture(spec.arch).recognise(state_dict, SidecarMetadata())
        if recognised is not None and recognised.descriptor.exact:
            rows[str(shapes)] = spec.stem, shapes
    return dict(rows.values()) | {recipe.name: recipe.shapes for recipe in SRVGGNETS}


@pytest.mark.parametrize("shapes", exact_nets().values(), ids=exact_nets().keys())
def test_the_halo_is_the_field_of_an_exact_net(shapes: recipes.Shapes, tmp_path: Path) -> None:
    net = load_net(saved(tensors(shapes), tmp_path / "net.pth"))
    facts = net.descriptor
    assert facts.exact
    assert reach(build_net(net), facts.channels, scale_of(net), facts.halo + 2) == facts.halo


def test_the_halo_of_a_luma_net_holds_for_chroma_too(tmp_path: Path) -> None:
    net = load_net(saved(tensors(espcn_shapes(2)), tmp_path / "net.pth"))
    halo = geometry_of(net.descriptor, 2, tile=0, overlap=None).halo
    assert reach(picture_net(net), 3, 2, halo + 2) <= halo


def test_the_field_of_rrdbnet_grows_by_15_a_block(tmp_path: Path) -> None:
    """What rrdbnet.py says of the field that its halo does not cover."""
    fields = []
    for blocks in (1, 2):
        net = load_net(saved(tensors(recipes.rrdbnet(blocks, num_feat=8)), tmp_path / f"{blocks}.pth"))
        assert not net.descriptor.exact
        fields.append(reach(build_net(net), 3, 4, 36))
    assert fields[1] - fields[0] == 15


# Agreement with other implementations


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_random_nets_agree_with_spandrel(recipe: Recipe, tmp_path: Path) -> None:
    """In float64 to the rounding of the golden, in float32 to a relative error below 1e-5."""
    state_dict = {key: torch.from_numpy(array) for key, array in recipe.weights().items()}
    path = saved(state_dict, tmp_path / "net.pth")
    if recipe.act_type in ("relu", "leakyrelu"):
        path.with_suffix(".json").write_text(json.dumps({"activation": recipe.act_type}))
    loaded = load_net(path)
    lr, reference = golden(recipe.path)
    assert loaded.descriptor.scales == (recipe.scale,)
    net = build_net(loaded)
    with torch.inference_mode():
        assert relative_error(net(lr.float()), reference) < 1e-5
        assert relative_error(net.double()(lr), reference) < 1e-7


@pytest.mark.parametrize("keys", [first_esrgan_keys, numbered_keys])
@pytest.mark.parametrize("recipe", RRDBNETS, ids=name_of)
def test_older_keys_name_the_same_tensors(recipe: Recipe, keys: Any) -> None:
    """So the goldens hold for them, too: make.py had spandrel read all three kinds of keys."""
    new = {key: torch.empty(shape, device="meta") for key, shape in recipe.shapes.items()}
    recognised = rrdbnet.recognise(keys(new), SidecarMetadata())
    assert recognised is not None
    assert recognised.state_dict.keys() == new.keys()
    assert all(tensor is new[key] for key, tensor in recognised.state_dict.items())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_no_tensor_could_be_wrong_unseen(recipe: Recipe, tmp_path: Path) -> None:
    """The goldens are not blind: to lose any one tensor would change the output by far more than the tolerance."""
    state_dict = {key: torch.from_numpy(array) for key, array in recipe.weights().items()}
    net = build_net(load_net(saved(state_dict, tmp_path / "net.pth")))
    net.requires_grad_(True)
    lr, reference = golden(recipe.path)
    sr = net(lr.float())
    torch.manual_seed(0)
    (sr * torch.randn_like(sr) / reference.std()).sum().backward()
    count = reference.numel() ** 0.5  # what a change of the golden's own size would add to that sum
    for name, weight in net.named_parameters():
        assert weight.grad is not None
        assert (weight.grad * weight).detach().norm() / count > 5e-5, name


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_espcn_agrees_with_numpy(scale: int, tmp_path: Path) -> None:
    weights = seeded(espcn_shapes(scale), scale)
    net = load_net(saved({key: torch.from_numpy(array) for key, array in weights.items()}, tmp_path / "net.pth"))
    assert_like_numpy(net, weights)


@pytest.mark.parametrize("spec", [spec for spec in MODELS if spec.bundled and spec.arch == "espcn"], ids=name_of)
def test_bundled_espcn_agrees_with_numpy(spec: Spec) -> None:
    path = bundled_folder() / spec.file
    kept = safetensors.torch.load_file(path)
    assert_like_numpy(load_net(path), {key: kept[key].numpy() for key in natural_order(kept)}, activation="relu")


def assert_like_numpy(
    loaded: LoadedNet, weights: Mapping[str, Any], activation: Literal["tanh", "relu"] = "tanh"
) -> None:
    """In float64 to its last digits, in float32 to a relative error below 1e-5."""
    luma = metrics.full_luma(recipes.picture(33, 47)) / 255
    reference = torch.from_numpy(espcn(luma[None], weights, scale_of(loaded), activation))[None]
    lr = torch.from_numpy(luma)[None, None]
    net = build_net(loaded)
    with torch.inference_mode():
        assert relative_error(net(lr.float()), reference) < 1e-5
        assert relative_error(net.double()(lr), reference) < 1e-12


# Trained nets, where they are on this machine


def weights_folders() -> list[Path]:
    """The user's folders, and the one next to the checkout."""
    given = os.environ.get("UPSCALE_WEIGHTS", "").split(os.pathsep)
    return [*(Path(folder) for folder in given if folder), SHARED / "weights"]


def on_this_machine(file: str) -> Path:
    """A checkpoint that a user need not have; skips the test without it."""
    for folder in weights_folders():
        if (folder / file).is_file():
            return folder / file
    pytest.skip(f"{file} is neither in UPSCALE_WEIGHTS nor in ../shared/weights")


@pytest.mark.parametrize("trained", TRAINED, ids=name_of)
def test_trained_nets_agree_with_spandrel(trained: Trained) -> None:
    path = on_this_machine(f"{trained.stem}.safetensors")
    if hashlib.sha256(path.read_bytes()).hexdigest() != trained.sha256:
        pytest.skip(f"{path.name} is not the file that the golden was made with")
    lr, reference = golden(trained.path)
    with torch.inference_mode():
        assert relative_error(build_net(load_net(path))(lr.float()), reference) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "stem", [*(f"espcn-{kind}-x{scale}" for kind in ("tf", "ycbcr") for scale in (2, 3, 4)), "espcn-yjn870-x3"]
)
def test_other_peoples_espcn_reaches_the_psnr_on_its_card(stem: str) -> None:
    """Within 0.02 dB on Set5: so keys, activations, colours and ranges were all understood."""
    path = on_this_machine(f"{stem}.safetensors")
    if not (SHARED / "eval" / "Set5").is_dir():
        pytest.skip("Set5 is not in ../shared/eval")
    verified = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["verified"]
    (published,) = re.findall(r"MATLAB-style[^;]*?-> this net: [\d.]+ -> ([\d.]+)", "; ".join(verified))
    net = load_net(path)
    assert np.mean([set5_psnr(net, name) for name in SET5]) == pytest.approx(float(published), abs=0.02)


def set5_psnr(net: LoadedNet, name: str) -> float:
    """Luma PSNR in dB as the metadata have it: LR rounded to 8 bits, SR not."""
    scale = scale_of(net)
    with Image.open(SHARED / "eval" / "Set5" / f"{name}.png") as image:
        hr = metrics.crop_to_multiple(np.asarray(image.convert("RGB")), scale)
    planes = [metrics.to_8_bit(metrics.bicubic(hr[..., channel].astype(float), 1 / scale)) for channel in range(3)]
    with torch.inference_mode():
        sr = picture_net(net)(torch.from_numpy(np.stack(planes))[None].float() / 255)[0].clamp(0, 1)
    sr_luma, hr_luma = (metrics.studio_luma(picture) for picture in (sr.permute(1, 2, 0).numpy() * 255, hr))
    return metrics.psnr(metrics.crop_border(sr_luma, scale), metrics.crop_border(hr_luma, scale))
