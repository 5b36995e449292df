"""Many files as one run: all are looked at, what is not done yet is done, and the end says what became of each.

survey (headers, manifest)  ->  some jobs at a time, noted in the manifest  ->  summary
"""

import dataclasses
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_cli.batch.manifest import JobOptions, Manifest, Record, manifest_folder, template_below
from upscale_cli.batch.pending import Hands
from upscale_cli.batch.run import Prepared, Run
from upscale_cli.errors import CheckpointError, InterruptedRun, OptionError, OutputError, UpscaleError, causes_of
from upscale_cli.events import Failed, FolderFinished, FolderProgress, Planned, Skipped, Surveyed, Surveying
from upscale_cli.executors.executor import Crew
from upscale_cli.inference.sizing import Target
from upscale_cli.text import counted

if TYPE_CHECKING:
    from upscale_cli.batch.choice import Sources
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.inputs import Input
    from upscale_cli.jobs.outputs import Outputs
    from upscale_cli.jobs.video_job import ClipOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a run treats what is there and what fails.

    Attributes:
        skip_existing: what is done already is not done again.
        fail_fast: the first failure ends the run.
        dry_run: only say what would be done.
        watches: more runs are to come: nets are kept, and no option is wrong for all that will come.
        jobs: pictures in hand at a time; None: by the machine.
        keeps_manifest: what is done is remembered where the outputs are.
    """

    skip_existing: bool = True
    fail_fast: bool = False
    dry_run: bool = False
    watches: bool = False
    jobs: int | None = None
    keeps_manifest: bool = True


@dataclass(frozen=True, slots=True)
class Task:
    """One job, and how the manifest knows it."""

    prepared: Prepared
    manifest: Manifest
    job: JobOptions


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A job under way, and its line in the manifest.

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
    failures: list[Failed] = field(default_factory=list)
    megapixels: float = 0.0
    total_megapixels: float = 0.0

    @property
    def count(self) -> int:
        return self.done + self.skipped + len(self.failures)


class FailedFast(Exception):  # noqa: N818  # no error, but it ends a run like one
    """The first failure, where that is to be the last."""


class FolderRun:
    """Many sources by every model.

    Args:
        run: prepares sources.
        models: as given with -m; [None] for the default.
        crew: does the jobs; None: threads of this process.

    Attributes:
        tally: of the run in hand, or the last one.
    """

    def __init__(self, run: Run, models: list[str | None], rules: Rules, crew: Crew | None = None) -> None:
        self._run, self._models, self._rules, self._crew = run, models, rules, crew
        self._listener = run.listener
        self._manifests: dict[Path | str, Manifest] = {}
        self._jobs: dict[tuple[Upscaler, bool], JobOptions] = {}
        self.tally = Tally()
        self._folders = set[Path]()  # with outputs in them
        self._work_begin = 0.0

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
                tally.total - tally.count, tally.done, tally.skipped, len(tally.failures), dict(sources.passed_over),
                tally.megapixels, time.monotonic() - begin, tuple(tally.failures),
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
        clip_options = self._run.options_for(sources.inputs)
        refused: list[OptionError] = []
        for name in self._models:
            self._run.check_model(name, sources.inputs)
            for source in sorted(sources.inputs, key=lambda source: source.is_clip):  # photos, then clips
                self._listener(Surveying(len(tasks) + self.tally.count, total))
                with self._telling(source, refused):
                    task = self._task(source, name, outputs, clip_options if source.is_clip else None)
                    tasks += [task] if task is not None else []
        if refused and len(refused) == total and not self._rules.watches:
            raise refused[0]
        tally = self.tally
        tally.total_megapixels = sum(task.prepared.megapixels for task in tasks)
        self._listener(
            Surveyed(len(tasks), tally.skipped, len(tally.failures), dict(sources.passed_over), tally.total_megapixels)
        )
        ready: dict[Upscaler, list[Task]] = {}
        for task in tasks:
            ready.setdefault(task.prepared.upscaler, []).append(task)
        return ready

    def _outputs(self, sources: "list[Input]") -> "Outputs":
        from upscale_cli.jobs.outputs import Outputs

        def is_there(source: "Input", place: Path | str) -> bool:
            return self._manifest(source).is_there(place)

        def may_replace(source: "Input", place: Path | str) -> bool:
            return self._rules.skip_existing and self._manifest(source).may_replace(source, place)

        folds = bool(sources) and self._manifest(sources[0]).folds()
        return Outputs(
            sources, overwrite=self._run.photos.overwrite, may_replace=may_replace, is_there=is_there, folds=folds
        )

    def _task(
        self, source: "Input", name: str | None, outputs: "Outputs", clip_options: "ClipOptions | None"
    ) -> Task | None:
        """What is to be done with a source; None where it is done."""
        manifest, opened = self._manifest(source), self._run.opened(source, name, clip_options)
        job = self._job(opened.upscaler, clip_options)
        if self._is_done(source, manifest, job):
            return None  # the header of a photo that is done is not read
        return Task(self._run.prepared(source, opened, outputs), manifest, job)

    def _is_done(self, source: "Input", manifest: Manifest, job: JobOptions) -> bool:
        """Whether nothing is left to do, which is then told."""
        if not self._rules.skip_existing:
            return False
        record = manifest.finished(source, job)
        if record is None:
            return False
        if record.damage:
            self._fail(source.name, f"{source.name}: was done before. {record.damage}")
        else:
            place = manifest.place(record)
            self._folders.update([place.parent] if isinstance(place, Path) else [])
            self.tally.skipped += 1
            self._listener(Skipped(source.name, str(place)))
        return True

    def _manifest(self, source: "Input") -> Manifest:
        folder = manifest_folder(self._run.naming.output, source)
        if folder not in self._manifests:
            self._manifests[folder] = Manifest(folder, is_kept=self._rules.keeps_manifest)
        return self._manifests[folder]

    def _job(self, upscaler: "Upscaler", clip_options: "ClipOptions | None") -> JobOptions:
        key = upscaler, clip_options is not None
        if key not in self._jobs:
            self._jobs[key] = JobOptions(job_options(self._run, upscaler, clip_options))
        return self._jobs[key]

    # Work

    def _work(self, ready: "dict[Upscaler, list[Task]]") -> None:
        if self._rules.dry_run:
            for task in (task for tasks in ready.values() for task in tasks):
                self._listener(planned(task.prepared))
            return
        if ready and self._run.naming.output is not None:
            next(iter(ready.values()))[0].manifest.check()  # one folder for all: if it is no good, nothing is
        self._sweep(task.prepared for tasks in ready.values() for task in tasks)
        self._expect([task for tasks in ready.values() for task in tasks])
        self._work_begin = time.monotonic()
        crew = self._crew or _local_crew(self._rules.jobs)
        hands = Hands[Begun](crew, self._listener)
        try:
            for upscaler, tasks in ready.items():
                self._hand_out(crew, hands, tasks)
                if not self._rules.watches:
                    upscaler.close()  # the next model needs the device
        except BaseException:
            crew.close()
            for begun, future in hands.ended(0):
                self._settle(begun, future)
            raise
        finally:
            if crew is not self._crew:
                crew.close()

    def _sweep(self, works: Iterable[Prepared]) -> None:
        """Removes what killed runs have left where outputs are, and where they will be."""
        from upscale_cli.files.atomic_file import remove_abandoned

        self._folders.update(work.output.parent for work in works if isinstance(work.output, Path))
        for folder in self._folders:
            remove_abandoned(folder)

    def _expect(self, tasks: list[Task]) -> None:
        """Tells every manifest what is to come."""
        for manifest in dict.fromkeys(task.manifest for task in tasks):
            own = [(task.prepared, task.job) for task in tasks if task.manifest is manifest]
            manifest.expect([(one.source, one.output, job) for one, job in own if one.output is not None])

    def _hand_out(self, crew: Crew, hands: "Hands[Begun]", tasks: list[Task]) -> None:
        """All jobs of one model, as many at a time as the crew has hands for."""
        for task in tasks:
            begun = None
            with self._telling(task.prepared.source):
                begun = self._begin(task)
                if begun is not None:
                    hands.submit(begun, begun.prepared.job, begun.prepared.upscaler)
            if begun is None:
                self._tell_progress()
            self._take_back(hands, crew.hands - 1)
        self._take_back(hands, 0)

    def _take_back(self, hands: "Hands[Begun]", most: int) -> None:
        for begun, future in hands.ended(most):
            with self._telling(begun.task.prepared.source):
                self._end(begun, future)
            self._tell_progress()

    def _begin(self, task: Task) -> "Begun | None":
        """A job, noted in the manifest: a kill at any moment leaves one that tells what there is.

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
            if isinstance(error, OutputError):
                manifest.look_again(begun.record)
                if self._is_done(source, manifest, begun.task.job):
                    return  # another run was faster
            raise
        manifest.finish(begun.record, damage)
        self.tally.megapixels += begun.prepared.megapixels
        if damage:
            self._fail(source.name, f"{source.name}: {damage}")
        else:
            self.tally.done += 1

    def _settle(self, begun: "Begun", future: "Future[str]") -> None:
        """As `_end`, of a run that is over: what is done counts, and nothing else is told."""
        if future.cancelled() or future.exception() is not None:
            begun.task.manifest.drop(begun.record)
            return
        begun.task.manifest.finish(begun.record, future.result())
        self.tally.done += 1

    def _tell_progress(self) -> None:
        tally, seconds = self.tally, time.monotonic() - self._work_begin
        pace = tally.megapixels / seconds if seconds else 0.0
        left = max(0.0, tally.total_megapixels - tally.megapixels) / pace if pace else None
        self._listener(
            FolderProgress(
                tally.done, tally.skipped, len(tally.failures), tally.total, tally.megapixels, tally.total_megapixels,
                pace, left,
            )
        )  # fmt: skip

    # Failures

    def _fail(self, source: str, message: str, causes: tuple[str, ...] = (), trace: str = "") -> None:
        failure = Failed(source, message, causes, trace)
        self.tally.failures.append(failure)
        self._listener(failure)
        if self._rules.fail_fast:
            raise FailedFast

    @contextmanager
    def _telling(self, source: "Input", refused: list[OptionError] | None = None) -> Iterator[None]:
        """A failure of one source is told, and the others go on: even a bug of ours is no reason to stop them."""
        try:
            yield
        except (InterruptedRun, CheckpointError):  # without its net no other source will fare better
            raise
        except UpscaleError as error:
            if isinstance(error, OptionError) and refused is not None:
                refused.append(error)
            self._fail(source.name, str(error), causes_of(error))
        except FailedFast:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            message = f"{source.name}: a bug of ours ({what}). Please report it; -v shows where."
            self._fail(source.name, message, trace=trace)


