"""A picture that is on a device already, through its net there: the frames of clips.

planes in [0, 1]  ->  margins  ->  what has changed, the rest taken over  ->  net  ->  judged
8-bit codes       ->  margins  ->  windows, ...  ->  codes in, codes out, where an engine has that
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.inference.backends.base import CodesSession, Enlarge, EnlargesPlanes
from upscale_cli.inference.conditions import Conditions
from upscale_cli.inference.device import computing, memory_explained
from upscale_cli.inference.device_net import DeviceNet
from upscale_cli.inference.frame_cells import FrameCells
from upscale_cli.inference.health import PrecisionFallback, health_of
from upscale_cli.inference.net_runner import Through
from upscale_cli.inference.polyphase import PolyphaseKernels
from upscale_cli.inference.reuse import PassReuse
from upscale_cli.inference.same_bits import SameBits
from upscale_cli.inference.tile_layout import TileLayout
from upscale_cli.inference.tiling import Span
from upscale_cli.inference.yuv import Levels
from upscale_cli.models.interface import Precision, Scale, scaled


class WholeFrames:
    """One net's; see `TiledNet`, whose parts these are.

    Args:
        nets: on the devices.
        layout: how frames are cut.
        fallback: the retry in fp32.
        report_tiling: is told into how many windows a frame was cut.
        conditions: of the net, unless others are given.
        macs: multiply-adds per LR pixel.
        spare: see `frame_grid.spare_of`.
    """

    def __init__(
        self,
        nets: Sequence[DeviceNet],
        layout: TileLayout,
        fallback: PrecisionFallback,
        report_tiling: Callable[[int], None],
        conditions: Conditions,
        macs: float,
        spare: float,
    ) -> None:
        self._nets, self._layout, self._fallback, self._report_tiling = nets, layout, fallback, report_tiling
        self._conditions, self._macs, self._spare = conditions, macs, spare
        self._same_bits = [SameBits() for _ in nets]

    def upscale(
        self, lr: Tensor, place: int = 0, given: Conditions | None = None, reuse: PassReuse | None = None
    ) -> Tensor:
        """Upscales once what is on a device already, and leaves the result there.

        Windows are as large as memory allows; a `tile` that was asked for is kept to.

        Args:
            lr: (1, 1 or 3, h, w) float32 on the device, display values, [0, 1] and a little beyond.
            place: of the device among those of the net.
            given: conditions in the place of the net's own.
            reuse: of the frame before, on a CPU.

        Returns:
            (1, C, scale * h, scale * w) float32, not clipped. Where half precision spoils it, in fp32, and so are all
            pictures after it.

        Raises:
            DeviceError, CheckpointError: as `TiledNet.upscale`.
        """
        precision = self._fallback.precision
        sr, health = self.unjudged(lr, place, given, reuse)
        low, high = health[3:].tolist()

        def again() -> tuple[Tensor, Tensor]:
            full = self._through(place, lr, "fp32", given)
            return full, health_of(full)[0]

        return self._fallback.checked(sr, health[:3], lambda: low != high, again, precision=precision, what="frame")

    def unjudged(
        self, lr: Tensor, place: int = 0, given: Conditions | None = None, reuse: PassReuse | None = None
    ) -> tuple[Tensor, Tensor]:
        """`upscale` that does not wait for the device: its result, and what `is_sound` needs to judge it."""
        sr = self._through(place, lr, self._fallback.precision, given, reuse)
        with torch.no_grad():
            return sr, torch.cat((health_of(sr)[0], torch.stack((lr.amin(), lr.amax()))))

    def codes(
        self, lr: Tensor, levels: Levels, place: int = 0, reuse: PassReuse | None = None, out: Tensor | None = None
    ) -> Tensor | None:
        """`upscale` of 8-bit code values by an engine that takes and gives them: nothing else touches a sample.

        Args:
            lr: (1, 1, h, w) uint8 on the host.
            levels: what the codes mean.
            out: (scale * h, scale * w) uint8, contiguous: where the result would best lie. It may be written to in any
                case, and does hold the result only if that is a view of it.

        Returns:
            (1, 1, scale * h, scale * w) uint8; None where the net or its engine has no such way, or where the result
            is not fit to be seen, so that it has to be computed by `upscale`, which knows what to do then.
        """
        there = self._nets[place]
        session = there.codes_session(self._fallback.precision, levels)
        if session is None:
            return None
        net = _CodesNet(session, self._layout.scale, out)
        sr = self._through(place, lr, self._fallback.precision, None, reuse, net)
        values = sr.numpy()
        is_blank = values.min() == values.max()
        return sr if net.is_finite and not is_blank else None

    def enlarging(self, of: PolyphaseKernels, place: int = 0) -> Enlarge | None:
        """What enlarges 8-bit planes by the engine of the net; None where that has no such way."""
        session = self._nets[place].session(self._fallback.precision)
        if not isinstance(session, EnlargesPlanes):
            return None
        return session.enlarging(of.kernels, of.before, of.after)

    def _through(
        self,
        place: int,
        lr: Tensor,
        precision: Precision,
        given: Conditions | None,
        reuse: PassReuse | None = None,
        net: Through | None = None,
    ) -> Tensor:
        """A picture on a device through its net, with the margins it needs."""
        there, scale = self._nets[place], self._layout.scale
        height, width = lr.shape[-2:]
        top, bottom, left, right = self._layout.margins(height, width)
        its = self._layout.padded_conditions(self._conditions if given is None else given, height, width)
        with memory_explained(there.device), computing(there.device, precision):
            net, batch = net or there.load(precision), there.batch_of([its])
            if self._layout.wrap:
                lr = lr.index_select(-2, torch.arange(-top, height + bottom, device=lr.device) % height)
                lr = lr.index_select(-1, torch.arange(-left, width + right, device=lr.device) % width)
            elif bottom or right:
                lr = F.pad(lr, (0, right, 0, bottom), "reflect" if bottom < height and right < width else "replicate")
            cells = self._cells(place, precision, lr, height, width, net)
            rows, columns = self._layout.frame_grid(height, width, self._spare) if cells is None else ((), ())
            if reuse is not None and cells is not None:
                frame = reuse.frame(precision, lr.contiguous(), cells, scale, self._macs)
                sr: Tensor = there.run_in_cells(net, lr, "display", frame)
            elif reuse is None and len(rows) * len(columns) <= 1:
                sr = there.run(net, lr, batch, "display")
            else:
                self._report_tiling(len(rows) * len(columns))
                known = None
                if reuse is not None:
                    known = reuse.known(precision, lr.contiguous(), rows, columns, scale, self._macs)
                sr = there.run_in_pieces(net, lr, batch, "display", rows, columns, known)
        y, x = scaled(top, scale), scaled(left, scale)
        return sr[..., y : y + scaled(height, scale), x : x + scaled(width, scale)]

    def _cells(
        self, place: int, precision: Precision, lr: Tensor, height: int, width: int, net: Through
    ) -> FrameCells | None:
        """The cells of a frame whose windows may be of any shape; None where it has to be cut the same way always."""
        there, cells = self._nets[place], self._layout.frame_cells(height, width) if self._spare else None

        def kept(noise: Tensor, y: Span, x: Span) -> Tensor:
            made: Tensor = there.kept(net, noise, {}, "display", y, x)
            return made

        if cells is None or not self._same_bits[place].holds(precision, lr, cells, kept, self._macs):
            return None
        return cells


class _CodesNet:
    """A `Through` of code values, for one frame.

    Args:
        scale: of the net.
        out: (h, w) uint8, contiguous, for the first window that makes as many; another must not take its place.

    Attributes:
        is_finite: what the net has given so far was.
    """

    def __init__(self, session: CodesSession, scale: Scale, out: Tensor | None) -> None:
        self._session, self._scale, self.is_finite = session, scale, True
        self._out = None if out is None else out[None, None].numpy()

    def __call__(self, lr: Tensor, _given: object, _transfer: object) -> Tensor:
        sides = tuple(scaled(side, self._scale) for side in lr.shape[-2:])
        out = None
        if self._out is not None and self._out.shape[-2:] == sides:
            out, self._out = self._out, None
        sr, mean = self._session.infer_codes(lr.contiguous().numpy(), out)
        self.is_finite = self.is_finite and math.isfinite(mean)
        return torch.from_numpy(sr)
