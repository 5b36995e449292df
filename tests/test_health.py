"""What half precision spoils is computed once more in fp32; what the net means is believed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from upscale_cli.errors import CheckpointError
from upscale_cli.inference.health import PrecisionFallback, health_of, is_sound, judge
from upscale_cli.models.interface import Precision

NAN, INF = float("nan"), float("inf")
SOUND, BLANK = torch.tensor([0.1, 0.9, 0.5]), torch.tensor([0.5, 0.5, 0.5])
BROKEN = [torch.tensor([NAN, NAN, NAN]), torch.tensor([0.0, INF, INF]), torch.tensor([0.1, 0.9, NAN])]


class Retry:
    """The picture computed again: its health is given, and that it was asked for is noted."""

    def __init__(self, health: Tensor) -> None:
        self._health, self.count = health, 0

    def __call__(self) -> tuple[str, Tensor]:
        self.count += 1
        return "again", self._health


def never(*_: object) -> Any:
    raise AssertionError("this is not to be asked")


def checked(
    fallback: PrecisionFallback,
    health: Tensor,
    again: Callable[[], tuple[str, Tensor]] = never,
    *,
    varies: bool = True,
    precision: Precision = "bf16",
) -> str:
    return fallback.checked("first", health, lambda: varies, again, precision=precision, what="tile")


def test_what_is_sound_is_taken_without_further_questions() -> None:
    fallback = PrecisionFallback("bf16", never)
    assert fallback.checked("first", SOUND, never, never, precision="bf16", what="tile") == "first"
    assert fallback.precision == "bf16"


@pytest.mark.parametrize(("health", "why"), [*((broken, "NaN or Inf") for broken in BROKEN), (BLANK, "a blank tile")])
def test_what_is_spoilt_is_computed_again_and_the_rest_runs_in_fp32(health: Tensor, why: str) -> None:
    reported: list[str] = []
    fallback, again = PrecisionFallback("bf16", reported.append), Retry(SOUND)
    assert checked(fallback, health, again) == "again"
    assert fallback.precision == "fp32"
    assert again.count == 1
    assert reported == [
        f"bf16 is too coarse for this net ({why}): the tile was computed again, and the rest runs in fp32."
    ]


@pytest.mark.parametrize("health", [*BROKEN, BLANK])
def test_what_was_begun_in_half_precision_meanwhile_is_computed_again_but_not_reported_again(health: Tensor) -> None:
    reported: list[str] = []
    fallback = PrecisionFallback("fp16", reported.append)
    assert checked(fallback, health, Retry(SOUND), precision="fp16") == "again"
    assert checked(fallback, health, Retry(SOUND), precision="fp16") == "again"
    assert len(reported) == 1


def test_blank_of_a_blank_input_is_no_reason_to_doubt() -> None:
    assert checked(PrecisionFallback("bf16", never), BLANK, varies=False) == "first"


def test_what_is_blank_in_fp32_too_is_what_the_net_means() -> None:
    fallback, again = PrecisionFallback("bf16", never), Retry(BLANK)
    assert checked(fallback, BLANK, again) == "again"
    assert fallback.precision == "bf16"


@pytest.mark.parametrize("health", BROKEN)
def test_what_is_broken_and_then_blank_has_been_helped(health: Tensor) -> None:
    reported: list[str] = []
    fallback = PrecisionFallback("fp16", reported.append)
    assert checked(fallback, health, Retry(BLANK), precision="fp16") == "again"
    assert fallback.precision == "fp32"
    assert len(reported) == 1


def test_blank_in_fp32_is_accepted_at_once() -> None:
    assert checked(PrecisionFallback("fp32", never), BLANK, precision="fp32") == "first"


@pytest.mark.parametrize("health", BROKEN)
def test_nan_in_fp32_is_an_error_never_a_result(health: Tensor) -> None:
    with pytest.raises(CheckpointError, match="NaN or Inf in full precision"):
        checked(PrecisionFallback("fp32", never), health, precision="fp32")
    fallback = PrecisionFallback("bf16", never)
    with pytest.raises(CheckpointError, match="NaN or Inf in full precision"):
        checked(fallback, BLANK, Retry(health))
    assert fallback.precision == "bf16", "fp32 has not helped"


def test_what_comes_in_the_way_of_the_second_try_is_raised() -> None:
    def fails() -> tuple[str, Tensor]:
        raise MemoryError

    fallback = PrecisionFallback("bf16", never)
    with pytest.raises(MemoryError):
        checked(fallback, BLANK, fails)
    assert fallback.precision == "bf16"


@given(
    st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 6), st.sampled_from([NAN, INF, -INF]),
    st.data(),
)  # fmt: skip
def test_one_value_that_is_none_is_seen_wherever_it_is(
    count: int, channels: int, height: int, width: int, value: float, data: st.DataObject
) -> None:
    sr = torch.linspace(-1, 2, count * channels * height * width).reshape(count, channels, height, width)
    place = data.draw(st.integers(0, sr.numel() - 1))
    sr.view(-1)[place] = value
    spoilt = place // (channels * height * width)
    for number, health in enumerate(health_of(sr)):
        finite, _ = judge(health)
        assert finite == (number != spoilt)


@pytest.mark.parametrize("low", [0.0, 0.3])
def test_a_picture_of_one_value_is_sound_only_where_the_input_has_one(low: float) -> None:
    (health,) = health_of(torch.full((1, 3, 4, 5), 0.3))
    assert judge(health) == (True, True)
    assert is_sound(torch.cat((health, torch.tensor([low, 0.3])))) == (low == 0.3)
    assert not is_sound(torch.cat((BROKEN[0], torch.tensor([low, 0.3]))))
    assert is_sound(torch.cat((SOUND, torch.tensor([low, 0.3]))))
