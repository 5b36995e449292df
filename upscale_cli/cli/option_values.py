"""What users write on the command line, turned into values. Pure."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from upscale_cli.errors import OptionError

LONGEST: Final = 10_000_000.0
"""Seconds, some four months: a time beyond that is a slip, and ffmpeg would not take it."""

LEAST_MEMORY: Final = 300_000_000
"""Bytes; torch by itself takes nearly as many."""


def seconds_of(option: str, text: str | None) -> float | None:
    """A time: seconds, or [H:]M:S.

    Raises:
        OptionError: neither, or beyond reason.

    >>> seconds_of("--start", "1:02.5"), seconds_of("--start", "90"), seconds_of("--end", "1:00:00")
    (62.5, 90.0, 3600.0)
    """
    if text is None:
        return None
    if not re.fullmatch(r"(?:\d+:)?(?:\d+:)?\d+(?:\.\d*)?", text.strip()):
        raise OptionError(f"{option} {text!r} is no time. Write seconds (90.5) or [H:]M:S (1:30.5).")
    total = 0.0
    for part in text.strip().split(":"):
        total = total * 60 + float(part)
    if total > LONGEST:
        raise OptionError(f"{option} {text!r} is beyond any clip. Write at most {LONGEST:.0f} seconds.")
    return total


def frame_rate(text: str | None) -> Fraction | None:
    """Frames per second, exact.

    Raises:
        OptionError: no positive number, or above 1,000.

    >>> frame_rate("24000/1001"), frame_rate("29.97"), frame_rate("25")
    (Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25, 1))
    """
    if text is None:
        return None
    plain = re.fullmatch(r"\d{1,9}(?:\.\d{0,9}|/\d{1,9})?", text.strip())  # no 1e999999999, which would take for ever
    try:
        rate = Fraction(plain[0]) if plain else Fraction(0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise OptionError(f"--fps {text!r} is no frame rate. Write 25, 29.97 or 24000/1001.")
    ntsc = Fraction(round(rate * 1001 / 1000) * 1000, 1001)  # 23.976, 29.97, 59.94 are short for these
    return ntsc if rate.denominator != 1 and abs(rate - ntsc) < Fraction(1, 200) else rate


def band_numbers(text: str | None) -> tuple[int, ...]:
    """Bands of a TIFF, from 1.

    Raises:
        OptionError: no such list.

    >>> band_numbers("4,3,2"), band_numbers(None)
    ((4, 3, 2), ())
    """
    if text is None:
        return ()
    numbers = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[1-9]\d{0,4}", number) for number in numbers):
        raise OptionError(f"--bands {text!r} is no list of bands. Write their numbers, from 1: --bands 4,3,2.")
    return tuple(map(int, numbers))


def gpus(text: str) -> str:
    """-g: numbers of GPUs, as --device names them.

    Raises:
        OptionError: no such list.

    >>> gpus("0"), gpus("0,2"), gpus("-1"), gpus("all")
    ('cuda:0', 'cuda:0,cuda:2', 'cpu', 'all')
    """
    plain = text.replace(" ", "").lower()
    if plain in ("all", "-1"):
        return {"all": "all", "-1": "cpu"}[plain]
    if not re.fullmatch(r"\d{1,4}(,\d{1,4})*", plain):
        raise OptionError(f"-g {text!r} names no GPUs. Write 0, or 0,1, or all; -1 is the CPU.")
    return ",".join(f"cuda:{number}" for number in plain.split(","))


def memory_bound(text: str | None) -> int | None:
    """--max-memory: bytes, as `byte_size` takes them.

    Raises:
        OptionError: no number, or less than a process takes by itself.

    >>> memory_bound("1.5G")
    1500000000
    """
    if text is None:
        return None
    bound = byte_size(text)
    if bound is None or bound < LEAST_MEMORY:
        least = f"{LEAST_MEMORY // 10**6}M"
        raise OptionError(f"--max-memory {text!r} is no bound. Write 2G or 1500M, and at least {least}.")
    return bound


def gigabytes(name: str, text: str) -> int:
    """An option of `upscale serve`: bytes, as `byte_size` takes them; a number alone counts gigabytes.

    Raises:
        OptionError: no size.

    >>> gigabytes("--max-upload", "8"), gigabytes("--max-upload", "500M")
    (8000000000, 500000000)
    """
    size = byte_size(text, alone="g")
    if size is None:
        raise OptionError(f"{name} {text!r} is no size. Write gigabytes, such as 8, or a unit, such as 500M.")
    return size


def byte_size(text: str, *, alone: str = "") -> int | None:
    """Bytes; K, M, G and T, in any case, stand for powers of 1000, Ki, Mi, Gi and Ti for those of 1024.

    Args:
        alone: the unit of a number that has none; "" for bytes.

    Returns:
        The size, None where it is none.

    >>> byte_size("1.5G"), byte_size("1GiB"), byte_size("2", alone="k"), byte_size("much")
    (1500000000, 1073741824, 2000, None)
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{0,9})?) ?(?:([kmgt])(i?))?(b?)", text.strip().lower())
    if match is None:
        return None
    unit = match[2] or ("" if match[4] else alone)
    return int(float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(unit or " "))


def encoder_arguments(given: list[str]) -> tuple[tuple[str, str], ...]:
    """--encoder-arg K=V, taken apart.

    Raises:
        OptionError: no K, or no =.
    """
    pairs = []
    for text in given:
        key, equals, value = text.partition("=")
        if not (key.strip() and equals):
            raise OptionError(f"--encoder-arg {text!r} is not understood. Write KEY=VALUE.")
        pairs.append((key.strip().removeprefix("-"), value))
    return tuple(pairs)


def conditions(given: Sequence[str]) -> dict[str, str]:
    """`--condition NAME=VALUE`, by name.

    Raises:
        OptionError: it has no name or no value.
    """
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        if not (name.isidentifier() and value):
            raise OptionError(f"--condition {text!r} is not understood. Write NAME=VALUE, such as noise_level=0.2.")
        found[name] = value
    return found