def _local_crew(jobs: int | None) -> Crew:
    from upscale_cli.executors.threads import LocalCrew, default_hands

    return LocalCrew(jobs or default_hands())


def planned(prepared: Prepared) -> Planned:
    """What would be done, as an event."""
    return Planned(
        prepared.source.name, prepared.job.output_name, prepared.upscaler.name, *prepared.lr_size, *prepared.sr_size,
        prepared.frames,
    )  # fmt: skip


def job_options(run: Run, upscaler: "Upscaler", clip_options: "ClipOptions | None") -> dict[str, Any]:
    """What decides about the pixels and the name of an output; neither device nor tile nor the clock has a part."""
    from upscale_cli.jobs.video_job import DEFAULT_CLIP_SCALE

    naming, photos = run.naming, run.photos
    scale = upscaler.default_scale if clip_options is None else upscaler.only_scale or DEFAULT_CLIP_SCALE
    target = naming.target or Target(scale=scale)
    identity = upscaler.identity()
    for name in ("device", "tile", "overlap"):
        del identity[name]
    if target.scale is not None:  # the same passes for every size: other checkpoints of the model may come and go
        sums, passes = identity["checkpoints"], upscaler.plan(1000, 1000, target).passes
        identity["checkpoints"] = {scale: sums[scale] for scale in sorted(set(map(str, passes)))}
    common = {
        **identity,
        "target": {name: value for name, value in dataclasses.asdict(target).items() if value},
        "format": naming.format,
        "names": template_below(naming.output),
        "several_models": naming.several_models,
    }
    if clip_options is None:
        return {**common, "kind": "photo", "quality": photos.quality, "salvage": photos.salvage}
    decode = dataclasses.asdict(clip_options.decode)
    for name in ("hwaccel", "max_pixels"):
        del decode[name]
    encode = dataclasses.asdict(clip_options.encode)
    others = {name: getattr(clip_options, name) for name in ("video_stream", "realtime", "preview")}
    return {**common, "kind": "clip", "decode": decode, "encode": encode, **others}
