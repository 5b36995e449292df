"""The tools: each checks which files it may touch, calls one function of `api`, and says what came of it.

Imports no torch until a tool needs it. Nothing here knows of the SDK: `server` makes tools of the methods, by their
signatures.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from upscale_cli.assistant import arguments as given
from upscale_cli.assistant.allowed import Allowed
from upscale_cli.assistant.results import (
    Alikeness,
    Answer,
    Comparison,
    Evaluation,
    Failure,
    MadeFile,
    ModelFacts,
    ModelList,
    Plan,
    PlannedFile,
    Score,
    Upscaled,
)
from upscale_cli.assistant.running import Running
from upscale_cli.errors import InputError, LeftAlone, OptionError
from upscale_cli.evaluation.rows import finite
from upscale_cli.events import ClipFinished, Event, Failed, Finished, FolderFinished, Planned, Skipped, Started
from upscale_cli.messages import option

if TYPE_CHECKING:
    from upscale_cli.compare.thumbnail import Thumbnail
    from upscale_cli.evaluation.rows import Row
    from upscale_cli.inference.sizing import Target
    from upscale_cli.jobs.job import PhotoOptions
    from upscale_cli.jobs.video_facts import ClipOptions

MOST_LISTED: Final = 100
"""Files, or rows, that an answer names one by one: assistants pay for each word."""

MOST_SHOWN: Final = 4
"""Pictures."""


class Tools:
    """What an assistant can do with the files in some folders.

    Args:
        allowed: these folders.
    """

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    def list_models(self, running: Running, search: given.Search = None) -> Answer[ModelList]:
        """Lists the models that can upscale: scales, licence, what each is good for, whether it is on this machine.

        Also tells which folders files may lie in.
        """
        from upscale_cli.models.resolve import best_model

        models = [one for one in _models(running) if not search or search.lower() in f"{one.name} {one.about}".lower()]
        folders = [str(folder) for folder in self._allowed.folders]
        return Answer(ModelList(models, best_model()[0], folders, list(running.notes)))

    def plan(
        self,
        running: Running,
        source: given.Source,
        output: given.Output = None,
        scale: given.Scale = None,
        width: given.Width = None,
        height: given.Height = None,
        long_side: given.LongSide = None,
        megapixels: given.Megapixels = None,
        model: given.ModelName = None,
        format: given.Format = None,
        overwrite: given.Overwrite = False,
        recursive: given.Recursive = False,
    ) -> Answer[Plan]:
        """Tells what upscale would do, without doing it: names, sizes, time, memory, what would be fetched."""
        from upscale_cli.api import plan_file, upscale_folder
        from upscale_cli.jobs.job import PhotoOptions
        from upscale_cli.jobs.video_facts import ClipOptions

        path, target = self._allowed.source(source), _target(width, height, long_side, megapixels)
        place = None if output is None else self._allowed.output(output)
        name = None if model is None else self._allowed.model(model)
        if path.is_dir():
            upscale_folder(
                self._allowed.folder(source, recursive=recursive), place, scale, target=target, model=name,
                recursive=recursive, format=format, overwrite=overwrite, dry_run=True, listener=running,
            )  # fmt: skip
            return Answer(_plan_of_folder(running))
        plan = plan_file(
            path, place, scale, target=target, model=name, format=format, photos=PhotoOptions(overwrite=overwrite),
            clips=ClipOptions(overwrite=overwrite), listener=running,
        )  # fmt: skip
        file = PlannedFile(
            plan.source, plan.output, plan.model, plan.width, plan.height, plan.sr_width, plan.sr_height, plan.frames
        )
        expected = plan.expected
        return Answer(
            Plan(
                [file], 1, plan.megapixels, expected.seconds, expected.memory, expected.in_bands, plan.device, plan.why,
                list(plan.missing), 0, [], list(running.notes),
            )
        )  # fmt: skip

    def upscale(
        self,
        running: Running,
        source: given.Source,
        output: given.Output = None,
        scale: given.Scale = None,
        width: given.Width = None,
        height: given.Height = None,
        long_side: given.LongSide = None,
        megapixels: given.Megapixels = None,
        model: given.ModelName = None,
        format: given.Format = None,
        quality: given.Quality = None,
        overwrite: given.Overwrite = False,
        recursive: given.Recursive = False,
        only_below: given.OnlyBelow = None,
        denoise: given.Denoise = 1.0,
        strength: given.Strength = None,
        noise: given.Noise = None,
        blend: given.Blend = 1.0,
        match_colour: given.MatchColour = False,
        tta: given.Tta = False,
        alpha: given.AlphaKind = "net",
        precision: given.Precision = "auto",
        codec: given.Codec = "auto",
        crf: given.Crf = None,
        start: given.Start = None,
        end: given.End = None,
        steady: given.Steady = False,
        preview: given.Preview = None,
        yes: given.Yes = False,
        thumbnails: given.Pictures = True,
    ) -> Answer[Upscaled]:
        """Upscales a photo, a clip, a comic book, or all of them in a folder; colours, metadata and sound are kept.

        What is done of a folder stays done: the same call again goes on where it ended.
        """
        from upscale_cli.inference.options import UpscalerOptions
        from upscale_cli.jobs.job import PhotoOptions
        from upscale_cli.jobs.video_facts import ClipOptions
        from upscale_cli.media.video.encoding import EncodeOptions
        from upscale_cli.media.video.reader_arguments import DecodeOptions

        target = _target(width, height, long_side, megapixels)
        place = None if output is None else self._allowed.output(output)
        name = None if model is None else self._allowed.model(model)
        net = UpscalerOptions(
            denoise=denoise, strength=strength, noise=noise, blend=blend, match_colour=match_colour, tta=tta,
            alpha=alpha, precision=precision,
        )  # fmt: skip
        photos = PhotoOptions(quality=quality, overwrite=overwrite, only_below=only_below, yes=yes)
        clips = ClipOptions(
            decode=DecodeOptions(start=start, end=end), encode=EncodeOptions(codec=codec, crf=crf), overwrite=overwrite,
            preview=preview, only_below=only_below, yes=yes, steady=steady,
        )  # fmt: skip
        path = self._allowed.source(source)
        if path.is_dir():
            path = self._allowed.folder(source, recursive=recursive)
        common = {"target": target, "model": name, "listener": running, **net.keywords}
        try:
            _upscale(path, place, scale, photos, clips, format=format, recursive=recursive, **common)
        except LeftAlone as reason:
            running.events.append(Skipped(source, "", reason.message))
        facts = _upscaled(running)
        return Answer(facts, _thumbnails([one.output for one in facts.files], running) if thumbnails else ())

    def compare(
        self,
        running: Running,
        files: given.Files,
        output: given.Page = None,
        reference: given.Reference = None,
        overwrite: given.Overwrite = False,
        thumbnails: given.Pictures = True,
    ) -> Answer[Comparison]:
        """Compares pictures in one web page with a slider, or two clips side by side in one clip, and measures them."""
        from upscale_cli.compare.files import compare_files

        paths = [self._place(file) for file in files]
        hr = None if reference is None else self._place(reference)
        place = None if output is None else self._allowed.place(output)
        made = compare_files(paths, place, hr, overwrite=overwrite, before_each=running.check, listener=running)
        measured = [
            Alikeness(
                one.subject, one.before, one.after, one.likeness.largest == 0, finite(one.likeness.psnr_luma),
                finite(one.likeness.ssim_luma), finite(one.likeness.psnr_rgb), one.likeness.largest,
            )
            for one in made.measured[:MOST_LISTED]
        ]  # fmt: skip
        facts = Comparison(made.output, made.pictures, measured, _failures(running.events), list(running.notes))
        shown = [str(path) for path in paths if path.is_file()] if thumbnails else []
        return Answer(facts, _thumbnails(shown, running))

    def evaluate(
        self,
        running: Running,
        hr: given.Hr,
        models: given.Models = None,
        lr: given.Lr = None,
        scales: given.Scales = None,
    ) -> Answer[Evaluation]:
        """Measures how well models upscale: high-resolution pictures are shrunk, upscaled again and compared with
        themselves (PSNR and SSIM of luma and colour)."""
        from upscale_cli.api import evaluate_models
        from upscale_cli.evaluation.rows import means

        if lr is not None and len(hr) != 1:
            raise OptionError(f"{option('lr', lr)} goes with one folder or picture. Give one {option('hr')}.")
        high = [self._place(one) for one in hr]
        low = None if lr is None else self._place(lr)
        names = [self._allowed.model(model) for model in models or ()]
        rows: list[Row] = []
        for row in evaluate_models(high, names, lr=low, scales=scales or (), listener=running):
            rows.append(row)
            running.check()
        table = [_score(row) for row in means(rows)]
        failures = _failures(running.events)
        if not rows:
            raise InputError(failures[0].why if failures else f"{hr[0]}: nothing in it could be measured.")
        return Answer(Evaluation(table, [_score(row) for row in rows[:MOST_LISTED]], failures, list(running.notes)))

    def _place(self, given: str) -> Path:
        """A file or a folder, all of whose files are allowed."""
        path = self._allowed.source(given)
        return self._allowed.folder(given) if path.is_dir() else path


def _upscale(
    path: Path,
    output: str | None,
    scale: float | None,
    photos: "PhotoOptions",
    clips: "ClipOptions",
    *,
    format: str | None,
    recursive: bool,
    **common: Any,
) -> None:
    """By the kind of the source."""
    from dataclasses import asdict

    from upscale_cli.api import upscale_file, upscale_folder, upscale_video
    from upscale_cli.jobs.inputs import Input

    source = Input(str(path))
    if path.is_dir() or source.is_book or (source.is_clip and format is not None):
        upscale_folder(
            path, output, scale, recursive=recursive, format=format, overwrite=photos.overwrite, photos=photos,
            clips=clips, **common,
        )  # fmt: skip
    elif source.is_clip:
        upscale_video(path, output, scale, options=clips, **common)
    else:
        upscale_file(path, output, scale, format=format, **asdict(photos), **common)


def _target(width: int | None, height: int | None, long_side: int | None, megapixels: float | None) -> "Target | None":
    """How large the result shall be; None: by the scale."""
    from upscale_cli.inference.sizing import Target

    box = None if width is None and height is None else (width, height)
    if box is None and long_side is None and megapixels is None:
        return None
    return Target(box=box, long_side=long_side, megapixels=megapixels)


def _models(running: Running) -> Iterable[ModelFacts]:
    """Those of the registry, then the owner's."""
    from upscale_cli.models.registry import KERNELS, MODELS
    from upscale_cli.models.seen import seen
    from upscale_cli.models.store import locate
    from upscale_cli.models.user_files import user_files

    for name in dict.fromkeys(spec.model for spec in MODELS):
        rows = [spec for spec in MODELS if spec.model == name]
        scales = " ".join(f"x{spec.scale}" for spec in rows)
        is_here = all(locate(spec) is not None for spec in rows)
        size = sum(spec.size or 0 for spec in rows)
        about = "; ".join(dict.fromkeys(spec.about for spec in rows))
        yield ModelFacts(name, scales, is_here, size or None, rows[0].licence, about, [])
    for name, about in KERNELS.items():
        yield ModelFacts(name, "any", True, None, "", about, [])
    for file in user_files(say=lambda text: running.notes.update({text: None})):
        facts = seen(file.path)
        kind, needs = (facts.arch, list(facts.inputs)) if facts else ("", [])
        scales, licence = (facts.scales, facts.licence) if facts else ("", "")
        about = f"{kind or 'a checkpoint'} from {file.origin}"
        yield ModelFacts(file.stem, scales, True, file.size, licence, about, needs)


