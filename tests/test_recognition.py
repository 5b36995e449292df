"""One architecture, and no other, claims a net of any of them, in whatever configuration; what is none of theirs, none.

An architecture that comes new is tried with the configuration that its net has by default. Where it has none, or others
are worth a try, they go into CONFIGS.
"""

import inspect
import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

from tests.command import Run
from upscale_cli.models.archs import ARCHS
from upscale_cli.models.archs.espcn import Layer
from upscale_cli.models.interface import SCALE_INPUT, Descriptor, SidecarMetadata
from upscale_cli.models.loading import recognise
from upscale_cli.models.plugins import architecture

USRNET: Final = {"n_iter": 8, "h_nc": 64, "in_nc": 4, "out_nc": 3, "nb": 2}
UDVD: Final = {
    "codes": 15, "refinements": 2, "sides": (5, 5), "image": (16, 16, 32), "residual": (16, 16),
}  # fmt: skip

CONFIGS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "rrdbnet": [{"num_block": 6, "num_feat": 32}, {"num_block": 1, "unshuffle": 2}, {"num_block": 1, "unshuffle": 4}],
    "srvgg": [{"num_conv": 16, "num_feat": 24}, {"act_type": "leakyrelu", "upscale": 2}, {"num_conv": 1, "upscale": 3}],
    "espcn": [
        {"scale": 2}, {"scale": 4}, {"scale": 3, "hidden": (Layer(3, 64, 5), Layer(64, 32, 3))},
        {"scale": 3, "hidden": (Layer(1, 64, 5), Layer(64, 64, 3), Layer(64, 32, 3))},
    ],
    "bsrn-s": [{"small": True}, {"small": True, "num_feat": 40, "num_block": 5, "upscale": 2}],
    "bsrn": [{"num_feat": 32, "num_block": 3, "upscale": 2}, {"upscale": 3}],
    "carn": [{"several": False, "scales": (4,)}, {"group": 1}, {"num_feat": 32, "scales": (2, 3)}],
    "fsrcnn": [
        {"scale_factor": 2}, {"scale_factor": 4, "d": 32, "s": 5, "m": 1}, {"scale_factor": 3, "num_channels": 3},
    ],
    "imdn": [{"upscale": 2, "num_modules": 3}, {"num_feat": 32, "upscale": 3}],
    "imdn-rtc": [{"upscale": 4}, {"num_feat": 24, "num_modules": 3}],
    "rfdn": [{"num_feat": 48, "upscale": 2}, {"num_modules": 6}],
    "lapsrn": [{"num_level": 1}, {"num_level": 3, "num_feat": 32, "num_conv": 4}, {"num_channels": 3}],
    "pisr": [{"scale_factor": 2}, {"scale_factor": 4, "d": 32, "s": 5, "m": 2}],
    "srcnn": [{"kernels": (9, 1, 5)}, {"kernels": (9, 3, 5)}, {"num_channels": 3, "widths": (32, 16)}],
    "vdsr": [{"num_block": 3, "num_feat": 16}, {"num_channels": 3}],
    "ebrn": [{"scale": 2, "num_brms": 1, "num_filters": 8}, {"scale": 8, "num_brms": 3, "num_filters": 16}],
    "srfbn": [{"num_features": 32, "num_groups": 3, "upscale_factor": scale} for scale in (2, 3, 8)],
    "msrresnet": [{"upscale": 2}, {"upscale": 3, "nf": 16, "nb": 1}, {"in_nc": 1, "out_nc": 1}],
    "ranksrgan": [{"upscale": 2}, {"upscale": 3, "nf": 16, "nb": 1}, {"in_nc": 1, "out_nc": 1}],
    "johnson": [{"num_feat": 32}],
    "srresnet": [{"upscale": 8, "num_rcb": 5}, {"upscale": 3, "channels": 24}, {"slope": 0.2}, {"upscale": 2}],
    "srgan-leftthomas": [{"scale_factor": 2}, {"scale_factor": 8, "normalised": True}],
    "span": [{"num_feat": 28, "upscale": 2}, {"num_in_ch": 1, "num_feat": 32, "img_range": None}],
    "srmd": [
        {"in_nc": 19, "nc": 128, "nb": 12, "upscale": 4}, {"in_nc": 18, "nc": 128, "nb": 12, "upscale": 2},
        {"in_nc": 17, "nc": 16, "nb": 4, "upscale": 3, "channels": 1},
    ],
    "udvd": [{**UDVD, "nf": 128, "nres": 15, "upscale": 2}, {**UDVD, "nf": 16, "nres": 2, "upscale": 4}],
    "usrnet": [{**USRNET, "nc": (64, 128, 256, 512)}, {**USRNET, "nc": (16, 32, 64, 64), "n_iter": 6, "h_nc": 32}],
    "crossnet": [{"num_feat": 4, "wide": (4, 8, 8, 16, 16, 16, 8, 8, 4, 4, 4, 4), "full": (4, 6)}],
    "srntt": [{"ngf": 64, "n_blocks": 16, "use_weights": True}, {"ngf": 8, "n_blocks": 3, "use_weights": False}],
    "realcugan": [{"scale": scale, "se": se} for scale in (2, 3, 4) for se in (True, False)],
}  # fmt: skip


