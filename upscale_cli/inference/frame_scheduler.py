"""Frames of a clip on several devices: each frame goes to the one with the least to do, and they come back in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upscale_cli.events import Say
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.device import device_failure
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Plan, Upscaler
from upscale_cli.inference.video_upscaler import FrameUpscaler, Pending


@dataclass(slots=True, eq=False)
class Dealt:
    """A frame, and where it is; its samples are kept until it is back, should that device fail."""

    samples: NDArray[Any]
    net: bool
    lane: FrameUpscaler
    pending: Pending


class FrameDealer:
    """Several `FrameUpscaler` as one; they give the same for the same.

    Args:
        lanes: one for each device, at least one.
    """

    def __init__(self, lanes: Sequence[FrameUpscaler], say: Say) -> None:
        self._lanes, self._say = list(lanes), say
        self._count = len(self._lanes)
        self._all = tuple(lanes)
        self._under_way = {id(lane): 0 for lane in lanes}

    @property
    def _first(self) -> FrameUpscaler:
        return self._all[0]

    @property
    def plan(self) -> Plan:
        return self._first.plan

    @property
    def precision(self) -> str:
        return self._first.precision

    @property
    def device(self) -> torch.device:
        return self._first.device

    @property
    def width(self) -> int:
        return self._first.width

    @property
    def height(self) -> int:
        return self._first.height

    @property
    def sr_width(self) -> int:
        return self._first.sr_width

    @property
    def sr_height(self) -> int:
        return self._first.sr_height

    @property
    def out_width(self) -> int:
        return self._first.out_width

    @property
    def out_height(self) -> int:
        return self._first.out_height

    @property
    def depth(self) -> int:
        """How many frames may be under way before the oldest is collected."""
        return sum(lane.depth for lane in self._lanes)

    @property
    def seconds(self) -> dict[str, float]:
        """Busy seconds of a stage: devices work at the same time, so it is their mean."""
        return {stage: sum(lane.seconds[stage] for lane in self._all) / self._count for stage in self._first.seconds}

    def pad_to(self, width: int, height: int) -> None:
        """See `FrameUpscaler.pad_to`."""
        for lane in self._lanes:
            lane.pad_to(width, height)

    def expected_seconds(self) -> float:
        """How long a frame is likely to take, where that is worth knowing."""
        return self._first.expected_seconds() / self._count

    def submit(self, samples: NDArray[Any], *, net: bool = True) -> Dealt:
        """Begins with a frame on the device that has the fewest.

        Raises:
            CheckpointError, DeviceError: see `FrameUpscaler.submit`; no device is left.
        """
        while True:
            lane = min(self._lanes, key=lambda one: self._under_way[id(one)])
            try:
                pending = lane.submit(samples, net=net)
            except Exception as error:
                self._retire(lane, error)
                continue
            self._under_way[id(lane)] += 1
            return Dealt(samples, net, lane, pending)

    def collect(self, dealt: Dealt) -> NDArray[Any]:
        """The SR samples of a frame; computed again elsewhere where its device has failed.

        Raises:
            CheckpointError, DeviceError: see `FrameUpscaler.collect`; no device is left.
        """
        while True:
            self._under_way[id(dealt.lane)] -= 1
            try:
                return dealt.lane.collect(dealt.pending)
            except Exception as error:
                self._retire(dealt.lane, error)
            dealt = self.submit(np.asarray(dealt.samples), net=dealt.net)

    def _retire(self, lane: FrameUpscaler, error: Exception) -> None:
        """Goes on without a device that has failed.

        Raises:
            Exception: what it was given, where the device is not to blame; a DeviceError, where it was the last one.
        """
        failure = device_failure(error, lane.device)
        if failure is None:
            raise error
        if lane not in self._lanes:
            return  # it was told before
        if len(self._lanes) == 1:
            raise failure from error
        self._lanes.remove(lane)
        left = ", ".join(str(other.device) for other in self._lanes)
        self._say(f"{str(failure).split('. ')[0]}: going on with {left}.")


Frames = FrameUpscaler | FrameDealer


def frames_of(
    upscaler: Upscaler,
    format: PixelFormat,
    width: int,
    height: int,
    tags: ColourTags,
    target: Target,
    *,
    graph: bool = False,
    say: Say,
) -> Frames:
    """What upscales the frames of a stream, on all devices of the upscaler; see `FrameUpscaler` for the arguments."""
    lanes = [
        FrameUpscaler(upscaler, format, width, height, tags, target, graph=graph, place=place, say=say)
        for place in range(len(upscaler.devices))
    ]
    return lanes[0] if len(lanes) == 1 else FrameDealer(lanes, say)
