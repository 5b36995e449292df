"""Several nets as one session: pictures go through all of them, each in its own colours and by its own engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.image import Transfer
from upscale_cli.inference.backends.base import ArrayBackend, Backend, Session, SharesThreads
from upscale_cli.inference.conditions import nearest
from upscale_cli.inference.device import Device
from upscale_cli.models.interface import INPUT, SCALE_INPUT, Descriptor, LoadedNet, Precision, Scale

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Through = Callable[[Any, Mapping[str, Any], Transfer], Any]
"""A net as pictures see it; see `net_runner.Through`."""

Adapter = Callable[[Descriptor, Any, Scale], Through]
"""Brings pictures into the colours of a net that a session runs at a scale, and back."""


@dataclass(frozen=True, slots=True)
class Link:
    """One net of a chain at work.

    Attributes:
        before: SR pixels per LR pixel of what goes into it.
    """

    net: Descriptor
    scale: Scale
    before: Scale
    session: Session
    through: Through


class ChainSession:
    """See `base.Session`; what goes through is a picture, gray or RGB, and so is what comes out.

    Args:
        as_array: numpy's array as one of the kind that the pictures are.
        adapter: what made the links' `through`.
    """

    def __init__(self, links: Sequence[Link], as_array: Callable[[NDArray[np.float32]], Any], adapter: Adapter) -> None:
        self._links, self._as_array, self._adapter = links, as_array, adapter

    @property
    def concurrency(self) -> int:
        return max(link.session.concurrency for link in self._links)

    @property
    def requests(self) -> int:
        """See `base.SharesThreads`."""
        sessions = (link.session for link in self._links)
        return max(session.requests if isinstance(session, SharesThreads) else 1 for session in sessions)

    def alone(self) -> Self:
        """See `base.SharesThreads`."""
        links = []
        for link in self._links:
            session = link.session.alone() if isinstance(link.session, SharesThreads) else link.session
            links.append(replace(link, session=session, through=self._adapter(link.net, session, link.scale)))
        return type(self)(links, self._as_array, self._adapter)

    def share(self, callers: int) -> None:
        for link in self._links:
            link.session.share(callers)

    def through(self, lr: Any, conditions: Mapping[str, Any], transfer: Transfer) -> Any:
        """(N, 1 or 3, h, w) float32 to (N, 1 or 3, scale * h, scale * w), not clamped."""
        for link in self._links:
            lr = link.through(lr, self._conditions(link, conditions, lr), transfer)
        return lr

    def run(self, batch: "Tensor", conditions: "Mapping[str, Tensor]") -> "Tensor":
        made: Tensor = self.through(batch, conditions, "display")
        return made

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """See `base.ArraySession`."""
        given = {name: value for name, value in inputs.items() if name != INPUT}
        made: NDArray[np.float32] = self.through(inputs[INPUT], given, "display")
        return made

    def _conditions(self, link: Link, given: Mapping[str, Any], picture: Any) -> dict[str, Any]:
        """What one net wants: maps are enlarged with the picture, by the nearest value."""
        found = {}
        for spec in link.net.inputs:
            if spec.name == SCALE_INPUT:
                found[spec.name] = self._as_array(np.full(picture.shape[0], float(link.scale), np.float32))
                continue
            value = found[spec.name] = given[spec.name]
            if spec.tiled and value.shape[-2:] != picture.shape[-2:]:
                found[spec.name] = nearest(value, *picture.shape[-2:])
        return found


class ArrayChainSession(ChainSession):
    """One whose pictures are numpy's arrays."""

    def on_tensors(self, device: "Device | torch.device") -> ChainSession:
        """The same sessions for pictures that are torch's, in batches."""
        import torch

        from upscale_cli.inference.window_adapter import adapter_of

        links = [replace(link, through=adapter_of(link.net, link.session, link.scale)) for link in self._links]
        return ChainSession(links, lambda array: torch.from_numpy(array).to(device), adapter_of)

    def run(self, batch: "Tensor", conditions: "Mapping[str, Tensor]") -> "Tensor":
        return self.on_tensors(batch.device).run(batch, conditions)


@dataclass(frozen=True, slots=True)
class ChainBackend:
    """See `base.Backend`.

    Attributes:
        parts: what runs each net, and the precision it computes in; where fp32 is asked for all compute in that.
    """

    parts: tuple[tuple[Backend, Precision], ...]

    @property
    def name(self) -> str:
        return " + ".join(backend.name for backend, _ in self.parts)

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> ChainSession:
        import torch

        from upscale_cli.inference.window_adapter import adapter_of

        links = self._links(net, device, precision, adapter_of)
        return ChainSession(links, lambda array: torch.from_numpy(array).to(device), adapter_of)

    def _links(self, net: LoadedNet, device: Device, precision: Precision, adapter: Adapter) -> list[Link]:
        links: list[Link] = []
        before: Scale = 1
        for (part, scale), (backend, own) in zip(net.parts, self.parts, strict=True):
            session = backend.load(part, device, "fp32" if precision == "fp32" else own)
            facts = part.descriptor
            links.append(Link(facts, scale, before, session, adapter(facts, session, scale)))
            before *= scale
        return links


@dataclass(frozen=True, slots=True)
class ArrayChainBackend(ChainBackend):
    """The same of engines that take numpy's arrays, all of them."""

    takes_arrays: Final = True

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> ChainSession:
        from upscale_cli.inference.host_color import HostColorAdapter

        links = self._links(net, device, precision, HostColorAdapter)
        return ArrayChainSession(links, lambda array: array, HostColorAdapter)


def chain_backend(parts: Sequence[tuple[Backend, Precision]]) -> ChainBackend:
    """What runs a chain whose nets are run so."""
    kind = ArrayChainBackend if all(isinstance(backend, ArrayBackend) for backend, _ in parts) else ChainBackend
    return kind(tuple(parts))