ASKED_FIRST: Final = {("srvgg", "srvgg", "espcn")}
"""Architecture and all that claim a net of it: without slopes SRVGGNetCompact is a plain row of convolutions, as ESPCN
is under any names. The table has the one whose names they are before the other."""


class SwinBlock(nn.Module):
    """Its names are what counts here."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.qkv = nn.LayerNorm(60), nn.Linear(60, 180)


def row(*layers: nn.Module) -> dict[str, Tensor]:
    return nn.Sequential(*layers).state_dict()


def named(**layers: nn.Module) -> dict[str, Tensor]:
    return nn.ModuleDict({name: layer for name, layer in layers.items()}).state_dict()  # noqa: C416  # a dict of modules


def residual_blocks(number: int) -> nn.Module:
    return nn.Sequential(
        *(nn.ModuleDict({"conv1": nn.Conv2d(64, 64, 3), "conv2": nn.Conv2d(64, 64, 3)}) for _ in range(number))
    )


FOREIGN: Final[Mapping[str, dict[str, Tensor]]] = {
    "EDSR of BasicSR": named(
        conv_first=nn.Conv2d(3, 64, 3), body=residual_blocks(4), conv_after_body=nn.Conv2d(64, 64, 3),
        upsample=nn.Sequential(nn.Conv2d(64, 256, 3)), conv_last=nn.Conv2d(64, 3, 3),
    ),
    "SwinIR": named(
        conv_first=nn.Conv2d(3, 60, 3), layers=nn.Sequential(SwinBlock(), SwinBlock()), norm=nn.LayerNorm(60),
        conv_after_body=nn.Conv2d(60, 60, 3), conv_before_upsample=nn.Sequential(nn.Conv2d(60, 64, 3)),
        upsample=nn.Sequential(nn.Conv2d(64, 256, 3)), conv_last=nn.Conv2d(64, 3, 3),
    ),
    "a discriminator of VGG's kind": named(
        **{f"conv{level}_{half}": nn.Conv2d(8, 8, 3, bias=False) for level in range(4) for half in range(2)},
        linear1=nn.Linear(32, 100), linear2=nn.Linear(100, 1),
    ),
    "the features of VGG19": named(features=nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3))),
    "a classifier": row(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Linear(16, 10)),
    "one convolution": row(nn.Conv2d(3, 12, 3)),
    "numbers without axes": dict.fromkeys(("conv1.weight", "conv_first.weight", "body.0"), torch.zeros(())),
}  # fmt: skip


def configs(arch: str) -> list[dict[str, Any]]:
    """Of nets to try; the one by default first, where there is one."""
    needed = inspect.signature(architecture(arch).net).parameters.values()
    has_default = all(parameter.default is not parameter.empty for parameter in needed) and arch != "bsrn-s"
    found: list[dict[str, Any]] = [{}] * has_default + CONFIGS.get(arch, [])
    assert found, f"{arch} has no configuration by default: CONFIGS needs one"
    return found


def made(arch: str, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state_dict of that net; all zeros, for the shapes are what counts."""
    with torch.device("meta"):
        net = architecture(arch).net(**config)
    return {key: torch.zeros(tensor.shape, dtype=tensor.dtype) for key, tensor in net.state_dict().items()}


