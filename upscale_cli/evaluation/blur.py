"""What HR is blurred with before it is shrunk."""

import math
import re

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import OptionError
from upscale_cli.messages import option

REACH = 4
"""How many sigmas a kernel holds on each side."""

MOST_SIGMA = 20.0


def blur_kernel(text: str) -> NDArray[np.float64]:
    """A kernel by its words, (k, k), k odd, of sum 1.

    Raises:
        OptionError: it is not understood, or out of range.

    >>> blur_kernel("gauss:1.6").shape
    (15, 15)
    """
    found = re.fullmatch(r"gauss:(\d{1,3}(?:\.\d{1,9})?)", text)
    if found is None or not 0 < float(found[1]) <= MOST_SIGMA:
        raise OptionError(f"{option('blur', text)} is no kernel. Write gauss:SIGMA, of up to {MOST_SIGMA:g} HR pixels.")
    reach = math.ceil(REACH * float(found[1]))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / float(found[1])) ** 2)
    taps /= taps.sum()
    return np.asarray(np.outer(taps, taps))
