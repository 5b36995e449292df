"""How well clips are upscaled, measured: a row of figures for each model, or of a ready clip beside its reference.

HR frame  ->  LR frame  ->  SR frame  ->  luma  ->  meters
     `------------------------------->  luma  ----'

What is measured of them is in `clip_meters`.
"""

import functools
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.evaluation.clip_meters import ClipMeters, ClipMetric
from upscale_cli.evaluation.contestants import Contestant
from upscale_cli.evaluation.ffmpeg_metrics import LEAST_SIDE, FilterMetric
from upscale_cli.evaluation.luma import FrameShrinker, Look, LumaOf, common_bits
from upscale_cli.evaluation.pooling import Pooling, pooled
from upscale_cli.evaluation.reporting import attempted
from upscale_cli.evaluation.rows import AS_IT_IS, finite
from upscale_cli.evaluation.steadiness import Steadiness
from upscale_cli.events import Listener, saying
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.media.video.colour import complete
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.media.video.nearest_format import nearest_format
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.reader import VideoReader
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.media.video.streams import Clip, VideoStream
from upscale_cli.messages import option
from upscale_cli.text import counted

POOLINGS: Final[tuple[Pooling, ...]] = ("mean", "harmonic", "worst")


@dataclass(frozen=True, slots=True)
class ClipRow:
    """What one model came to on one clip.

    Attributes:
        scale: 1 for a clip that is compared as it is.
        times: when each frame is shown, in seconds from the first.
        values: of each frame, by metric.
        steadiness: beside bicubic's, or the reference's of a ready clip; None where it was not asked for, or no two
            neighbours can be compared.
        seconds: of upscaling alone.
        luma: what was compared, in words: "8 bits, bt709, tv".
    """

    clip: str
    scale: int
    model: str
    times: Sequence[Fraction]
    values: Mapping[FilterMetric, Sequence[float]]
    steadiness: Steadiness | None
    seconds: float
    luma: str

    @property
    def frames(self) -> int:
        return len(self.times)

    @property
    def frames_per_second(self) -> float | None:
        return self.frames / self.seconds if self.seconds else None

    def pooled(self, metric: FilterMetric, pooling: Pooling) -> float:
        return pooled(self.values[metric], pooling, in_decibels=metric == "xpsnr")


@dataclass(frozen=True, slots=True)
class Side:
    """A clip that is read: the stream that a player shows."""

    clip: Clip
    stream: VideoStream
    look: Look

    def open(self, frames: int | None, listener: Listener) -> VideoReader:
        """Its frames, from the first one on."""
        return VideoReader(
            self.clip, self.stream, self.look.format, find_ffmpeg(), options=DecodeOptions(frames=frames),
            say=saying(listener),
        )  # fmt: skip


def open_side(path: Path) -> Side:
    """Probes a clip.

    Raises:
        InputError: it cannot be read.
    """
    clip = probe(path)
    stream = clip.stream(clip.main)
    format, _ = nearest_format(stream.pixel_format)
    tags, _ = complete(stream.tags, stream.width, stream.height, format)
    return Side(clip, stream, Look(format, stream.width, stream.height, tags))


# Models


def evaluate_clip(
    path: Path,
    scale: int,
    models: Sequence[Contestant],
    metrics: Sequence[ClipMetric],
    listener: Listener,
    *,
    frames: int | None = None,
) -> Iterator[ClipRow]:
    """HR made small, upscaled by each model, and compared: a row each. What fails is reported, and the rest goes on.

    Args:
        path: of HR.
        frames: so many of its first ones; None: all.
    """
    for side, shrinker in attempted(lambda: _opened(path, scale), str(path), listener):
        for model in models:
            measured = functools.partial(_measured, side, shrinker, scale, model, metrics, frames, listener)
            yield from attempted(measured, f"{path}, {model.name}", listener)


def _opened(path: Path, scale: int) -> tuple[Side, FrameShrinker]:
    side = open_side(path)
    shrinker = FrameShrinker(side.look, scale)
    _check_large_enough(side, shrinker.width, shrinker.height)
    return side, shrinker


def _check_large_enough(side: Side, width: int, height: int) -> None:
    if min(width, height) < LEAST_SIDE:
        raise InputError(
            f"{side.clip.name}: {side.look.width} x {side.look.height} pixels are too few: the metrics of clips need "
            f"{LEAST_SIDE} a side. Take a larger clip."
        )


def _measured(
    side: Side,
    shrinker: FrameShrinker,
    scale: int,
    model: Contestant,
    metrics: Sequence[ClipMetric],
    frames: int | None,
    listener: Listener,
) -> ClipRow:
    look, lr, say = side.look, shrinker.lr, saying(listener)
    bits = common_bits(look)
    pipeline = VideoUpscaler(
        model.upscaler, lr.format, lr.width, lr.height, lr.tags, Target(scale=scale), reuse=False, say=say
    )
    if (pipeline.sr_width, pipeline.sr_height) != (shrinker.width, shrinker.height):
        raise InputError(f"{side.clip.name}: {model.name} makes no x{scale} of it. Choose another {option('scale')}.")
    cropped = Look(look.format, shrinker.width, shrinker.height, look.tags)
    luma_hr, luma_sr, luma_lr = (LumaOf(one, look, bits) for one in (look, cropped, lr))
    times: list[Fraction] = []
    seconds = 0.0
    with ExitStack() as stack:
        reader = stack.enter_context(side.open(frames, listener))
        meters = stack.enter_context(
            ClipMeters(metrics, shrinker.height, shrinker.width, bits=bits, rate=side.stream.rate)
        )
        for frame in reader:
            small = shrinker(frame.samples)
            if not times:  # loading the net is not in the seconds
                pipeline.collect(pipeline.submit(small))
            begin = time.perf_counter()
            made = pipeline.collect(pipeline.submit(small))
            seconds += time.perf_counter() - begin
            hr = luma_hr(frame.samples)[: shrinker.height, : shrinker.width]
            meters.add(luma_sr(made), hr, luma_lr(small))
            times.append(frame.pts * reader.time_base)
        if damage := reader.damage():
            say(f"{side.clip.name}: {damage}")
        return ClipRow(
            side.clip.name, scale, model.name, _from_first(times), meters.values(), meters.steadiness(), seconds,
            described(look, bits),
        )  # fmt: skip


