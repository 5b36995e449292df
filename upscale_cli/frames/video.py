"""The value that travels through a clip's pipeline: the planes of one frame, and when it is shown."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame of a clip, in host memory.

    Attributes:
        samples: (n,) uint8 or uint16, the planes one after the other as `PixelFormat.plane_sizes` says.
        pts: when it is shown, in ticks of its stream's time base.
        stream: index of its stream in the source clip.
        is_repeat: repeats the frame before, in place of one that the source has lost.
        is_lead: comes before the frames that are wanted, for those that look back at it; it is not written.
    """

    samples: NDArray[Any]
    pts: int
    stream: int = 0
    is_repeat: bool = False
    is_lead: bool = False
