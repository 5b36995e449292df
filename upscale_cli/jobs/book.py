"""source -> upscaler -> sink, for a comic book: every page as a photo, all else as it was, the same book out.

One page is held at a time; the book gets its name when it is whole.
"""

import io
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

from upscale_cli.errors import InputError, OptionError
from upscale_cli.events import Event, Finished, Listener, Note, Progress, Say, Started, ignore, saying_once
from upscale_cli.files.atomic_file import OutputFile
from upscale_cli.files.output_folder import folder_for
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.checks import check_only_below
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import PhotoOptions, UndividedJob, sr_size
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.photo import PhotoJob
from upscale_cli.media.book import ENDING, content, is_page, open_book, without_page_sizes
from upscale_cli.media.image.formats import written_for
from upscale_cli.media.image.reader_writer import ImageReader, frames_kept
from upscale_cli.messages import option
from upscale_cli.text import counted

_STEPS: Final = 1000
"""Of progress, for each page."""

_COMIC_INFO: Final = "ComicInfo.xml"

_UNNAMED: Final = "<stdin>"
"""What the reader calls bytes without a name."""


@dataclass(frozen=True, slots=True)
class BookJob(UndividedJob):
    """One book and one output; a `Job`.

    Attributes:
        lr_size: (width, height) of the first page.
        frames: how many pages there are.
        why: the model was chosen for this very book; "" where the upscaler knows.
    """

    source: Path
    name: str
    output: Path
    output_name: str
    target: Target
    options: PhotoOptions
    lr_size: tuple[int, int]
    frames: int
    why: str = ""

    @property
    def megapixels(self) -> float:
        """Million SR pixels in all, as if every page had the size of the first."""
        width, height = sr_size(self)
        return width * height * self.frames / 1e6

    def run(self, upscaler: Upscaler, listener: Listener = ignore) -> str:
        """Upscales all pages; gives how many were damaged and are as they were, in words, or "".

        Raises:
            InputError: a page cannot be read, and `salvage` is not asked for. Nothing is left of the output.
            OutputError: as `PhotoJob.run`.
        """
        begin, say = time.perf_counter(), saying_once(listener)
        archive, pages = open_book(self.source, self.name)
        with archive, folder_for(self.output):
            target = OutputFile(self.output, overwrite=self.options.overwrite)
            with target as stream, target.failures(), zipfile.ZipFile(cast(Any, stream), "w") as made:
                progress = _Progress(self, len(pages), listener)
                made.comment = archive.comment
                for member in archive.infolist():
                    data = b"" if member.is_dir() else content(archive, member, self.name)
                    if is_page(member):
                        member, data = self._page(member, data, upscaler, progress, say)
                    elif PurePosixPath(member.filename).name == _COMIC_INFO:
                        data = _told(data, say, self.name)
                    made.writestr(_entry(member), data)
        width, height = progress.size
        listener(Finished(self.name, self.output_name, width, height, time.perf_counter() - begin))
        if not progress.damaged:
            return ""
        damage = f"{counted(progress.damaged, 'page')} of it could not be read, and stay as they were"
        say(f"{self.name}: {damage}.")
        return damage

    def _page(
        self, member: zipfile.ZipInfo, data: bytes, upscaler: Upscaler, progress: "_Progress", say: Say
    ) -> tuple[zipfile.ZipInfo, bytes]:
        """A page of the output: its entry, and its bytes."""
        name, made = f"{self.name}/{member.filename}", io.BytesIO()

        def listen(event: Event) -> None:
            named = replace(event, text=event.text.replace(_UNNAMED, name)) if isinstance(event, Note) else event
            progress.of_page(named)

        try:
            job = self._photo(name, data, made)
            job.run(upscaler, listen)
        except InputError as failure:
            error = InputError(failure.marked.replace(_UNNAMED, name))
            if not self.options.salvage:
                raise InputError(f"{error.marked} {option('salvage', True)} leaves such a page as it was.") from failure
            say(f"{error.marked} The page stays as it was.")
            progress.damaged += 1
            progress.next()
            return member, data
        progress.next()
        path = PurePosixPath(member.filename)
        ending = path.suffix if path.suffix.lower() in job.format.extensions else job.format.extensions[0]
        renamed = zipfile.ZipInfo(str(path.with_suffix(ending)), member.date_time)
        renamed.external_attr, renamed.comment = member.external_attr, member.comment
        return renamed, made.getvalue()

    def _photo(self, name: str, data: bytes, made: io.BytesIO) -> PhotoJob:
        options = replace(self.options, overwrite=False, resume=False)
        with ImageReader(data, max_pixels=options.max_pixels, salvage=options.salvage) as reader:
            info = reader.info
        row = written_for(info.format)
        return PhotoJob(
            data, name, made, name, row, self.target, options,
            lr_size=(info.width, info.height), frames=frames_kept(row, info), why=self.why,
        )  # fmt: skip


