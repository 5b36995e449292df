"""Which model a run uses, and where its checkpoints come from. Imports no torch.

A model is what `-m` names, or else the best one on this machine; a checkpoint is looked for on this machine first, then
fetched.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from upscale_cli.events import Fetching, Listener, Note, Say
from upscale_cli.files.names import is_file
from upscale_cli.models import store
from upscale_cli.models.ncnn.files import WEIGHTS_ENDING
from upscale_cli.models.registry import KERNELS, MODELS, Spec, is_known, rows_of, unknown_model
from upscale_cli.models.store import CHECKPOINT_ENDINGS as CHECKPOINT_ENDINGS
from upscale_cli.models.store import Found, Progress, is_offline, locate, quiet
from upscale_cli.models.user_files import user_file, user_files
from upscale_cli.models.zoo import PREFIX, zoo_id
from upscale_cli.models.zoo_kept import cached_index

BEST_HERE: Final = "the best on this machine"
"""Why a model was taken where none was asked for, and no file was there to be looked at."""

CLEAN_CODECS: Final = frozenset({
    "cfhd", "dnxhd", "ffv1", "ffvhuff", "huffyuv", "jpeg2000", "magicyuv", "png", "prores", "qtrle",
    "r210", "rawvideo", "utvideo", "v210", "v308", "v408", "v410",
})  # fmt: skip
"""Of ffmpeg's names: codecs that keep all, or all but nothing, and so leave no blocks behind."""

CLIP_LIMITS: Final[Mapping[str, float | None]] = {
    "h264": 0.16, "hevc": 0.11, "vp9": 0.23, "av1": 0.12, "mpeg4": 1.18, "mpeg2video": None, "mjpeg": None,
}  # fmt: skip
"""By codec (ffmpeg's name): bits per pixel from which on the net for clean clips is the better one; None: never. From
benchmarks/chooser_clips.json."""


class ClipNets(NamedTuple):
    """The nets for moving pictures, one of which is taken where none is asked for.

    Attributes:
        compressed: for what compression has damaged.
        clean: for what has lost little.
    """

    compressed: str
    clean: str


USUAL_CLIP_NETS: Final = ClipNets("sharp-robust", "sharp")
FAST_CLIP_NETS: Final = ClipNets("swift-robust", "swift")
"""Where speed counts: with two thirds of the work."""


def is_checkpoint_path(name: str) -> bool:
    """Whether `-m` gives a file rather than a name: by its ending, or because it has a folder in it."""
    return name.lower().endswith((*CHECKPOINT_ENDINGS, WEIGHTS_ENDING)) or "/" in name or os.sep in name


def checkpoint_path(given: str, *, say: Say = quiet, progress: Progress = quiet) -> Path | None:
    """The file that `-m` means; None where it means a model of the registry, or a kernel.

    A path is one; a name is looked for in the registry, then among the user's files (`user_files`); one of OpenModelDB
    (omdb:ID) is fetched where it is not here.

    Raises:
        UnknownModelError: nothing has that name.
        FetchError: it is OpenModelDB's, and cannot be had.
    """
    id = zoo_id(given)
    if id is not None:
        from upscale_cli.models.zoo_fetch import obtain_zoo  # with it come ssl and http

        return obtain_zoo(id, say=say, progress=progress)
    if is_checkpoint_path(given):
        path = Path(given).expanduser()
        is_bare = given == path.name and not is_file(path)
        found = user_file(given, say=say) if is_bare else None
        return path if found is None else found.path
    if is_known(given):
        return None
    found = user_file(given, say=say)
    if found is None:
        raise unknown_model(given, other_names_here())
    return found.path


def other_names_here() -> list[str]:
    """What `-m` takes in addition to the registry's names: stems of the user's files, and ids of the index, if it is
    here."""
    kept = cached_index()
    return [*(file.stem for file in user_files()), *(PREFIX + id for id in (kept.models if kept else ()))]


