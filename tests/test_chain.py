"""From a requested size to passes and pixels."""

import itertools
import math
from collections.abc import Iterable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.errors import OptionError
from upscale_cli.inference.sizing import Plan, Target, cheapest_chain, parse_size
from upscale_cli.models.interface import Scale


@pytest.mark.parametrize(
    ("target", "size"),
    [
        (Target(scale=4), (400, 200)),
        (Target(scale=2.5), (250, 125)),
        (Target(scale=0.001), (1, 1)),
        (parse_size("800x600"), (800, 400)),
        (parse_size("800x200"), (400, 200)),
        (parse_size("800x600!"), (800, 600)),
        (parse_size("300"), (300, 150)),
        (parse_size("x300"), (600, 300)),
        (Target(long_side=1000), (1000, 500)),
        (Target(megapixels=0.02), (200, 100)),
    ],
)
def test_the_size_is_exact(target: Target, size: tuple[int, int]) -> None:
    assert target.size_for(100, 50) == size


@pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf, 1e9])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(OptionError, match=r"scale .* out of range.* scale=4"):
        Target(scale=scale)


@pytest.mark.parametrize(
    "text", ["", "x", "0x10", "10x0", "-3x5", "4x5x6", "x300!", "300!", "9" * 5000, "abc", "10.5x3"]
)
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"box=.* is not understood"):
        parse_size(text)


@pytest.mark.parametrize(
    "wrong",
    [{"long_side": 0}, {"long_side": 10**400}, {"megapixels": 0}, {"megapixels": 1e300}, {"megapixels": math.nan}, {}],
)
def test_no_picture_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        Target(**wrong)  # type: ignore[arg-type]


def test_sizes_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="exclude each other"):
        Target(scale=2, long_side=100)


REALESRGAN = {2: 4.483, 4: 17.927}
ESPCN: dict[Scale, float] = {2: 21_184.0, 3: 22_624.0, 4: 24_640.0}


@pytest.mark.parametrize(
    ("costs", "needed", "chain"),
    [
        (REALESRGAN, 4, (4,)),
        (REALESRGAN, 2, (2,)),
        (REALESRGAN, 1, (2,)),
        (REALESRGAN, 0.3, (2,)),
        (REALESRGAN, 3, (4,)),
        (REALESRGAN, 8, (2, 4)),
        (REALESRGAN, 16, (4, 4)),
        (ESPCN, 3, (3,)),
        (ESPCN, 2.5, (3,)),
        ({4: 1.0}, 5, (4, 4)),
    ],
)
def test_the_cheapest_chain(costs: dict[Scale, float], needed: float, chain: tuple[int, ...]) -> None:
    assert cheapest_chain(costs, needed) == chain


def product(chain: Iterable[Scale]) -> float:
    return math.prod(map(float, chain))


@given(st.floats(0.1, 60), st.dictionaries(st.sampled_from([2, 3, 4]), st.floats(0.1, 10), min_size=1))
def test_no_chain_is_cheaper(needed: float, costs: dict[Scale, float]) -> None:
    def cost(chain: tuple[Scale, ...]) -> float:
        return sum(costs[scale] * product(chain[:number]) ** 2 for number, scale in enumerate(chain))

    found = cheapest_chain(costs, needed)
    assert product(found) >= needed
    others = (chain for length in range(1, 7) for chain in itertools.product(costs, repeat=length))
    assert cost(found) <= min(cost(chain) for chain in others if product(chain) >= needed) * (1 + 1e-9)


HALVES: dict[Scale, float] = {Fraction(3, 2): 1.0}


@pytest.mark.parametrize(
    ("costs", "needed", "chain"),
    [
        (HALVES, 1.2, (Fraction(3, 2),)),
        (HALVES, 1.5, (Fraction(3, 2),)),
        (HALVES, 2.25, (Fraction(3, 2), Fraction(3, 2))),
        (HALVES, 2.26, (Fraction(3, 2),) * 3),
        ({Fraction(5, 3): 1.0}, 5 / 3, (Fraction(5, 3),)),
        ({Fraction(16, 5): 1.0}, 3.2, (Fraction(16, 5),)),
        ({Fraction(4, 3): 1.0}, 16 / 9, (Fraction(4, 3), Fraction(4, 3))),
        ({Fraction(3, 2): 1.0, 2: 2.0}, 3, (Fraction(3, 2), 2)),
        ({Fraction(3, 2): 1.0, 2: 3.0}, 3, (2, Fraction(3, 2))),
        ({Fraction(3, 2): 9.0, 2: 1.0}, 3, (2, 2)),
    ],
)
def test_chains_of_fractions_are_exact(costs: dict[Scale, float], needed: float, chain: tuple[Scale, ...]) -> None:
    """A float that is a hair above 5/3 asks for no second pass."""
    assert cheapest_chain(costs, needed) == chain


FRACTIONS: list[Scale] = [Fraction(3, 2), Fraction(4, 3), Fraction(7, 4), 2, 3]


@pytest.mark.slow
@given(st.floats(0.1, 6), st.dictionaries(st.sampled_from(FRACTIONS), st.floats(0.1, 10), min_size=1, max_size=3))
def test_no_chain_with_fractions_is_cheaper(needed: float, costs: dict[Scale, float]) -> None:
    def cost(chain: tuple[Scale, ...]) -> float:
        return sum(costs[scale] * product(chain[:number]) ** 2 for number, scale in enumerate(chain))

    found = cheapest_chain(costs, needed)
    assert product(found) >= needed * (1 - 1e-9)
    others = (chain for length in range(1, 8) for chain in itertools.product(costs, repeat=length))
    assert cost(found) <= min(cost(chain) for chain in others if product(chain) >= needed) * (1 + 1e-9)


def test_a_net_that_keeps_the_size_cannot_enlarge() -> None:
    assert cheapest_chain({1: 1.0}, 1) == (1,)
    with pytest.raises(OptionError, match="keeps the size"):
        cheapest_chain({1: 1.0}, 2)


def test_a_wish_beyond_all_measure_is_reckoned_at_once() -> None:
    assert product(cheapest_chain(ESPCN, 1e9)) >= 1e9


@pytest.mark.parametrize(
    ("passes", "size", "wanted", "is_made"),
    [
        ((2,), (5, 7), (10, 14), True),
        ((2,), (5, 7), (10, 13), False),
        ((Fraction(27, 10),), (33, 45), (89, 122), True),  # 89.1 and 121.5 are made as 90 and 122
        ((Fraction(27, 10),), (33, 45), (90, 121), True),
        ((Fraction(27, 10),), (33, 45), (88, 122), False),
        ((Fraction(27, 10),), (33, 45), (91, 122), False),
        ((4, Fraction(27, 20)), (33, 45), (178, 243), True),
        ((Fraction(27, 10), 2), (33, 45), (178, 243), True),  # made as 180 and 244
        ((), (5, 7), (5, 7), True),
        ((), (5, 7), (5, 8), False),
    ],
)
def test_passes_make_a_picture_or_it_and_a_part_of_a_pixel(
    passes: tuple[Scale, ...], size: tuple[int, int], wanted: tuple[int, int], is_made: bool
) -> None:
    assert Plan(passes, *wanted, "lanczos").is_made(*size) == is_made
