"""Three ways to upscale what a user has, with what each takes on this machine: a fast, a balanced and a best one.

a look  ->  models for it  ->  each tried on a piece  ->  each run on some frames, as the command would  ->  Way
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from upscale_cli.api import upscale_file, upscale_video
from upscale_cli.errors import OptionError
from upscale_cli.events import ClipFinished, Event, Finished, Listener, Note, ignore
from upscale_cli.frames.image import Pixels
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.upscaler import Recipe, Upscaler
from upscale_cli.jobs.chosen_model import choose_clip_model
from upscale_cli.jobs.video_facts import DEFAULT_CLIP_SCALE, ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.messages import option
from upscale_cli.models.registry import MODELS
from upscale_cli.models.resolve import best_model
from upscale_cli.models.suitable import group_of, ranked, suitable_model
from upscale_cli.tuning.look import Looked
from upscale_cli.tuning.trial import Trial, most_detailed, trials

Name = Literal["fast", "balanced", "best"]

RUN_SECONDS: Final = 8.0
"""A way is run for about that long, if a frame takes no longer; else it is reckoned from the trial."""

MOST_FRAMES: Final = 100

LARGEST_SCALE: Final = 16
"""SR pixels for each LR pixel, along an axis: with more, a piece of a picture would take as long as others do whole."""

FAST: Final = ("swift", "sharp", "sharp-robust", "espcn", "espcn-robust")
"""Nets for real time."""

BUNDLED: Final = frozenset(spec.model for spec in MODELS if spec.bundled)
"""The table has all but `swift-robust`, which is for clips: where it takes one, none of the others is better."""

PIECE: Final = 96
"""LR pixels of a side of the pieces on the contact sheet."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to upscale it, and what that takes here.

    Attributes:
        name: "fast", "balanced" or "best".
        model, scale: it takes.
        realtime: it takes the fastest settings for a clip.
        trials: its model by engine and precision.
        fps: frames a second; of a photo, photos.
        seconds: for the whole; None where a clip does not say how long it is.
        frames: that were run for that; 0: it was reckoned from a piece.
    """

    name: Name
    model: str
    scale: float
    realtime: bool
    trials: tuple[Trial, ...]
    fps: float
    seconds: float | None
    frames: int


def check_scale(scale: float | None) -> None:
    """Refuses what cannot be tried.

    Raises:
        OptionError: it is no scale, or above `LARGEST_SCALE`.
    """
    if scale is not None and not scale > 0:
        raise OptionError(f"{option('scale', scale)} is no scale. Choose one above 0.")
    if scale is not None and scale > LARGEST_SCALE:
        raise OptionError(f"{option('scale', scale)}: nothing above {LARGEST_SCALE} is tried. Choose a smaller one.")


def scale_for(looked: Looked, scale: float | None) -> float:
    """The scale that is wanted, or the usual one."""
    return scale or (DEFAULT_CLIP_SCALE if looked.kind == "clip" else 4)


def models_for(looked: Looked, scale: float) -> dict[Name, tuple[str, bool]]:
    """The model of each way, and whether it hurries; of the models that are on this machine.

    Balanced is what a run takes where no model is named; fast the best of the nets for real time by the same table.
    """
    best = best_model()[0]
    if looked.kind == "photo":
        group = group_of(looked.appearance, scale)
        usual = suitable_model(group)
        fast = next(model for model in ranked(group) if model in FAST)
        return {"fast": (fast, False), "balanced": (usual, False), "best": (usual if best in BUNDLED else best, False)}
    usual, hurried = (
        choose_clip_model(looked.codec, looked.bits_per_pixel, lossless=looked.lossless, hurries=hurries).model
        for hurries in (False, True)
    )
    return {"fast": (hurried, True), "balanced": (usual, False), "best": (best, False)}


def ways(looked: Looked, scale: float, options: UpscalerOptions, listener: Listener) -> Iterator[Way]:
    """The ways, the fast one first; what would be the same as the balanced one is left out.

    Raises:
        UpscaleError: as `Upscaler`.
    """
    known: dict[str, tuple[Trial, ...]] = {}
    models = models_for(looked, scale)
    for name, (model, hurries) in models.items():
        if name != "balanced" and (model, hurries) == models["balanced"]:
            continue
        if model not in known:
            if model not in BUNDLED:
                listener(Note(f"{model} is slower than bundled nets: to try it by each engine may take a minute."))
            found = trials(model, scale, options, looked.sample, listener)
            known[model] = tuple(sorted(found, key=lambda trial: -trial.lr_megapixels_per_second))
        yield _way(name, model, hurries, looked, scale, options, known[model])


def _way(
    name: Name, model: str, hurries: bool, looked: Looked, scale: float, options: UpscalerOptions,
    found: tuple[Trial, ...],
) -> Way:  # fmt: skip
    frame = looked.width * looked.height / 1e6
    reckoned = frame / found[0].lr_megapixels_per_second if found else 0.0
    fps, frames = (1 / reckoned if reckoned else 0.0), 0
    if reckoned <= RUN_SECONDS:
        upscaler = Recipe(model, replace(options, hurry=hurries)).make(ignore)
        fps, frames = _run(upscaler, looked, scale, hurries=hurries, reckoned=reckoned)
    total = None if looked.frames is None or not fps else looked.frames / fps
    return Way(name, model, scale, hurries, found, fps, total, frames)


def _run(upscaler: Upscaler, looked: Looked, scale: float, *, hurries: bool, reckoned: float) -> tuple[float, int]:
    """Runs the whole program on some frames; (frames a second, how many it were)."""
    with tempfile.TemporaryDirectory() as folder:
        if looked.kind == "photo":
            return _run_photo(upscaler, looked, scale, folder), 1
        return _run_clip(upscaler, looked, scale, folder, hurries=hurries, reckoned=reckoned)


def _run_photo(upscaler: Upscaler, looked: Looked, scale: float, folder: str) -> float:
    """Photos a second."""
    seen: list[Event] = []
    upscale_file(looked.source, f"{folder}/", scale, model=upscaler, listener=seen.append)
    (done,) = (event for event in seen if isinstance(event, Finished))
    return 1 / max(done.seconds, 1e-6)


def _run_clip(
    upscaler: Upscaler, looked: Looked, scale: float, folder: str, *, hurries: bool, reckoned: float
) -> tuple[float, int]:
    """(frames a second, how many it were), of frames from the middle of the clip."""
    seen: list[Event] = []
    frames = max(2, min(MOST_FRAMES, int(RUN_SECONDS / max(reckoned, 1e-3))))
    known = looked.frames or frames
    start = max(0.0, (known - frames) / 2 / looked.fps) if known > frames else None
    encode = EncodeOptions(realtime=True) if hurries else EncodeOptions()
    how = ClipOptions(
        decode=DecodeOptions(start=start, frames=frames), encode=encode, realtime="file" if hurries else None
    )
    upscale_video(looked.source, f"{folder}/", scale, model=upscaler, options=how, listener=seen.append)
    (made,) = (event for event in seen if isinstance(event, ClipFinished))
    return made.fps, made.frames


def pieces(looked: Looked, found: list[Way], scale: float, options: UpscalerOptions) -> dict[str, Pixels]:
    """The same piece by bicubic and by the model of each way, by what to write above it."""
    piece = most_detailed(looked.sample, PIECE, PIECE)
    made = {"bicubic": Recipe("bicubic", options).make(ignore)(piece, scale)}
    for way in found:
        if way.model not in made:
            made[way.model] = Recipe(way.model, options).make(ignore)(piece, scale)
    return made
