"""The engines of one upscaler: how each of its nets is run, chosen when it is first asked for, then kept."""

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from upscale_cli.errors import OptionError
from upscale_cli.events import Say
from upscale_cli.inference.backends.base import Backend
from upscale_cli.inference.device import Device
from upscale_cli.inference.engines import Choice, choose, int8_name, parsed
from upscale_cli.inference.engines_here import INTEL, OPENVINO, TORCH, canonical
from upscale_cli.inference.model_parts import OneNet
from upscale_cli.inference.options import ENGINE_VARIABLE, ENGINES, Wanted
from upscale_cli.messages import option
from upscale_cli.models.interface import Precision, Scale

USUAL_BITS: Final = 8
"""A channel: what engines are compared on. Deeper pictures are left to the same engine, in the precision they need."""


class EngineChoice:
    """Chooses, once for each net.

    Args:
        model: whose nets they are.
        device: where pictures are kept.
        device_name: as asked for.
        engine: as asked for; UPSCALE_ENGINE stands in for "auto".
        precision: as asked for.
        backend: runs all nets, whatever `engine` says.
        say: takes what the user should know.
        hurry: see `UpscalerOptions`.

    Raises:
        OptionError: UPSCALE_ENGINE names no engine, or the device and the engine do not go together.
    """

    def __init__(
        self, model: OneNet, device: Device, device_name: str, engine: str, precision: Wanted,
        backend: Backend | None, say: Say, *, hurry: bool = False,
    ) -> None:  # fmt: skip
        self._model, self._device, self._wanted_precision = model, device, precision
        self._backend, self._say, self._hurries = backend, say, hurry
        named = _engine_on(device_name, engine)
        self._is_asked = named != "auto"  # else UPSCALE_ENGINE, which is about torch's nets, too
        self._wanted = canonical(engine_wanted(named))
        self._choices: dict[Scale, Choice] = {}
        self._lock = threading.RLock()

    @property
    def device_name(self) -> str:
        """Of what nets run on, where it was asked for and torch does not know it; else ""."""
        return INTEL.get(self._wanted, "")

    def choice(self, scale: Scale, bits: int) -> Choice:
        """How the net of that scale is run for pictures of so many bits a channel.

        Raises:
            OptionError: the engine that is wanted is not here, or cannot do it.
        """
        if self._backend is not None:
            return Choice(self._backend.name, "", self._precision(TORCH, scale, bits))
        with self._lock:
            if scale not in self._choices:
                net = self._model.net(scale)
                wanted = "auto" if net.graph is not None and not self._is_asked else self._wanted
                self._choices[scale] = choose(
                    net, scale, self._device, wanted,
                    lambda engine: self._precision(engine, scale, USUAL_BITS), self._say,
                    is_free=self._wanted_precision == "auto", hurries=self._hurries, name=self._model.name,
                )  # fmt: skip
            choice = self._choices[scale]
        if bits <= USUAL_BITS:
            return choice
        precision = self._precision(choice.engine, scale, bits)
        return replace(choice, precision=precision, int8=choice.int8 if precision == "int8" else "")

    def backend_for(self, scale: Scale, bits: int) -> Backend:
        """What runs the net of that scale for pictures of so many bits a channel."""
        return self._backend or self.choice(scale, bits).backend(self._say)

    def _precision(self, engine: str, scale: Scale, bits: int) -> Precision:
        return self._model.precision(self._wanted_precision, self._device, scale, bits, engine)

    # For jobs that go on

    def labels(self, scales: Iterable[Scale]) -> dict[str, str]:
        """What runs the nets of those scales, where it is not what ran them before there was a choice."""
        found = {}
        for scale in sorted(set(scales)):
            label = self.choice(scale, USUAL_BITS).label
            if self._backend is None and label != self._former(scale).label:
                found[str(scale)] = label
        return found

    def keep(self, labels: Mapping[str, str], scales: Iterable[Scale]) -> str | None:
        """Goes on with the engines that a job was begun with, where nobody asked for another.

        Args:
            labels: as `labels` gave them then.
            scales: of the passes.

        Returns:
            What is not here any more, in words; None where all is.
        """
        if self._wanted != "auto" or self._backend is not None:
            return None
        for scale in sorted(set(scales)):
            before = parsed(labels[str(scale)]) if str(scale) in labels else self._former(scale)
            if before is None or not before.is_here or not self._has(before, scale):
                return labels[str(scale)]
            now = self.choice(scale, USUAL_BITS)
            self._choices[scale] = now if now.label == before.label else before
        return None

    def _has(self, choice: Choice, scale: Scale) -> bool:
        """Whether the net has the file in 8 bits that the choice is about."""
        return choice.precision != "int8" or choice.int8 == int8_name(self._model.net(scale))

    def _former(self, scale: Scale) -> Choice:
        """What ran a net before there was a choice."""
        return Choice(TORCH, "", self._precision(TORCH, scale, USUAL_BITS))


def _engine_on(device: str, engine: str) -> str:
    """The engine that a device needs, where torch does not know the device.

    Args:
        device, engine: as asked for.

    Raises:
        OptionError: the two do not go together.
    """
    needed = {name: own for own, name in INTEL.items()}.get(device.strip().lower())
    if needed is None:
        return engine
    if engine not in ("auto", OPENVINO):
        raise OptionError(
            f"{option('engine', engine)} does not run on {device}. Choose {option('engine', OPENVINO)}, or another "
            f"{option('device')}."
        )
    return needed


def engine_wanted(given: str) -> str:
    """What was asked for; the environment stands in where nothing was."""
    named = os.environ.get(ENGINE_VARIABLE, "").strip().lower()
    if given != "auto" or not named:
        return given
    if named not in ENGINES:
        raise OptionError(f"{ENGINE_VARIABLE}={named} is not known. Set it to one of {', '.join(ENGINES)}.")
    return named
