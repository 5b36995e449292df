"""A plan is made once: inputs -> what upscales each -> sizes -> names -> reservations -> jobs.

Planner.order  ->  Planner.open (a look, the model)  ->  Planner.prepare (size, name, reservation)  ->  Prepared
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from upscale_cli.events import Listener, Note
from upscale_cli.files.object_names import is_object
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.upscaler import Recipe, Upscaler
from upscale_cli.jobs.chosen_model import Choice, choose_clip_model, choose_model, possible_models
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import Job, PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.prepare import prepare_photo
from upscale_cli.jobs.unused_options import unused_by_kind, unused_without_net

if TYPE_CHECKING:  # what clips and objects need is imported with the first of them
    from upscale_cli.jobs.prepare_video import OpenedClip
    from upscale_cli.jobs.video_facts import ClipOptions

USUAL_CODEC: Final = "h264"
"""The codec that a clip in a store is assumed to have, where the codec decides about the model."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One source by one model.

    Attributes:
        model: as given; None for what suits the source.
        clip_options: of a clip; None for a photo.
    """

    source: Input
    model: str | None
    clip_options: "ClipOptions | None"


@dataclass(frozen=True, slots=True)
class Opened:
    """What was wanted, and what upscales it; of a clip that was looked into also what is in it; and why the model was
    chosen for this very source, "" where it was named."""

    wanted: Wanted
    upscaler: Upscaler
    clip: "OpenedClip | None" = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One source by one model: all is known that its header tells, and its output's place is reserved.

    Attributes:
        why: the model was chosen for this very source; "" where it was named.
    """

    source: Input
    upscaler: Upscaler
    job: Job
    why: str = ""

    @property
    def output(self) -> Path | str | None:
        """The file that will be made, or the URL of an object; None for a stream."""
        output = self.job.output
        return output if isinstance(output, Path) or (isinstance(output, str) and is_object(output)) else None

    def replacing(self) -> Self:
        """The same, and its output takes the place of what is there."""
        return replace(self, job=self.job.replacing())


