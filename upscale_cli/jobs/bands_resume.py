"""The rows of a large picture on the disk, so that a run which was killed at any moment can go on.

    Upscaler.rows  ->  row cache in OUTPUT.work  ->  ImageWriter.write_rows

It holds the samples as they are. The journal next to it records how many of its rows can be trusted.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from upscale_cli.errors import InterruptedRun, OptionError
from upscale_cli.events import Say
from upscale_cli.files.work_folder import JOURNAL_FILE, ROWS_FILE, WorkFolder, claim, job_in, replace_text
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.rows import Rows, Streamed
from upscale_cli.jobs.bands import Bands, Large
from upscale_cli.messages import option

SYNC_SECONDS: Final = 5.0
"""How much work a kill may cost."""

BUDGET: Final = "bytes for a row of tiles"


class RowCache:
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
        """Computes what is missing; however it ends, what is done is recorded."""
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
        """Rows that the journal records, if they are there."""
        try:
            recorded = int(json.loads(self._journal.read_text(encoding="utf-8"))["rows"])
            held: int = self._file.stat().st_size // self._row_bytes
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return max(0, min(recorded, held, self._picture.height))

    def _record(self, descriptor: int, rows: int) -> None:
        os.fsync(descriptor)
        replace_text(self._journal, json.dumps({"rows": rows}))
        self.done = rows


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A picture whose rows are kept until its output is whole.

    Attributes:
        name: of the source, for messages.
        output: has to be a file.
        record: what makes it the same job, each thing under the name that the user knows.
        overwrite: replace an output that exists.
    """

    name: str
    output: Path | BinaryIO
    record: Mapping[str, Any]
    overwrite: bool


def keeping_rows(
    kept: KeptPicture,
    bands: Bands,
    opened: Callable[[Bands], AbstractContextManager[Large]],
    write: Callable[[Large], None],
    skip: Callable[[float], None],
    say: Say,
) -> None:
    """Upscales a picture to its output, by way of a row cache in the output's work folder.

    Rows that a former run of the same job has left there are not computed again.

    Args:
        opened: the SR picture, to be computed as its rows are read.
        write: writes one to the output.
        skip: is called with the part (0..1) that is there already.

    Raises:
        OptionError: the output is no file, or its work folder is of another job.
        OutputError: it cannot be written; what is done stays in the work folder.
        InterruptedRun: Ctrl-C; the same.
    """
    if not isinstance(kept.output, Path):
        raise OptionError(
            f"{option('resume', True)} needs an output file to go on with, and {option('output', '-')} is "
            "none. Leave one of them out."
        )
    with (
        WorkFolder(kept.output, overwrite=kept.overwrite, resume=True, say=say) as work,
        work.failures(),
    ):
        with opened(_claimed(work.path, kept.record, bands)) as large:
            cache = RowCache(work.path, large.rows)
            height = large.rows.height
            if cache.done:
                say(f"{kept.name}: going on after row {cache.done:,} of {height:,}.")
                skip(cache.done / height)
            try:
                cache.fill()
                write(replace(large, rows=cache.rows()))
            except KeyboardInterrupt:
                raise InterruptedRun(
                    f"interrupted: {cache.done:,} of {height:,} rows are done in {work.path}; "
                    "the same command goes on from there."
                ) from None
        work.discard()


def _claimed(folder: Path, record: Mapping[str, Any], bands: Bands) -> Bands:
    """Makes the folder that of the job; gives the bands with the budget that its first run had.

    The budget decides where the tiles lie, and free memory, which decides about the budget, is another every time.
    """
    recorded = job_in(folder) or {}
    budget = recorded.get(BUDGET)
    bands = replace(bands, budget=budget) if isinstance(budget, int) and budget > 0 else bands
    claim(folder, json.loads(json.dumps({**record, BUDGET: bands.budget})))
    return bands
