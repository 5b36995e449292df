"""`--preview`: before and after in one picture, bicubic on the left and the net on the right."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.steady import Steady
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.media.video.streams import Clip


class SideBySide:
    """A pipeline that upscales each frame twice, by bicubic and by the net, and puts the two side by side.

    Args:
        frames: does both.
        format: of its samples.
    """

    def __init__(self, frames: VideoUpscaler, format: PixelFormat) -> None:
        self._frames, self._format = frames, format

    @property
    def depth(self) -> int:
        return self._frames.depth

    @property
    def reused(self) -> float:
        return self._frames.reused

    def submit(self, samples: NDArray[Any], *, net: bool = True) -> tuple[Any, Any]:
        """Starts one frame."""
        return self._frames.submit(samples, net=False), self._frames.submit(samples, net=net)

    def collect(self, pending: tuple[Any, Any]) -> NDArray[Any]:
        """(n,) samples of a frame that is twice as wide."""
        before, after = (self._frames.collect(side) for side in pending)
        joined, start = [], 0
        for rows, columns in self._format.plane_sizes(self._frames.out_width, self._frames.out_height):
            sides = [side[start : start + rows * columns].reshape(rows, columns) for side in (before, after)]
            joined.append(np.concatenate(sides, axis=1).reshape(-1))
            start += rows * columns
        return np.concatenate(joined)


class SteadySide:
    """What makes the right one of two pictures side by side steady.

    Args:
        steady: makes it so.
        format: of the samples.
        width, height: of one of the two.
    """

    def __init__(self, steady: Steady, format: PixelFormat, width: int, height: int) -> None:
        self._steady, self._sizes = steady, format.plane_sizes(width, height)

    def __call__(self, lr: NDArray[Any], sr: NDArray[Any], *, net: bool) -> NDArray[Any]:
        """(n,) samples of a frame that is twice as wide; see `Steady`."""
        out = sr.copy()
        sides, start = [], 0
        for rows, columns in self._sizes:
            stop = start + 2 * rows * columns
            sides.append(out[start:stop].reshape(rows, 2 * columns)[:, columns:])
            start = stop
        after = self._steady(lr, np.concatenate([side.reshape(-1) for side in sides]), net=net)
        start = 0
        for side in sides:
            side[:] = after[start : start + side.size].reshape(side.shape)
            start += side.size
        return out


def preview_part(decode: DecodeOptions, seconds: float, clip: Clip) -> tuple[float, float]:
    """Which part is shown, in seconds: from --start, or else around the middle of the clip; nothing behind --end."""
    ends = [end for end in (clip.seconds, decode.end) if end is not None]
    start = max(0.0, (min(ends, default=0.0) - seconds) / 2) if decode.start is None else decode.start
    stop = start + seconds
    return start, stop if decode.end is None else min(stop, decode.end)
