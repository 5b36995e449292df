"""Rows of figures: what a model came to on a picture, and the means over several."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Metric = Literal[
    "psnr_y", "ssim_y", "ms_ssim_y", "psnr_rgb", "ssim_rgb", "lpips", "dists", "arniqa", "niqe", "vmaf", "vmaf_neg",
    "xpsnr", "ssim_float",
]  # fmt: skip

AS_IT_IS: Final = "(as it is)"
"""The model's name in rows about what nothing has upscaled."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one model came to on one picture, or on the mean of several.

    Attributes:
        picture: file name; None for a mean.
        pictures: how many the figures are the mean of.
        values: by metric; dB for PSNR (inf for equal pictures), None where there is no such figure.
        seconds: of upscaling alone; 0 where nothing was upscaled.
        megapixels: million SR pixels.
    """

    group: str
    scale: int
    model: str
    picture: str | None
    pictures: int
    values: Mapping[Metric, float | None]
    seconds: float
    megapixels: float

    @property
    def megapixels_per_second(self) -> float | None:
        return self.megapixels / self.seconds if self.seconds else None

    def as_record(self) -> dict[str, Any]:
        """Flat and fit for JSON: a figure that is not there, or that JSON has no number for (inf), is None."""
        facts: dict[str, Any] = {
            "set": self.group, "scale": self.scale, "model": self.model, "picture": self.picture,
            "pictures": self.pictures,
        }  # fmt: skip
        for metric, value in self.values.items():
            facts[metric] = finite(value)
        return {**facts, "seconds": self.seconds, "megapixels_per_second": self.megapixels_per_second}


def finite(value: float | None) -> float | None:
    """A figure for JSON, which has no number for inf and NaN: None for these."""
    return value if value is not None and math.isfinite(value) else None


def means(rows: Iterable[Row]) -> list[Row]:
    """One row per set, scale and model, in order of appearance.

    A metric that one of the pictures lacks has no mean, for it would be one over other pictures than its neighbours.
    """
    groups: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group, row.scale, row.model].append(row)
    return [_mean(group) for group in groups.values()]


def _mean(rows: Sequence[Row]) -> Row:
    def of(figures: Iterable[float | None]) -> float | None:
        known = [figure for figure in figures if figure is not None]
        return sum(known) / len(known) if len(known) == len(rows) else None

    first = rows[0]
    return Row(
        group=first.group, scale=first.scale, model=first.model, picture=None, pictures=len(rows),
        values={metric: of(row.values[metric] for row in rows) for metric in first.values},
        seconds=sum(row.seconds for row in rows) / len(rows),
        megapixels=sum(row.megapixels for row in rows) / len(rows),
    )  # fmt: skip
