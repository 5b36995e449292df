"""What users write, turned into values; what makes no sense is one line."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.cli.option_values import encoder_arguments, frame_rate, gigabytes, memory_bound, seconds_of
from upscale_cli.errors import OptionError
from upscale_cli.jobs.video_facts import ClipOptions


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        (" 90.5 ", 90.5),
        ("1:30", 90),
        ("1:30.25", 90.25),
        ("01:02:03.5", 3723.5),
        ("100:00:00", 360_000),
        ("0:0:0", 0),
        ("5.", 5),
        ("1:90", 150),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of("--start", text) == seconds


def test_nothing_is_nothing() -> None:
    assert seconds_of("--start", None) is None
    assert frame_rate(None) is None
    assert encoder_arguments([]) == ()
    assert memory_bound(None) is None


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, seconds: int, millis: int) -> None:
    text = f"{hours}:{minutes:02d}:{seconds:02d}.{millis:03d}"
    assert seconds_of("--end", text) == pytest.approx(3600 * hours + 60 * minutes + seconds + millis / 1000)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1e3", "inf", "nan", "ten", "1:2:3:4", "1:", ":1", "1,5", ".5", "1s", "9" * 400, "10000001"],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(OptionError, match=r"^--start '") as caught:
        seconds_of("--start", text)
    assert "Write" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25", Fraction(25)),
        (" 30 ", Fraction(30)),
        ("24000/1001", Fraction(24000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        ("12.5", Fraction(25, 2)),
        ("0.5", Fraction(1, 2)),
        ("1000", Fraction(1000)),
        ("50/2", Fraction(25)),
        ("25.0", Fraction(25)),
    ],
)
def test_frame_rates_are_exact(text: str, rate: Fraction) -> None:
    assert frame_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "0", "0/1", "-25", "25/0", "1001", "1e999999999", "inf", "nan", "PAL", "25:1", "1/-5"]
)
def test_what_is_no_frame_rate(text: str) -> None:
    with pytest.raises(OptionError, match="no frame rate"):
        frame_rate(text)


@pytest.mark.parametrize("seconds", [0.1, 5, 3600])
def test_previews(seconds: float) -> None:
    assert ClipOptions(preview=seconds).preview == seconds


@pytest.mark.parametrize("seconds", [0, 0.09, -5, 3601, float("inf"), float("nan")])
def test_what_is_no_preview(seconds: float) -> None:
    with pytest.raises(OptionError, match="preview="):
        ClipOptions(preview=seconds)


def test_encoder_arguments() -> None:
    assert encoder_arguments(["x264-params=keyint=5:ref=1", "-tune=grain", " g =12", "empty="]) == (
        ("x264-params", "keyint=5:ref=1"),
        ("tune", "grain"),
        ("g", "12"),
        ("empty", ""),
    )


@pytest.mark.parametrize("text", ["", "tune", "=grain", " =1"])
def test_what_is_no_encoder_argument(text: str) -> None:
    with pytest.raises(OptionError, match="KEY=VALUE"):
        encoder_arguments([text])


@pytest.mark.parametrize(
    ("text", "size"),
    [("2G", 2 * 10**9), ("1500m", 15 * 10**8), ("1.5 GB", 15 * 10**8), ("1Gi", 2**30), ("400000000", 4 * 10**8)],
)
def test_bounds_of_memory(text: str, size: int) -> None:
    assert memory_bound(text) == size


@pytest.mark.parametrize("text", ["", "G", "-2G", "2X", "100M", "1e9", "2 G G", "inf"])
def test_what_is_no_bound_of_memory(text: str) -> None:
    with pytest.raises(OptionError, match=r"--max-memory .* is no bound\. Write 2G"):
        memory_bound(text)


@pytest.mark.parametrize(
    ("text", "size"), [("8", 8 * 10**9), ("0.5", 5 * 10**8), ("500M", 5 * 10**8), ("2 TiB", 2**41), ("7B", 7)]
)
def test_sizes_of_the_service_are_gigabytes_where_no_unit_is_given(text: str, size: int) -> None:
    assert gigabytes("--max-upload", text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "2X"])
def test_what_is_no_size_of_the_service(text: str) -> None:
    with pytest.raises(OptionError, match=r"--keep-size .* is no size\. Write gigabytes"):
        gigabytes("--keep-size", text)
