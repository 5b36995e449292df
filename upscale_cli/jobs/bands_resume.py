"""The rows of a large picture on the disk, so that a run which was killed at any moment can go on.

    Upscaler.rows  ->  spool in OUTPUT.work  ->  ImageWriter.write_rows

The spool holds the samples as they are. The journal beside it tells how many rows of it can be trusted.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from upscale_cli.errors import InterruptedRun, OptionError
from upscale_cli.events import Say
from upscale_cli.files.work_folder import JOURNAL_FILE, ROWS_FILE, WorkFolder, claim, job_in, replace_text
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.rows import Rows, Streamed
from upscale_cli.inference.upscaler import Plan, Upscaler
from upscale_cli.jobs.bands import Bands, upscaled_in_bands
from upscale_cli.jobs.fingerprint import digest, wish
from upscale_cli.media.image.reader_writer import ImageReader

if TYPE_CHECKING:
    from upscale_cli.jobs.job import Job
    from upscale_cli.jobs.photo_progress import Progressing

SYNC_SECONDS: Final = 5.0
"""How much work a kill may cost."""

BUDGET: Final = "bytes for a row of tiles"


class Spool:
    """Takes the rows of a picture, those that a former run has not left here already.

    Args:
        folder: the work folder of this very job.
        picture: the SR picture; only rows that are not here yet are asked for.

    Attributes:
        done: rows that are on the disk.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, picture: Rows) -> None:
        self._picture = picture
        self._file, self._journal = folder / ROWS_FILE, folder / JOURNAL_FILE
        self._row_bytes = picture.width * picture.channels * picture.dtype.itemsize
        self.done = self._trusted()

    def fill(self) -> None:
        """Computes what is missing; whatever ends it, what is done is recorded."""
        with self._file.open("r+b" if self.done else "wb") as stream:
            stream.truncate(self.done * self._row_bytes)
            stream.seek(0, os.SEEK_END)
            written, synced_at = self.done, time.monotonic()
            try:
                for top, band in self._picture.bands(self.done):
                    stream.write(np.ascontiguousarray(band).data)
                    written = top + len(band)
                    if time.monotonic() - synced_at > SYNC_SECONDS:
                        stream.flush()
                        self._record(stream.fileno(), written)
                        synced_at = time.monotonic()
            finally:
                stream.flush()
                self._record(stream.fileno(), written)

    def rows(self) -> Rows:
        """The picture, read back."""
        picture = self._picture
        return Streamed(picture.height, picture.width, picture.channels, picture.dtype, self._read)

    def _read(self, start: int) -> Iterator[Pixels]:
        picture = self._picture
        step = max(1, 2**20 // self._row_bytes)
        with self._file.open("rb") as stream:
            stream.seek(start * self._row_bytes)
            for top in range(start, picture.height, step):
                data = stream.read(min(step, picture.height - top) * self._row_bytes)
                yield np.frombuffer(data, picture.dtype).reshape(-1, picture.width, picture.channels)

    def _trusted(self) -> int:
        """Rows that the journal tells of, if they are there."""
        try:
            told = int(json.loads(self._journal.read_text(encoding="utf-8"))["rows"])
            held: int = self._file.stat().st_size // self._row_bytes
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return max(0, min(told, held, self._picture.height))

    def _record(self, descriptor: int, rows: int) -> None:
        os.fsync(descriptor)
        replace_text(self._journal, json.dumps({"rows": rows}))
        self.done = rows


def upscale_resumably(
    job: "Job", reader: ImageReader, upscaler: Upscaler, plan: Plan, bands: Bands, watch: "Progressing", say: Say
) -> None:
    """Upscales the first frame of `reader` to the output of `job`, by way of a spool in the output's work folder.

    Rows that a former run of the same job has left there are not computed again.

    Raises:
        OptionError: the output is no file, or its work folder is of another job.
        OutputError: it cannot be written; what is done stays in the work folder.
        InterruptedRun: Ctrl-C; the same.
    """
    if not isinstance(job.output, Path):
        raise OptionError("--resume needs an output file to go on with, and -o - is none. Leave one of them out.")
    with (
        WorkFolder(job.output, overwrite=job.options.overwrite, resume=True, say=say) as work,
        work.failures(),
    ):
        bands = _claimed(work.path, job, upscaler, bands)
        with upscaled_in_bands(reader, upscaler, plan, bands, watch.frame_of(plan)) as large:
            spool = Spool(work.path, large.rows)
            if spool.done:
                say(f"{job.name}: going on after row {spool.done:,} of {plan.height:,}.")
                watch.skip(spool.done / plan.height)
            try:
                spool.fill()
                with job.writer(reader.info, say) as writer:
                    writer.write_rows(spool.rows(), large.layout, large.transfer)
            except KeyboardInterrupt:
                raise InterruptedRun(
                    f"interrupted: {spool.done:,} of {plan.height:,} rows are done in {work.path}; "
                    "the same command goes on from there."
                ) from None
        work.discard()


def _claimed(folder: Path, job: "Job", upscaler: Upscaler, bands: Bands) -> Bands:
    """Makes the folder that of the job; gives the bands with the budget that its first run had.

    The budget decides where the tiles lie, and free memory, which decides about the budget, is another every time.
    """
    recorded = job_in(folder) or {}
    budget = recorded.get(BUDGET)
    bands = replace(bands, budget=budget) if isinstance(budget, int) and budget > 0 else bands
    record = {
        "the input": digest(job.source),
        "the format": job.format.name,
        **wish(upscaler, job.target),
        "--salvage": job.options.salvage,
        BUDGET: bands.budget,
    }
    claim(folder, json.loads(json.dumps(record)))
    return bands