def _plan_of_folder(running: Running) -> Plan:
    planned = [event for event in running.events if isinstance(event, Planned)]
    files = [
        PlannedFile(one.source, one.output, one.model, one.width, one.height, one.sr_width, one.sr_height, one.frames)
        for one in planned[:MOST_LISTED]
    ]
    pixels = sum(one.sr_width * one.sr_height * (one.frames or 1) for one in planned)
    skipped = sum(event.skipped for event in running.events if isinstance(event, FolderFinished))
    return Plan(
        files, len(planned), pixels / 1e6, None, None, False, "", "", [], skipped, _failures(running.events),
        list(running.notes),
    )  # fmt: skip


def _upscaled(running: Running) -> Upscaled:
    events = running.events
    files = [
        MadeFile(
            one.source, one.output, one.width, one.height, one.frames if isinstance(one, ClipFinished) else 1,
            one.seconds,
        )
        for one in events
        if isinstance(one, Finished | ClipFinished)
    ]  # fmt: skip
    models = [f"{one.model} on {one.device}, {one.computed_in}" for one in events if isinstance(one, Started)]
    failures = _failures(events)
    left = [one for one in events if isinstance(one, Skipped) and one.why]
    ends = [one for one in events if isinstance(one, FolderFinished)]
    counts = (
        (ends[-1].done, ends[-1].skipped, ends[-1].failed, ends[-1].left_alone)
        if ends else (len(files), 0, len(failures), len(left))
    )  # fmt: skip
    notes = [*running.notes, *(one.why for one in left)]
    return Upscaled(files[:MOST_LISTED], *counts, list(dict.fromkeys(models)), failures, notes)


def _failures(events: Sequence[Event]) -> list[Failure]:
    failed = [Failure(one.source, one.message) for one in events if isinstance(one, Failed)]
    failed += [Failure(one.source, one.damage) for one in events if isinstance(one, ClipFinished) and one.damage]
    return failed[:MOST_LISTED]


def _score(row: "Row") -> Score:
    return Score(**row.as_record())


def _thumbnails(files: Sequence[str], running: Running) -> "tuple[Thumbnail, ...]":
    """Of the first few; what cannot be shown so is left out."""
    from upscale_cli.compare.thumbnail import thumbnail

    made = []
    for file in files[:MOST_SHOWN]:
        running.check()
        with suppress(InputError):
            made.append(thumbnail(Path(file)))
    return tuple(made)
