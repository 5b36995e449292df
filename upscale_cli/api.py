"""From file to file, for Python users."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from upscale_cli.events import Listener, Note, ignore, saying
from upscale_cli.inference.model import DEFAULT_SCALE
from upscale_cli.inference.options import UpscalerKeywords, UpscalerOptions
from upscale_cli.inference.sizing import Target, chosen_target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.chosen_model import choose_model
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.prepare import prepare_photo
from upscale_cli.media.image.formats import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upscale_cli.compare.page import Compared
    from upscale_cli.evaluation.rows import Row
    from upscale_cli.events import Event, FolderFinished
    from upscale_cli.executors.executor import Executor
    from upscale_cli.jobs.expected import FilePlan
    from upscale_cli.jobs.job import Job
    from upscale_cli.jobs.video_facts import ClipOptions
    from upscale_cli.jobs.video_frames import SRFrame
    from upscale_cli.media.video.streams import Clip


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
    bands: tuple[int, ...] = (),
    only_below: int | None = None,
    yes: bool = False,
    listener: Listener = ignore,
    **options: Unpack[UpscalerKeywords],
) -> Path:
    """Upscales a picture file; metadata, profile, depth, alpha, frames and pages are kept as on the command line.

    Args:
        source: the LR picture.
        output: a file, a folder, or a template such as "{stem}_{scale}x{ext}"; None: that name next to the source.
        scale: SR pixels per LR pixel; None: 4, or the model's own.
        target: instead of `scale`, a size.
        model: a name, a checkpoint file, or an `Upscaler` to use again; None: what suits the picture by a look at it.
        format: such as "png"; None: by the output's name, else the source's.
        quality: 0..100 for lossy formats; None: the format's default.
        overwrite: replace an output that exists; the source is never overwritten.
        max_pixels: refuse larger sources before decoding them.
        salvage: take what decodes of a damaged file.
        max_memory: bytes of host memory that the process may take; beyond it a picture goes through in bands. None:
            what is free.
        resume: such a picture goes on where a killed run stopped.
        pyramid: add ever smaller versions to a TIFF, for viewers of large pictures.
        bands: of a TIFF, counted from 1 and in this order; (): all. Three are a colour picture, others gray ones.
        only_below: leave alone what has a shorter side of so many pixels or more.
        yes: begin what is expected to take more than 8 hours, or makes more than 20 gigapixels.
        listener: receives every event (see `upscale_cli.events`).
        options: of `Upscaler`: device, precision, tile, ...

    Returns:
        The path of the output, which is whole.

    Raises:
        UpscaleError: with one line for the user; nothing is left of an output that failed.
        LeftAlone: the picture is large enough by `only_below`, and nothing was made.
    """
    how, why = _how(model, options), ""
    given = Input(os.fspath(source))
    files = PhotoOptions(
        quality=quality, overwrite=overwrite, max_pixels=max_pixels, salvage=salvage, max_memory=max_memory,
        resume=resume, pyramid=pyramid, bands=tuple(bands), only_below=only_below, yes=yes,
    )  # fmt: skip
    if model is None:
        wanted = None if scale is None and target is None else chosen_target(scale, target)
        choice = choose_model(given, files, how, wanted, say=saying(listener))
        model, why = choice.model, choice.why
        listener(choice.event(given.name))
    upscaler = model if isinstance(model, Upscaler) else Upscaler(model, listener=listener, **how.keywords)
    naming = Naming(None if output is None else os.fspath(output), format, upscaler.target(scale, target))
    job = prepare_photo(given, upscaler, naming, Outputs([given], overwrite=overwrite), files, why)
    _before(job, how, upscaler, listener)
    job.run(upscaler, listener)
    return Path(job.output_name)


def upscale_video(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    scale: float | None = None,
    *,
    target: Target | None = None,
    model: str | os.PathLike[str] | Upscaler | None = None,
    options: "ClipOptions | None" = None,
    listener: Listener = ignore,
    **upscaler_options: Unpack[UpscalerKeywords],
) -> Path:
    """Upscales a clip; sound, subtitles, chapters, timestamps, colours and HDR are kept as on the command line.

    Args:
        source: the LR clip.
        output: a file, a folder, or a template such as "{stem}_{scale}x{ext}"; None: that name next to the source.
        scale: SR pixels per LR pixel; None: 2, or the model's own.
        target: instead of `scale`, a size.
        model: a name, a checkpoint file, or an `Upscaler` to use again; None: the bundled one that
            suits the clip's compression.
        options: of `upscale_cli.jobs.video_facts.ClipOptions`: codec, part of the clip, real time, resume, ...
        listener: receives every event (see `upscale_cli.events`).
        upscaler_options: of `Upscaler`: device, precision, tile, ...

    Returns:
        The path of the output, which is whole.

    Raises:
        UpscaleError: with one line for the user.
    """
    from upscale_cli.jobs.checks import check_live
    from upscale_cli.jobs.prepare_video import open_clip, prepare_video
    from upscale_cli.jobs.video_facts import ClipOptions

    how, options = _how(model, upscaler_options), options or ClipOptions()
    given = Input(os.fspath(source), may_be_live=options.live)
    place = None if output is None else os.fspath(output)
    check_live([given], place, 1, play=options.play, live=options.live)
    opened = open_clip(given, options)
    made, why = _for_clip(model, opened.clip, given.name, options, listener, how)
    wanted = None if scale is None and target is None else made.target(scale, target)
    naming = Naming(place, None, wanted)
    job = prepare_video(given, opened, made, naming, Outputs([given], overwrite=options.overwrite), options)
    job = replace(job, why=why)
    _before(job, how, made, listener)
    job.run(made, listener)
    return Path(job.output_name)


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
    dry_run: bool = False,
    jobs: int | None = None,
    executor: "Executor | None" = None,
    photos: PhotoOptions | None = None,
    clips: "ClipOptions | None" = None,
    listener: Listener = ignore,
    **options: Unpack[UpscalerKeywords],
) -> "FolderFinished":
    """Upscales the photos and clips of folders, several at a time, as `upscale FOLDER -o OUTPUT` does.

    Args:
        source: a folder, a file, a list (.txt), an s3:// or gs:// prefix; or several of them.
        output: the folder that outputs go to, or a template; None: outputs lie next to their inputs.
        scale: SR pixels per LR pixel; None: 4 for photos and 2 for clips, or the model's own.
        target: instead of `scale`, a size.
        model: a name or a checkpoint file; None: what suits each file by a look at it.
        recursive: the folders in a folder, too.
        include, exclude: globs.
        format: such as "png"; None: the input's.
        overwrite: do everything again, and replace outputs that exist.
        skip_existing: skip what is done by the manifest in `output`.
        dry_run: do nothing; the listener gets a `Planned` for each source instead.
        jobs: pictures in progress at a time; None: by the machine.
        executor: runs the jobs, such as what `executors.ray.executor.open_ray_executor(address, print)` gives; it stays
            open.
        photos, clips: how they are read and written; `overwrite` is as given here.
        listener: receives every event (see `upscale_cli.events`).
        options: of `Upscaler`: device, precision, tile, ...

    Returns:
        How many were done, skipped and failed, and why: a bad file stops nothing.

    Raises:
        UpscaleError: with one line for the user, where it is wrong for all sources.
    """
    from upscale_cli.batch.discovery import find_sources
    from upscale_cli.batch.folder import FolderRun
    from upscale_cli.batch.options import BatchOptions, jobs_within
    from upscale_cli.events import FolderFinished
    from upscale_cli.jobs.checks import check_objects
    from upscale_cli.jobs.plan import Planner
    from upscale_cli.jobs.unused_options import given_for_clips
    from upscale_cli.jobs.video_facts import ClipOptions

    how, photos, clips = UpscalerOptions(**options), photos or PhotoOptions(), clips or ClipOptions()
    wanted = None if scale is None and target is None else chosen_target(scale, target)
    batch = BatchOptions(
        recursive=recursive, include=tuple(include), exclude=tuple(exclude), overwrite=overwrite,
        skip_existing=skip_existing and not overwrite, dry_run=dry_run,
        jobs=jobs_within(jobs, is_bounded=executor is None and photos.max_memory is not None),
    )  # fmt: skip
    names = [os.fspath(source)] if isinstance(source, str | os.PathLike) else [os.fspath(one) for one in source]
    folder = None if output is None else os.fspath(output)
    if folder is not None and "{" not in folder:
        folder = f"{folder.rstrip('/')}/"
    ends: list[FolderFinished] = []

    def listen(event: "Event") -> None:
        if isinstance(event, FolderFinished):
            ends.append(event)
        listener(event)

    naming = Naming(folder, format, wanted)
    check_objects(map(Input, names), naming, play=clips.play, live=clips.live, resume=photos.resume or clips.resume)
    photos, clips = replace(photos, overwrite=overwrite), replace(clips, overwrite=overwrite)
    planner = Planner(naming, photos, lambda: clips, how, listen, for_clips=given_for_clips(clips))
    rules = batch.rules(skips=skip_existing)
    run = FolderRun(planner, [None if model is None else os.fspath(model)], rules, executor)
    run.all(find_sources(names, (), batch.choice(folder)))
    return ends[-1]


def upscale_frames(
    source: str | os.PathLike[str],
    scale: float | None = None,
    *,
    target: Target | None = None,
    model: str | os.PathLike[str] | Upscaler | None = None,
    options: "ClipOptions | None" = None,
    listener: Listener = ignore,
    **upscaler_options: Unpack[UpscalerKeywords],
) -> "Iterator[SRFrame]":
    """The upscaled frames of a clip, one after the other, for programs that do something else with them.

    The clip is opened with the first frame, and released with the last or when the iterator is closed.

    Args: as `upscale_video`. Of `options` count `decode`, `steady`, `video_stream` and `max_pixels`.

    Yields:
        `upscale_cli.jobs.video_frames.SRFrame`: planes, time in seconds, and `to_rgb()`.

    Raises:
        UpscaleError: with one line for the user.
    """
    from upscale_cli.jobs.unused_options import unused_by_frames
    from upscale_cli.jobs.video_facts import DEFAULT_CLIP_SCALE, ClipOptions
    from upscale_cli.jobs.video_frames import sr_frames
    from upscale_cli.media.video.probe import probe

    how, options = _how(model, upscaler_options), options or ClipOptions()
    clip = probe(source, max_pixels=options.max_pixels)
    made, _ = _for_clip(model, clip, clip.name, options, listener, how)
    if scale is None and target is None:
        scale = made.only_scale or DEFAULT_CLIP_SCALE
    for line in unused_by_frames(options):
        listener(Note(line))
    return sr_frames(clip, made, made.target(scale, target), options, listener)


def plan_file(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    scale: float | None = None,
    *,
    target: Target | None = None,
    model: str | os.PathLike[str] | None = None,
    format: str | None = None,
    photos: PhotoOptions | None = None,
    clips: "ClipOptions | None" = None,
    listener: Listener = ignore,
    **options: Unpack[UpscalerKeywords],
) -> "FilePlan":
    """What would become of a photo, a clip or a comic book, and what it is likely to take; nothing is upscaled.

    Args: as those of `upscale_file` and `upscale_video`.

    Raises:
        UpscaleError: with one line for the user: it could not be done.
    """
    from upscale_cli.jobs.expected import FilePlan, plan_of
    from upscale_cli.jobs.plan import Planner
    from upscale_cli.jobs.video_facts import ClipOptions

    wanted = None if scale is None and target is None else chosen_target(scale, target)
    naming = Naming(None if output is None else os.fspath(output), format, wanted)
    given, clip_options = Input(os.fspath(source)), clips or ClipOptions()
    planner = Planner(naming, photos or PhotoOptions(), lambda: clip_options, UpscalerOptions(**options), listener)
    name = None if model is None else os.fspath(model)
    (order,) = planner.order([given], [name])
    overwrite = clip_options.overwrite if given.is_clip else planner.photos.overwrite
    made: FilePlan = plan_of(planner.prepare(planner.open(order), Outputs([given], overwrite=overwrite)))
    return made


def compare_files(
    files: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    hr: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    listener: Listener = ignore,
) -> "Compared":
    """Compares pictures or folders of them in one web page, two clips side by side in one clip.

    Args:
        files: before and after, or more.
        output: a file or a folder; None: next to the last of them.
        hr: the reference to measure by, or a folder of them.
        overwrite: replace an output that exists.
        listener: receives every event (see `upscale_cli.events`).

    Returns:
        What is in it, and how alike the versions are (PSNR, SSIM).

    Raises:
        UpscaleError: with one line for the user.
    """
    from upscale_cli.compare.files import compare_files as compare

    reference = None if hr is None else Path(hr)
    place = None if output is None else os.fspath(output)
    return compare([Path(file) for file in files], place, reference, overwrite=overwrite, listener=listener)


def evaluate_models(
    hr: Sequence[str | os.PathLike[str]],
    models: Sequence[str | os.PathLike[str]] = (),
    *,
    lr: str | os.PathLike[str] | None = None,
    scales: Sequence[int] = (),
    listener: Listener = ignore,
    **options: Unpack[UpscalerKeywords],
) -> "Iterator[Row]":
    """Measures how well models upscale, as `upscale eval` does: HR is shrunk, upscaled again and compared.

    Args:
        hr: folders of HR pictures, or pictures.
        models: names or checkpoint files; (): the best on this machine. Bicubic is always measured too.
        lr: of one folder or picture of HR: the LR pictures, instead of those made of HR.
        scales: HR pixels per LR pixel; (): 4, or with `lr` by the sizes.
        listener: receives every event (see `upscale_cli.events`), `Failed` for what is left out.
        options: of `Upscaler`: device, precision, tile, ...

    Yields:
        A row for each picture by each model, as they come; `evaluation.rows.means` makes the table of them.

    Raises:
        UpscaleError: with one line for the user, where it is wrong for all pictures.
    """
    from upscale_cli.evaluation.cases import cases_of, find_sets, pair_cases
    from upscale_cli.evaluation.contestants import contestants
    from upscale_cli.evaluation.evaluate import evaluate
    from upscale_cli.evaluation.reference import Protocol
    from upscale_cli.inference.upscaler import Recipe

    how, names = UpscalerOptions(**options), [os.fspath(model) for model in models]
    made = contestants(names or [None], lambda name: Recipe(name, how).make(listener), listener)
    if lr is None:
        cases = cases_of(find_sets([os.fspath(one) for one in hr], listener), scales or [DEFAULT_SCALE])
    else:
        (folder,) = hr
        cases = pair_cases(Path(folder), Path(lr), scales, listener)
    return evaluate(cases, made, Protocol(), listener)


def _for_clip(
    model: str | os.PathLike[str] | Upscaler | None,
    clip: "Clip",
    name: str,
    clip_options: "ClipOptions",
    listener: Listener,
    how: UpscalerOptions,
) -> tuple[Upscaler, str]:
    """What upscales a clip, and why the model was chosen; "" where it was named."""
    from upscale_cli.jobs.chosen_model import choose_clip_model
    from upscale_cli.jobs.video_facts import chosen_streams

    if isinstance(model, Upscaler):
        return model, ""
    how, why = replace(how, hurry=how.hurry or clip_options.hurries), ""
    if model is None:
        stream = chosen_streams(clip, clip_options.video_stream)[0]
        bits = stream.bits_per_pixel if how.clip_codec is None else None
        codec = how.clip_codec or stream.codec
        choice = choose_clip_model(codec, bits, lossless=stream.lossless, hurries=how.hurry)
        listener(choice.event(name))
        model, why = choice.model, choice.why
    return Upscaler(model, listener=listener, **how.keywords), why


def _before(job: "Job", how: UpscalerOptions, upscaler: Upscaler, listener: Listener) -> None:
    """What the command line does before a job, too: options without effect are told, and what killed runs have left
    next to the output is removed."""
    from upscale_cli.files.abandoned import sweep_once
    from upscale_cli.jobs.unused_options import unused_without_net

    unused = unused_without_net(how, upscaler.name) if upscaler.kernel is not None else None
    if unused:
        listener(Note(unused))
    if isinstance(job.output, Path):
        sweep_once(job.output.parent, saying(listener))


def _how(model: str | os.PathLike[str] | Upscaler | None, keywords: UpscalerKeywords) -> UpscalerOptions:
    """The keywords, checked, before anything is opened.

    Raises:
        TypeError: there is no such keyword, or the `Upscaler` is made already.
        OptionError: a value makes no sense.
    """
    if isinstance(model, Upscaler) and keywords:
        raise TypeError(f"{', '.join(keywords)}: give this to the Upscaler that is passed as model")
    return UpscalerOptions(**keywords)
