"""All that is measured of a clip's frames: by filters of ffmpeg, and how steady they are."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from upscale_cli.evaluation.ffmpeg_metrics import FFmpegMeter, FilterMetric
from upscale_cli.evaluation.steadiness import Steadiness, SteadinessMeter
from upscale_cli.media.video.ffmpeg.closing import Closing

ClipMetric = FilterMetric | Literal["steadiness"]
STEADINESS: Final = "steadiness"
CLIP_METRICS: Final[tuple[ClipMetric, ...]] = (*get_args(FilterMetric), STEADINESS)


def filter_metrics(metrics: Sequence[ClipMetric]) -> list[FilterMetric]:
    """Those of the metrics that ffmpeg measures."""
    return [metric for metric in metrics if metric != STEADINESS]


class ClipMeters(Closing):
    """Takes the frames of a clip as they come, and has the figures at the end; owner of what `FFmpegMeter` runs.

    Args:
        metrics: at least one.
        height, width: of SR and HR, in pixels.
        bits: of a sample of luma: one of `ffmpeg_metrics.DEPTHS`.
        rate: frames per second.

    Raises:
        FFmpegError: ffmpeg fails.
    """

    def __init__(self, metrics: Sequence[ClipMetric], height: int, width: int, *, bits: int, rate: Fraction) -> None:
        filters = filter_metrics(metrics)
        self._steadiness = SteadinessMeter() if STEADINESS in metrics else None
        self._level = 1 << (bits - 8)
        self._filters = FFmpegMeter(filters, height, width, bits=bits, rate=rate) if filters else None

    def add(self, sr: NDArray[Any], hr: NDArray[Any], moves_as: NDArray[Any]) -> None:
        """Luma of the next frame, (height, width).

        Args:
            moves_as: what steadiness takes the motion from, and holds the SR against: the LR, or HR where there is
                none.
        """
        if self._filters is not None:
            self._filters.add(sr, hr)
        if self._steadiness is not None:
            self._steadiness.add(self._in_levels(moves_as), self._in_levels(sr))

    def close(self) -> None:
        if self._filters is not None:
            self._filters.close()

    def values(self) -> Mapping[FilterMetric, Sequence[float]]:
        """Of each frame, by metric; call it once, at the end.

        Raises:
            FFmpegError: ffmpeg has failed.
        """
        return {} if self._filters is None else self._filters.values()

    def steadiness(self) -> Steadiness | None:
        """None where it was not asked for, or no two neighbours can be compared."""
        if self._steadiness is None or not self._steadiness.has_pairs:
            return None
        return self._steadiness.result()

    def _in_levels(self, luma: NDArray[Any]) -> NDArray[Any]:
        """Code values of 8 bits, whatever the depth."""
        return luma if self._level == 1 else luma.astype(np.float32) / self._level