# A ready clip


def compare_clips(
    path: Path, reference: Path, metrics: Sequence[ClipMetric], listener: Listener, *, frames: int | None = None
) -> ClipRow:
    """A clip beside its reference, which has the same frames at the same times.

    Luma of both is brought to the reference's matrix and range, and to the greater depth, before it is compared.

    Raises:
        InputError: one of them cannot be read, or they do not fit.
    """
    sr, hr = open_side(path), open_side(reference)
    check_fit(sr, hr)
    _check_large_enough(sr, sr.look.width, sr.look.height)
    bits = common_bits(sr.look, hr.look)
    luma_sr, luma_hr = LumaOf(sr.look, hr.look, bits), LumaOf(hr.look, hr.look, bits)
    times = []
    with ExitStack() as stack:
        readers = [stack.enter_context(side.open(frames, listener)) for side in (sr, hr)]
        meters = stack.enter_context(ClipMeters(metrics, hr.look.height, hr.look.width, bits=bits, rate=hr.stream.rate))
        for of_sr, of_hr, when in paired((sr, hr), readers):
            luma = luma_hr(of_hr)
            meters.add(luma_sr(of_sr), luma, luma)
            times.append(when)
        for side, reader in zip((sr, hr), readers, strict=True):
            if damage := reader.damage():
                saying(listener)(f"{side.clip.name}: {damage}")
        return ClipRow(
            sr.clip.name, 1, AS_IT_IS, times, meters.values(), meters.steadiness(), 0.0, described(hr.look, bits)
        )


def check_fit(sr: Side, hr: Side) -> None:
    """Refuses clips that cannot be compared sample by sample.

    Raises:
        InputError: of other sizes; or one is HDR and the other is not.
    """
    sizes = [f"{side.look.width} x {side.look.height}" for side in (sr, hr)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{sr.clip.name}: has {sizes[0]} pixels, and its reference {hr.clip.name} {sizes[1]}. Give clips of one "
            f"size; to measure a model, name {hr.clip.name} without {option('reference')}."
        )
    transfers = [str(side.look.tags.transfer) for side in (sr, hr)]
    if any(side.look.tags.is_hdr for side in (sr, hr)) and transfers[0] != transfers[1]:
        raise InputError(
            f"{sr.clip.name}: its transfer function is {transfers[0]}, and that of {hr.clip.name} {transfers[1]}: "
            "equal light has other values. Give both as HDR of one kind, or both as SDR."
        )


def paired(
    sides: Sequence[Side], readers: Sequence[VideoReader]
) -> Iterator[tuple[NDArray[Any], NDArray[Any], Fraction]]:
    """Samples of both, and when they are shown, in seconds from the first frame.

    Times may differ by what both containers round them to, and by no more than a quarter of a frame.

    Raises:
        InputError: a frame is shown at another time, or one of them has fewer frames.
    """
    sr, hr = (side.clip.name for side in sides)
    bases = [reader.time_base for reader in readers]
    allowed = min(sum(bases), 1 / (4 * readers[1].rate))
    starts: list[Fraction] = []
    for number, pair in enumerate(itertools.zip_longest(*readers), start=1):
        if None in pair:
            short, long = (sr, hr) if pair[0] is None else (hr, sr)
            raise InputError(
                f"{short}: has {counted(number - 1, 'frame')}, and {long} has more. Give clips with the same frames."
            )
        times = [frame.pts * base for frame, base in zip(pair, bases, strict=True)]
        starts = starts or times
        shown = [time - start for time, start in zip(times, starts, strict=True)]
        if abs(shown[0] - shown[1]) > allowed:
            raise InputError(
                f"{sr}: frame {number} is shown after {float(shown[0]):.4f} s, that of {hr} after "
                f"{float(shown[1]):.4f} s. Give clips with the same frames at the same times."
            )
        yield pair[0].samples, pair[1].samples, shown[1]


def described(look: Look, bits: int) -> str:
    """What is compared, in words."""
    return f"{bits} bits, {look.matrix}, {look.range}"


def _from_first(times: Sequence[Fraction]) -> list[Fraction]:
    return [time - times[0] for time in times]


def as_record(row: ClipRow) -> dict[str, Any]:
    """Flat and fit for JSON; inf is None."""
    facts: dict[str, Any] = {
        "clip": row.clip, "scale": row.scale, "model": row.model, "frames": row.frames, "luma": row.luma,
    }  # fmt: skip
    for metric in row.values:
        for pooling in POOLINGS:
            name = metric if pooling == "mean" else f"{metric}_{pooling}"
            facts[name] = finite(row.pooled(metric, pooling))
    if row.steadiness is not None:
        facts |= {"steadiness": row.steadiness.difference, "steadiness_ratio": finite(row.steadiness.ratio)}
    return {**facts, "seconds": row.seconds, "frames_per_second": row.frames_per_second}


def frame_records(row: ClipRow) -> Iterator[dict[str, Any]]:
    """One for each frame."""
    for number, when in enumerate(row.times):
        facts = {"clip": row.clip, "scale": row.scale, "model": row.model, "frame": number + 1, "time": float(when)}
        yield facts | {metric: finite(values[number]) for metric, values in row.values.items()}
