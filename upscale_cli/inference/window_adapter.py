"""Windows for nets that take one size only, or one picture at a time."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.inference.backends.base import Session
from upscale_cli.inference.color_adapter import ColorAdapter
from upscale_cli.models.interface import Descriptor, Scale, scaled


class WindowAdapter:
    """A `Session` that takes smaller windows and batches of any number, whatever the net takes.

    Args:
        net: what it is.
        session: runs it.
        scale: of the pass.
    """

    def __init__(self, net: Descriptor, session: Session, scale: Scale) -> None:
        self._session, self._scale, self._sides = session, scale, net.fixed_sides
        self._one_at_a_time = net.one_at_a_time

    @property
    def concurrency(self) -> int:
        return self._session.concurrency

    def share(self, callers: int) -> None:
        self._session.share(callers)

    def run(self, batch: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        """See `Session`; windows that are too small are continued below and to the right, and cut again."""
        height, width = batch.shape[-2:]
        whole_height, whole_width = self._sides or (height, width)
        right, below = whole_width - width, whole_height - height
        if right or below:
            mirrors = right < width and below < height
            batch = F.pad(batch, (0, right, 0, below), "reflect" if mirrors else "replicate")
        if self._one_at_a_time and len(batch) > 1:
            each = ({name: value[at : at + 1] for name, value in conditions.items()} for at in range(len(batch)))
            sr = torch.cat([self._session.run(one[None], its) for one, its in zip(batch, each, strict=True)])
        else:
            sr = self._session.run(batch, conditions)
        return sr[..., : scaled(height, self._scale), : scaled(width, self._scale)]


def adapter_of(net: Descriptor, session: Session, scale: Scale) -> ColorAdapter:
    """What brings pictures into the colours and the windows of a net, and back."""
    if net.fixed_sides or net.one_at_a_time:
        session = WindowAdapter(net, session, scale)
    return ColorAdapter(net, session, scale)
