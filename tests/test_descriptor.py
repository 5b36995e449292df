"""What a net is, as values: scales that are exact, intervals of them, and the facts of every row of the registry."""

import dataclasses
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.nets import loaded
from tests.test_models import name_of, shapes_of, tensors
from upscale_cli.inference.sizing import cheapest_chain
from upscale_cli.models.archs.espcn import ESPCN, Layer
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import (
    MOST_DENOMINATOR,
    MOST_PARTS,
    Descriptor,
    InputSpec,
    Interval,
    Scale,
    SidecarMetadata,
    as_scale,
    scaled,
    scales_named,
)
from upscale_cli.models.loading import load_net, load_spec, recognise
from upscale_cli.models.registry import MODELS, Spec
from upscale_cli.models.store import Found, bundled_folder

SLACK = 1e-6
"""By how much a float may miss a fraction."""

# Scales


@given(st.integers(1, 10**5), st.integers(1, 8), st.integers(1, 64))
def test_a_side_is_rounded_up_exactly(length: int, parts: int, numerator: int) -> None:
    scale = as_scale(Fraction(numerator, parts))
    assert scaled(length, scale) == -(-length * numerator // parts)
    if isinstance(scale, int):
        assert scaled(length, scale) == length * scale


@pytest.mark.parametrize("value", [1, 2, 4, 1.5, 4 / 3, 5 / 3, 0.5, 1.1])
def test_a_float_becomes_the_fraction_that_is_meant(value: float) -> None:
    scale = as_scale(value)
    assert float(scale) == pytest.approx(value, abs=1e-12)
    assert isinstance(scale, int) == (value == int(value))


# Intervals

intervals = st.tuples(st.floats(1, 8), st.floats(1, 8)).map(sorted).map(lambda ends: Interval(ends[0], ends[1] + 1))
"""Wide enough to hold a whole number."""


@given(intervals, st.floats(0.1, 40))
def test_the_nearest_scale_is_within_enough_and_simple(interval: Interval, needed: float) -> None:
    scale = interval.nearest(needed)
    assert interval.least - SLACK <= scale <= interval.most + SLACK
    assert scale.denominator <= MOST_DENOMINATOR
    fractions = {Fraction(n, d) for d in range(1, MOST_DENOMINATOR + 1) for n in range(1, 10 * d)}
    within = [one for one in fractions if interval.least <= one <= interval.most]
    enough = [one for one in within if one >= needed + SLACK]
    if enough:
        assert needed - SLACK <= scale <= min(enough), "the least that is enough"
    elif scale < needed - SLACK:
        assert scale >= max(within) - Fraction(1, 10**6), "the largest, where none is enough"


@pytest.mark.parametrize(
    ("interval", "needed", "scale"),
    [
        (Interval(1, 4), 2, 2),
        (Interval(1, 4), 2.0000000001, 2),
        (Interval(1, 4), 5 / 3, Fraction(5, 3)),
        (Interval(1, 4), 1.3, Fraction(4, 3)),
        (Interval(1, 4), 0.2, 1),
        (Interval(1, 4), 9, 4),
        (Interval(1, 3.99), 9, Fraction(31, 8)),
        (Interval(1.25, 2), 1, Fraction(5, 4)),
        (Interval(0.5, 1), 0.7, Fraction(5, 7)),
        (Interval(2, 2), 3, 2),
        (Interval(1.2000000000000002, 3), 1, Fraction(6, 5)),
    ],
)
def test_nearest(interval: Interval, needed: float, scale: Scale) -> None:
    found = interval.nearest(needed)
    assert found == scale
    assert isinstance(found, int) == (scale.denominator == 1), "whole numbers are ints"


@pytest.mark.parametrize("ends", [(0, 2), (-1, 2), (3, 2), (math.nan, 2)])
def test_what_is_no_interval_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no interval"):
        Interval(*ends)


@given(intervals, st.floats(1, 60))
def test_a_net_of_an_interval_reaches_what_is_needed(interval: Interval, needed: float) -> None:
    """In one pass where it can."""
    net = Descriptor(arch="any", scales=interval, halo=1)
    chain = cheapest_chain(dict.fromkeys(net.steps(needed), 1.0), needed)
    assert math.prod(map(float, chain)) >= needed * (1 - SLACK)
    if needed <= interval.nearest(1e9):
        assert len(chain) == 1


def test_the_last_pass_of_an_interval_makes_up_for_what_the_largest_scale_lacks() -> None:
    """2.0625 is none of its scales: three passes of 2 and one of 3/2 make 12, where 12 / 2.0625 ** 3 would not do."""
    assert Descriptor(arch="any", scales=Interval(1, 2.0625), halo=1).steps(12) == (2, Fraction(3, 2))


@pytest.mark.parametrize(
    ("needed", "steps"),
    [
        (2.7, (Fraction(27, 10),)),
        (1.3, (Fraction(13, 10),)),
        (3.37, (Fraction(337, 100),)),
        (5.4, (4, Fraction(27, 20))),
        (2.0, (2,)),
        (0.7, (1,)),
        (2.7182818, (Fraction(11, 4),)),
        (1080 / 801, (Fraction(120, 89),)),
        (2.333, (Fraction(7, 3),)),
    ],
)
def test_a_net_that_rounds_up_makes_the_scale_itself_where_tiles_can_begin_anywhere_near(
    needed: float, steps: tuple[Scale, ...]
) -> None:
    net = Descriptor(arch="any", scales=Interval(1, 4), halo=1, rounds_up=True)
    assert net.steps(needed) == steps
    assert all(scale.denominator <= MOST_PARTS for scale in steps)


def test_sides_are_multiples_of_what_a_scale_divides_by_unless_a_net_rounds_up() -> None:
    net = Descriptor(arch="any", scales=Interval(1, 4), halo=1, multiple_of=4)
    assert net.side_multiple(Fraction(27, 10)) == 20
    assert dataclasses.replace(net, rounds_up=True).side_multiple(Fraction(27, 10)) == 4


def test_steps_of_a_net_of_some_scales_are_those() -> None:
    assert Descriptor(arch="any", scales=(2, 4), halo=1).steps(3) == (2, 4)
    assert Descriptor(arch="any", scales=(2, 4), halo=1).only_scale is None
    assert Descriptor(arch="any", scales=(Fraction(3, 2),), halo=1).only_scale == Fraction(3, 2)
    assert Descriptor(arch="any", scales=Interval(1, 4), halo=1).only_scale is None


def test_scales_for_people() -> None:
    assert scales_named((Fraction(3, 2), 2)) == "x1.5, x2"
    assert scales_named(Interval(1, 2.5)) == "x1 to x2.5"


@pytest.mark.parametrize("facts", [{"name": "no name"}, {"name": "map", "tiled": True}])
def test_an_input_that_cannot_be_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(facts["name"])):
        InputSpec(**facts)  # type: ignore[arg-type]


