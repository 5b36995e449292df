"""`upscale eval` of clips and of ready results: checks of the options, and the runs. Imports no torch before those."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upscale_cli.cli.eval_options import OF_CLIPS, LrGroup, MetricsGroup
from upscale_cli.cli.eval_result import Result
from upscale_cli.errors import OptionError

if TYPE_CHECKING:
    from upscale_cli.evaluation.clip_meters import ClipMetric
    from upscale_cli.evaluation.clips import ClipRow
    from upscale_cli.evaluation.contestants import Contestant
    from upscale_cli.events import Listener

DEFAULT_SCALE: Final = 2

CONVENTION: Final = (
    "luma of {luma}; mean (XPSNR: of the errors' square roots), harmonic mean, worst 1 % of the frames; "
    "no border is cut"
)

STEADY: Final = (
    "steadiness: mean difference of neighbouring frames along the motion of LR, in levels of 8 bits, and its ratio to "
    "bicubic's; less is steadier, and so is blur"
)
STEADY_READY: Final = (
    "steadiness: mean difference of neighbouring frames along the motion of the reference, in levels of 8 bits, and "
    "its ratio to the reference's own"
)


def clips_among(inputs: Sequence[str]) -> list[str]:
    """The inputs, if they are clips; none, if there are none.

    Raises:
        OptionError: some are, and some are not.
    """
    from upscale_cli.jobs.inputs import Input

    clips = [name for name in inputs if not os.path.isdir(name) and Input(name).is_clip]
    others = [name for name in inputs if name not in clips]
    if clips and others:
        raise OptionError(f"{clips[0]} is a clip, and {others[0]} is none. Measure them in two runs.")
    return clips


def check_clips(lr_made: LrGroup, *, no_reference: bool) -> None:
    """Refuses what has no effect on clips.

    Raises:
        OptionError: so it has.
    """
    if no_reference:
        raise OptionError("--no-reference is for pictures: the metrics of clips compare. Leave it out.")
    if given := [*lr_made.making, *lr_made.comparing]:
        raise OptionError(f"{given[0]} is for pictures: LR of clips is made by bicubic alone. Leave it out.")


def check_reference(inputs: Sequence[str], reference: Path, models: Sequence[str], *, others: Sequence[str]) -> None:
    """Refuses what does not go with a ready result.

    Args:
        others: options that are about models or LR.

    Raises:
        OptionError: more than one result, or something that would upscale; a clip beside a picture.
    """
    from upscale_cli.jobs.inputs import Input

    if len(inputs) != 1:
        raise OptionError("--reference is compared with one result. Name one clip or picture.")
    if models or others:
        raise OptionError(
            f"--reference compares what is there, and {['--model', *others][not models]} is about upscaling. "
            "Leave one of them out."
        )
    if Input(inputs[0]).is_clip != Input(os.fspath(reference)).is_clip:
        raise OptionError(f"{inputs[0]} and {reference} are not of one kind. Give two clips, or two pictures.")


def metrics_of_clips(measured: MetricsGroup, listener: "Listener") -> "list[ClipMetric]":
    """What this ffmpeg can measure of what is asked for; all of it where that was left open.

    Raises:
        OptionError: what was asked for by name is missing.
    """
    from upscale_cli.evaluation.clip_meters import CLIP_METRICS, filter_metrics
    from upscale_cli.evaluation.ffmpeg_metrics import check_filters, missing_filters
    from upscale_cli.events import Note
    from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

    ffmpeg = find_ffmpeg()
    asked = measured.of_clips()
    wanted = [metric for metric in CLIP_METRICS if metric in asked] or list(CLIP_METRICS)
    missing = missing_filters(filter_metrics(wanted), ffmpeg)
    if asked:
        check_filters(missing, ffmpeg)
    elif missing:
        names = ", ".join(name for name in OF_CLIPS if OF_CLIPS[name] in missing)
        listener(Note(f"ffmpeg {ffmpeg.version} lacks what measures {names}; left out"))
    return [metric for metric in wanted if metric not in missing]


def measure_clips(
    clips: Sequence[str],
    scales: Sequence[int],
    models: "Callable[[], list[Contestant]]",
    measured: MetricsGroup,
    result: Result,
    listener: "Listener",
) -> None:
    """Each clip at each scale: made small, upscaled by the models, compared."""
    metrics = metrics_of_clips(measured, listener)

    from upscale_cli.evaluation.clips import evaluate_clip

    ready = models()
    for name in clips:
        for scale in scales or [DEFAULT_SCALE]:
            rows = list(evaluate_clip(Path(name), scale, ready, metrics, listener, frames=measured.frames))
            result.add_clips(rows)
            if rows:
                result.say(f"LR by bicubic of each plane; {CONVENTION.format(luma=rows[0].luma)}")
                if "steadiness" in metrics:
                    _say_steadiness(rows[0], STEADY, result, listener)


def measure_ready(
    name: str, reference: Path, lr_made: LrGroup, measured: MetricsGroup, result: Result, listener: "Listener"
) -> None:
    """A result beside its reference: two clips, or two pictures.

    Raises:
        UpscaleError: they cannot be compared.
    """
    from upscale_cli.jobs.inputs import Input

    if Input(name).is_clip:
        check_clips(lr_made, no_reference=False)
        metrics = metrics_of_clips(measured, listener)

        from upscale_cli.evaluation.clips import compare_clips

        row = compare_clips(Path(name), reference, metrics, listener, frames=measured.frames)
        result.add_clips([row])
        result.say(CONVENTION.format(luma=row.luma))
        if "steadiness" in metrics:
            _say_steadiness(row, STEADY_READY, result, listener)
        return
    from upscale_cli.evaluation.evaluate import compare_pictures

    protocol = lr_made.protocol(measured.of_pictures())
    result.add([compare_pictures(Path(name), reference, protocol, listener)])
    border = f"{lr_made.border} pixels of border cut" if lr_made.border else "no border is cut"
    result.say(f"PSNR in dB, luma of BT.601, 16..235, gray as it is; {border}")


def _say_steadiness(row: "ClipRow", convention: str, result: Result, listener: "Listener") -> None:
    """What its figures are, or why there are none."""
    from upscale_cli.events import Note

    if row.steadiness is not None:
        result.say(convention)
    else:
        listener(Note(f"{row.clip}: no two neighbouring frames can be compared; steadiness is left out"))
