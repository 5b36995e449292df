"""What the main verb does with its inputs, one after the other."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_cli.cli.causes import print_causes
from upscale_cli.errors import InterruptedRun, OptionError, UpscaleError

if TYPE_CHECKING:
    from upscale_cli.batch import Input, Naming, Outputs
    from upscale_cli.clip import ClipOptions
    from upscale_cli.compare.beside import Comparison
    from upscale_cli.compare.page import Compared
    from upscale_cli.events import Listener
    from upscale_cli.pipeline import FileOptions
    from upscale_cli.upscaler import Upscaler

Work = Callable[[], bool]
"""Upscales one source; says whether the result is undamaged."""


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
        show_comparison: "Callable[[Compared], None] | None",
        verbose: bool,
    ) -> None:
        self._naming, self._photos, self._clip_options = naming, photos, clip_options
        self._upscaler_options, self._listener, self._verbose = upscaler_options, listener, verbose
        self._show = show_comparison
        self._comparisons: dict[Input, Comparison] = {}
        self._upscalers: dict[str | None, Upscaler] = {}
        self._failed = 0

    def all(self, sources: "list[Input]", models: list[str | None]) -> int:
        """Runs everything; gives how many failed."""
        from upscale_cli.batch import Outputs
        from upscale_cli.events import Note

        outputs = Outputs(sources, overwrite=self._photos.overwrite)
        clip_options = self._clip_options() if any(source.is_clip for source in sources) else None
        if clip_options is not None and self._photos.quality is not None:
            self._listener(Note("--quality is for photos; clips take --crf."))
        ready: dict[Upscaler, list[tuple[str, Work]]] = {}
        for name in models:
            if name is not None or not all(source.is_clip for source in sources):
                self._upscaler(name)  # what is wrong with it is wrong for all sources
            for source in sorted(sources, key=lambda source: source.is_clip):  # photos, then clips
                with self._telling(source.name):
                    upscaler, work = self._prepared(source, name, outputs, clip_options if source.is_clip else None)
                    ready.setdefault(upscaler, []).append((source.name, work))
        for upscaler, works in ready.items():
            for source_name, work in works:
                with self._telling(source_name):
                    self._failed += not work()
            upscaler.close()  # the next model needs the device
        for source, comparison in self._comparisons.items():
            if comparison.outputs and self._show is not None:
                with self._telling(source.name):
                    self._show(comparison.write(overwrite=self._photos.overwrite, listener=self._listener))
        return self._failed

    def _prepared(
        self, source: "Input", name: str | None, outputs: "Outputs", clip_options: "ClipOptions | None"
    ) -> "tuple[Upscaler, Work]":
        """What is left to do for one source, and what does it."""
        from upscale_cli.api import open_source, prepare, prepare_clip

        if clip_options is None:
            from upscale_cli.pipeline import run

            upscaler = self._upscaler(name)
            photo = prepare(source, upscaler, self._naming, outputs, self._photos)
            made = self._compared(source, photo.source, photo.output, outputs)

            def upscale_photo() -> bool:
                run(photo, upscaler, self._listener)
                made()
                return True

            return upscaler, upscale_photo
        from upscale_cli.clip_plan import chosen_streams
        from upscale_cli.video import run_clip

        opened = open_source(source, clip_options)
        codec = chosen_streams(opened.clip, clip_options.video_stream)[0].codec
        upscaler = self._upscaler(name, codec)
        clip = prepare_clip(source, opened, upscaler, self._naming, outputs, clip_options)
        made = self._compared(source, source.path, clip.output, outputs)

        def upscale_clip() -> bool:
            finished = run_clip(clip, upscaler, self._listener)
            made()
            return not finished.damage

        return upscaler, upscale_clip

    def _compared(
        self, source: "Input", opened: Path | bytes, output: object, outputs: "Outputs"
    ) -> Callable[[], None]:
        """What to call once an output is there, so that it is compared in the end. Its place is booked before."""
        if self._show is None or not isinstance(output, Path):
            return lambda: None
        from upscale_cli.compare.beside import Comparison

        if source not in self._comparisons:
            comparison = Comparison(opened, source.name, output, is_clip=source.is_clip)
            outputs.promise(dataclasses.replace(source, name=f"{source.name} --compare"), comparison.place)
            self._comparisons[source] = comparison
        return partial(self._comparisons[source].outputs.append, output)

    def _upscaler(self, name: str | None, clip_codec: str | None = None) -> "Upscaler":
        """One for all sources that take the same model."""
        from upscale_cli.models.select import best_clip_model
        from upscale_cli.upscaler import Upscaler

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
            self._listener(Failed(source, str(error)))
            if self._verbose:
                print_causes(error)
