"""source -> upscaler -> sink, for one picture. Read this first.

    ImageReader  ->  Upscaler  ->  ImageWriter
    (media/)         (inference/)  (media/)

The header and the plan need no pixel; what cannot end well is refused by `check_room`, before anything is computed. A
picture that does not fit into memory takes the same way in bands: `bands.py`.
"""

import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from upscale_cli.errors import OutputError, RoomError
from upscale_cli.events import Finished, Listener, Say, Started, ignore, saying_once
from upscale_cli.files.output_folder import folder_for
from upscale_cli.files.work_folder import ROWS_FILE, under_keys, work_folder
from upscale_cli.inference.device import give_back_memory, tile_budget
from upscale_cli.inference.planes import OPAQUE
from upscale_cli.inference.sizing import Plan, Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.value_range import ValueRange, joint, told
from upscale_cli.jobs.bands import Bands, Large, plan_bands, room, upscaled_in_bands
from upscale_cli.jobs.bands_resume import KeptPicture, keeping_rows
from upscale_cli.jobs.carried import Told, report_carried_of_picture
from upscale_cli.jobs.encoding_time import encoding_seconds
from upscale_cli.jobs.fingerprint import digest, keep_engines, requested_options
from upscale_cli.jobs.finished_jobs import remember, was_finished
from upscale_cli.jobs.found_kernel import FoundKernel
from upscale_cli.jobs.job import Expected, PhotoOptions, UndividedJob, sr_size
from upscale_cli.jobs.long_runs import check_pixels, check_time, like
from upscale_cli.jobs.photo_progress import PhotoProgress
from upscale_cli.media.image.formats import Format, check_size
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.media.image.reader_writer import ImageReader, ImageWriter
from upscale_cli.media.image.world_file import carry_world_file
from upscale_cli.messages import option
from upscale_cli.models.interface import scaled
from upscale_cli.text import amount

WORK_MEMORY: Final = 256 * 2**20
"""Bytes for tiles and encoders, in addition to the pictures themselves."""

TILE_SHARE: Final = 8
"""A window may take one part in so many of the memory there is."""

DISK_SHARE: Final = 0.05
"""Least part of the raw size that a compressed picture was ever seen to take; less free disk cannot end well."""


