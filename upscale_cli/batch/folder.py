"""Many files as one run: all are looked at, what is not done yet is done, and at the end each is accounted for.

survey (headers, manifest)  ->  some jobs at a time, noted in the manifest  ->  summary
"""

import dataclasses
import os
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_cli.batch.manifest import JobOptions, Manifest, Record, manifest_folder, template_below
from upscale_cli.batch.options import Rules
from upscale_cli.batch.pending import Pending
from upscale_cli.errors import (
    CheckpointError,
    InterruptedRun,
    LeftAlone,
    OptionError,
    OutputError,
    UpscaleError,
    causes_of,
)
from upscale_cli.events import Failed, FolderFinished, FolderProgress, Note, Planned, Skipped, Surveyed, Surveying
from upscale_cli.executors.executor import Executor
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.job import sr_size
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.plan import Planner, Prepared, Wanted
from upscale_cli.messages import option
from upscale_cli.text import counted

if TYPE_CHECKING:
    from upscale_cli.batch.choice import Sources
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.inputs import Input
    from upscale_cli.jobs.video_facts import ClipOptions


@dataclass(frozen=True, slots=True)
class Task:
    """One job, and how the manifest knows it."""

    prepared: Prepared
    manifest: Manifest
    job: JobOptions


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A job in progress, and its line in the manifest.

    Attributes:
        prepared: as the task's, but for an output that may be replaced.
    """

    task: Task
    prepared: Prepared
    record: Record


@dataclass(slots=True)
class Tally:
    """What became of the sources so far; megapixels are SR."""

    total: int = 0
    done: int = 0
    skipped: int = 0
    left_alone: int = 0
    failures: list[Failed] = field(default_factory=list)
    megapixels: float = 0.0
    total_megapixels: float = 0.0

    @property
    def count(self) -> int:
        return self.done + self.skipped + self.left_alone + len(self.failures)


class FailedFast(Exception):  # noqa: N818  # no error, but it ends a run like one
    """The first failure, where that is to be the last."""


class FolderRun:
    """Many sources by every model.

    Args:
        models: as given with -m; [None] for the default.
        executor: runs the jobs; None: threads of this process.

    Attributes:
        tally: of the run in progress, or the last one.
    """

    def __init__(
        self, planner: Planner, models: Sequence[str | None], rules: Rules, executor: Executor | None = None
    ) -> None:
        self._planner, self._models, self._rules, self._executor = planner, models, rules, executor
        self._listener = planner.listener
        self._manifests: dict[Path | str, Manifest] = {}
        self._jobs: dict[tuple[Upscaler, bool, bool], JobOptions] = {}
        self.tally = Tally()
        self._folders = set[Path]()  # with outputs in them
        self._work_begin = 0.0
        self._failed: dict[str, Begun] = {}  # by source, of those whose jobs have failed

    def all(self, sources: "Sources") -> int:
        """Runs everything; gives how many failed.

        Raises:
            OptionError: it is wrong for all sources.
            OutputError: outputs cannot be written at all.
            CheckpointError: a net cannot be had.
            InterruptedRun: Ctrl-C; what is done stays.
        """
        begin, self.tally = time.monotonic(), Tally()
        for manifest in self._manifests.values():
            manifest.refresh()
        try:
            with suppress(FailedFast):
                self._work(self._survey(sources))
        except (KeyboardInterrupt, InterruptedRun):
            rest = "; the same command goes on from there" if self._rules.keeps_manifest else ""
            raise InterruptedRun(f"interrupted: {counted(self.tally.done, 'file')} done{rest}.") from None
        finally:
            for manifest in self._manifests.values():
                manifest.tidy()
        tally = self.tally
        self._listener(
            FolderFinished(
                tally.total - tally.count, tally.done, tally.skipped, len(tally.failures), dict(sources.ignored),
                tally.megapixels, time.monotonic() - begin, tuple(tally.failures), tally.left_alone,
            )
        )  # fmt: skip
        return len(tally.failures)

    # Before the first pixel

    def _survey(self, sources: "Sources") -> "dict[Upscaler, list[Task]]":
        """Looks at every source; what is left to do, by the upscaler that does it."""
        total, tasks = len(self._models) * len(sources.inputs), list[Task]()
        self.tally.total = total + len(sources.failed)
        self._listener(Surveying(0, total))
        for folder, why in sources.failed:
            self._fail(folder, f"{folder}: {why}")
        outputs = self._outputs(sources.inputs)
        refused: list[OptionError] = []
        for wanted in self._planner.order(sources.inputs, self._models):
            self._listener(Surveying(len(tasks) + self.tally.count, total))
            with self._reporting(wanted.source, refused):
                task = self._task(wanted, outputs)
                tasks += [task] if task is not None else []
        if refused and len(refused) == total and not self._rules.watches:
            raise refused[0]
        tally = self.tally
        tally.total_megapixels = sum(task.prepared.job.megapixels for task in tasks)
        self._listener(
            Surveyed(
                len(tasks), tally.skipped, len(tally.failures), dict(sources.ignored), tally.total_megapixels,
                tally.left_alone,
            )
        )  # fmt: skip
        ready: dict[Upscaler, list[Task]] = {}
        for task in tasks:
            ready.setdefault(task.prepared.upscaler, []).append(task)
        return ready

    def _outputs(self, sources: "list[Input]") -> Outputs:
        def is_there(source: "Input", place: Path | str) -> bool:
            return self._manifest(source).is_there(place)

        def may_replace(source: "Input", place: Path | str) -> bool:
            return self._rules.skip_existing and self._manifest(source).may_replace(source, place)

        folds = bool(sources) and self._manifest(sources[0]).folds()
        return Outputs(
            sources, overwrite=self._planner.photos.overwrite, may_replace=may_replace, is_there=is_there, folds=folds
        )

    def _task(self, wanted: Wanted, outputs: Outputs) -> Task | None:
        """What is to be done with a source; None where it is done."""
        manifest = self._manifest(wanted.source)
        possible = self._planner.may_take(wanted)
        if any(self._is_done(wanted.source, manifest, self._job(one, wanted), outputs) for one in possible):
            return None  # a photo that is done is not looked at
        opened = self._planner.open(wanted)
        job = self._job(opened.upscaler, wanted)
        if not possible and self._is_done(wanted.source, manifest, job, outputs):
            return None  # the header of a photo that is done is not read
        return Task(self._planner.prepare(opened, outputs), manifest, job)

    def _is_done(self, source: "Input", manifest: Manifest, job: JobOptions, outputs: Outputs | None = None) -> bool:
        """Whether nothing is left to do, which is then reported; the place of its output is kept in `outputs`."""
        if not self._rules.skip_existing:
            return False
        record = manifest.finished(source, job)
        if record is None:
            return False
        if outputs is not None:
            outputs.keep(source, manifest.place(record))
        if record.damage:
            self._fail(source.name, f"{source.name}: was done before. {record.damage}")
        else:
            place = manifest.place(record)
            self._folders.update([place.parent] if isinstance(place, Path) else [])
            self.tally.skipped += 1
            self._listener(Skipped(source.name, str(place)))
        return True

    def _manifest(self, source: "Input") -> Manifest:
        folder = manifest_folder(self._planner.naming.output, source)
        if folder not in self._manifests:
            self._manifests[folder] = Manifest(folder, is_kept=self._rules.keeps_manifest)
        return self._manifests[folder]

    def _job(self, upscaler: "Upscaler", wanted: Wanted) -> JobOptions:
        is_chosen = wanted.model is None and wanted.clip_options is None
        key = upscaler, wanted.clip_options is not None, is_chosen
        if key not in self._jobs:
            options = job_options(self._planner, upscaler, wanted.clip_options)
            self._jobs[key] = JobOptions({**options, **({"chosen": True} if is_chosen else {})})
        return self._jobs[key]

    # Work

    def _work(self, ready: "dict[Upscaler, list[Task]]") -> None:
        if self._rules.dry_run:
            for task in (task for tasks in ready.values() for task in tasks):
                self._listener(planned(task.prepared))
            return
        if ready and self._planner.naming.output is not None:
            next(iter(ready.values()))[0].manifest.check()  # one folder for all: without it all would fail
        self._sweep(task.prepared for tasks in ready.values() for task in tasks)
        self._expect([task for tasks in ready.values() for task in tasks])
        self._work_begin = time.monotonic()
        executor = self._executor or _thread_executor(self._rules.jobs)
        pending = Pending[Begun](executor, self._listener)
        try:
            for upscaler, tasks in ready.items():
                self._dispatch(executor, pending, tasks)
                if not self._rules.watches:
                    upscaler.close()  # the next model needs the device
        except BaseException:
            executor.close()
            for begun, future in pending.ended(0):
                self._settle(begun, future)
            raise
        finally:
            if executor is not self._executor:
                executor.close()

    def _sweep(self, works: Iterable[Prepared]) -> None:
        """Removes what killed runs have left where outputs are, and where they will be."""
        from upscale_cli.files.abandoned import sweep

        self._folders.update(work.output.parent for work in works if isinstance(work.output, Path))
        sweep(sorted(self._folders), lambda text: self._listener(Note(text)))

    def _expect(self, tasks: list[Task]) -> None:
        """Announces to every manifest what is to come."""
        for manifest in dict.fromkeys(task.manifest for task in tasks):
            own = [(task.prepared, task.job) for task in tasks if task.manifest is manifest]
            manifest.expect([(one.source, one.output, job) for one, job in own if one.output is not None])

    def _dispatch(self, executor: Executor, pending: Pending[Begun], tasks: list[Task]) -> None:
        """All jobs of one model, as many at a time as are worth it."""
        for task in tasks:
            begun = None
            with self._reporting(task.prepared.source):
                begun = self._begin(task)
                if begun is not None:
                    pending.submit(begun, begun.prepared.job, begun.prepared.upscaler)
            if begun is None:
                self._report_progress()
            self._collect(pending, executor.concurrency - 1)
        self._collect(pending, 0)

    def _collect(self, pending: Pending[Begun], most: int) -> None:
        for begun, future in pending.ended(most):
            with self._reporting(begun.task.prepared.source):
                self._end(begun, future)
            self._report_progress()

    def _begin(self, task: Task) -> "Begun | None":
        """A job, noted in the manifest: a kill at any moment leaves one that is true.

        None where another run has done it meanwhile.
        """
        prepared, manifest = task.prepared, task.manifest
        manifest.refresh()
        if self._is_done(prepared.source, manifest, task.job):
            return None
        output = prepared.output
        assert output is not None
        if manifest.is_there(output) and self._rules.skip_existing and manifest.may_replace(prepared.source, output):
            prepared = prepared.replacing()
        return Begun(task, prepared, manifest.begin(prepared.source, output, task.job))

    def _end(self, begun: "Begun", future: "Future[str]") -> None:
        """What has become of a job, noted too."""
        source, manifest = begun.prepared.source, begun.task.manifest
        try:
            damage = future.result()
        except BaseException as error:
            manifest.drop(begun.record)
            self._failed[begun.record.source] = begun
            if isinstance(error, OutputError):
                manifest.look_again(begun.record)
                if self._is_done(source, manifest, begun.task.job):
                    return  # another run was faster
            raise
        manifest.finish(begun.record, damage)
        self._failed.pop(begun.record.source, None)
        self.tally.megapixels += begun.prepared.job.megapixels
        if damage:
            self._fail(source.name, f"{source.name}: {damage}")
        else:
            self.tally.done += 1

    def _settle(self, begun: "Begun", future: "Future[str]") -> None:
        """As `_end`, of a run that is over: what is done counts, and nothing else is reported."""
        if future.cancelled() or future.exception() is not None:
            begun.task.manifest.drop(begun.record)
            return
        begun.task.manifest.finish(begun.record, future.result())
        self.tally.done += 1

    def _report_progress(self) -> None:
        tally, seconds = self.tally, time.monotonic() - self._work_begin
        pace = tally.megapixels / seconds if seconds else 0.0
        left = max(0.0, tally.total_megapixels - tally.megapixels) / pace if pace else None
        self._listener(
            FolderProgress(
                tally.done, tally.skipped, len(tally.failures), tally.total, tally.megapixels, tally.total_megapixels,
                pace, left,
            )
        )  # fmt: skip

    def made_since(self, source: str, damage: str) -> None:
        """Notes in the manifest that a source whose job had failed was done since, by whoever does the jobs. In any
        thread: the lines are another run's, as far as this one is concerned.

        Args:
            source: its absolute path.
            damage: as `Manifest.finish` takes it.

        Raises:
            OutputError: the manifest cannot be written.
        """
        begun = self._failed.pop(os.path.abspath(source), None)
        if begun is not None and begun.prepared.output is not None:
            lines = Manifest(manifest_folder(self._planner.naming.output, begun.prepared.source))
            lines.finish(lines.begin(begun.prepared.source, begun.prepared.output, begun.task.job), damage)

    # Failures

    def _fail(self, source: str, message: str, causes: tuple[str, ...] = (), trace: str = "") -> None:
        failure = Failed(source, message, causes, trace)
        self.tally.failures.append(failure)
        self._listener(failure)
        if self._rules.fail_fast:
            raise FailedFast

    @contextmanager
    def _reporting(self, source: "Input", refused: list[OptionError] | None = None) -> Iterator[None]:
        """A failure of one source is reported, and the others go on: even a bug of ours does not stop them."""
        try:
            yield
        except LeftAlone as reason:
            self.tally.left_alone += 1
            self._listener(Skipped(source.name, "", reason.message))
        except (InterruptedRun, CheckpointError):  # without its net every other source would fail too
            raise
        except UpscaleError as error:
            if isinstance(error, OptionError) and refused is not None:
                refused.append(error)
            self._fail(source.name, error.message, causes_of(error))
        except FailedFast:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            message = f"{source.name}: a bug of ours ({what}). Please report it; {option('verbose')} shows where."
            self._fail(source.name, message, trace=trace)


def _thread_executor(jobs: int | None) -> Executor:
    from upscale_cli.executors.threads import ThreadExecutor, default_concurrency

    return ThreadExecutor(jobs or default_concurrency())


def planned(prepared: Prepared) -> Planned:
    """What would be done, as an event."""
    job = prepared.job
    return Planned(
        prepared.source.name, job.output_name, prepared.upscaler.name, *job.lr_size, *sr_size(job), job.frames,
        prepared.why,
    )  # fmt: skip


def job_options(planner: Planner, upscaler: "Upscaler", clip_options: "ClipOptions | None") -> dict[str, Any]:
    """What decides about the pixels and the name of an output; neither device nor tile nor the clock has a part."""
    from upscale_cli.jobs.video_facts import DEFAULT_CLIP_SCALE

    naming, photos = planner.naming, planner.photos
    scale = upscaler.default_scale if clip_options is None else upscaler.only_scale or DEFAULT_CLIP_SCALE
    target = naming.target or Target(scale=scale)
    identity = upscaler.identity()
    for name in ("device", "tile", "overlap"):
        del identity[name]
    if upscaler.recipe.options.halo is None:
        identity.pop("halo", None)
    if target.scale is not None:  # the same passes for every size: other checkpoints of the model may come and go
        identity["checkpoints"] = upscaler.checksums_of(upscaler.plan_of_any(1000, 1000, target))
    common = {
        **identity,
        "target": {name: value for name, value in dataclasses.asdict(target).items() if value},
        "format": naming.format,
        "names": template_below(naming.output),
        "several_models": naming.several_models,
    }
    if clip_options is None:
        bands = {"bands": list(photos.bands)} if photos.bands else {}
        return {**common, "kind": "photo", "quality": photos.quality, "salvage": photos.salvage, **bands}
    decode = dataclasses.asdict(clip_options.decode)
    for name in ("hwaccel", "max_pixels", "lead"):
        del decode[name]
    encode = dataclasses.asdict(clip_options.encode)
    others = {name: getattr(clip_options, name) for name in ("video_stream", "realtime", "preview")}
    others |= {"steady": True} if clip_options.steady else {}
    return {**common, "kind": "clip", "decode": decode, "encode": encode, **others}
