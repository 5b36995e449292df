"""LR frames of a clip to SR frames, on as many devices as there are.

LR samples  ->  Scheduler  ->  FrameUpscaler  ->  SR samples, in order
                (where)        (one device)
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.events import Say, unreported
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.frame_upscaler import FrameRequest, FrameUpscaler
from upscale_cli.inference.scheduler import Future, Scheduler
from upscale_cli.inference.sizing import Plan, Target
from upscale_cli.inference.steady import Steady
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.value_range import ValueRange


class VideoUpscaler:
    """LR frames of one video stream to SR frames, on all devices of an `Upscaler`; they come back in order.

    Submit up to `depth` frames before the oldest is collected. One thread at a time may use it. A device that fails
    leaves its frames to the others.

    Args: as `FrameUpscaler`.

    Raises:
        OptionError, CheckpointError, FetchError, DeviceError: see `upscale_cli.errors`.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        format: PixelFormat,
        width: int,
        height: int,
        tags: ColourTags,
        target: Target,
        *,
        graph: bool = False,
        reuse: bool = True,
        say: Say = unreported,
    ) -> None:
        self._frames = [
            FrameUpscaler(upscaler, format, width, height, tags, target, graph=graph, place=place, reuse=reuse, say=say)
            for place in range(len(upscaler.devices))
        ]
        self._format = format
        self.used: ValueRange | None = None
        self._scheduler: Scheduler[FrameRequest, Tensor] = Scheduler(self._frames, lambda _: 1, say)
        first = self._frames[0]
        self.plan: Plan = first.plan
        self.precision, self.engine, self.device = first.precision, first.engine, first.device
        self.width, self.height = width, height
        self.sr_width, self.sr_height = first.sr_width, first.sr_height
        self.out_width, self.out_height = self.sr_width, self.sr_height

    @property
    def depth(self) -> int:
        """How many frames may be in progress before the oldest is collected; 0: one is done after the other."""
        return self._scheduler.concurrency if self._scheduler.concurrency > 1 else 0

    @property
    def seconds(self) -> dict[str, float]:
        """Busy seconds of a stage: devices work at the same time, so it is their mean."""
        stages = self._frames[0].seconds
        return {stage: sum(one.seconds[stage] for one in self._frames) / len(self._frames) for stage in stages}

    @property
    def reused(self) -> float:
        """What was taken over from frames before, of the net's work, as a number of frames."""
        return sum(one.reuse.frames for one in self._frames if one.reuse is not None)

    def pad_to(self, width: int, height: int) -> None:
        """Makes SR frames that large by repeating their last column and row, for encoders that need even sides."""
        for one in self._frames:
            one.pad_to(width, height)
        self.out_width, self.out_height = width, height

    def use_range(self, used: ValueRange) -> None:
        """As `FrameUpscaler.use_range`, on all devices."""
        for one in self._frames:
            one.use_range(used)
        self.used = used

    def steady(self) -> Steady:
        """What makes the frames that come out of this steady; to be asked for once their size is known."""
        sizes = (self.width, self.height), (self.out_width, self.out_height)
        return Steady(self._format, *sizes, self._frames[0].device)

    def expected_seconds(self) -> float:
        """How long a frame is likely to take on a CPU; 0 where that is too little to be worth knowing, and on a GPU."""
        return self._frames[0].expected_seconds() / len(self._frames)

    def submit(self, samples: NDArray[Any], *, net: bool = True) -> Future[FrameRequest, Tensor]:
        """Begins with a frame, or puts it into the queue.

        Args:
            samples: (n,) uint8 or uint16, as `PixelFormat.plane_sizes` says; not to be changed until it is collected.
            net: False: by bicubic, for frames that would come too late.
        """
        return self._scheduler.submit(FrameRequest(samples, net))

    def collect(self, future: Future[FrameRequest, Tensor]) -> NDArray[Any]:
        """The SR samples of a frame, when they have come: flat, of `out_width` x `out_height` pixels, yours to keep.

        Raises:
            CheckpointError: the net gives NaN or Inf in full precision.
            DeviceError: memory is too small, or no device is left.
        """
        flat: NDArray[Any] = self._scheduler.collect(future).numpy()
        if self._format.bits == 16:
            return flat.astype(self._format.dtype)
        return flat if self._format.bits == 8 else flat.view(np.uint16).astype(self._format.dtype, copy=False)