def in_a_file(arch: str, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors as a file has them, where those of the net are others."""
    state_dict = made(arch, config)
    if arch == "raisr":
        return {"filters": state_dict["filters"].reshape(24, 3, 3, 4, 121)}
    if arch == "pisr":
        return {_of_the_student(key, config.get("m", 4)): tensor for key, tensor in state_dict.items()}
    state_dict.pop("pca" if arch == "srmd" else "", None)
    return state_dict


def _of_the_student(key: str, m: int) -> str:
    """FSRCNN's layers by PISR's names: convolutions and their slopes in turn."""
    part, *rest = key.split(".")
    if part == "last_part":
        return f"backbone.network.last_layer.0.0.{rest[-1]}"
    if part == "first_part":
        return f"backbone.network.feature_extraction.0.{'.'.join(rest)}"
    layer, half = divmod(int(rest[0]), 2)
    stem = "shrinking.0" if layer == 0 else "expanding.0" if layer == m + 1 else f"mapping.{layer - 1}"
    return f"backbone.network.{stem}.{half}.{rest[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHS)
def test_one_architecture_claims_it(arch: str) -> None:
    """And `models archs`, which sees no checkpoint, names what its nets need beside the picture."""
    needed: set[str] = set()
    for config in configs(arch):
        state_dict = in_a_file(arch, config)
        claims = [name for name in ARCHS if architecture(name).recognise(state_dict, SidecarMetadata()) is not None]
        assert claims == [arch] or (arch, *claims) in ASKED_FIRST, config
        found = recognise(state_dict, SidecarMetadata())
        assert found is not None
        assert found.descriptor.arch == arch
        needed |= named_inputs(found.descriptor)
    assert needed == set(architecture(arch).inputs)


def named_inputs(net: Descriptor) -> set[str]:
    """By what users call them."""
    return {spec.kind.removesuffix("_codes") or spec.name for spec in net.inputs if spec.name != SCALE_INPUT}


@pytest.mark.parametrize("arch", ARCHS)
def test_each_names_its_paper(arch: str) -> None:
    about = architecture(arch)
    assert about.year.isdecimal()
    assert "https://" in about.about


def test_the_list_of_architectures_has_years_and_what_their_nets_need(run: Run) -> None:
    listed = {row["name"]: row for row in map(json.loads, run("models", "archs", "--json").out.splitlines())}
    assert set(listed) == {*ARCHS, "spandrel"}
    assert (listed["srresnet"]["year"], listed["srresnet"]["needs"]) == ("2017", [])
    assert (listed["srmd"]["year"], listed["srmd"]["needs"]) == ("2018", ["kernel", "noise"])
    heading, *lines = run("models", "archs").out.splitlines()
    assert heading.split() == ["architecture", "year", "from", "models", "needs", "about"]
    (shown,) = (line for line in lines if line.startswith("usrnet "))
    assert shown[heading.index("needs") :].startswith("kernel, noise")
    assert shown[heading.index("year") :].startswith("2020")


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_net_of_ours_nobody_claims_or_calls_a_fragment(name: str) -> None:
    for arch in map(architecture, ARCHS):
        assert arch.recognise(FOREIGN[name], SidecarMetadata()) is None, arch.name
        assert arch.lacks is None or arch.lacks(FOREIGN[name]) is None, arch.name


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHS)
def test_nobody_calls_another_one_s_net_a_fragment(arch: str) -> None:
    """It would be refused by that name where an earlier one of the table is asked."""
    state_dict = in_a_file(arch, configs(arch)[0])
    others = [other for other in map(architecture, ARCHS) if other.name != arch and other.lacks is not None]
    assert [other.name for other in others if other.lacks and other.lacks(state_dict) is not None] == []