def checkpoint_path_reporting(given: str, listener: Listener) -> Path | None:
    """`checkpoint_path`, with what happens on the way reported as events."""

    def arrived(done: int, total: int | None) -> None:
        listener(Fetching(given, done, total))

    return checkpoint_path(given, say=lambda text: listener(Note(text)), progress=arrived)


def best_model(*, say: Say = quiet) -> tuple[str, str]:
    """The model of the highest quality whose checkpoint is on this machine, and why, for the first line."""
    for model, quality in _ranked():
        if quality and any(locate(spec, say=say) for spec in rows_of(model)):
            return model, BEST_HERE
    return next(iter(KERNELS)), "no checkpoint is on this machine"


def better_model() -> str | None:
    """The model that would be taken if it were on this machine, and is not; None where the best of all is here."""
    best = _ranked()[0][0]
    return None if best_model()[0] == best else best


def _ranked() -> list[tuple[str, int]]:
    """Models and their rank, the best first."""
    return sorted({spec.model: spec.quality for spec in MODELS}.items(), key=lambda item: -item[1])


def best_clip_model(
    codec: str, bits_per_pixel: float | None = None, *, lossless: bool = False, hurries: bool = False
) -> tuple[str, str]:
    """The model for moving pictures of a codec (ffmpeg's name), and why.

    Bundled, steady from frame to frame, and fast: of the kind that was made for compressed pictures, unless there are
    bits enough for the net for clean ones (benchmarks/chooser_clips.py has figures).

    Args:
        bits_per_pixel: of the stream, over its whole length; None where unknown.
        lossless: its coding has lost nothing, whatever the codec.
        hurries: speed counts.

    >>> best_clip_model("prores"), best_clip_model("prores", hurries=True)[0]
    (('sharp', 'chosen for prores, which keeps nearly everything'), 'swift')
    >>> best_clip_model("h264", 0.081)
    ('sharp-robust', 'chosen for h264 of 0.08 bits per pixel')
    """
    nets = FAST_CLIP_NETS if hurries else USUAL_CLIP_NETS
    if codec in CLEAN_CODECS or lossless:
        return nets.clean, f"chosen for {codec}, which keeps {'everything' if lossless else 'nearly everything'}"
    if bits_per_pixel is None:
        return nets.compressed, "the usual one for compressed clips"
    limit = CLIP_LIMITS.get(codec)
    is_clean = limit is not None and bits_per_pixel >= limit
    return nets.clean if is_clean else nets.compressed, f"chosen for {codec} of {bits_per_pixel:.2g} bits per pixel"


def available_rows(model: str, *, chosen_for_user: bool, say: Say = quiet) -> Mapping[int, Spec]:
    """The rows of a model that a plan may use, by scale.

    All of them, as a rule: what is missing is fetched. Where nothing may be fetched, or the user asked for nothing
    by name, those that are on this machine, if any is.
    """
    rows = {spec.scale: spec for spec in rows_of(model)}
    if not chosen_for_user and not is_offline():
        return rows
    return {scale: spec for scale, spec in rows.items() if locate(spec, say=say)} or rows


def obtain(spec: Spec, *, say: Say = quiet, progress: Progress = quiet) -> Found:
    """The checkpoint of a registry row: from the search path, else downloaded into the cache folder.

    Raises:
        FetchError: it is not on this machine and could not be downloaded, or something else came in its place.
        CheckpointError: it is bundled, yet not there.
    """
    found = locate(spec, say=say)
    if found is not None:
        return found
    from upscale_cli.models.fetch import fetch  # with it come ssl and http, which nothing else needs at start

    return Found(fetch(spec, store.cache_folder(), progress=progress, say=say), pinned=True)


def obtain_reporting(spec: Spec, listener: Listener) -> Found:
    """`obtain`, with what happens on the way reported as events."""

    def arrived(done: int, total: int | None) -> None:
        listener(Fetching(spec.file, done, total))

    return obtain(spec, say=lambda text: listener(Note(text)), progress=arrived)