class Planner:
    """Makes jobs of inputs. Upscalers are kept: one for all sources that take the same model.

    Args:
        naming: where outputs go.
        photos: how pictures are read and written.
        clip_options: makes the options for clips, once a clip is among the sources.
        upscaler_options: of every `Upscaler`.
        for_clips: options for clips alone that are given, marked (`messages.option`).
        upscalers: those that other planners with the same `upscaler_options` have made, and may take from here.
    """

    def __init__(
        self,
        naming: Naming,
        photos: PhotoOptions,
        clip_options: "Callable[[], ClipOptions]",
        upscaler_options: UpscalerOptions,
        listener: Listener,
        *,
        for_clips: Sequence[str] = (),
        upscalers: "dict[tuple[str, bool], Upscaler] | None" = None,
    ) -> None:
        self.naming, self.photos, self._clip_options = naming, photos, clip_options
        self._upscaler_options, self.listener = upscaler_options, listener
        self._for_clips, self._told = for_clips, set[str]()
        self._upscalers = {} if upscalers is None else upscalers

    def order(self, sources: Sequence[Input], models: Sequence[str | None]) -> Iterator[Wanted]:
        """Every source by every model, photos before clips.

        Raises:
            UpscaleError: an option or a model is wrong for all of them.
        """
        clip_options = self._clip_options() if any(source.is_clip for source in sources) else None
        self._tell_unused(sources)
        only_clips = all(source.is_clip for source in sources)
        hurry = clip_options is not None and clip_options.hurries and only_clips
        for model in models:
            if model is not None:
                self._upscaler(model, hurry=hurry)
            elif not only_clips:
                self._suitable_upscalers()
            for source in sorted(sources, key=lambda source: source.is_clip):
                yield Wanted(source, model, clip_options if source.is_clip else None)

    def _tell_unused(self, sources: Sequence[Input]) -> None:
        """Options that nothing here has a use for, each once."""
        clips = sum(source.is_clip for source in sources)
        kinds = {"has_photos": clips < len(sources), "has_clips": clips > 0}
        self._tell(unused_by_kind(self.photos, self._for_clips, **kinds) if sources else ())

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                self.listener(Note(line))

    def open(self, wanted: Wanted) -> Opened:
        """What upscales a source; of a clip, or a picture without a model, that takes a look into it, unless an object
        comes or goes.

        Raises:
            InputError: the clip cannot be read.
        """
        source, options = wanted.source, wanted.clip_options
        if options is None:
            if wanted.model is not None:
                return Opened(wanted, self._upscaler(wanted.model))
            remote = self._is_remote(source)
            how, target = self._upscaler_options, self.naming.target
            return self._chosen(wanted, choose_model(source, self.photos, how, target, is_remote=remote))
        if self._is_remote(source):
            if wanted.model is not None:
                return Opened(wanted, self._upscaler(wanted.model, hurry=options.hurries))
            return self._chosen(wanted, choose_clip_model(USUAL_CODEC, hurries=options.hurries))
        from upscale_cli.jobs.prepare_video import open_clip
        from upscale_cli.jobs.video_facts import chosen_streams

        clip = open_clip(source, options)
        if wanted.model is not None:
            return Opened(wanted, self._upscaler(wanted.model, hurry=options.hurries), clip)
        stream = chosen_streams(clip.clip, options.video_stream)[0]
        lossless, hurries = stream.lossless, options.hurries
        choice = choose_clip_model(stream.codec, stream.bits_per_pixel, lossless=lossless, hurries=hurries)
        return self._chosen(wanted, choice, clip)

    def prepare(self, opened: Opened, outputs: Outputs) -> Prepared:
        """What is to be done with one source.

        Args:
            outputs: where the output's place is reserved.

        Raises:
            OptionError: output and format contradict each other.
            InputError: the input cannot be read.
            OutputError: its place is taken.
        """
        return Prepared(opened.wanted.source, opened.upscaler, self._job(opened, outputs), opened.why)

    def _chosen(self, wanted: Wanted, choice: Choice, clip: "OpenedClip | None" = None) -> Opened:
        """What was chosen, which is reported where something was seen, or where nobody looks."""
        options, source = wanted.clip_options, wanted.source
        if choice.is_clip or choice.picture.format or source.is_book or self._is_remote(source):
            self.listener(choice.event(source.name))  # what cannot be read fails next, and nothing was chosen for it
        upscaler = self._upscaler(choice.model, hurry=options is not None and options.hurries)
        return Opened(wanted, upscaler, clip, choice.why)

    def may_take(self, wanted: Wanted) -> Sequence[Upscaler]:
        """What may upscale a picture for which the model is to be chosen, so that what is done need not be looked at
        again; nothing where a model is named, or a clip is meant."""
        if wanted.model is not None or wanted.clip_options is not None:
            return ()
        return self._suitable_upscalers()

    def _suitable_upscalers(self) -> list[Upscaler]:
        return [self._upscaler(model) for model in possible_models(self._upscaler_options)]

    def _job(self, opened: Opened, outputs: Outputs) -> Job:
        source, clip_options, upscaler = opened.wanted.source, opened.wanted.clip_options, opened.upscaler
        why = opened.why
        if self._is_remote(source):
            from upscale_cli.jobs.object_job import prepare_object

            return prepare_object(source, upscaler, self.naming, outputs, clip_options or self.photos, why)
        if source.is_book:
            from upscale_cli.jobs.book import prepare_book

            return prepare_book(source, upscaler, self.naming, outputs, self.photos, why)
        if clip_options is None or opened.clip is None:
            return prepare_photo(source, upscaler, self.naming, outputs, self.photos, why)
        from upscale_cli.jobs.prepare_video import prepare_video

        return replace(prepare_video(source, opened.clip, upscaler, self.naming, outputs, clip_options), why=why)

    def _is_remote(self, source: Input) -> bool:
        """Whether a source is an object, or what becomes of it."""
        return source.is_object or is_object(self.naming.output or "")

    def _upscaler(self, model: str, *, hurry: bool = False) -> Upscaler:
        key = model, hurry
        if key not in self._upscalers:
            options = replace(self._upscaler_options, hurry=hurry)
            made = self._upscalers[key] = Recipe(model, options).make(self.listener)
            unused = unused_without_net(options, made.name) if made.kernel is not None else None
            self._tell([unused] if unused else ())
        return self._upscalers[key]
