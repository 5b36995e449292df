"""A job: one source and one output. What a run, an executor or another machine has to know of any of them.

    PhotoJob (photo.py)    VideoJob (video.py)    ObjectJob (object_job.py)    SegmentJob (video_segments.py)

What runs a job knows this protocol alone; no code asks which of these a job is.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, Self, TypeVar

from upscale_cli.errors import OptionError
from upscale_cli.inference.sizing import Target
from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.messages import option

if TYPE_CHECKING:
    from upscale_cli.events import Listener
    from upscale_cli.inference.upscaler import Upscaler

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

Source = Path | str | bytes
"""A file, the URL of an object (or what stands for bytes that come once only), or all bytes of a picture."""

Output = Path | str | IO[bytes] | None
"""A file, the URL of an object or an address, a stream, or None for a player."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoOptions:
    """How photos are read and written.

    Attributes:
        quality: 0..100 for lossy formats, None for the format's default.
        overwrite: replace an output that exists.
        max_pixels: most pixels a frame of the source may have.
        salvage: take what decodes of a damaged file.
        max_memory: bytes of host memory that the whole process may take; None: what is free.
        pyramid: add smaller versions to a TIFF.
        bands: of a TIFF, counted from 1, in this order; () for all. Three are a colour picture, others gray ones.
        only_below: leave alone what has a shorter side of so many pixels or more; of a book, by its first page.
        yes: begin what is expected to take more than 8 hours, or makes more than 20 gigapixels.
        resume: what is done of a picture that goes through in bands is kept until it is whole; a killed run goes on.
    """

    quality: int | None = None
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
    salvage: bool = False
    max_memory: int | None = None
    resume: bool = False
    pyramid: bool = False
    bands: tuple[int, ...] = ()
    only_below: int | None = None
    yes: bool = False

    def __post_init__(self) -> None:
        if self.quality is not None and not 0 <= self.quality <= 100:
            raise OptionError(f"{option('quality', self.quality)} is out of range. Choose 0 to 100.")
        if any(band < 1 for band in self.bands):
            raise OptionError(f"{option('bands')} counts from 1, and {min(self.bands)} is among them. Choose others.")
        for name, number in (("max_pixels", self.max_pixels), ("max_memory", self.max_memory)):
            if number is not None and number < 1:
                raise OptionError(f"{option(name, number)} leaves room for nothing. Choose a larger one.")
        check_side(self.only_below)


def check_side(only_below: int | None) -> None:
    """
    Raises:
        OptionError: no picture is below that.
    """
    if only_below is not None and only_below < 1:
        raise OptionError(f"{option('only_below', only_below)} leaves everything alone. Choose pixels, such as 1080.")


class Work(Protocol[Result_co]):
    """What any process can run that sees the same files: a job, or a part of one. It can be pickled, unless `is_local`.

    Attributes:
        name: of the source, for messages.
        target: how large the result shall be.
        lr_size: (width, height) of the source; (0, 0) where that is found out only when it is run.
        overwrite: whether an output that is there is replaced; if not, one that appears is this work's own.
        is_local: only this process can run it: its input comes once only, or its output is a stream.
    """

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> Source: ...
    @property
    def output(self) -> Output: ...
    @property
    def target(self) -> Target: ...
    @property
    def lr_size(self) -> tuple[int, int]: ...
    @property
    def overwrite(self) -> bool: ...
    @property
    def is_local(self) -> bool: ...

    def absolute(self) -> Self:
        """The same with absolute paths, for processes with another current folder; names for messages stay."""

    def check_machine(self) -> None:
        """
        Raises:
            FFmpegError: a program that it needs is not on this machine, or is another version than it has to be.
        """

    def run(self, upscaler: "Upscaler", listener: "Listener") -> Result_co:
        """Does it, here and now.

        Raises:
            UpscaleError: it could not be done, and nothing half-done is left.
        """


@dataclass(frozen=True, slots=True)
class Expected:
    """What a job is likely to take, as far as that is known before it is run.

    Attributes:
        seconds: of work on this machine, by the pace of a small window; 0 where that is too little to be worth trying,
            None where unknown.
        memory: bytes of host memory at the worst moment, None where unknown; of a picture in bands, the least.
        in_bands: memory does not hold the picture as a whole.
    """

    seconds: float | None = None
    memory: int | None = None
    in_bands: bool = False


class Job(Work[str], Protocol):
    """One source and one output. What `run` gives is what the source has lost, in words; "" for nothing.

    Attributes:
        output_name: for messages.
        frames: frames or pages of the result; None where unknown.
        megapixels: million SR pixels in all, as expected.
        fills_machine: it has threads of its own and keeps every core and GPU busy, so that one is run at a time.
    """

    @property
    def output_name(self) -> str: ...
    @property
    def frames(self) -> int | None: ...
    @property
    def megapixels(self) -> float: ...
    @property
    def fills_machine(self) -> bool: ...

    def expected(self, upscaler: "Upscaler") -> Expected:
        """What it is likely to take; loads nets, and fetches those that are not here.

        Raises:
            UpscaleError: it cannot be done: neither memory nor bands hold the result, for one.
        """

    def replacing(self) -> Self:
        """The same job, and its output takes the place of what is there."""

    def divided(self) -> "Divided | None":
        """The same job in parts, for several workers; None where one worker does it better."""


class UndividedJob:
    """What most kinds of jobs have in common: files of which one worker makes one output, beside others. The base of
    dataclasses with the fields `source`, `output` and `options`."""

    __slots__ = ()

    @property
    def overwrite(self) -> bool:
        overwrite: bool = self._fields.options.overwrite
        return overwrite

    @property
    def is_local(self) -> bool:
        return False

    @property
    def fills_machine(self) -> bool:
        return False

    def absolute(self) -> Self:
        fields = self._fields
        moved: Self = replace(fields, source=absolute(fields.source), output=absolute(fields.output))
        return moved

    def replacing(self) -> Self:
        fields = self._fields
        replaced: Self = replace(fields, options=replace(fields.options, overwrite=True))
        return replaced

    def divided(self) -> None:
        return None

    def expected(self, upscaler: "Upscaler") -> Expected:  # noqa: ARG002
        return Expected()

    def check_machine(self) -> None:
        pass

    @property
    def _fields(self) -> Any:
        """The dataclass that this is a part of."""
        return self


class Submit(Protocol):
    """Begins with work on some worker, at once or when one is free; the listener is called from any thread."""

    def __call__(self, work: Work[Result], listener: "Listener", /) -> "Future[Result]": ...


class Divided(Protocol):
    """A job in parts."""

    def run(self, upscaler: "Upscaler", listener: "Listener", submit: Submit, workers: Callable[[], int]) -> str:
        """As `Job.run`; the parts are done by workers, at most `workers()` of them at once."""


def sr_size(work: Work[object]) -> tuple[int, int]:
    """(width, height) of what will come out, but for what a codec rounds to even; (0, 0) where unknown."""
    return work.target.size_for(*work.lr_size) if all(work.lr_size) else (0, 0)


Place = TypeVar("Place")


def absolute(place: Place) -> Place:
    """A path made absolute; anything else as it is."""
    return type(place)(os.path.abspath(place)) if isinstance(place, Path) else place
