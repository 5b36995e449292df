"""SRCNN, VDSR, FSRCNN, PISR, LapSRN and CARN-M: agreement with their references, recognition, reach, tiles, graphs."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conftest import SHARED
from tests.family import Pair, difference, further, golden
from tests.test_models import reach
from upscale_cli import Upscaler, load_model
from upscale_cli.frames.image import Pixels
from upscale_cli.models.adapted import CubicEnlargement
from upscale_cli.models.archs import ARCHS
from upscale_cli.models.archs.carn import CARNM
from upscale_cli.models.archs.fsrcnn import FSRCNN, flattest_scale
from upscale_cli.models.archs.lapsrn import LapSRN
from upscale_cli.models.archs.scales import factor_of
from upscale_cli.models.archs.srcnn import SRCNN
from upscale_cli.models.archs.vdsr import VDSR
from upscale_cli.models.interface import LoadedNet, Recognised, SidecarMetadata
from upscale_cli.models.loading import build_net, load_net, load_state_dict, recognise
from upscale_cli.models.onnx_graph import onnx_bytes
from upscale_cli.models.plugins import architecture

FSRCNN_KEYS: Final = (
    *("first_part.0", "first_part.1", "mid_part.0", "mid_part.1", "mid_part.2", "mid_part.3", "mid_part.4"),
    *("mid_part.5", "last_part"),
)
PISR_KEYS: Final = (
    *("feature_extraction.0.0", "feature_extraction.0.1", "shrinking.0.0", "shrinking.0.1", "mapping.0.0"),
    *("mapping.0.1", "expanding.0.0", "expanding.0.1", "last_layer.0.0"),
)

Case = tuple[Callable[[], nn.Module], Mapping[str, str], Mapping[str, Any]]
"""A net, what of its keys is called otherwise in the file (by their beginnings), and the card."""

CASES: Final[dict[str, Case]] = {
    "srcnn-9-1-5": (lambda: SRCNN(kernels=(9, 1, 5), widths=(12, 8)), {}, {}),
    "srcnn-rgb": (lambda: SRCNN(3, kernels=(9, 5, 5), widths=(6, 10)), {}, {"input": "RGB"}),
    "srcnn-unpadded": (
        lambda: SRCNN(3, kernels=(9, 3, 5), widths=(8, 6), padded=False),
        {"conv1": "patch_extraction", "conv2": "nonlinear_map", "conv3": "recon"},
        {},
    ),
    "vdsr": (lambda: VDSR(1, 8, 3), {}, {}),
    "fsrcnn-s-x3": (lambda: FSRCNN(3, 1, 32, 5, 1), {}, {"scale": 3}),
    "fsrcnn-x8-rgb": (lambda: FSRCNN(8, 3, 12, 6, 2), {}, {"scale": 8, "colour": "rgb"}),
    "fsrcnn-x2-config": (lambda: FSRCNN(2, 1, 20, 7, 3), {}, {"configs": {"net": {"scale_factor": 2, "d": 20}}}),
    "fsrcnn-x2-of-configs": (
        lambda: FSRCNN(2, 1, 20, 7, 3),
        {},
        {"configs": {"a": {"scale_factor": 3, "d": 56}, "b": {"scale_factor": 2, "d": 20}}},
    ),
    "pisr-x4": (
        lambda: FSRCNN(4, 1, 18, 5, 1, shared_slope=True),
        {ours: f"backbone.network.{theirs}" for ours, theirs in zip(FSRCNN_KEYS, PISR_KEYS, strict=True)},
        {"configs": {"other": {"scale": 2}, "net": {"scale": 4}}},
    ),
    "lapsrn-x2": (lambda: LapSRN(1, 6, 2, 1), {}, {}),
    "lapsrn-x4": (lambda: LapSRN(1, 6, 3, 2), {}, {}),
    "lapsrn-x8": (lambda: LapSRN(3, 6, 1, 3), {}, {}),
    "carn-m": (lambda: CARNM(num_feat=8, group=4), {}, {}),
    "carn-m-x3": (lambda: CARNM((3,), False, 8, 2), {}, {}),
    "carn-m-x4": (lambda: CARNM((4,), False, 8, 1), {}, {}),
}

PAIRS: Final = {
    **{arch: golden(arch) for arch in ("srcnn", "vdsr", "fsrcnn", "pisr")},
    **{stem: further(stem) for stem in ("carn-m", "lapsrn-x4", *(f"fsrcnn-yjn870-x{scale}" for scale in (2, 3, 4)))},
}


def seeded(net: nn.Module) -> nn.Module:
    """With weights that let every layer count."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in net.parameters():
            fan_in = value[0].numel() if value.ndim > 1 else 4
            value.copy_(torch.randn(value.shape, generator=generator) / fan_in**0.5)
    return net.eval()


