"""The models that are measured: each an upscaler that shows, once per scale, whether it can run at all."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from upscale_cli.evaluation.reporting import reporting_failures
from upscale_cli.events import Listener, Note
from upscale_cli.frames.image import Frame
from upscale_cli.frames.pixels import white_of
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler

WARM_UP_SIDE: Final = 32
"""LR pixels of the picture that goes first, so that loading the net is not in the seconds."""


@dataclass(slots=True)
class Contestant:
    """A model that is measured: an upscaler, and which scales it has shown to be able to or not.

    Attributes:
        name: as rows have it.
    """

    upscaler: Upscaler
    name: str
    _able: dict[int, bool] = field(default_factory=dict)

    def can(self, frame: Frame, scale: int, listener: Listener) -> bool:
        """Whether its nets load and run. The first time it finds out, and reports what the user should know of it."""
        if scale not in self._able:
            self._able[scale] = False
            with reporting_failures(self.name, listener):
                self._warm_up(frame, scale, listener)
                self._able[scale] = True
        return self._able[scale]

    def _warm_up(self, frame: Frame, scale: int, listener: Listener) -> None:
        """With noise, for a flat corner would pass without the net; faint, for nets smooth what is strong, which would
        be told."""
        noise = 0.4 + 0.2 * np.random.default_rng(0).random((WARM_UP_SIDE, WARM_UP_SIDE, frame.pixels.shape[2]))
        first = Frame((noise * white_of(frame.pixels)).astype(frame.pixels.dtype), frame.layout)
        plan = self.upscaler.plan(first.width, first.height, Target(scale=scale))
        self.upscaler.upscale(first, plan)
        if plan.passes and math.prod(plan.passes) != scale:
            passes = " and ".join(f"x{step}" for step in plan.passes)
            listener(Note(f"{self.name} has no net for x{scale}: upscaled by {passes}, then shrunk by Lanczos"))

    def upscale(self, frame: Frame, scale: int) -> tuple[Frame, float]:
        """SR, and the seconds that it took."""
        plan = self.upscaler.plan(frame.width, frame.height, Target(scale=scale))
        begin = time.perf_counter()
        sr = self.upscaler.upscale(frame, plan)
        return sr, time.perf_counter() - begin


def contestants(
    models: Iterable[str | None], make: Callable[[str | None], Upscaler], listener: Listener
) -> list[Contestant]:
    """Bicubic, which is always measured too, and the models; one whose file is no checkpoint is reported and left out.

    Args:
        models: names or checkpoint files; None is the best on this machine.
        make: the upscaler of one.

    Raises:
        OptionError: a name that is not known, or options that do not go with a model.
    """
    ready: list[Contestant] = []
    for model in dict.fromkeys(("bicubic", *models)):
        with reporting_failures(model or "", listener):
            upscaler = make(model)
            taken = any(upscaler.name == other.name for other in ready)
            if taken and model is None:
                continue
            ready.append(Contestant(upscaler, str(model) if taken else upscaler.name))
    return ready
