"""Several checkpoints as `-m` names them, a mix or a chain, as the one net that they make, and who made its parts."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from upscale_cli.errors import OptionError
from upscale_cli.events import Listener
from upscale_cli.inference.conditions import SAMPLE_SIDE, Condition, Conditions
from upscale_cli.inference.degradation import Degradation
from upscale_cli.inference.model import Model
from upscale_cli.inference.model_parts import AnyModel, ChainedModel, MixedModel, model_of
from upscale_cli.messages import option
from upscale_cli.models.interface import Descriptor, InputSpec, LoadedNet, Scale, as_scale, scales_named

JOINT: Final = " + "
"""Between what is known of several parts."""


class _Anything(Degradation):
    """Of pictures that are not there yet: whoever uses the net says it with each of them."""

    def check(self, model: str, inputs: object) -> None:
        """It suits every net."""

    def inputs(self, net: Descriptor, scale: Scale, given: Conditions) -> Conditions:  # noqa: ARG002  # as it is called
        return {spec.name: _some(spec) for spec in net.inputs}


def _some(spec: InputSpec) -> Condition:
    """A value within the bounds."""
    least, most = -np.inf if spec.least is None else spec.least, np.inf if spec.most is None else spec.most
    value = float(np.clip(0.0, least, most)) if spec.default is None else spec.default
    sides = [SAMPLE_SIDE if side is None else side for side in spec.shape]
    return np.full(sides, value, np.float32) if sides else value


@dataclass(frozen=True, slots=True)
class Composed:
    """What several checkpoints make together, for one scale.

    Attributes:
        model: what `-m` means.
        parts: each model that takes part, with its scale; of a mix all have the same.
    """

    model: AnyModel
    net: LoadedNet
    scale: Scale
    parts: tuple[tuple[Model, Scale], ...]

    @property
    def is_chain(self) -> bool:
        """It is no mix alone."""
        return bool(self.net.parts)


def composed(
    given: str, scale: float | None, usual: int, listener: Listener, *, denoise: float = 1.0, only_here: bool = False
) -> Composed:
    """The net that a mix or a chain of several checkpoints is; for one name alone see `choice.chosen`.

    Args:
        scale: SR pixels per LR pixel, in all; None: `usual`, where the model makes that, else its own.
        denoise: see `Model`.
        only_here: rows of the registry count whose checkpoints are on this machine.

    Raises:
        OptionError, UnknownModelError, CheckpointError: as of `model_parts.model_of`; or it has no such scale.
    """
    model = model_of(
        given, chosen_for_user=only_here, denoise=denoise, conditions={}, listener=listener, degradation=_Anything()
    )
    wanted = float(model.only_scale or usual) if scale is None else scale
    passes = model.passes(wanted)
    made = passes[0] if len(passes) == 1 else as_scale(wanted)
    if len(passes) > 1 or (scale is not None and made != as_scale(scale)):
        has = f", but {scales_named((made,))}" if len(passes) == 1 else ""
        raise OptionError(
            f"{option('scale', wanted)}: {model.name} is not {scales_named((as_scale(wanted),))} in one pass{has}. "
            "Choose a scale that its nets make."
        )
    model.check_scale(float(made))
    return Composed(model, model.net(made), made, tuple(_parts(model, made)))


def _parts(model: AnyModel, scale: Scale) -> list[tuple[Model, Scale]]:
    match model:
        case ChainedModel():
            return [one for part, own in model.route(scale) for one in _parts(part, own)]
        case MixedModel():
            return [(one, scale) for one in model.models]
        case Model():
            return [(model, scale)]
        case _:
            raise TypeError(f"{model} has no parts that are known")


def joined(facts: list[str]) -> str:
    """What several parts say, each thing once."""
    return JOINT.join(dict.fromkeys(facts))