def written(name: str, folder: Path) -> tuple[nn.Module, Path]:
    """A net of `CASES`, and its file `net.safetensors` under the reference's keys."""
    make, names, _ = CASES[name]
    net = seeded(make())
    state_dict = {}
    for key, value in net.state_dict().items():
        begin = next((ours for ours in names if key.startswith(f"{ours}.")), "")
        state_dict[names[begin] + key.removeprefix(begin) if begin else key] = value
    path = folder / "net.safetensors"
    safetensors.torch.save_file(state_dict, path)
    return net, path


def loaded(name: str, folder: Path) -> LoadedNet:
    _, path = written(name, folder)
    return load_net(path, card=SidecarMetadata.read(CASES[name][2]))


def scales_of(net: LoadedNet) -> tuple[int, ...]:
    assert isinstance(net.descriptor.scales, tuple)
    return tuple(int(scale) for scale in net.descriptor.scales)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_it_gives_what_its_reference_gives(pair: Pair) -> None:
    if not pair.file.is_file():
        pytest.skip("the reference outputs in ../shared are not here")
    found, allowed, _ = difference(pair)
    assert found <= allowed


@pytest.mark.parametrize("name", CASES)
def test_other_configurations_come_back_from_their_files(name: str, tmp_path: Path) -> None:
    net, path = written(name, tmp_path)
    model = load_model(path, card=CASES[name][2])
    facts = model.descriptor
    assert facts.arch == name.partition("-")[0]
    assert facts.variant == ("CARN-M" if facts.arch == "carn" else "")
    lr = torch.rand(2, facts.channels, 37, 45)
    with torch.no_grad():
        assert torch.equal(model.net(lr=lr), net(lr))
        for scale in facts.scales if isinstance(facts.scales, tuple) and facts.inputs else ():
            for given in (torch.full((2,), float(scale)), torch.full((1,), float(scale)), float(scale)):
                assert model.net(lr, scale=given).shape == (2, facts.channels, 37 * scale, 45 * scale)


def test_which_scale_a_pass_has() -> None:
    assert factor_of(None, (2, 3)) == 3
    assert factor_of(torch.tensor([2.0, 2.0]), (2, 3)) == 2
    with pytest.raises(ValueError, match="none of 2, 3"):
        factor_of(torch.tensor([2.5]), (2, 3))


# By hand, from the tensors in a file


