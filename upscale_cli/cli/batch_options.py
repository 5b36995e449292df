"""The inputs of the main verb: whether they are done one by one, or as one run. Imports neither torch nor numpy."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.errors import InputError, OptionError, printable
from upscale_cli.files.object_names import is_object
from upscale_cli.messages import marked

if TYPE_CHECKING:
    from upscale_cli.batch.choice import Choice, Sources
    from upscale_cli.batch.options import BatchOptions
    from upscale_cli.executors.executor import Executor
    from upscale_cli.jobs.inputs import Input
    from upscale_cli.jobs.plan import Planner


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs, and how many they are taken for.

    Attributes:
        inputs: the arguments.
        lists: of --from-list.
        ray: address of the cluster that does the work; None: this machine.
    """

    inputs: tuple[str, ...]
    lists: tuple[str, ...]
    options: "BatchOptions"
    ray: str | None = None

    @property
    def has_many(self) -> bool:
        """Whether there is a folder or a list, so that outputs go into folders too."""
        from upscale_cli.batch.discovery import is_many

        return bool(self.lists) or any(is_many(name) for name in self.inputs)

    @property
    def keeps_manifest(self) -> bool:
        """Whether it is remembered what is done: not of files named one by one, unless that is asked for."""
        return self.has_many or self.options.keeps_manifest

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
        if self.options.watch:
            self._check_watched()
        if is_stream or STDIO in self.inputs or output == STDIO:
            raise OptionError("folders, lists, --dry-run, --fail-fast, --skip-existing and --ray take files and write "
                              "files. Leave - and streams out, or give them alone.")  # fmt: skip
        if output is None or "{" in output or not self.has_many or is_folder_name(output):
            return output
        if os.path.lexists(output):
            raise OptionError(f"output {printable(output)} is a file, and many need a folder. Choose another -o.")
        return f"{output}/"

    def _check_watched(self) -> None:
        """Refuses what is no folder, and so cannot be watched."""
        others = [name for name in (*self.lists, *self.inputs) if not os.path.isdir(name)]
        if others and is_object(others[0]):
            raise OptionError(
                f"--watch: stores do not report what comes. Leave it out, and run {printable(others[0])} by a timer: "
                "what is done is not done again."
            )
        if others:
            raise OptionError(f"--watch takes folders, and {printable(others[0])} is none. Name one that is there.")

    def _check_unused(self) -> None:
        """Refuses options that would have no effect on files named one by one."""
        options = self.options
        given = {"-r": options.recursive, "--include": options.include, "--exclude": options.exclude,
                 "-j": (options.jobs or 1) > 1 and len(self.inputs) == 1}  # fmt: skip
        unused = [name for name, value in given.items() if value]
        if unused and all(is_object(name) or os.path.lexists(name) for name in self.inputs):
            raise OptionError(f"{unused[0]} is for folders and lists, and there is none. Leave it out.")

    def run(self, planner: "Planner", models: list[str | None]) -> int:
        """Finds the sources and upscales them; gives how many failed.

        Raises:
            InputError: there is none.
        """
        from upscale_cli.batch.discovery import find_sources
        from upscale_cli.batch.folder import FolderRun

        choice = self.options.choice(planner.naming.output)
        if self.options.watch:
            return self._watch(planner, models, choice)
        sources = find_sources(self.inputs, self.lists, choice)
        if not (sources.inputs or sources.failed):
            raise InputError(self._nothing(sources))
        rules = self.options.rules(skips=self.has_many, keeps_manifest=self.keeps_manifest)
        with self._executor(planner) as executor:
            return FolderRun(planner, models, rules, executor).all(sources)

    @contextmanager
    def _executor(self, planner: "Planner") -> "Iterator[Executor | None]":
        """What runs the jobs; None: threads of this process."""
        if self.ray is None or self.options.dry_run:
            yield None
            return
        from upscale_cli.events import Note
        from upscale_cli.executors.ray.executor import open_ray_executor

        if self.options.jobs is not None:
            raise OptionError(
                f"-j {self.options.jobs} is for this machine; with --ray the cluster decides. Leave it out."
            )
        executor = open_ray_executor(self.ray, lambda text: planner.listener(Note(text)))
        try:
            yield executor
        finally:
            executor.close()

    def _watch(self, planner: "Planner", models: list[str | None], choice: "Choice") -> int:
        from upscale_cli.batch.discovery import find_sources
        from upscale_cli.batch.folder import FolderRun
        from upscale_cli.batch.watch import watch

        output = choice.output if isinstance(choice.output, Path) else None
        with self._executor(planner) as executor:
            return watch(
                FolderRun(planner, models, self.options.rules(skips=True), executor),
                lambda: find_sources(self.inputs, (), choice), list(self.inputs), output, planner.listener,
                recursive=self.options.recursive,
            )  # fmt: skip

    def _nothing(self, sources: "Sources") -> str:
        from upscale_cli.batch.choice import BELOW

        name = printable((*self.inputs, *self.lists)[0])
        others = ", ".join(f"{count:,} {marked(why)}" for why, count in sources.ignored.items())
        remedy = "Give -r to take what is in its folders." if sources.ignored[BELOW] else "Name another one."
        return f"{name}: there is no photo and no clip{f' (ignored: {others})' if others else ''}. {remedy}"
