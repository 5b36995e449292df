"""How well models upscale, measured: pictures in, rows of figures out. Prints nothing.

What is measured is what users get: every SR comes out of `Upscaler`. `evaluate` compares it with HR, `evaluate_blind`
asks of pictures without HR how natural they look. A picture or a model that fails is reported and left out; the rest
goes on.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.evaluation.cases import Case
from upscale_cli.evaluation.contestants import Contestant
from upscale_cli.evaluation.extra import Measure, extra_metrics, levels
from upscale_cli.evaluation.metrics import MS_SSIM_LEAST_SIDE, SSIM_TAPS, crop_border, ms_ssim, psnr, ssim
from upscale_cli.evaluation.niqe import BLOCK, LEAST_BLOCKS, niqe
from upscale_cli.evaluation.reference import (
    Picture,
    Protocol,
    Reference,
    frame_of,
    luma_of,
    planes_of,
    read_picture,
    read_reference,
)
from upscale_cli.evaluation.reporting import attempted
from upscale_cli.evaluation.rows import AS_IT_IS, Metric, Row
from upscale_cli.events import Listener, saying


def evaluate(
    cases: Iterable[Case], models: Sequence[Contestant], protocol: Protocol, listener: Listener
) -> Iterator[Row]:
    """One row per picture and model, in the order of the cases.

    Raises:
        CheckpointError, OptionError: a metric is wanted and cannot be had.
    """
    measure = extra_metrics(protocol.metrics)
    for case in cases:
        source = str(case.path)
        read = functools.partial(read_reference, case, protocol, saying(listener))
        for reference in attempted(read, source, listener):
            for model in models:
                if model.can(reference.frame(), case.scale, listener):
                    compared = functools.partial(_compared, case, reference, model, protocol, measure)
                    yield from attempted(compared, source, listener)


def _compared(case: Case, reference: Reference, model: Contestant, protocol: Protocol, measure: Measure) -> Row:
    sr_frame, seconds = model.upscale(reference.frame(), case.scale)
    border = case.scale if protocol.border is None else protocol.border
    sr, hr = (crop_border(picture, border) for picture in (reference.picture(sr_frame), reference.hr))
    values = compare(sr, hr, in_colour=protocol.channels == "rgb") | measure(sr, hr)
    megapixels = sr_frame.width * sr_frame.height / 1e6
    return Row(case.group, case.scale, model.name, case.path.name, 1, values, seconds, megapixels)


def compare(sr: Picture, hr: Picture, *, in_colour: bool) -> dict[Metric, float | None]:
    """Two pictures of one size, at least 11 pixels a side, borders already cut.

    Args:
        in_colour: PSNR and SSIM of the channels too, all alike; of gray pictures these are those of luma.
    """
    luma_sr, luma_hr = luma_of(sr), luma_of(hr)
    values: dict[Metric, float | None] = {
        "psnr_y": psnr(luma_sr, luma_hr),
        "ssim_y": ssim(luma_sr, luma_hr),
        "ms_ssim_y": ms_ssim(luma_sr, luma_hr) if min(luma_hr.shape) >= MS_SSIM_LEAST_SIDE else None,
    }
    if in_colour:
        values["psnr_rgb"] = psnr(sr, hr)
        values["ssim_rgb"] = float(np.mean([ssim(a, b) for a, b in zip(planes_of(sr), planes_of(hr), strict=True)]))
    return values


def compare_pictures(path: Path, reference: Path, protocol: Protocol, listener: Listener) -> Row:
    """A ready SR picture beside its reference, of one size.

    Raises:
        InputError: unreadable; of two sizes; gray against colour; too small to be measured.
        CheckpointError, OptionError: a metric is wanted and cannot be had.
    """
    measure = extra_metrics(protocol.metrics)
    whole, hr = (read_picture(each, saying(listener)) for each in (path, reference))
    if whole.shape != hr.shape:
        shapes = [f"{width} x {height} pixels, {channels}" for height, width, channels in (whole.shape, hr.shape)]
        raise InputError(
            f"{path}: has {shapes[0]} channels, and {reference} {shapes[1]}. Give pictures of one size and kind."
        )
    border = protocol.border or 0
    if min(hr.shape[:2]) < 2 * border + SSIM_TAPS:
        raise InputError(f"{path}: too small to be measured: SSIM needs {2 * border + SSIM_TAPS} pixels a side.")
    pair = (crop_border(whole, border), crop_border(hr, border))
    values = compare(*pair, in_colour=protocol.channels == "rgb") | measure(*pair)
    return Row("pictures", 1, AS_IT_IS, path.name, 1, values, 0.0, hr.shape[0] * hr.shape[1] / 1e6)


def evaluate_blind(
    cases: Iterable[Case], models: Sequence[Contestant], listener: Listener, extra: Sequence[Metric] = ()
) -> Iterator[Row]:
    """NIQE of each picture as it is, and of what each model makes of it.

    With models, a picture that is too small for NIQE as it is has no such row, for what they make of it is larger.

    Args:
        extra: what to measure besides: metrics that look at one picture alone.
    """
    measure = extra_metrics(extra)
    for case in cases:
        source = str(case.path)
        for lr in attempted(functools.partial(read_picture, case.path, saying(listener)), source, listener):
            if not models or _is_large_enough(lr):
                yield from attempted(functools.partial(_judged, case, AS_IT_IS, lr, 0.0, measure), source, listener)
            for model in models:
                if model.can(frame_of(lr), case.scale, listener):
                    yield from attempted(
                        functools.partial(_upscaled_and_judged, case, model, lr, measure), source, listener
                    )


def _upscaled_and_judged(case: Case, model: Contestant, lr: Picture, measure: Measure) -> Row:
    sr, seconds = model.upscale(frame_of(lr), case.scale)
    return _judged(case, model.name, sr.pixels, seconds, measure)


def _is_large_enough(picture: Picture) -> bool:
    height, width = (int(side) for side in picture.shape[:2])
    return (height // BLOCK) * (width // BLOCK) >= LEAST_BLOCKS


def _judged(case: Case, model: str, picture: Picture, seconds: float, measure: Measure) -> Row:
    luma = levels(picture)
    try:
        value = niqe(luma)
    except ValueError as error:
        raise InputError(f"{case.path}: {error}. Take a larger picture.") from error
    values: dict[Metric, float | None] = {"niqe": value, **measure(picture, picture)}
    return Row(case.group, case.scale, model, case.path.name, 1, values, seconds, luma.size / 1e6)
