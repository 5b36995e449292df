"""How many files are chosen and done, as a value. Imports neither torch nor numpy."""

from dataclasses import dataclass
from typing import Final

from upscale_cli.batch.choice import Choice
from upscale_cli.batch.globs import check_globs
from upscale_cli.batch.manifest import manifest_folder
from upscale_cli.errors import OptionError
from upscale_cli.jobs.inputs import Input
from upscale_cli.messages import option

MOST_JOBS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a run treats what is there and what fails.

    Attributes:
        skip_existing: what is done already is not done again.
        fail_fast: the first failure ends the run.
        dry_run: only report what would be done.
        watches: more runs are to come: nets are kept, and no option is wrong for all that will come.
        jobs: pictures in progress at a time; None: by the machine.
        keeps_manifest: what is done is remembered where the outputs are.
    """

    skip_existing: bool = True
    fail_fast: bool = False
    dry_run: bool = False
    watches: bool = False
    jobs: int | None = None
    keeps_manifest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How many files are chosen and done.

    Attributes:
        recursive: the folders in a folder, too.
        include, exclude: globs.
        skip_existing: what is done is not done again; None: as usual, which is so for folders and lists.
        overwrite: outputs that exist are replaced.
        dry_run: only report what would be done.
        fail_fast: the first failure ends the run.
        watch: the run goes on with the files that come into the folders.
        jobs: pictures in progress at a time; None: by the machine.

    Raises:
        OptionError: a value makes no sense, or two exclude each other.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip_existing: bool | None = None
    overwrite: bool = False
    dry_run: bool = False
    fail_fast: bool = False
    watch: bool = False
    jobs: int | None = None

    def __post_init__(self) -> None:
        check_globs("include", self.include)
        check_globs("exclude", self.exclude)
        if self.jobs is not None and not 1 <= self.jobs <= MOST_JOBS:
            raise OptionError(f"{option('jobs', self.jobs)} is out of range. Choose 1 to {MOST_JOBS}.")
        if self.watch:
            self._check_watch()
        if self.skip_existing and self.overwrite:
            raise OptionError(
                f"{option('skip_existing', True)} and {option('overwrite', True)} exclude each other. Give one of them."
            )

    def _check_watch(self) -> None:
        given = {
            option("dry_run", True): self.dry_run,
            option("fail_fast", True): self.fail_fast,
            option("overwrite", True): self.overwrite,
            option("skip_existing", False): self.skip_existing is False,
        }
        for other, is_given in given.items():
            if is_given:
                raise OptionError(f"{option('watch', True)} does not go with {other}. Leave one of them out.")

    def choice(self, output: str | None) -> Choice:
        """Which files are taken.

        Args:
            output: where outputs go; None: next to the inputs.
        """
        return Choice(
            recursive=self.recursive,
            include=self.include,
            exclude=self.exclude,
            output=None if output is None else manifest_folder(output, Input("")),
        )

    def rules(self, *, skips: bool, keeps_manifest: bool = True) -> Rules:
        """How the run treats what is there.

        Args:
            skips: what is done is not done again, where no option decides it.
        """
        is_skipping = skips if self.skip_existing is None else self.skip_existing
        return Rules(
            skip_existing=is_skipping and not self.overwrite,
            fail_fast=self.fail_fast,
            dry_run=self.dry_run,
            watches=self.watch,
            jobs=self.jobs,
            keeps_manifest=keeps_manifest,
        )

    @property
    def keeps_manifest(self) -> bool:
        """Whether it is asked for that what is done be remembered; of folders and lists it always is."""
        return bool(self.skip_existing) or self.dry_run or self.fail_fast or self.watch


def jobs_within(jobs: int | None, *, is_bounded: bool) -> int | None:
    """Pictures in progress at a time: one, where memory is bounded (`max_memory`) for the picture in progress.

    Raises:
        OptionError: more are asked for.
    """
    if not is_bounded:
        return jobs
    if jobs is not None and jobs > 1:
        raise OptionError(
            f"{option('max_memory')} is for one picture at a time, and {option('jobs', jobs)} is more. "
            "Leave one of them out."
        )
    return 1