# What our nets are

HALOS = {
    "RealESRGAN_x4plus": 40, "RealESRGAN_x2plus": 80, "RealESRNet_x4plus": 40, "RealESRGAN_x4plus_anime_6B": 32,
    "realesr-general-x4v3": 34, "realesr-general-wdn-x4v3": 34, "realesr-animevideov3": 18, "photo-lite-x4": 14,
    "photo-lite-crisp-x4": 14,
    **{f"swift{kind}-x{scale}": 7 for kind in ("", "-robust") for scale in (2, 3, 4)},
    **{f"sharp{kind}-x{scale}": 10 for kind in ("", "-robust") for scale in (2, 3, 4)},
}  # fmt: skip
"""LR pixels; of RRDBNet as measured (benchmarks/halo.py); of exact nets by hand: one for each 3x3 convolution. Every
ESPCN has 4: 2 + 1 + 1."""


@pytest.mark.slow
@pytest.mark.parametrize("spec", MODELS, ids=name_of)
def test_every_row_is_described_as_it_is(spec: Spec) -> None:
    recognised = recognise(tensors(shapes_of(spec)), SidecarMetadata())
    assert recognised is not None
    net = recognised.descriptor
    is_rrdb, unshuffle = spec.arch == "rrdbnet", 2 if spec.stem == "RealESRGAN_x2plus" else 1
    assert net == Descriptor(
        arch=spec.arch, config=net.config, scales=(spec.scale,), channels=3 if spec.channels == "rgb" else 1,
        colour=spec.channels, luma_range="full", halo=HALOS.get(spec.stem, 4), exact=not is_rrdb,
        multiple_of=unshuffle, least_side=1, sees_whole=False, precisions=frozenset({"fp32", "fp16"}), inputs=(),
        sensitive=frozenset({"first", "last", "sums"} if is_rrdb else ()),
        variant="",
    )  # fmt: skip
    assert net.name == spec.arch
    assert net.only_scale == spec.scale


@pytest.mark.parametrize("spec", [spec for spec in MODELS if spec.bundled], ids=name_of)
def test_bundled_files_tell_everything(spec: Spec) -> None:
    path = bundled_folder() / spec.file
    by_row, by_path = load_spec(spec, Found(path, pinned=True)), load_net(path, say=pytest.fail)
    assert by_row.descriptor == by_path.descriptor
    assert by_row.descriptor.luma_range == "full"
    if spec.arch == "espcn":
        assert by_row.descriptor.config["activation"] == "relu"


@pytest.mark.parametrize(
    ("module", "facts", "expected"),
    [
        (ESPCN(3, hidden=(Layer(3, 8, 9), Layer(8, 8, 1))), {}, ("ycbcr", "studio", 3, 5)),
        (ESPCN(3, hidden=(Layer(3, 8, 9), Layer(8, 8, 1))), {"colour": "rgb"}, ("rgb", "full", 3, 5)),
        (ESPCN(2), {"luma_range": "studio"}, ("luma", "studio", 1, 4)),
        (SRVGGNetCompact(num_in_ch=1, num_feat=4, num_conv=2), {}, ("luma", "full", 1, 4)),
        (RRDBNet(num_in_ch=1, num_feat=4, num_block=1, num_grow_ch=4, unshuffle=4), {}, ("luma", "full", 1, 128)),
    ],
    ids=["YCbCr", "RGB by its metadata", "studio by its metadata", "gray srvgg", "gray rrdbnet"],
)
def test_colours_and_halos_of_other_nets(
    module: torch.nn.Module, facts: dict[str, object], expected: tuple[object, ...]
) -> None:
    net = loaded(module, **facts).descriptor
    assert (net.colour, net.luma_range, net.channels, net.halo) == expected


def test_a_descriptor_is_written_without_torch(tmp_path: Path) -> None:
    """What only wants to know what a net is need not wait for it."""
    code = "import sys, upscale_cli.models.interface, upscale_cli.models.registry; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
