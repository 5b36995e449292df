"""A job whose source or output is an object: fetched into a scratch folder, done there as any other, and put.

    object  ->  scratch file  ->  the ordinary job  ->  scratch file  ->  object

Before its turn nothing is known of an object but its name, size and time: a run of many would else read the beginning
of each twice. So names of outputs are made from names of inputs, and an ending is believed.
"""

import functools
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from upscale_cli.errors import InputError, InterruptedRun, OutputError, UpscaleError
from upscale_cli.events import ClipFinished, Event, Finished, Listener, Note
from upscale_cli.files.atomic_file import TEMPORARY, hold, remove_abandoned
from upscale_cli.files.object_store import fetch, put
from upscale_cli.files.stamp import Stamp
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.book import prepare_book
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import Job, PhotoOptions, UndividedJob
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.prepare import prepare_photo
from upscale_cli.jobs.prepare_video import (
    OpenedClip,
    container_of_output,
    prepare_video,
    preview_label,
    video_target,
)
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.image.formats import as_ending, format_of
from upscale_cli.media.video.container import container_named
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.media.video.probe import probe
from upscale_cli.text import amount

SCRATCH: Final = "upscale-scratch-"
"""Names of scratch folders begin with it."""

CLIP_BYTES: Final = 0.0125
LOSSY_BYTES: Final = 0.4
LOSSLESS_BYTES: Final = 1.5
"""Of an LR pixel, roughly: of clips at the usual rates, of photos for the screen, of what loses nothing."""


_PLAIN_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class ObjectJob(UndividedJob):
    """One source and one output, of which one at least is an object. It can be pickled.

    Attributes:
        source: a path, or the URL of an object; `name` for messages.
        output: the same of the result; `output_name` for messages.
        target: how large the result shall be.
        options: of a photo or of a clip, which tells them apart.
        format: as given with --format.
        listed: what the source was when it was found; None where unknown.
        why: the model was chosen; "" where the upscaler knows.
    """

    source: Path | str
    name: str
    output: Path | str
    output_name: str
    target: Target
    options: PhotoOptions | ClipOptions
    format: str | None = None
    listed: Stamp | None = None
    why: str = ""

    @property
    def lr_size(self) -> tuple[int, int]:
        """(0, 0): it is looked into in its turn only."""
        return (0, 0)

    @property
    def frames(self) -> None:
        return None

    @property
    def fills_machine(self) -> bool:
        """Whether it is a clip."""
        return isinstance(self.options, ClipOptions)

    def check_machine(self) -> None:
        if self.fills_machine:
            find_ffmpeg()

    @property
    def megapixels(self) -> float:
        """Million SR pixels, guessed by the source's bytes: good enough for a bar of many."""
        pixels = max(1.0, (self.listed.size if self.listed is not None else 0) / _bytes_of_a_pixel(self.name))
        width, height = self.target.size_for(round(pixels**0.5) or 1, round(pixels**0.5) or 1)
        return width * height / 1e6

    def run(self, upscaler: Upscaler, listener: Listener) -> str:
        """Fetches, upscales, puts; gives what the source has lost, in words, or "".

        Raises:
            UpscaleError: it failed, and nothing is left of it.
        """
        begin = time.perf_counter()
        with scratch() as folder:
            names = _Names(self, folder)
            finished: list[Finished | ClipFinished] = []

            def listen(event: Event) -> None:
                if isinstance(event, (Finished, ClipFinished)):
                    finished.append(event)  # reported when the output is where it belongs
                else:
                    listener(replace(event, text=names.shown(event.text)) if isinstance(event, Note) else event)

            with names.in_errors():
                if isinstance(self.source, str):
                    _fetch(self.source, names.source, self.listed)
                damage = _local(self, names, upscaler).run(upscaler, listen)
                if isinstance(self.output, str):
                    put(names.output, self.output, overwrite=self.overwrite)
        for event in finished:
            listener(replace(event, seconds=time.perf_counter() - begin))
        return damage


