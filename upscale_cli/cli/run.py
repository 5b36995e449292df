"""What the main verb does with its inputs, one after the other."""

import itertools
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from upscale_cli.cli.causes import print_causes
from upscale_cli.errors import InterruptedRun, OptionError, UpscaleError

if TYPE_CHECKING:
    from upscale_cli.batch import Input, Naming, Outputs
    from upscale_cli.clip import ClipOptions
    from upscale_cli.events import Listener
    from upscale_cli.pipeline import FileOptions
    from upscale_cli.upscaler import Upscaler


class Run:
    """Every source by every model: all are prepared before the first is computed; a failure is told, the rest goes on.

    Args:
        naming: where outputs go.
        photos: how pictures are read and written.
        clip_options: makes the options for clips, once a clip is among the sources.
        upscaler_options: of every `Upscaler`.
    """

    def __init__(
        self,
        naming: "Naming",
        photos: "FileOptions",
        clip_options: "Callable[[], ClipOptions]",
        upscaler_options: dict[str, Any],
        listener: "Listener",
        *,
        verbose: bool,
    ) -> None:
        self._naming, self._photos, self._clip_options = naming, photos, clip_options
        self._upscaler_options, self._listener, self._verbose = upscaler_options, listener, verbose
        self._failed = 0

    def all(self, sources: "list[Input]", models: list[str | None]) -> int:
        """Runs everything; gives how many failed."""
        from upscale_cli.batch import Outputs
        from upscale_cli.events import Note

        outputs = Outputs(sources, overwrite=self._photos.overwrite)
        clip_options = self._clip_options() if any(source.is_clip for source in sources) else None
        if clip_options is not None and self._photos.quality is not None:
            self._listener(Note("--quality is for photos; clips take --crf."))
        ready: list[tuple[Upscaler, str, Callable[[], bool]]] = []
        for name in models:
            for clips, group in _by_kind(sources):
                upscaler = self._upscaler(name, for_clips=clips)
                for source in group:
                    with self._telling(source.name):
                        work = self._prepared(source, upscaler, outputs, clip_options if clips else None)
                        ready.append((upscaler, source.name, work))
        for upscaler, works in itertools.groupby(ready, key=operator.itemgetter(0)):
            for _, source_name, work in works:
                with self._telling(source_name):
                    self._failed += not work()
            upscaler.close()  # the next model needs the device
        return self._failed

    def _upscaler(self, name: str | None, *, for_clips: bool) -> "Upscaler":
        from upscale_cli.upscaler import Upscaler

        return Upscaler(name, for_clips=for_clips, **self._upscaler_options)

    def _prepared(
        self, source: "Input", upscaler: "Upscaler", outputs: "Outputs", clip_options: "ClipOptions | None"
    ) -> "Callable[[], bool]":
        """What is left to do for one source: a call that says whether the result is undamaged."""
        from upscale_cli.api import prepare, prepare_clip

        if clip_options is None:
            from upscale_cli.pipeline import run

            photo = prepare(source, upscaler, self._naming, outputs, self._photos)
            return lambda: bool(run(photo, upscaler, self._listener))
        from upscale_cli.video import run_clip

        clip = prepare_clip(source, upscaler, self._naming, outputs, clip_options)
        return lambda: not run_clip(clip, upscaler, self._listener).damage

    @contextmanager
    def _telling(self, source: str) -> Iterator[None]:
        from upscale_cli.events import Failed

        try:
            yield
        except (OptionError, InterruptedRun):
            raise
        except UpscaleError as error:
            self._failed += 1
            self._listener(Failed(source, str(error)))
            if self._verbose:
                print_causes(error)


def _by_kind(sources: "list[Input]") -> "list[tuple[bool, list[Input]]]":
    """Photos, then clips: (whether clips, the sources of that kind); kinds without a source are left out."""
    kinds = [(clips, [source for source in sources if source.is_clip == clips]) for clips in (False, True)]
    return [(clips, group) for clips, group in kinds if group]
