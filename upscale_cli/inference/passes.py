"""Some channels of a picture through the passes of a plan: rows in, rows out, to the exact size and depth.

LR rows  ->  pass  ->  ...  ->  finish (blend, colours, mask)  ->  resampled to the size that is wanted
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from upscale_cli.events import Say
from upscale_cli.frames.image import Frame
from upscale_cli.frames.rows import Cropped, Held, RowReader, Rows
from upscale_cli.inference.conditions import Conditions
from upscale_cli.inference.finish import Finish, finished
from upscale_cli.inference.likeness import Likeness
from upscale_cli.inference.planes import Planes
from upscale_cli.inference.resample import Resampled
from upscale_cli.inference.sizing import Plan
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.value_range import ValueRange, in_its_range
from upscale_cli.models.interface import Scale
from upscale_cli.models.registry import Kernel

OnTile = Callable[[], object]
"""Called after each tile."""

Opened = Callable[[], Rows]
"""Gives the rows of a picture from the top, whenever it is called."""


class Passes:
    """The way of some channels.

    Args:
        net_for: the net of a pass at work, for pictures of so many bits a channel.
        wrap: the picture continues on its opposite side.
        finish: what is done with what the passes have made.
        inputs_for: what the first pass's net gets beside a picture of that width and height.
        say: takes what the user should know.
    """

    def __init__(
        self, net_for: Callable[[Scale, int], TiledNet], finish: Finish,
        inputs_for: Callable[[TiledNet, Plan, int, int], Conditions], *, wrap: bool, say: Say,
    ) -> None:  # fmt: skip
        self._net_for, self._finish, self._inputs_for = net_for, finish, inputs_for
        self._wrap, self._say = wrap, say

    def rows(
        self, picture: Opened, planes: Planes, plan: Plan, source: Frame | RowReader, on_tile: OnTile | None,
        used: ValueRange,
    ) -> Rows:  # fmt: skip
        """Rows through the passes, in the range of values that they use; to their own dtype.

        Args:
            picture: gives the rows; asked for once, or some times.
            source: of all channels.
        """
        lr = picture()
        clip = lr.dtype != np.float32
        if not plan.passes or planes.kind != "colour" or used.is_full:
            return self._through(lr, picture, planes, plan, source, on_tile, clip=clip)
        return in_its_range(
            picture, used, lambda unit, again: self._through(unit, again, planes, plan, source, on_tile, clip=clip),
            lambda beyond: self.resampled(beyond, plan, np.float32, "lanczos"),
        )  # fmt: skip

    def _through(
        self, lr: Rows, again: Opened, planes: Planes, plan: Plan, source: Frame | RowReader, on_tile: OnTile | None,
        *, clip: bool,
    ) -> Rows:  # fmt: skip
        """The passes of a plan and the final resampling, to the dtype of `lr`; `clip` cuts each pass to [0, 1]."""
        picture, is_made = lr, plan.is_made(lr.width, lr.height)
        finishes = bool(plan.passes) and self._finish.is_any
        bits = 8 * (source.dtype if isinstance(source, RowReader) else source.pixels.dtype).itemsize
        for number, scale in enumerate(plan.passes, start=1):
            is_final = number == len(plan.passes) and is_made and not finishes
            net = self._net_for(scale, bits)
            picture = self._held(picture)
            given = (
                self._inputs_for(net, plan, picture.width, picture.height) if number == 1
                else net.conditions_for(picture.height, picture.width, lr.height, lr.width)
            )  # fmt: skip
            picture = net.rows(
                picture,
                lr.dtype if is_final else np.float32,
                transfer="display" if planes.kind == "alpha" else source.transfer,
                clip=clip,
                on_tile=on_tile,
                given=given,
                likeness=Likeness(net.descriptor.name, self._say) if planes.kind == "colour" else None,
            )
        if finishes:
            picture = finished(
                self._held(picture), again, self._finish, lr.dtype if is_made else np.float32,
                is_colour=planes.kind == "colour", wrap=self._wrap,
            )  # fmt: skip
        if is_made and picture.dtype == lr.dtype:
            is_whole = (picture.height, picture.width) == (plan.height, plan.width)
            return picture if is_whole else Cropped(picture, plan.height, plan.width)
        return self.resampled(picture, plan, lr.dtype, plan.kernel)

    def resampled(self, picture: Rows, plan: Plan, dtype: Any, kernel: Kernel) -> Rows:
        """Rows to the size of a plan."""
        return Resampled(self._held(picture), plan.height, plan.width, dtype, kernel, wrap=self._wrap)

    def _held(self, picture: Rows) -> Rows:
        """The picture; one that wraps as a whole, for its first rows need its last ones."""
        return Held(picture.whole()) if self._wrap and not isinstance(picture, Held) else picture
