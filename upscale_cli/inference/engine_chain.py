"""The engines of a chain: each of its nets by its own, chosen as if it ran alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from upscale_cli.events import Say
from upscale_cli.inference.backends.base import Backend
from upscale_cli.inference.chain_session import chain_backend
from upscale_cli.inference.device import Device
from upscale_cli.inference.engine_choice import USUAL_BITS, EngineChoice
from upscale_cli.inference.model import Model
from upscale_cli.inference.model_parts import AnyModel, ChainedModel, MixedModel
from upscale_cli.inference.options import Wanted
from upscale_cli.models.interface import Precision, Scale

JOIN: Final = " + "
"""Between the labels of the parts' choices."""


class AnyChoice(Protocol):
    """How a net, or a chain of them, is run; see `engines.Choice`."""

    @property
    def engine(self) -> str: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def label(self) -> str: ...


class Engines(Protocol):
    """See `EngineChoice`."""

    @property
    def device_name(self) -> str: ...
    def choice(self, scale: Scale, bits: int) -> AnyChoice: ...
    def backend_for(self, scale: Scale, bits: int) -> Backend: ...
    def labels(self, scales: Iterable[Scale]) -> dict[str, str]: ...
    def keep(self, labels: Mapping[str, str], scales: Iterable[Scale]) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ChainChoice:
    """How the nets of a chain are run.

    Attributes:
        engine: of them all, for people.
        precision: the first that is not fp32; "fp32" where all are.
        label: what decides about a pixel.
    """

    engine: str
    precision: Precision
    label: str


def engines_for(
    model: AnyModel,
    device: Device,
    device_name: str,
    engine: str,
    precision: Wanted,
    backend: Backend | None,
    say: Say,
    *,
    hurry: bool = False,
) -> Engines:
    """What chooses the engines of a model; the arguments are those of `EngineChoice`."""
    if isinstance(model, ChainedModel):
        each = [
            EngineChoice(part, device, device_name, engine, precision, backend, say, hurry=hurry)
            for part in model.parts
        ]
        return ChainEngines(model, each)
    assert isinstance(model, Model | MixedModel)
    return EngineChoice(model, device, device_name, engine, precision, backend, say, hurry=hurry)


class ChainEngines:
    """Those of a chain's parts.

    Args:
        each: of the parts, in order.
    """

    def __init__(self, model: ChainedModel, each: Sequence[EngineChoice]) -> None:
        self._model = model
        self._of = dict(zip(map(id, model.parts), each, strict=True))
        self.device_name = each[0].device_name

    def choice(self, scale: Scale, bits: int) -> ChainChoice:
        found = [engines.choice(own, bits) for engines, own in self._route(scale)]
        halved = [one.precision for one in found if one.precision != "fp32"]
        engine = ", ".join(dict.fromkeys(one.engine for one in found))
        return ChainChoice(engine, halved[0] if halved else "fp32", JOIN.join(one.label for one in found))

    def backend_for(self, scale: Scale, bits: int) -> Backend:
        each = [(engines.backend_for(own, bits), engines.choice(own, bits).precision)
                for engines, own in self._route(scale)]  # fmt: skip
        return chain_backend(each)

    def labels(self, scales: Iterable[Scale]) -> dict[str, str]:
        found = {}
        for scale in sorted(set(scales)):
            each = [(engines, own, engines.labels([own])) for engines, own in self._route(scale)]
            if any(label for _, _, label in each):
                found[str(scale)] = self.choice(scale, USUAL_BITS).label
        return found

    def keep(self, labels: Mapping[str, str], scales: Iterable[Scale]) -> str | None:
        for scale in sorted(set(scales)):
            known = labels[str(scale)].split(JOIN) if str(scale) in labels else []
            for at, (engines, own) in enumerate(self._route(scale)):
                gone = engines.keep({str(own): known[at]} if at < len(known) else {}, [own])
                if gone is not None:
                    return gone
        return None

    def _route(self, scale: Scale) -> list[tuple[EngineChoice, Scale]]:
        return [(self._of[id(part)], own) for part, own in self._model.route(scale)]