@dataclass(frozen=True, slots=True)
class PhotoJob(UndividedJob):
    """One picture, all its frames or pages, and one output; a `Job`.

    Attributes:
        source: what to open; `name` for messages.
        output: where to write, in which `format`; `output_name` for messages.
        target: how large the result shall be.
        lr_size, frames: (width, height) of the source, and how many frames or pages are kept, by its header.
        why: the model was chosen for this very picture; "" where the upscaler knows.
    """

    source: Path | bytes
    name: str
    output: Path | BinaryIO
    output_name: str
    format: Format
    target: Target
    options: PhotoOptions = field(default_factory=PhotoOptions)
    lr_size: tuple[int, int] = (0, 0)
    frames: int = 1
    why: str = ""

    @property
    def megapixels(self) -> float:
        """Million SR pixels in all, frames counted."""
        width, height = sr_size(self)
        return width * height * self.frames / 1e6

    @property
    def is_local(self) -> bool:
        return not isinstance(self.output, Path)

    def writer(self, info: PhotoInfo, say: Say) -> ImageWriter:
        """What makes the output."""
        return ImageWriter(
            self.output,
            format=self.format.name,
            info=info,
            quality=self.options.quality,
            overwrite=self.options.overwrite,
            pyramid=self.options.pyramid,
            say=say,
        )

    def encoding_seconds(self, info: PhotoInfo, plan: Plan) -> float:
        """How long a frame of the result is likely to take to encode; 0 where that is little."""
        return encoding_seconds(self.format, info, plan.width * plan.height, self.options.quality)

    def expected(self, upscaler: Upscaler) -> Expected:
        with ImageReader(self.source, max_pixels=self.options.max_pixels, bands=self.options.bands) as reader:
            info = reader.info
            plan = upscaler.plan(info.width, info.height, self.target)
            bands = check_room(self, reader, plan, upscaler)
        seconds = (upscaler.expected_seconds(like(info), plan) + self.encoding_seconds(info, plan)) * self.frames
        needed = memory_needed(info, plan, self.format, self.frames, wrap=upscaler.wrap)
        return Expected(seconds, needed if bands is None else bands.needed, bands is not None)

    def run(self, upscaler: Upscaler, listener: Listener = ignore) -> str:
        """Upscales it.

        Raises:
            InputError: the source cannot be read.
            OutputError: the result would not fit, or cannot be written. Nothing is left of it.
            OptionError, CheckpointError, DeviceError: as `Upscaler`.
        """
        begin, options, say = time.perf_counter(), self.options, Told(saying_once(listener))
        if options.resume and isinstance(self.output, Path):
            keep_engines(upscaler, self.output, self.target, self.lr_size, say)
        record = resumable_record(self, upscaler)
        if record is not None and isinstance(self.output, Path) and was_finished(self.output, record):
            say(f"{self.output_name} was finished by this job already; nothing is left to do.")
            listener(Finished(self.name, self.output_name, *sr_size(self), 0.0))
            return ""
        with ImageReader(
            self.source, max_pixels=options.max_pixels, salvage=options.salvage, bands=options.bands, say=say
        ) as reader:
            plan = upscaler.plan(reader.info.width, reader.info.height, self.target)
            check_pixels(self.name, plan, self.frames, yes=options.yes)  # a slip, mostly: before talk of room
            bands = check_room(self, reader, plan, upscaler)
            encoding = self.encoding_seconds(reader.info, plan)
            check_time(self.name, reader.info, plan, upscaler, self.frames, encoding=encoding, yes=options.yes)
            progress = PhotoProgress(self.name, upscaler, listener, self.frames, encoding=encoding)
            listener(_started(self, upscaler, reader.info, plan))
            if note := upscaler.plan_note(plan, reader.info.width, reader.info.height):
                say(note)
            with folder_for(self.output):
                if bands is None:
                    _upscale_whole(self, reader, upscaler, progress, say)
                else:
                    _upscale_in_bands(self, reader, upscaler, plan, bands, record, progress, say)
        report_carried_of_picture(self.source, self.name, self.output, self.output_name, say, listener)
        if isinstance(self.source, Path) and isinstance(self.output, Path):
            old, new = (reader.info.width, reader.info.height), (plan.width, plan.height)
            carry_world_file(self.source, self.output, old, new, overwrite=options.overwrite, say=say)
        if record is not None and isinstance(self.output, Path):
            remember(self.output, self.output, record)
        listener(Finished(self.name, self.output_name, plan.width, plan.height, time.perf_counter() - begin))
        return ""


def _upscale_whole(job: PhotoJob, reader: ImageReader, upscaler: Upscaler, progress: PhotoProgress, say: Say) -> None:
    """All frames that the output holds, each as a whole."""
    with _bounded(upscaler, job.options.max_memory), job.writer(reader.info, say) as writer:
        ranges = _ranges(job, reader, upscaler, writer.frames) if writer.frames > 1 else {}
        kernels = FoundKernel(upscaler, job.output, overwrite=job.options.overwrite, say=say)
        for number, lr in enumerate(reader):
            if number == writer.frames:
                break
            plan = upscaler.plan(lr.width, lr.height, job.target)  # pages may differ in size
            plan = kernels.for_page(lr, plan)
            used = ranges.get(lr.pixels.dtype.str) or upscaler.value_range(lr, plan)
            if used.is_own:
                say(f"{job.name}: {told(used)}")
            writer.write(upscaler.upscale(lr, plan, progress.frame(lr, plan), used=used))


def _ranges(job: PhotoJob, reader: ImageReader, upscaler: Upscaler, frames: int) -> dict[str, ValueRange]:
    """Of all frames together, so that one value stays one value on every page; by their dtype.

    Of a picture that uses its range only the first frame is decoded for it.
    """

    def each() -> Iterator[tuple[np.dtype[Any], ValueRange]]:
        for lr in itertools.islice(reader, frames):
            yield lr.pixels.dtype, upscaler.value_range(lr, upscaler.plan(lr.width, lr.height, job.target))

    return joint(each())


