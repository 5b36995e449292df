"""The sub-pixel layer on code values: what an engine gives for each LR pixel, put into its place. Pure.

Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158, equation 4. An engine moves every byte by itself; here a row of
what belongs to one LR pixel is moved as one number, an eighth of the time at scale 2.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

WORDS: Final[dict[int, type[np.unsignedinteger[Any]]]] = {2: np.uint16, 4: np.uint32, 8: np.uint64}
"""Numbers of so many bytes."""


def put_subpixels(places: NDArray[np.uint8], block: int, out: NDArray[np.uint8]) -> None:
    """Writes an SR plane.

    Args:
        places: (h, w, block * block), contiguous; row of places by row of places.
        out: (block * h, block * w), rows contiguous; less on the right and below: the rest is cut off.
    """
    height, width = places.shape[:2]
    is_whole = out.shape == (block * height, block * width) and out.strides[-1] == 1
    if block in WORDS and is_whole:
        words, target = places.view(WORDS[block]), out.view(WORDS[block])
        for row in range(block):
            target[row::block] = words[:, :, row]
        return
    for row in range(block):
        for column in range(block):
            target = out[row::block, column::block]
            target[...] = places[: target.shape[0], : target.shape[1], row * block + column]