def prepare_object(
    given: Input, upscaler: Upscaler, naming: Naming, outputs: Outputs, options: PhotoOptions | ClipOptions,
    why: str = "",
) -> ObjectJob:  # fmt: skip
    """What is to be done with one source by one model, by its name alone.

    Args:
        naming: where outputs go; its target, or else the model's own scale, decides the size.
        outputs: where the output's place is reserved.

    Raises:
        OptionError: the output's name cannot be made before the source is read, or contradicts --format.
        OutputError: its place is taken, or its ending names no format.
    """
    if isinstance(options, ClipOptions):
        target = video_target(upscaler, naming)
        ending = _clip_ending(given, naming)
        place = naming.place_unseen(given, ending, target, upscaler.name, preview_label(options))
        container_of_output(place, naming)
    else:
        target = upscaler.target(target=naming.target)
        place = naming.place_unseen(given, naming.unseen_extension(given), target, upscaler.name)
        naming.format_of(PurePosixPath(str(place)))
    outputs.reserve(given, place)
    return ObjectJob(
        given.location, given.name, place, str(place), target, options, naming.format,
        given.stamp(), why,
    )  # fmt: skip


def _local(job: ObjectJob, names: "_Names", upscaler: Upscaler) -> Job:
    """The ordinary job, from file to file, under the names that the user knows."""
    given = Input(str(names.source))
    output = str(names.output).replace("{", "{{").replace("}", "}}")  # or it would be a template
    naming, outputs = Naming(output, job.format, job.target), Outputs([given], overwrite=job.overwrite)
    if not isinstance(job.options, ClipOptions):
        if given.is_book:
            return replace(prepare_book(given, upscaler, naming, outputs, job.options, job.why), name=job.name)
        photo = prepare_photo(given, upscaler, naming, outputs, job.options, job.why)
        return replace(photo, name=job.name, output_name=job.output_name)
    clip = OpenedClip(probe(names.source, max_pixels=job.options.max_pixels, name=job.name))
    return replace(prepare_video(given, clip, upscaler, naming, outputs, job.options), output_name=job.output_name)


class _Names:
    """Where a job finds its files, and what the user knows them by.

    Attributes:
        source, output: files; in the scratch folder, if they stand for objects.
    """

    def __init__(self, job: ObjectJob, folder: Path) -> None:
        self._folder = folder
        self._scratch: dict[str, str] = {}  # by file, the object it stands for
        self.source = self._file("source", job.source)
        self.output = self._file("output", job.output)

    def _file(self, stem: str, place: Path | str) -> Path:
        if isinstance(place, Path):
            return place
        ending = PurePosixPath(place).suffix
        file = self._folder / f"{stem}{ending if _PLAIN_ENDING.fullmatch(ending) else ''}"
        self._scratch[str(file)] = place
        return file

    def shown(self, text: str) -> str:
        """A line for the user."""
        for file, url in self._scratch.items():
            text = text.replace(file, url)
        return text

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Errors name objects, too."""
        try:
            yield
        except InterruptedRun as error:
            if str(self._folder) in str(error):
                raise InterruptedRun from error  # what it describes goes with the folder
            raise
        except UpscaleError as error:
            text = self.shown(error.marked)
            if text == error.marked:
                raise
            raise type(error)(text) from error


def _fetch(url: str, file: Path, listed: Stamp | None) -> None:
    free = shutil.disk_usage(file.parent).free
    if listed is not None and listed.size > free:
        raise InputError(
            f"{url}: {amount(listed.size)} are needed for it in {file.parent.parent}, {amount(free)} are "
            "free. Free space, or set TMPDIR to a larger place."
        )
    fetch(url, file, listed)


@contextmanager
def scratch() -> Iterator[Path]:
    """A private folder for the files of one job, removed in any case; after a kill, by the next run."""
    _remove_abandoned_scratch()
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH))
    try:
        with (folder / f"{TEMPORARY}lock.part").open("xb") as file:
            hold(file)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _remove_abandoned_scratch() -> None:
    """Once per process: removes what belongs to no living run."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        if remove_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _clip_ending(given: Input, naming: Naming) -> str:
    """The clip's own, if it can be written."""
    if naming.format is not None:
        return as_ending(naming.format)
    own = given.pure_path.suffix
    try:
        container_named(own)
    except OutputError:
        return ".mkv"
    return own


def _bytes_of_a_pixel(name: str) -> float:
    try:
        return LOSSLESS_BYTES if format_of(PurePosixPath(name)).quality is None else LOSSY_BYTES
    except UpscaleError:
        return CLIP_BYTES
