"""How fast a model runs on this machine, by engine and precision: a piece of a picture through all of it."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from upscale_cli.errors import UpscaleError
from upscale_cli.events import Listener
from upscale_cli.frames.image import Pixels
from upscale_cli.inference.device import choose_devices
from upscale_cli.inference.engines import rivals_here
from upscale_cli.inference.engines_here import INTEL, OPENVINO, TORCH, check, is_installed
from upscale_cli.inference.options import UpscalerOptions, Wanted
from upscale_cli.inference.upscaler import Recipe, Upscaler

TRIAL_MACS: Final = 2 * 10**10
"""Multiply-adds of the piece that is tried: a second or two at most where a net is slow."""

SIDES: Final = (48, 512)
"""LR pixels of its side, at least and at most."""

PRECISIONS: Final[tuple[Wanted, ...]] = ("auto", "fp32")
"""That an engine is tried in: its own choice, and the plain one."""

TRIAL_SECONDS: Final = 1.0
TRIAL_RUNS: Final = 5
"""A trial runs that often, or for that long."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to run a model, as tried.

    Attributes:
        model, scale: of what.
        engine, precision: by what, and in what.
        device: where.
        lr_megapixels_per_second: LR pixels that go in, in millions a second, alpha and files left out.
    """

    model: str
    scale: float
    engine: str
    precision: str
    device: str
    lr_megapixels_per_second: float

    @property
    def sr_megapixels_per_second(self) -> float:
        """SR pixels that come out."""
        return self.lr_megapixels_per_second * self.scale**2


def engines_on(device: str) -> tuple[str, ...]:
    """The engines that are here and may run on a device (`UpscalerOptions.device`).

    Raises:
        OptionError: no such kind of device.
        DeviceError: it is not on this machine.
    """
    choose_devices(device)
    by_openvino = next((engine for engine, name in INTEL.items() if name == device.strip().lower()), None)
    if by_openvino is None:
        return TORCH, *rivals_here()
    if is_installed(OPENVINO):
        check(by_openvino)
    return (OPENVINO,)


def trials(model: str, scale: float, options: UpscalerOptions, sample: Pixels, listener: Listener) -> Iterator[Trial]:
    """A model by every engine that is here and can run it, in the precision that it would take, and in fp32.

    Args:
        sample: (H, W, 3) uint8, what it is tried on; a piece of it.
    """
    seen = set()
    for engine in engines_on(options.device):
        for precision in PRECISIONS:
            how = replace(options, engine=engine, precision=precision)
            try:
                upscaler = Recipe(model, how).make(listener)
                plan = upscaler.plan(64, 64, upscaler.target(scale))
                key = engine, upscaler.precision_for(plan, 8)
                if key in seen or (engine != TORCH and upscaler.device.type != "cpu"):
                    continue
                seen.add(key)
                yield tried(upscaler, scale, sample)
            except UpscaleError:
                continue  # it cannot run that net: there is nothing to show


def tried(upscaler: Upscaler, scale: float, sample: Pixels) -> Trial:
    """An upscaler on a piece of a picture, as large as its net is fast.

    Raises:
        UpscaleError: as `Upscaler`.
    """
    piece = piece_of(sample, upscaler, scale)
    height, width = piece.shape[:2]
    plan = upscaler.plan(width, height, upscaler.target(scale))
    upscaler(piece, scale)  # the first run also loads, compiles, and starts threads
    best, begin = math.inf, time.perf_counter()
    for _ in range(TRIAL_RUNS):
        start = time.perf_counter()
        upscaler(piece, scale)
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - begin > TRIAL_SECONDS:
            break
    return Trial(
        upscaler.name, scale, upscaler.engine_for(plan, 8), upscaler.precision_for(plan, 8), upscaler.device_names,
        height * width / 1e6 / best,
    )  # fmt: skip


def piece_of(sample: Pixels, upscaler: Upscaler, scale: float) -> Pixels:
    """The piece with the most detail that a net does in about a second, (h, w, 3)."""
    macs, area = 0.0, 1.0
    for step in upscaler.plan(64, 64, upscaler.target(scale)).passes:
        macs += upscaler.net(step, 8).cost.macs * area
        area *= float(step) ** 2  # a pass after it has as many pixels more
    least, most = SIDES
    side = max(least, min(most, math.isqrt(int(TRIAL_MACS / max(macs, 1)))))
    return most_detailed(sample, side, side)


def most_detailed(sample: Pixels, height: int, width: int) -> Pixels:
    """The piece of that size, or of what there is, whose neighbouring pixels differ the most, (h, w, 3)."""
    height, width = min(height, sample.shape[0]), min(width, sample.shape[1])
    luma = sample.astype(np.float32).mean(axis=2)
    change = np.zeros_like(luma)
    change[:, 1:] += np.abs(np.diff(luma, axis=1))
    change[1:] += np.abs(np.diff(luma, axis=0))
    total = np.pad(change, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    boxes = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(int(boxes.argmax()), boxes.shape)
    return np.ascontiguousarray(sample[top : top + height, left : left + width])