class _Progress:
    """The progress of all pages as that of the book.

    Attributes:
        size: (width, height) of the first page of the output.
        damaged: pages that stay as they were.
    """

    def __init__(self, job: BookJob, pages: int, listener: Listener) -> None:
        self._job, self._pages, self._listener = job, pages, listener
        self._done, self._megapixels, self._of_page = 0, 0.0, 0.0
        self.size, self.damaged = (0, 0), 0

    def of_page(self, event: Event) -> None:
        """What is reported of a page."""
        if isinstance(event, Started):
            if self.size == (0, 0):
                self.size = event.sr_width, event.sr_height
                job = self._job
                self._listener(replace(event, source=job.name, output=job.output_name, frames=self._pages))
        elif isinstance(event, Progress):
            self._of_page = event.megapixels
            self._report(event.done / event.total if event.total else 0.0)
        elif isinstance(event, Note):
            self._listener(event)

    def next(self) -> None:
        """A page is done."""
        self._done += 1
        self._megapixels, self._of_page = self._megapixels + self._of_page, 0.0
        self._report(0.0)

    def _report(self, part: float) -> None:
        done = int((self._done + part) * _STEPS)
        megapixels = self._megapixels + self._of_page
        self._listener(Progress(self._job.name, done, self._pages * _STEPS, megapixels))


def _entry(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """How a file is stored: pages, which are compressed already, as they are; all else as it was."""
    entry = zipfile.ZipInfo(member.filename, member.date_time)
    entry.external_attr, entry.comment = member.external_attr, member.comment
    is_stored = is_page(member) or member.compress_type == zipfile.ZIP_STORED
    entry.compress_type = zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
    return entry


def _told(comic_info: bytes, say: Say, name: str) -> bytes:
    stripped = without_page_sizes(comic_info)
    if stripped != comic_info:
        say(f"{name}: the sizes of pages are left out of {_COMIC_INFO}; readers measure them.")
    return stripped


def prepare_book(
    given: Input, upscaler: Upscaler, naming: Naming, outputs: Outputs, options: PhotoOptions, why: str = ""
) -> BookJob:
    """What is to be done with one book by one model; see `prepare_photo`.

    Raises:
        InputError: the book cannot be read. OutputError: its place is taken.
        OptionError: the output is none, or another format than the pages' own is asked for.
    """
    if naming.format is not None:
        raise OptionError(
            f"{option('format', naming.format)}: pages of a book keep their formats. Leave it out, or unpack the book."
        )
    target = upscaler.target(target=naming.target)
    archive, pages = open_book(given.path, given.name)
    with archive:
        first = content(archive, pages[0], given.name)
        with ImageReader(first, max_pixels=options.max_pixels, salvage=options.salvage) as reader:
            lr_size = reader.info.width, reader.info.height
    check_only_below(given.name, *lr_size, options.only_below)
    naming = replace(naming, target=target)
    path = naming.place_clip(given, lr_size, target.size_for(*lr_size), upscaler.name, given.path.suffix)
    if path is None or path.suffix.lower() != ENDING:
        raise OptionError(f"{given.name}: a book stays a book. Give {option('output')} a name that ends in {ENDING}.")
    outputs.reserve(given, path)
    return BookJob(given.path, given.name, path, str(path), target, options, lr_size, len(pages), why)