def test_the_layout_of_tensorflow_by_hand(tmp_path: Path) -> None:
    """Five convolutions of which the last one, 1 x 1 and without bias, makes the pixels; one bias for all."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(9, 1, 5), (4, 9, 1), (4, 4, 3), (9, 4, 1)]
    t = {"bias": torch.tensor([0.25])}
    for number, (width, channels, side) in enumerate(sizes, start=1):
        t[f"conv{number}.weight"] = torch.randn(width, channels, side, side, generator=generator) / 4
        t[f"conv{number}.bias"] = torch.randn(width, generator=generator)
        t[f"prelu{number}.weight"] = torch.rand(width, generator=generator)
    t["conv5.weight"] = torch.randn(9, 9, 1, 1, generator=generator)
    safetensors.torch.save_file(t, tmp_path / "net.safetensors")
    lr = torch.rand(1, 1, 9, 11)
    x = lr
    for number in range(1, 5):
        weight = t[f"conv{number}.weight"]
        x = F.conv2d(x, weight, t[f"conv{number}.bias"], padding=weight.shape[2] // 2)
        x = torch.where(x > 0, x, t[f"prelu{number}.weight"][:, None, None] * x)
    expected = torch.zeros(1, 1, 27, 33)
    for place in range(9):  # of the 3 x 3 pixels
        expected[0, 0, place // 3 :: 3, place % 3 :: 3] = (t["conv5.weight"][place, :, 0, 0] @ x[0].flatten(1)).view(
            9, 11
        )
    model = load_model(tmp_path / "net.safetensors")
    assert (model.descriptor.arch, model.descriptor.luma_range) == ("fsrcnn", "full")
    torch.testing.assert_close(model.net(lr), expected + 0.25, rtol=0, atol=1e-5)


def test_the_layout_for_ycbcr_by_hand(tmp_path: Path) -> None:
    """No activation between the mapping layers; the scale stands on the card."""
    generator = torch.Generator().manual_seed(0)
    layers = {
        "feature_extract": (8, 3, 5), "shrink": (4, 8, 1), "map_1": (4, 4, 3), "map_2": (4, 4, 3), "expand": (8, 4, 1),
    }  # fmt: skip
    t: dict[str, Tensor] = {}
    for name, (width, channels, side) in layers.items():
        t[f"{name}.weight"] = torch.randn(width, channels, side, side, generator=generator) / 4
        t[f"{name}.bias"] = torch.randn(width, generator=generator)
    for number, width in enumerate((8, 4, 4, 8), start=1):
        t[f"activation_{number}.weight"] = torch.rand(width, generator=generator)
    t["deconv.weight"], t["deconv.bias"] = torch.randn(8, 3, 9, 9, generator=generator), torch.rand(3)
    safetensors.torch.save_file(t, tmp_path / "net.safetensors")
    lr = torch.rand(1, 3, 8, 10)
    x, activations = lr, {"feature_extract": 1, "shrink": 2, "map_2": 3, "expand": 4}
    for name, (_, _, side) in layers.items():
        x = F.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], padding=side // 2)
        if name in activations:
            x = F.prelu(x, t[f"activation_{activations[name]}.weight"])
    apart = torch.zeros(1, 8, 8 * 3, 10 * 3)  # the transposed convolution as what it is: zeros between the pixels
    apart[..., ::3, ::3] = x
    flipped = t["deconv.weight"].flip(2, 3).transpose(0, 1)
    expected = F.conv2d(apart, flipped, t["deconv.bias"], padding=4)
    model = load_model(tmp_path / "net.safetensors", card={"scale": 3})
    assert (model.descriptor.colour, model.descriptor.luma_range) == ("ycbcr", "studio")
    torch.testing.assert_close(model.net(lr), expected, rtol=1e-5, atol=1e-4)


def test_an_unpadded_net_gives_less_and_is_run_on_a_larger_picture(tmp_path: Path) -> None:
    net, path = written("srcnn-unpadded", tmp_path)
    lr = torch.rand(1, 3, 20, 24)
    assert net(lr).shape == load_model(path).net(lr).shape == (1, 3, 6, 10)
    run = build_net(load_net(path).at(2))
    larger = F.pad(CubicEnlargement(2, 3)(lr), (7, 7, 7, 7), mode="replicate")
    torch.testing.assert_close(run(lr), net(larger))


def test_what_distillation_left_behind_is_ignored_and_a_teacher_refused(tmp_path: Path) -> None:
    _, path = written("pisr-x4", tmp_path)
    state_dict, _ = load_state_dict(path)
    more = {"vid_module_dict.expanding_mean.0.weight": torch.ones(2, 2, 1, 1)}
    with_them = recognise({**state_dict, **more}, SidecarMetadata())
    assert with_them is not None
    assert with_them.descriptor.arch == "pisr"
    teacher = {"backbone.network.encoder.0.0.weight": torch.ones(2, 2, 1, 1)}
    assert recognise({**state_dict, **teacher}, SidecarMetadata()) is None


# What nothing states


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_scale_without_a_card_is_that_which_keeps_a_flat_picture_flat(scale: int, tmp_path: Path) -> None:
    """A net that enlarges by straight lines, as a trained one does at heart."""
    net = FSRCNN(scale, 1, 4, 3, 1)
    state_dict = {key: torch.zeros_like(value) for key, value in net.state_dict().items()}
    for key in ("first_part.0.weight", "mid_part.0.weight", "mid_part.2.weight", "mid_part.4.weight"):
        middle = state_dict[key].shape[2] // 2
        state_dict[key][0, 0, middle, middle] = 1
    ramp = (1 - (torch.arange(9) - 4).abs() / scale).clamp(min=0)
    state_dict["last_part.weight"][0, 0] = ramp[:, None] * ramp
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file(state_dict, path)
    reported: list[str] = []
    assert load_net(path, say=reported.append).descriptor.scales == (scale,)
    assert f"scale {scale}" in reported[0]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("port", ["weights-more/fsrcnn-yjn870", "weights/fsrcnn-ycbcr"])
def test_published_files_without_their_cards_are_known_by_that(port: str, scale: int) -> None:
    path = SHARED / f"{port}-x{scale}.safetensors"
    if not path.is_file():
        pytest.skip("the shared folder with real checkpoints is not here")
    recognised = recognise(load_state_dict(path)[0], SidecarMetadata())
    assert recognised is not None
    assert recognised.descriptor.scales == (scale,)


def test_tensors_without_values_show_no_scale() -> None:
    with torch.device("meta"):
        net = FSRCNN(3, 1, 4, 3, 1)
    assert flattest_scale({"num_channels": 1, "d": 4, "s": 3, "m": 1}, net.state_dict()) == 2


# Recognition


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_only_looks_like_it_is_never_claimed_and_never_fails(name: str, tmp_path: Path) -> None:
    """Each tensor in turn gone, of one number, of one axis, or of other sides."""
    state_dict, _ = load_state_dict(written(name, tmp_path)[1])
    card = SidecarMetadata.read(CASES[name][2])
    assert recognise(state_dict, card) is not None
    for key, value in state_dict.items():
        others = [torch.ones(()), torch.ones(5), torch.ones(1, 1, 2, 2), torch.ones(3, 2, 4, 4, 1)]
        for other in others:
            assert other.shape == value.shape or not _taken(recognise({**state_dict, key: other}, card))
        is_a_shorter_net = key == "residual_layer.2.conv.weight"
        less = {name: kept for name, kept in state_dict.items() if name != key}
        assert _taken(recognise(less, card)) == is_a_shorter_net


def _taken(recognised: Recognised | None) -> bool:
    """Whether a file like that is loaded: recognised, and each tensor has its place."""
    if recognised is None:
        return False
    with torch.device("meta"):
        needed = architecture(recognised.descriptor.arch).net(**recognised.descriptor.config).state_dict()
    return {key: value.shape for key, value in needed.items()} == {
        key: value.shape for key, value in recognised.state_dict.items()
    }


CLASSIC: Final = ("carn", "fsrcnn", "lapsrn", "pisr", "srcnn", "vdsr")


def test_no_file_of_another_system_is_claimed() -> None:
    files = [*SHARED.glob("weights*/*.safetensors"), *SHARED.glob("goldens/*/weights.safetensors")]
    if not files:
        pytest.skip("the shared folder with real checkpoints is not here")
    for path in files:
        recognised = recognise(*load_state_dict(path))
        system = path.parent.name if path.stem == "weights" else path.stem.partition("-")[0]
        if system in CLASSIC:
            assert recognised is not None
            assert recognised.descriptor.arch == system
        else:
            assert recognised is None or recognised.descriptor.arch not in CLASSIC, path


def test_the_table_holds_them() -> None:
    assert set(CLASSIC) <= set(ARCHS)


# Reach, tiles, graphs


@pytest.mark.parametrize("name", CASES)
def test_the_halo_is_the_whole_field(name: str, tmp_path: Path) -> None:
    net = loaded(name, tmp_path)
    found = []
    for scale in scales_of(net):
        facts = net.at(scale).descriptor
        assert facts.exact
        found.append((reach(build_net(net.at(scale)), facts.channels, scale, facts.halo + 2), facts.halo))
    assert all(far <= halo for far, halo in found)
    assert found[-1][0] == found[-1][1]
    assert not net.descriptor.enlarged or all(far == halo for far, halo in found)


def test_the_largest_halo_of_an_enlarged_net_is_that_of_its_least_scale(tmp_path: Path) -> None:
    facts = loaded("srcnn-9-1-5", tmp_path).descriptor
    assert facts.halo == facts.at(2).halo > facts.at(3).halo >= facts.at(4).halo


@pytest.mark.parametrize("name", ["srcnn-unpadded", "vdsr", "fsrcnn-s-x3", "lapsrn-x4", "carn-m"])
def test_tiles_equal_the_whole(name: str, tmp_path: Path, noise: Callable[..., Pixels]) -> None:
    _, path = written(name, tmp_path)
    path.with_suffix(".json").write_text(json.dumps({"scale": 3}))
    picture = noise(67, 83, 3)
    scale = 3 if name == "fsrcnn-s-x3" else 2
    whole = Upscaler(path, tile=256)(picture, scale).astype(int)
    tiled = Upscaler(path, tile=48 if name == "carn-m" else 32)(picture, scale).astype(int)
    assert whole.shape == (67 * scale, 83 * scale, 3)
    assert np.abs(whole - tiled).max() <= 1
    assert whole.std() > 5


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_as_a_graph_it_answers_as_torch_does(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    net = loaded(name, tmp_path)
    for scale in scales_of(net):
        pinned = net.at(scale)
        session = onnxruntime.InferenceSession(onnx_bytes(pinned), providers=["CPUExecutionProvider"])
        lr = torch.rand(2, pinned.descriptor.channels, 13, 17)
        (answer,) = session.run(["sr"], {"lr": lr.numpy()})
        expected = build_net(pinned)(lr).detach().numpy()
        assert answer.shape == expected.shape == (2, pinned.descriptor.channels, 13 * scale, 17 * scale)
        assert np.abs(answer - expected).max() < 1e-4 * (expected.max() - expected.min())


def test_a_pass_of_each_scale_has_its_own_facts(tmp_path: Path) -> None:
    """What is kept of a net on this machine (its graph, its costs) is kept for each scale apart."""
    net = dataclasses.replace(loaded("carn-m", tmp_path), identity="known")
    assert {net.at(scale).identity for scale in (2, 3, 4)} == {"known-x2", "known-x3", "known-x4"}
    pinned = net.at(3)
    assert (pinned.descriptor.scales, pinned.descriptor.inputs, pinned.at(3)) == ((3,), (), pinned)
