"""The kernel of what is called bicubic here, and in the field's benchmarks: cubic convolution with a = -1/2."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def cubic(x: NDArray[Any]) -> NDArray[np.float64]:
    """The weight of a sample by its distance, in samples; 0 from 2 on.

    Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE Trans. ASSP 29(6), 1981. MATLAB's
    `imresize` has it too; torch's and OpenCV's bicubic have a = -3/4.

    >>> cubic(np.array([0.0, 0.5, -1.5, 2.0])).tolist()
    [1.0, 0.5625, -0.0625, 0.0]
    """
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
