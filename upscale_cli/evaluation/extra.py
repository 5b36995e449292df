"""The metrics of pictures that are measured on demand: by trained nets, by ffmpeg's filters, without a reference."""

from collections.abc import Callable, Sequence

import numpy as np

from upscale_cli.evaluation.ffmpeg_metrics import FILTER_METRICS, LEAST_SIDE, check_filters, of_picture
from upscale_cli.evaluation.metrics import Plane, full_luma, to_8_bit
from upscale_cli.evaluation.niqe import niqe
from upscale_cli.evaluation.perceptual import WEIGHTS, perceptual
from upscale_cli.evaluation.reference import Picture, luma_of
from upscale_cli.evaluation.rows import Metric
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

Measure = Callable[[Picture, Picture], dict[Metric, float | None]]


def extra_metrics(metrics: Sequence[Metric]) -> Measure:
    """What measures SR beside HR by all of them; None for what a picture is too small for.

    Raises:
        OptionError: a package is missing, or this ffmpeg lacks a filter.
        CheckpointError: weights are missing.
    """
    filters = [metric for metric in FILTER_METRICS if metric in metrics]
    if filters:
        check_filters(filters, find_ffmpeg())
    nets = {metric: perceptual(metric) for metric in WEIGHTS if metric in metrics}

    def measure(sr: Picture, hr: Picture) -> dict[Metric, float | None]:
        found: dict[Metric, float | None] = {metric: net(sr, hr) for metric, net in nets.items()}
        if filters and min(hr.shape[:2]) >= LEAST_SIDE:
            luma_sr, luma_hr = (to_8_bit(luma_of(picture)).astype(np.uint8) for picture in (sr, hr))
            found.update(of_picture(luma_sr, luma_hr, filters).items())
        if "niqe" in metrics:
            found["niqe"] = _niqe(sr)
        return {metric: found.get(metric) for metric in metrics}

    return measure


def _niqe(picture: Picture) -> float | None:
    try:
        return niqe(levels(picture))
    except ValueError:  # too small, or flat
        return None


def levels(picture: Picture) -> Plane:
    """What NIQE looks at: luma of 0..255, rounded; gray as it is."""
    return to_8_bit(full_luma(picture)) if picture.shape[2] == 3 else picture[:, :, 0].astype(np.float64)
