"""source -> upscaler -> sink, for one picture. Read this first.

    ImageReader  ->  Upscaler  ->  ImageWriter
    (media/)         (upscaler)    (media/)

The header and the plan need no pixel; what cannot end well is refused by `check_room`, before anything is computed. A
picture that does not fit into memory takes the same way in bands: `gigapixel.py`.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from upscale_cli.errors import OutputError
from upscale_cli.events import Finished, Listener, Note, Say, Started, ignore
from upscale_cli.frames.image import channels_of
from upscale_cli.inference.device import tile_budget
from upscale_cli.inference.planes import OPAQUE
from upscale_cli.inference.upscaler import Plan, Upscaler
from upscale_cli.jobs.bands import Bands, plan_bands, room, upscaled_in_bands
from upscale_cli.jobs.job import Job
from upscale_cli.jobs.photo_progress import Progressing
from upscale_cli.media.image.formats import Format, check_size
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.media.image.reader_writer import ImageReader, frames_kept

WORK_MEMORY: Final = 256 * 2**20
"""Bytes for tiles and encoders beside the pictures themselves."""

TILE_SHARE: Final = 4
"""A window may take one part in so many of the memory there is."""

DISK_SHARE: Final = 0.05
"""Least part of the raw size that a compressed picture was ever seen to take; less free disk cannot end well."""


def run(job: Job, upscaler: Upscaler, listener: Listener = ignore) -> Finished:
    """Upscales one picture, all its frames or pages.

    Raises:
        InputError: the source cannot be read.
        OutputError: the result would not fit, or cannot be written. Nothing is left of it.
        OptionError, CheckpointError, DeviceError: as `Upscaler`.
    """
    begin = time.perf_counter()
    said: set[str] = set()

    def say(text: str) -> None:
        if text not in said:
            said.add(text)
            listener(Note(text))

    options = job.options
    with ImageReader(job.source, max_pixels=options.max_pixels, salvage=options.salvage, say=say) as reader:
        plan = upscaler.plan(reader.info.width, reader.info.height, job.target)
        bands = check_room(job, reader, plan, upscaler)
        listener(_started(job, upscaler, reader.info, plan))
        with folder_for(job.output):
            if bands is None:
                _upscale_whole(job, reader, upscaler, listener, say)
            else:
                _upscale_in_bands(job, reader, upscaler, plan, bands, listener, say)
    finished = Finished(job.name, job.output_name, plan.width, plan.height, time.perf_counter() - begin)
    listener(finished)
    return finished


def _upscale_whole(job: Job, reader: ImageReader, upscaler: Upscaler, listener: Listener, say: Say) -> None:
    """All frames that the output holds, each as a whole."""
    with _bounded(upscaler, job.options.max_memory), job.writer(reader.info, say) as writer:
        watch = Progressing(job.name, upscaler, listener, writer.frames)
        for number, lr in enumerate(reader):
            if number == writer.frames:
                break
            plan = upscaler.plan(lr.width, lr.height, job.target)  # pages may differ in size
            writer.write(upscaler.upscale(lr, plan, watch.frame(lr, plan)))


@contextmanager
def _bounded(upscaler: Upscaler, max_memory: int | None) -> Iterator[None]:
    """Within it, a window takes no more than `check_room` reckons with, where the user set a bound."""
    upscaler.limit_memory(None if max_memory is None else max(room(max_memory), 0) // TILE_SHARE)
    try:
        yield
    finally:
        upscaler.limit_memory(None)


def _upscale_in_bands(
    job: Job, reader: ImageReader, upscaler: Upscaler, plan: Plan, bands: Bands, listener: Listener, say: Say
) -> None:
    """The only frame, band by band."""
    say(f"{job.name}: too large for memory as a whole, so it is upscaled in bands.")
    watch = Progressing(job.name, upscaler, listener, 1)
    if job.options.resume:
        from upscale_cli.jobs.bands_resume import upscale_resumably

        upscale_resumably(job, reader, upscaler, plan, bands, watch, say)
    else:
        with (
            upscaled_in_bands(reader, upscaler, plan, bands, watch.frame_of(plan)) as large,
            job.writer(reader.info, say) as writer,
        ):
            writer.write_rows(large.rows, large.layout, large.transfer)
    watch.skip(1)


def check_room(job: Job, reader: ImageReader, plan: Plan, upscaler: Upscaler) -> Bands | None:
    """Refuses what the format, the memory or the disk cannot hold, before anything is computed.

    Returns:
        How the picture goes through in bands; None where memory suffices for the whole of it.

    Raises:
        OutputError: the SR picture is too large for one of them.
    """
    info = reader.info
    check_size(job.format, plan.width, plan.height)
    frames = frames_kept(job.format, info)
    if isinstance(job.output, Path):
        _check_disk(job, job.output, info, plan, frames)
    free = room(job.options.max_memory)
    tile_bytes = min(tile_budget(upscaler.device), max(free, 0) // TILE_SHARE)
    on_host = upscaler.device.type == "cpu" and bool(plan.passes)
    needed = memory_needed(info, plan, job.format, frames, wrap=upscaler.wrap) + (tile_bytes if on_host else 0)
    if needed <= free and not _was_begun_in_bands(job):
        return None
    bands, remedy = None, "Choose a smaller --scale"
    if frames == 1:
        size = len(job.source) if isinstance(job.source, bytes) else job.source.stat().st_size
        bands = plan_bands(info, reader.scan, plan, job.format, free, size, wrap=upscaler.wrap)
        remedy += "" if job.format.bands else ", --format tiff, png or jpg (which are written in bands)"
    if bands is not None and bands.budget:
        return bands
    allowed = "are free" if job.options.max_memory is None else "are left by --max-memory"
    raise OutputError(
        f"{job.name}: {plan.width} x {plan.height} pixels need {_gigabytes(bands.needed if bands else needed)} of "
        f"memory, {_gigabytes(max(free, 0))} {allowed}. {remedy}, or "
        f"{'close other programs' if job.options.max_memory is None else 'allow more'}."
    )


def _was_begun_in_bands(job: Job) -> bool:
    """Whether a killed run has left rows of the picture, for which there was less memory then."""
    if not (job.options.resume and isinstance(job.output, Path)):
        return False
    from upscale_cli.files.work_folder import ROWS_FILE, work_folder

    return (work_folder(job.output) / ROWS_FILE).exists()


def _check_disk(job: Job, output: Path, info: PhotoInfo, plan: Plan, frames: int) -> None:
    raw = plan.width * plan.height * channels_of(info.layout) * info.bits // 8 * frames
    least = int(raw * (1 if job.format.name in ("BMP", "PNM", "PAM", "PFM") else DISK_SHARE))
    least += raw if job.options.resume and job.format.bands else 0
    free = shutil.disk_usage(_existing(output)).free
    if least > free:
        raise OutputError(
            f"{job.output_name}: at least {_gigabytes(least)} are needed on the disk, {_gigabytes(free)} are free. "
            f"Free space, or choose another -o."
        )


def memory_needed(info: PhotoInfo, plan: Plan, format: Format, frames: int = 1, *, wrap: bool = False) -> int:
    """Bytes of host memory at the worst moment, tiles apart: while a step is computed, or while the result is encoded.

    Between two passes, and before a final resampling, only the rows at hand are held; of a picture that wraps, which is
    float32 there, all of them. Under transparent pixels colour is filled in by a pyramid of float pictures.
    """
    channels, depth = channels_of(info.layout), info.bits // 8
    pixels, sr_pixels = info.width * info.height, plan.width * plan.height
    lr, sr = pixels * channels * depth, sr_pixels * channels * depth
    computing = lr + sr
    if wrap:
        made = pixels
        for scale in plan.passes:
            made *= scale**2
            computing += made * channels * 4
    if info.layout in OPAQUE:
        computing += pixels * 40  # measured on a picture with much to fill
    sequence = frames if format.frames == "animation" and frames > 1 else 1
    return lr + max(computing, sr + int(sr * format.copies * sequence)) + WORK_MEMORY


def _started(job: Job, upscaler: Upscaler, info: PhotoInfo, plan: Plan) -> Started:
    return Started(
        source=job.name,
        output=job.output_name,
        model=upscaler.name,
        why=upscaler.why,
        passes=upscaler.pass_names(plan),
        device=upscaler.device_names,
        precision=upscaler.precision_for(plan, info.bits),
        width=info.width,
        height=info.height,
        sr_width=plan.width,
        sr_height=plan.height,
        frames=info.frames,
    )


def _existing(path: Path) -> Path:
    """The nearest folder above a path that is there already."""
    return next((folder for folder in path.absolute().parents if os.path.isdir(folder)), Path())


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


@contextmanager
def folder_for(output: Path | BinaryIO) -> Iterator[None]:
    """Makes the folders an output lies in; those made here are removed again if nothing came of it.

    Raises:
        OutputError: one of them cannot be made.
    """
    made: list[Path] = []
    try:
        if isinstance(output, Path):
            missing = [folder for folder in output.absolute().parents if not os.path.isdir(folder)]
            for folder in reversed(missing):
                folder.mkdir(exist_ok=True)
                made.append(folder)
    except OSError as error:
        raise OutputError(f"{output}: its folder cannot be made ({error.strerror}). Choose another -o.") from error
    try:
        yield
    except BaseException:
        for folder in reversed(made):
            _remove_if_empty(folder)
        raise


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # something else lives there by now
