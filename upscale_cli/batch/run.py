"""What the main verb does with its inputs, one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from upscale_cli.errors import InterruptedRun, OptionError, UpscaleError, causes_of
from upscale_cli.files.object_names import is_object
from upscale_cli.jobs.perform import perform

if TYPE_CHECKING:
    from upscale_cli.compare.comparison import Comparison
    from upscale_cli.compare.page import Compared
    from upscale_cli.events import Listener
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.inputs import Input
    from upscale_cli.jobs.job import FileOptions, Job
    from upscale_cli.jobs.naming import Naming
    from upscale_cli.jobs.object_job import ObjectJob
    from upscale_cli.jobs.outputs import Outputs
    from upscale_cli.jobs.prepare import OpenedClip
    from upscale_cli.jobs.video_job import ClipJob, ClipOptions


USUAL_CODEC = "h264"
"""What an object is taken for, where the codec of a clip decides about the model."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One source by one model: all is known that its header tells, and its output has a place.

    Attributes:
        lr_size: (width, height); (0, 0) where an object comes or goes, which is looked into in its turn only.
        frames: that are made; None where nobody knows.
    """

    source: "Input"
    upscaler: "Upscaler"
    job: "Job | ClipJob | ObjectJob"
    lr_size: tuple[int, int]
    frames: int | None

    @property
    def sr_size(self) -> tuple[int, int]:
        """(width, height) of what will come out, but for what a codec rounds to even; (0, 0) where nobody knows."""
        return self.job.target.size_for(*self.lr_size) if all(self.lr_size) else (0, 0)

    @property
    def megapixels(self) -> float:
        """Million SR pixels in all; guessed by the bytes where nobody knows."""
        from upscale_cli.jobs.object_job import ObjectJob

        if isinstance(self.job, ObjectJob):
            return self.job.guessed_megapixels
        width, height = self.sr_size
        return width * height * (self.frames or 1) / 1e6

    @property
    def output(self) -> Path | str | None:
        """The file that will be made, or the URL of an object; None for a stream."""
        from upscale_cli.jobs.object_job import ObjectJob

        if isinstance(self.job, ObjectJob):
            return self.job.output
        return self.job.output if isinstance(self.job.output, Path) else None

    def replacing(self) -> "Prepared":
        """The same, and its output takes the place of what is there."""
        return replace(self, job=replace(self.job, options=replace(self.job.options, overwrite=True)))  # type: ignore[arg-type]


class Opened(NamedTuple):
    """What upscales a source; for a clip also what is in it, and its options."""

    upscaler: "Upscaler"
    clip: "OpenedClip | None"
    clip_options: "ClipOptions | None"


class Run:
    """Every source by every model: all are prepared before the first is computed; a failure is told, the rest goes on.

    Args:
        naming: where outputs go.
        photos: how pictures are read and written.
        clip_options: makes the options for clips, once a clip is among the sources.
        upscaler_options: of every `Upscaler`.
        show_comparison: puts before and after beside each other too, and tells of it by this; None: does not.
    """

    def __init__(
        self,
        naming: "Naming",
        photos: "FileOptions",
        clip_options: "Callable[[], ClipOptions]",
        upscaler_options: dict[str, Any],
        listener: "Listener",
        *,
        show_comparison: "Callable[[Compared], None] | None" = None,
    ) -> None:
        self.naming, self.photos, self._clip_options = naming, photos, clip_options
        self._upscaler_options, self.listener = upscaler_options, listener
        self._show_comparison = show_comparison
        self._comparisons: dict[Input, Comparison] = {}
        self._upscalers: dict[str | None, Upscaler] = {}
        self._failed = 0

    def all(self, sources: "list[Input]", models: list[str | None]) -> int:
        """Runs everything; gives how many failed."""
        from upscale_cli.jobs.outputs import Outputs

        outputs = Outputs(sources, overwrite=self.photos.overwrite)
        clip_options = self.options_for(sources)
        ready: dict[Upscaler, list[Prepared]] = {}
        for name in models:
            self.check_model(name, sources)
            for source in sorted(sources, key=lambda source: source.is_clip):  # photos, then clips
                with self._telling(source.name):
                    opened = self.opened(source, name, clip_options if source.is_clip else None)
                    prepared = self.prepared(source, opened, outputs)
                    self._book_comparison(prepared, outputs)
                    ready.setdefault(prepared.upscaler, []).append(prepared)
        for upscaler, works in ready.items():
            for work in works:
                with self._telling(work.source.name):
                    self._failed += bool(perform(work.job, work.upscaler, self.listener))
                    if work.source in self._comparisons and isinstance(work.output, Path):
                        self._comparisons[work.source].outputs.append(work.output)
            upscaler.close()  # the next model needs the device
        self._compare()
        return self._failed

    def _book_comparison(self, prepared: Prepared, outputs: "Outputs") -> None:
        """Where before and after are to be compared, a place for that, before anything is computed."""
        source, job = prepared.source, prepared.job
        output = prepared.output
        if self._show_comparison is None or not isinstance(output, Path) or source in self._comparisons:
            return
        from upscale_cli.compare.comparison import Comparison
        from upscale_cli.jobs.job import Job

        opened = job.source if isinstance(job, Job) else source.path
        comparison = Comparison(opened, source.name, output, is_clip=source.is_clip)
        outputs.promise(replace(source, name=f"{source.name} --compare"), comparison.place)
        self._comparisons[source] = comparison

    def _compare(self) -> None:
        """What was made, beside what it was made of."""
        for source, comparison in self._comparisons.items():
            if comparison.outputs and self._show_comparison is not None:
                with self._telling(source.name):
                    self._show_comparison(comparison.write(overwrite=self.photos.overwrite, listener=self.listener))

    def options_for(self, sources: "list[Input]") -> "ClipOptions | None":
        """How clips are read and written, if there is one among the sources."""
        from upscale_cli.events import Note

        clip_options = self._clip_options() if any(source.is_clip for source in sources) else None
        if clip_options is not None and self.photos.quality is not None:
            self.listener(Note("--quality is for photos; clips take --crf."))
        return clip_options

    def check_model(self, name: str | None, sources: "list[Input]") -> None:
        """Finds out what is wrong with a model, for that is wrong for all sources."""
        if name is not None or not all(source.is_clip for source in sources):
            self.upscaler(name)

    def opened(self, source: "Input", name: str | None, clip_options: "ClipOptions | None") -> "Opened":
        """What upscales a source; of a clip, that takes a look into it, unless an object comes or goes.

        Args:
            clip_options: of a clip; None for a photo.
        """
        if clip_options is None:
            return Opened(self.upscaler(name), None, None)
        if self.is_remote(source):
            return Opened(self.upscaler(name, USUAL_CODEC), None, clip_options)
        from upscale_cli.jobs.prepare import open_source
        from upscale_cli.jobs.video_plan import chosen_streams

        clip = open_source(source, clip_options)
        stream = chosen_streams(clip.clip, clip_options.video_stream)[0]
        return Opened(self.upscaler(name, stream.codec), clip, clip_options)

    def prepared(self, source: "Input", opened: "Opened", outputs: "Outputs") -> Prepared:
        """What is to be done with one source."""
        from upscale_cli.jobs.prepare import prepare, prepare_clip

        upscaler, clip, clip_options = opened
        if self.is_remote(source):
            from upscale_cli.jobs.object_job import prepare_object

            remote = prepare_object(source, upscaler, self.naming, outputs, clip_options or self.photos)
            return Prepared(source, upscaler, remote, (0, 0), None)
        if clip is None or clip_options is None:
            photo = prepare(source, upscaler, self.naming, outputs, self.photos)
            return Prepared(source, upscaler, photo, photo.lr_size, photo.frames)
        from upscale_cli.jobs.video_plan import chosen_streams

        job = prepare_clip(source, clip, upscaler, self.naming, outputs, clip_options)
        stream = chosen_streams(clip.clip, clip_options.video_stream)[0]
        guess = round(stream.seconds * stream.rate) if stream.seconds else None
        return Prepared(source, upscaler, job, (stream.width, stream.height), stream.frames or guess)

    def is_remote(self, source: "Input") -> bool:
        """Whether a source is an object, or what becomes of it."""
        return source.is_object or is_object(self.naming.output or "")

    def upscaler(self, name: str | None, clip_codec: str | None = None) -> "Upscaler":
        """One for all sources that take the same model."""
        from upscale_cli.inference.upscaler import Upscaler
        from upscale_cli.models.select import best_clip_model

        chosen = name or (clip_codec and best_clip_model(clip_codec)[0])
        if chosen not in self._upscalers:
            self._upscalers[chosen] = Upscaler(name, clip_codec=clip_codec, **self._upscaler_options)
        return self._upscalers[chosen]

    @contextmanager
    def _telling(self, source: str) -> Iterator[None]:
        from upscale_cli.events import Failed

        try:
            yield
        except (OptionError, InterruptedRun):
            raise
        except UpscaleError as error:
            self._failed += 1
            self.listener(Failed(source, str(error), causes_of(error)))
