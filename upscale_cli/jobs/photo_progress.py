"""The progress of a photo, reported: how long it will take, where that is long, and then tiles as progress."""

from collections.abc import Callable
from typing import Final

from upscale_cli.events import Estimate, Listener, Progress
from upscale_cli.frames.image import Frame
from upscale_cli.frames.rows import RowReader
from upscale_cli.inference.sizing import Plan
from upscale_cli.inference.upscaler import Upscaler

LONG_RUN_SECONDS: Final = 20
"""A run expected to take longer than this is announced."""


class PhotoProgress:
    """Reports the progress of a run: how long it will take, where that is long, and then turns tiles into progress.

    Args:
        frames: that are made.
        encoding: seconds that each of them is expected to take when it is computed.
    """

    def __init__(
        self, source: str, upscaler: Upscaler, listener: Listener, frames: int, *, encoding: float = 0.0
    ) -> None:
        self._source, self._upscaler, self._listener, self._frames = source, upscaler, listener, frames
        self._encoding = encoding
        self._done = self._total = self._frames_begun = 0
        self._megapixels = self._expected_seconds = 0.0

    def frame(self, lr: Frame | RowReader, plan: Plan, pieces: int = 0) -> Callable[[], None]:
        """What to call after each tile of the next frame; or, without a net, after each of its `pieces`."""
        tiles = self._upscaler.tile_count(lr, plan) or pieces
        megapixels = plan.width * plan.height / 1e6
        self._frames_begun += 1
        self._total = self._done + tiles * (self._frames - self._frames_begun + 1)
        if self._frames_begun == 1 and self._upscaler.device.type == "cpu":
            seconds = (self._upscaler.expected_seconds(lr, plan) + self._encoding) * self._frames
            self._expected_seconds = seconds
            if seconds > LONG_RUN_SECONDS:
                self._listener(Estimate(seconds, self._upscaler.device.type))
        self._report()

        def on_tile() -> None:
            self._done = min(self._done + 1, self._total)
            self._megapixels += megapixels / tiles
            self._report()

        return on_tile

    def _report(self) -> None:
        self._listener(Progress(self._source, self._done, self._total, self._megapixels, self._expected_seconds))

    def frame_of(self, plan: Plan) -> Callable[[Frame | RowReader, int], Callable[[], None]]:
        """`frame`, for a plan that is known before the LR picture."""
        return lambda lr, pieces: self.frame(lr, plan, pieces)

    def skip(self, share: float) -> None:
        """Moves on to where at least that part of the tiles is done: a former run has done them."""
        if self._done < int(share * self._total):
            self._done = int(share * self._total)
            self._report()
