"""From file to file, for Python users."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from upscale_cli.batch import STDIO, Input, Naming, Outputs
from upscale_cli.chain import Target
from upscale_cli.errors import OptionError
from upscale_cli.events import Listener, ignore
from upscale_cli.media.formats import MAX_PIXELS
from upscale_cli.media.image import ImageReader, frames_kept
from upscale_cli.pipeline import FileOptions, Job, run
from upscale_cli.upscaler import Upscaler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upscale_cli.clip import ClipJob, ClipOptions
    from upscale_cli.crews.crew import Crew
    from upscale_cli.events import Event, FolderFinished
    from upscale_cli.frames import SRFrame
    from upscale_cli.media.video.facts import Clip
    from upscale_cli.media.video.once import Once

PLAYER = "player"
"""What the output is called where a player shows it."""


def upscale_file(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    scale: float | None = None,
    *,
    target: Target | None = None,
    model: str | os.PathLike[str] | Upscaler | None = None,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    salvage: bool = False,
    max_memory: int | None = None,
    resume: bool = False,
    pyramid: bool = False,
    listener: Listener = ignore,
    **options: Any,
) -> Path:
    """Upscales a picture file; metadata, profile, depth, alpha, frames and pages are kept as on the command line.

    Args:
        source: the LR picture.
        output: a file, a folder, or a template such as "{stem}_{scale}x{ext}"; None: that name beside the source.
        scale: SR pixels per LR pixel; None: 4, or the model's own.
        target: instead of `scale`, a size.
        model: a name, a checkpoint file, or an `Upscaler` to use again; None: the best on this machine.
        format: such as "png"; None: by the output's name, else the source's.
        quality: 0..100 for lossy formats; None: the format's default.
        overwrite: replace an output that exists; the source is never overwritten.
        max_pixels: refuse larger sources before decoding them.
        salvage: take what decodes of a damaged file.
        max_memory: bytes of host memory that the process may take; beyond it a picture goes through in bands. None:
            what is free.
        resume: such a picture goes on where a killed run stopped.
        pyramid: add ever smaller versions to a TIFF, for viewers of large pictures.
        listener: receives every event (see `upscale_cli.events`).
        options: of `Upscaler`: device, precision, tile, ...

    Returns:
        The path of the output, which is whole.

    Raises:
        UpscaleError: with one line for the user; nothing is left of an output that failed.
    """
    if isinstance(model, Upscaler) and options:
        raise TypeError(f"{', '.join(options)}: say this to the Upscaler that is given as model")
    upscaler = model if isinstance(model, Upscaler) else Upscaler(model, listener=listener, **options)
    wanted = upscaler.target(scale, target)
    given = Input(os.fspath(source))
    naming = Naming(os.fspath(output) if output is not None else None, format, wanted)
    files = FileOptions(
        quality=quality, overwrite=overwrite, max_pixels=max_pixels, salvage=salvage, max_memory=max_memory,
        resume=resume, pyramid=pyramid,
    )  # fmt: skip
    job = prepare(given, upscaler, naming, Outputs([given], overwrite=overwrite), files)
    return Path(run(job, upscaler, listener).output)


def upscale_video(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    scale: float | None = None,
    *,
    target: Target | None = None,
    model: str | os.PathLike[str] | Upscaler | None = None,
    options: "ClipOptions | None" = None,
    listener: Listener = ignore,
    **upscaler_options: Any,
) -> Path:
    """Upscales a clip; sound, subtitles, chapters, timestamps, colours and HDR are kept as on the command line.

    Args:
        source: the LR clip.
        output: a file, a folder, or a template such as "{stem}_{scale}x{ext}"; None: that name beside the source.
        scale: SR pixels per LR pixel; None: 2, or the model's own.
        target: instead of `scale`, a size.
        model: a name, a checkpoint file, or an `Upscaler` to use again; None: ESPCN, of the kind that
            suits the clip's compression.
        options: of `upscale_cli.clip.ClipOptions`: codec, part of the clip, real time, resume, ...
        listener: receives every event (see `upscale_cli.events`).
        upscaler_options: of `Upscaler`: device, precision, tile, ...

    Returns:
        The path of the output, which is whole.

    Raises:
        UpscaleError: with one line for the user.
    """
    from upscale_cli.clip import ClipOptions
    from upscale_cli.video import run_clip

    options = options or ClipOptions()
    given = Input(os.fspath(source), may_be_live=options.live)
    opened = open_source(given, options)
    made = _for_clip(model, opened.clip, options, listener, upscaler_options)
    wanted = None if scale is None and target is None else made.target(scale, target)
    naming = Naming(os.fspath(output) if output is not None else None, None, wanted)
    job = prepare_clip(given, opened, made, naming, Outputs([given], overwrite=options.overwrite), options)
    return Path(run_clip(job, made, listener).output)


def upscale_folder(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    scale: float | None = None,
    *,
    target: Target | None = None,
    model: str | os.PathLike[str] | None = None,
    recursive: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    format: str | None = None,
    overwrite: bool = False,
    skip_existing: bool = True,
    jobs: int | None = None,
    crew: "Crew | None" = None,
    photos: FileOptions | None = None,
    clips: "ClipOptions | None" = None,
    listener: Listener = ignore,
    **options: Any,
) -> "FolderFinished":
    """Upscales the photos and clips of folders, several at a time, as `upscale FOLDER -o OUTPUT` does.

    Args:
        source: a folder, a file, a list (.txt), an s3:// or gs:// prefix; or several of them.
        output: the folder that outputs go to, or a template; None: outputs lie beside their inputs.
        scale: SR pixels per LR pixel; None: 4 for photos and 2 for clips, or the model's own.
        target: instead of `scale`, a size.
        model: a name or a checkpoint file; None: the best on this machine.
        recursive: the folders in a folder, too.
        include, exclude: globs.
        format: such as "png"; None: the input's.
        overwrite: do everything again, and replace outputs that exist.
        skip_existing: pass over what the manifest in `output` knows to be done.
        jobs: pictures in hand at a time; None: by the machine.
        crew: who does the work, such as `upscale_cli.crews.ray_crew.open_ray_crew(address, print)`; it stays open.
        photos, clips: how they are read and written; `overwrite` is as given here.
        listener: receives every event (see `upscale_cli.events`).
        options: of `Upscaler`: device, precision, tile, ...

    Returns:
        How many were done, skipped and failed, and why: a bad file stops nothing.

    Raises:
        UpscaleError: with one line for the user, where it is wrong for all sources.
    """
    from upscale_cli.clip import ClipOptions
    from upscale_cli.events import FolderFinished
    from upscale_cli.runs.folder import FolderRun, Rules
    from upscale_cli.runs.manifest import manifest_folder
    from upscale_cli.runs.run import Run
    from upscale_cli.runs.sources import Choice, check_globs, find_sources

    if scale is not None and target is not None:
        raise OptionError("give either a scale or a target; they exclude each other.")
    names = [os.fspath(source)] if isinstance(source, str | os.PathLike) else [os.fspath(one) for one in source]
    folder = None if output is None else os.fspath(output)
    if folder is not None and "{" not in folder:
        folder = f"{folder.rstrip('/')}/"
    ends: list[FolderFinished] = []

    def listen(event: "Event") -> None:
        if isinstance(event, FolderFinished):
            ends.append(event)
        listener(event)

    run = Run(
        Naming(folder, format, Target(scale=scale) if scale is not None else target),
        replace(photos or FileOptions(), overwrite=overwrite),
        lambda: replace(clips or ClipOptions(), overwrite=overwrite),
        {**options, "listener": listen},
        listen,
        verbose=False,
    )
    choice = Choice(
        recursive=recursive,
        include=check_globs("include", tuple(include)),
        exclude=check_globs("exclude", tuple(exclude)),
        output=None if folder is None else manifest_folder(folder, Input("")),
    )
    rules = Rules(skip_existing=skip_existing and not overwrite, jobs=jobs)
    FolderRun(run, [None if model is None else os.fspath(model)], rules, crew).all(find_sources(names, (), choice))
    return ends[-1]


def upscale_frames(
    source: str | os.PathLike[str],
    scale: float | None = None,
    *,
    target: Target | None = None,
    model: str | os.PathLike[str] | Upscaler | None = None,
    options: "ClipOptions | None" = None,
    listener: Listener = ignore,
    **upscaler_options: Any,
) -> "Iterator[SRFrame]":
    """The upscaled frames of a clip, one after the other, for programs that do something else with them.

    The clip is opened with the first frame, and let go of with the last or when the iterator is closed.

    Args: as `upscale_video`. Of `options` count `decode`, `video_stream` and `max_pixels`.

    Yields:
        `upscale_cli.frames.SRFrame`: planes, time in seconds, and `to_rgb()`.

    Raises:
        UpscaleError: with one line for the user.
    """
    from upscale_cli.clip import DEFAULT_CLIP_SCALE, ClipOptions
    from upscale_cli.frames import sr_frames
    from upscale_cli.media.video.probe import probe

    options = options or ClipOptions()
    clip = probe(source, max_pixels=options.max_pixels)
    made = _for_clip(model, clip, options, listener, upscaler_options)
    if scale is None and target is None:
        scale = made.only_scale or DEFAULT_CLIP_SCALE
    return sr_frames(clip, made, made.target(scale, target), options, listener)


def _for_clip(
    model: str | os.PathLike[str] | Upscaler | None,
    clip: "Clip",
    clip_options: "ClipOptions",
    listener: Listener,
    options: dict[str, Any],
) -> Upscaler:
    from upscale_cli.clip_plan import chosen_streams

    if not isinstance(model, Upscaler):
        codec = chosen_streams(clip, clip_options.video_stream)[0].codec
        return Upscaler(model, listener=listener, clip_codec=codec, **options)
    if options:
        raise TypeError(f"{', '.join(options)}: say this to the Upscaler that is given as model")
    return model


def prepare(given: Input, upscaler: Upscaler, naming: Naming, outputs: Outputs, options: FileOptions) -> Job:
    """What is to be done with one input by one model: the header decides the size, and the size the name.

    Args:
        naming: where outputs go; its target, or else the model's own scale, decides the size.
        outputs: where the output's place is booked.

    Raises:
        InputError: the input cannot be read. OutputError: its place is taken.
    """
    target = upscaler.target(target=naming.target)
    opened = given.open()
    with ImageReader(opened, max_pixels=options.max_pixels, salvage=options.salvage) as reader:
        info = reader.info
    place = naming.place(given, info, target.size_for(info.width, info.height), upscaler.name)
    outputs.promise(given, place.path)
    return Job(
        opened, given.name, place.target(), place.name, place.format, target, options,
        lr_size=(info.width, info.height), frames=frames_kept(place.format, info),
    )  # fmt: skip


class OpenedClip(NamedTuple):
    """What is in a clip, and its bytes where they come once only."""

    clip: "Clip"
    once: "Once | None" = None


def prepare_clip(
    given: Input,
    opened: OpenedClip,
    upscaler: Upscaler,
    naming: Naming,
    outputs: Outputs,
    options: "ClipOptions",
) -> "ClipJob":
    """What is to be done with one clip by one model; see `prepare`. Scale 2, where nothing else is asked for.

    Raises:
        OptionError: output and format contradict each other.
        InputError: the clip cannot be read.
        OutputError: its place is taken, or its ending names no container.
    """
    from upscale_cli.clip import DEFAULT_CLIP_SCALE, ClipJob
    from upscale_cli.clip_plan import chosen_streams
    from upscale_cli.media.video.container import CONTAINERS, container_like, container_named
    from upscale_cli.media.video.live import container_of, is_address

    target = naming.target or Target(scale=upscaler.only_scale or DEFAULT_CLIP_SCALE)
    clip, once = opened
    if options.live and naming.output is not None and is_address(naming.output):
        sent = container_of(naming.output)
        return ClipJob(clip, naming.output, naming.output, sent, target, options, once=once)
    if options.play:
        return ClipJob(clip, None, PLAYER, CONTAINERS["Matroska"], target, options, once=once)
    stream = chosen_streams(clip, options.video_stream)[0]
    size = target.size_for(stream.width, stream.height)
    own, note = (CONTAINERS["Matroska"], None) if given.is_live else container_like(clip)
    ending = given.path.suffix if given.path.suffix.lower() in own.extensions else own.extensions[0]
    if naming.format is not None:
        ending, note = f".{naming.format.lower().removeprefix('.')}", None
    label = "" if options.preview is None else "_preview"
    path = naming.place_clip(given, (stream.width, stream.height), size, upscaler.name, ending, label)
    outputs.promise(given, path, may_exist=options.resume)
    if path is None:
        if naming.format is not None and container_named(naming.format).name != "Matroska":
            raise OptionError(
                f"--format {naming.format}: standard output gets Matroska. Leave it out, or give -o FILE."
            )
        return ClipJob(clip, sys.stdout.buffer, STDIO, CONTAINERS["Matroska"], target, options, once=once)
    container = container_named(path.suffix)
    if naming.format is not None and container_named(naming.format) != container:
        raise OptionError(f"output {path} and --format {naming.format} contradict each other. Leave one of them out.")
    return ClipJob(clip, path, str(path), container, target, options, note if container == own else None, once)


def open_source(given: Input, options: "ClipOptions") -> OpenedClip:
    """Looks into a clip.

    Raises:
        InputError: the clip cannot be read.
    """
    from upscale_cli.media.video.live import open_live, open_stdin
    from upscale_cli.media.video.probe import probe

    if given.is_live:
        return OpenedClip(*open_live(given.name, options.max_pixels))
    if given.is_stdin:
        return OpenedClip(*open_stdin(options.max_pixels))
    return OpenedClip(probe(given.path, max_pixels=options.max_pixels))