@contextmanager
def _bounded(upscaler: Upscaler, max_memory: int | None) -> Iterator[None]:
    """Within it, a window takes no more than `check_room` reckons with, where the user set a bound."""
    upscaler.limit_memory(None if max_memory is None else max(room(max_memory), 0) // TILE_SHARE)
    try:
        yield
    finally:
        upscaler.limit_memory(None)


def _upscale_in_bands(
    job: PhotoJob,
    reader: ImageReader,
    upscaler: Upscaler,
    plan: Plan,
    bands: Bands,
    record: Mapping[str, Any] | None,
    progress: PhotoProgress,
    say: Say,
) -> None:
    """The only frame, band by band; `record` is what makes it the same job, where it can be gone on with."""
    say(f"{job.name}: too large for memory as a whole, so it is upscaled in bands.")

    def opened(bands: Bands) -> AbstractContextManager[Large]:
        return upscaled_in_bands(
            reader, upscaler, plan, bands, progress.frame_of(plan), lambda text: say(f"{job.name}: {text}")
        )

    def write(large: Large) -> None:
        with job.writer(reader.info, say) as writer:
            writer.write_rows(large.rows, large.layout, large.transfer, extra=large.extra)

    if record is not None:
        keeping_rows(
            KeptPicture(job.name, job.output, record, overwrite=job.options.overwrite),
            bands, opened, write, progress.skip, say,
        )  # fmt: skip
    else:
        with opened(bands) as large:
            write(large)
    progress.skip(1)


def resumable_record(job: PhotoJob, upscaler: Upscaler) -> dict[str, Any] | None:
    """`job_record` of a job that can be gone on with, as JSON gives it back; None of any other. It reads all of the
    input, so it is made once."""
    record: dict[str, Any] | None = json.loads(json.dumps(job_record(job, upscaler))) if job.options.resume else None
    return record


def job_record(job: PhotoJob, upscaler: Upscaler) -> dict[str, Any]:
    """What makes a job the same job: the input's content and what decides about a pixel, each under the name that the
    user knows."""
    return {
        "the input": digest(job.source),
        "the format": job.format.name,
        **requested_options(upscaler, job.target, job.lr_size),
        **under_keys(salvage=job.options.salvage, **({"bands": list(job.options.bands)} if job.options.bands else {})),
    }


def check_room(job: PhotoJob, reader: ImageReader, plan: Plan, upscaler: Upscaler) -> Bands | None:
    """Refuses what the format, the memory or the disk cannot hold, before anything is computed.

    Returns:
        How the picture goes through in bands; None where memory suffices for the whole of it.

    Raises:
        OutputError: the SR picture is too large for one of them; `RoomError`: for the memory that is left now.
    """
    info = reader.info
    check_size(job.format, plan.width, plan.height)
    if isinstance(job.output, Path):
        _check_disk(job, job.output, info, plan)
    bands = _check_memory(job, reader, plan, upscaler)
    if job.options.max_memory is not None:  # what runs the passes takes a part of it: torch alone 200 MB
        for scale in plan.passes:
            upscaler.net(scale, info.bits)
        bands = _check_memory(job, reader, plan, upscaler)
    return bands


def _check_memory(job: PhotoJob, reader: ImageReader, plan: Plan, upscaler: Upscaler) -> Bands | None:
    """As `check_room`, of memory, beside what the process has already."""
    info = reader.info
    free, needed = _reckoned(job, info, plan, upscaler)
    if needed > free:  # of what the process has, a part may be what it was through with long ago
        give_back_memory()
        free, needed = _reckoned(job, info, plan, upscaler)
    if needed <= free and not _was_begun_in_bands(job):
        return None
    bands, remedy = None, f"Choose a smaller {option('scale')}"
    if job.frames == 1:
        size = len(job.source) if isinstance(job.source, bytes) else job.source.stat().st_size
        bands = plan_bands(info, reader.row_reader, plan, job.format, free, size, wrap=upscaler.wrap)
        remedy += "" if job.format.bands else f", {option('format', 'tiff')}, png or jpg (which are written in bands)"
    if bands is not None and bands.budget:
        return bands
    allowed = "are free" if job.options.max_memory is None else f"are left by {option('max_memory')}"
    raise RoomError(
        f"{job.name}: {plan.width} x {plan.height} pixels need {amount(bands.needed if bands else needed)} of "
        f"memory, {amount(max(free, 0))} {allowed}. {remedy}, or "
        f"{'close other programs' if job.options.max_memory is None else 'allow more'}."
    )


def _reckoned(job: PhotoJob, info: PhotoInfo, plan: Plan, upscaler: Upscaler) -> tuple[int, int]:
    """Bytes of memory that are left now, and that the picture needs as a whole."""
    free = room(job.options.max_memory)
    tile_bytes = min(tile_budget(upscaler.device), max(free, 0) // TILE_SHARE)
    on_host = upscaler.device.type == "cpu" and bool(plan.passes)
    needed = memory_needed(info, plan, job.format, job.frames, wrap=upscaler.wrap)
    # A window, and the row of tiles that it is joined to.
    return free, needed + (2 * tile_bytes if on_host else 0)


def _was_begun_in_bands(job: PhotoJob) -> bool:
    """Whether a killed run has left rows of the picture, for which there was less memory then."""
    if not (job.options.resume and isinstance(job.output, Path)):
        return False
    return (work_folder(job.output) / ROWS_FILE).exists()


def _check_disk(job: PhotoJob, output: Path, info: PhotoInfo, plan: Plan) -> None:
    raw = plan.width * plan.height * info.channels * info.bits // 8 * job.frames
    least = int(raw * (1 if job.format.name in ("BMP", "PNM", "PAM", "PFM") else DISK_SHARE))
    least += raw if job.options.resume and job.format.bands else 0
    free = shutil.disk_usage(_existing(output)).free
    if least > free:
        raise OutputError(
            f"{job.output_name}: at least {amount(least)} are needed on the disk, {amount(free)} are free. "
            f"Free space, or choose another {option('output')}."
        )


def memory_needed(info: PhotoInfo, plan: Plan, format: Format, frames: int = 1, *, wrap: bool = False) -> int:
    """Bytes of host memory at the worst moment, tiles apart: while a step is computed, or while the result is encoded.

    Between two passes, and before a final resampling, only the rows still needed are held; of a picture that wraps,
    which is float32 there, all of them. Under transparent pixels colour is filled in by a pyramid of float pictures.
    """
    channels, depth = info.channels, info.bits // 8
    pixels, sr_pixels = info.width * info.height, plan.width * plan.height
    lr, sr = pixels * channels * depth, sr_pixels * channels * depth
    computing = lr + sr
    if wrap:
        width, height = info.width, info.height
        for scale in plan.passes:
            width, height = scaled(width, scale), scaled(height, scale)
            computing += width * height * channels * 4
    if info.layout in OPAQUE:
        computing += pixels * 40  # measured on a picture with much to fill
    sequence = frames if format.frames == "animation" and frames > 1 else 1
    return lr + max(computing, sr + int(sr * format.copies * sequence)) + WORK_MEMORY


def _started(job: PhotoJob, upscaler: Upscaler, info: PhotoInfo, plan: Plan) -> Started:
    return Started(
        source=job.name,
        output=job.output_name,
        model=upscaler.name,
        why=job.why or upscaler.why,
        passes=upscaler.pass_names(plan),
        device=upscaler.device_names,
        precision=upscaler.precision_for(plan, info.bits),
        engine=upscaler.engine_for(plan, info.bits),
        width=info.width,
        height=info.height,
        sr_width=plan.width,
        sr_height=plan.height,
        frames=info.frames,
    )


def _existing(path: Path) -> Path:
    """The nearest folder above a path that is there already."""
    return next((folder for folder in path.absolute().parents if os.path.isdir(folder)), Path())
