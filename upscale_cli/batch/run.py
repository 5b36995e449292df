"""Files that are named one by one: all are prepared before the first is computed, and done one after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.errors import InterruptedRun, LeftAlone, OptionError, UpscaleError, causes_of
from upscale_cli.events import Failed, Skipped, saying
from upscale_cli.files.abandoned import sweep
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.plan import Planner, Prepared

if TYPE_CHECKING:
    from upscale_cli.compare.comparison import Comparison
    from upscale_cli.compare.page import Compared
    from upscale_cli.inference.upscaler import Upscaler


class Run:
    """Every source by every model. A failure is reported, and the rest goes on.

    Args:
        show_comparison: before and after are compared too, and this is called with each comparison; None: they are not.
    """

    def __init__(self, planner: Planner, *, show_comparison: "Callable[[Compared], None] | None" = None) -> None:
        self._planner, self._listener = planner, planner.listener
        self._show_comparison = show_comparison
        self._comparisons: dict[Input, Comparison] = {}
        self._failed = 0

    def all(self, sources: Sequence[Input], models: Sequence[str | None]) -> int:
        """Runs everything; gives how many failed.

        Raises:
            OptionError: it is wrong for all sources.
            InterruptedRun: Ctrl-C.
        """
        ready = self._prepared(sources, models)
        outputs = [work.output for works in ready.values() for work in works]
        sweep((output.parent for output in outputs if isinstance(output, Path)), saying(self._listener))
        for upscaler, works in ready.items():
            for work in works:
                with self._reporting(work.source.name):
                    self._failed += bool(work.job.run(upscaler, self._listener))
                    if work.source in self._comparisons and isinstance(work.output, Path):
                        self._comparisons[work.source].outputs.append(work.output)
            upscaler.close()  # the next model needs the device
        self._compare()
        return self._failed

    def _prepared(self, sources: Sequence[Input], models: Sequence[str | None]) -> "dict[Upscaler, list[Prepared]]":
        """The jobs, by the upscaler that does them."""
        outputs = Outputs(sources, overwrite=self._planner.photos.overwrite)
        ready: dict[Upscaler, list[Prepared]] = {}
        for wanted in self._planner.order(sources, models):
            with self._reporting(wanted.source.name):
                prepared = self._planner.prepare(self._planner.open(wanted), outputs)
                self._reserve_comparison(prepared, outputs)
                ready.setdefault(prepared.upscaler, []).append(prepared)
        return ready

    def _reserve_comparison(self, prepared: Prepared, outputs: Outputs) -> None:
        """Where before and after are to be compared, a place for that, before anything is computed."""
        source, opened, output = prepared.source, prepared.job.source, prepared.output
        if self._show_comparison is None or not isinstance(output, Path) or source in self._comparisons:
            return
        from upscale_cli.compare.comparison import Comparison

        before = source.path if isinstance(opened, str) else opened
        comparison = Comparison(before, source.name, output, is_clip=source.is_clip)
        outputs.reserve(replace(source, name=f"the comparison of {source.name}"), comparison.place)
        self._comparisons[source] = comparison

    def _compare(self) -> None:
        """Compares what was made with what it was made of."""
        overwrite = self._planner.photos.overwrite
        for source, comparison in self._comparisons.items():
            if comparison.outputs and self._show_comparison is not None:
                with self._reporting(source.name):
                    self._show_comparison(comparison.write(overwrite=overwrite, listener=self._listener))

    @contextmanager
    def _reporting(self, source: str) -> Iterator[None]:
        try:
            yield
        except (OptionError, InterruptedRun):
            raise
        except LeftAlone as reason:
            self._listener(Skipped(source, "", reason.message))
        except UpscaleError as error:
            self._failed += 1
            self._listener(Failed(source, error.message, causes_of(error)))
