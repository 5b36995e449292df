"""The options for folders and lists, checked. Imports neither torch nor numpy."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.errors import InputError, OptionError, printable
from upscale_cli.files.object_names import is_object

if TYPE_CHECKING:
    from upscale_cli.batch.choice import Choice, Sources
    from upscale_cli.executors.executor import Executor
    from upscale_cli.jobs.inputs import Input
    from upscale_cli.jobs.plan import Planner


@dataclass(frozen=True, slots=True)
class ManyOptions:
    """What the user says about many files; each as given.

    Attributes:
        inputs: the arguments.
        lists: of --from-list.
        skip_existing: None where nothing is said.
        jobs: pictures in progress at a time; None: by the machine.
        ray: address of the cluster that does the work; None: this machine.
    """

    inputs: tuple[str, ...]
    lists: tuple[str, ...]
    recursive: bool
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    skip_existing: bool | None
    overwrite: bool
    dry_run: bool
    fail_fast: bool
    watch: bool
    jobs: int | None = None
    ray: str | None = None

    @property
    def has_many(self) -> bool:
        """Whether there is a folder or a list, so that outputs go into folders too."""
        from upscale_cli.batch.discovery import is_many

        return bool(self.lists) or any(is_many(name) for name in self.inputs)

    @property
    def keeps_manifest(self) -> bool:
        """Whether it is remembered what is done: not of files named one by one, unless that is asked for."""
        return self.has_many or bool(self.skip_existing) or self.dry_run or self.fail_fast or self.watch

    @property
    def is_one_run(self) -> bool:
        """Whether sources are done as a whole: with a survey and a summary, several at a time."""
        return self.keeps_manifest or self.ray is not None

    def is_several(self, sources: "list[Input]", models: int) -> bool:
        """Whether files that are named one by one are done as a whole, too: several photos."""
        from upscale_cli.jobs.inputs import is_pipe

        one_by_one = any(source.is_stdin or source.is_clip or is_pipe(source.name) for source in sources)
        is_twice = len({source.name for source in sources}) < len(sources)
        return len(sources) * models > 1 and not (one_by_one or is_twice)

    def checked_output(self, output: str | None, *, is_stream: bool) -> str | None:
        """-o, if all goes together: for many it is a folder, whether it exists or not.

        Args:
            is_stream: what is made is played or sent.

        Raises:
            OptionError: it does not.
        """
        from upscale_cli.jobs.inputs import STDIO
        from upscale_cli.jobs.naming import is_folder_name

        if not (self.inputs or self.lists):
            raise OptionError("no INPUT is given. Name a photo, a clip, a folder or a list.")
        if not self.is_one_run:
            self._check_unused()
            return output
        if self.watch:
            self._check_watch()
        if self.skip_existing and self.overwrite:
            raise OptionError("--skip-existing and --overwrite exclude each other. Give one of them.")
        if is_stream or STDIO in self.inputs or output == STDIO:
            raise OptionError("folders, lists, --dry-run, --fail-fast, --skip-existing and --ray take files and write "
                              "files. Leave - and streams out, or give them alone.")  # fmt: skip
        if output is None or "{" in output or not self.has_many or is_folder_name(output):
            return output
        if os.path.lexists(output):
            raise OptionError(f"output {printable(output)} is a file, and many need a folder. Choose another -o.")
        return f"{output}/"

    def _check_watch(self) -> None:
        """Refuses what cannot be watched, or not for long."""
        others = [name for name in (*self.lists, *self.inputs) if not os.path.isdir(name)]
        if others and is_object(others[0]):
            raise OptionError(
                f"--watch: stores do not tell of what comes. Leave it out, and run {printable(others[0])} by a timer: "
                "what is done is not done again."
            )
        if others:
            raise OptionError(f"--watch takes folders, and {printable(others[0])} is none. Name one that is there.")
        given = {"--dry-run": self.dry_run, "--fail-fast": self.fail_fast, "--overwrite": self.overwrite,
                 "--no-skip-existing": self.skip_existing is False}  # fmt: skip
        for option, is_given in given.items():
            if is_given:
                raise OptionError(f"--watch does not go with {option}. Leave one of them out.")

    def _check_unused(self) -> None:
        """Refuses options that would have no effect on files named one by one."""
        given = {"-r": self.recursive, "--include": self.include, "--exclude": self.exclude,
                 "-j": (self.jobs or 1) > 1 and len(self.inputs) == 1}  # fmt: skip
        unused = [name for name, value in given.items() if value]
        if unused and all(is_object(name) or os.path.lexists(name) for name in self.inputs):
            raise OptionError(f"{unused[0]} is for folders and lists, and there is none. Leave it out.")

    def choice(self, output: str | None) -> "Choice":
        """Which files are taken.

        Args:
            output: as given with -o.

        Raises:
            OptionError: a glob that matches nothing.
        """
        from upscale_cli.batch.choice import Choice
        from upscale_cli.batch.globs import check_globs
        from upscale_cli.batch.manifest import manifest_folder
        from upscale_cli.jobs.inputs import Input

        return Choice(
            recursive=self.recursive,
            include=check_globs("--include", self.include),
            exclude=check_globs("--exclude", self.exclude),
            output=None if output is None else manifest_folder(output, Input("")),
        )

    def run(self, planner: "Planner", models: list[str | None]) -> int:
        """Finds the sources and upscales them; gives how many failed.

        Raises:
            InputError: there is none.
        """
        from upscale_cli.batch.discovery import find_sources
        from upscale_cli.batch.folder import FolderRun, Rules

        choice = self.choice(planner.naming.output)
        if self.watch:
            return self._watch(planner, models, choice)
        sources = find_sources(self.inputs, self.lists, choice)
        if not (sources.inputs or sources.failed):
            raise InputError(self._nothing(sources))
        is_skipping = self.has_many if self.skip_existing is None else self.skip_existing
        rules = Rules(
            skip_existing=is_skipping and not self.overwrite,
            fail_fast=self.fail_fast,
            dry_run=self.dry_run,
            jobs=self.jobs,
            keeps_manifest=self.keeps_manifest,
        )
        with self._executor(planner) as executor:
            return FolderRun(planner, models, rules, executor).all(sources)

    @contextmanager
    def _executor(self, planner: "Planner") -> "Iterator[Executor | None]":
        """What runs the jobs; None: threads of this process."""
        if self.ray is None or self.dry_run:
            yield None
            return
        from upscale_cli.events import saying
        from upscale_cli.executors.ray.executor import open_ray_executor

        if self.jobs is not None:
            raise OptionError(f"-j {self.jobs} is for this machine; with --ray the cluster decides. Leave it out.")
        executor = open_ray_executor(self.ray, saying(planner.listener))
        try:
            yield executor
        finally:
            executor.close()

    def _watch(self, planner: "Planner", models: list[str | None], choice: "Choice") -> int:
        from upscale_cli.batch.discovery import find_sources
        from upscale_cli.batch.folder import FolderRun, Rules
        from upscale_cli.batch.watch import watch

        output = choice.output if isinstance(choice.output, Path) else None
        with self._executor(planner) as executor:
            return watch(
                FolderRun(planner, models, Rules(watches=True, jobs=self.jobs), executor),
                lambda: find_sources(self.inputs, (), choice), list(self.inputs), output, planner.listener,
                recursive=self.recursive,
            )  # fmt: skip

    def _nothing(self, sources: "Sources") -> str:
        from upscale_cli.batch.choice import BELOW

        name = printable((*self.inputs, *self.lists)[0])
        others = ", ".join(f"{count:,} {why}" for why, count in sources.passed_over.items())
        remedy = "Give -r to take what is in its folders." if sources.passed_over[BELOW] else "Name another one."
        return f"{name}: there is no photo and no clip{f' (passed over: {others})' if others else ''}. {remedy}"
