"""Blur kernels by words and from files, and as nets want them. Pure, but for `read_kernel`.

    gauss:1.6   aniso:SX,SY,ANGLE   motion:LENGTH,ANGLE   FILE   ->  (k, k) float64, k odd, of sum 1

A kernel is what a point of light becomes, in output pixels: the picture is convolved with it. Angles are in degrees,
counter-clockwise as one sees the picture.
"""

import math
import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError, OptionError
from upscale_cli.frames.cubic import cubic
from upscale_cli.messages import option

Kernel = NDArray[np.float64]
"""(k, k), k odd, of sum 1; rows from top to bottom."""

MOST_SIGMA: Final = 20.0
MOST_LENGTH: Final = 100.0
"""Output pixels. Nobody could bring back what more has blurred."""

REACH: Final = 4
"""How many sigmas of a Gaussian a kernel holds on each side: all but 1e-4 of it."""

SAMPLES: Final = 1000
"""Points for each pixel of a line's length, by which its parts are measured."""

SHARPEST: Final = 0.2
"""Sigma of a Gaussian that is one pixel."""

WORDS: Final = "gauss:SIGMA, aniso:SX,SY,ANGLE, motion:LENGTH,ANGLE or a file"


def parse_kernel(text: str | Path, name: str = "kernel") -> Kernel:
    """A kernel by its words, or from a file.

    Args:
        name: of the option that it was given by, for messages.

    Raises:
        OptionError: no such words or file, or numbers out of range. InputError: the file holds no kernel.

    >>> parse_kernel("gauss:1.6").shape, round(float(parse_kernel("motion:5,0").max()), 3)
    ((15, 15), 0.2)
    """
    kind, colon, rest = str(text).partition(":")
    makers = {"gauss": (gaussian, 1), "aniso": (anisotropic, 3), "motion": (motion, 2)}
    if not colon or kind not in makers or isinstance(text, Path):
        return read_kernel(Path(text), name)
    make, count = makers[kind]
    parts = [part.strip() for part in rest.split(",")]
    if len(parts) != count or not all(re.fullmatch(r"-?\d{1,6}(\.\d{0,9})?|-?\.\d{1,9}", part) for part in parts):
        raise OptionError(f"{option(name, str(text))} is not understood. Write {WORDS}.")
    lengths = [float(part) for part in parts][: 2 if kind == "aniso" else 1]
    most = MOST_LENGTH if kind == "motion" else MOST_SIGMA
    if not all(0 < length <= most for length in lengths):
        raise OptionError(
            f"{option(name, str(text))} is out of range. Choose {'a length' if kind == 'motion' else 'sigmas'} "
            f"above 0 and up to {most:g} output pixels."
        )
    kernel: Kernel = make(*map(float, parts))  # type: ignore[operator]
    return kernel


def read_kernel(path: Path, name: str = "kernel") -> Kernel:
    """A kernel from a file: an array that numpy.save wrote, numbers in lines (.txt, .csv), or a picture.

    Raises:
        OptionError: there is no such file. InputError: it holds no kernel.
    """
    from upscale_cli.inference.conditions import read_condition

    if not path.is_file():
        raise OptionError(f"{option(name, str(path))}: there is no such file, and no such kind. Give {WORDS}.")
    if path.suffix.lower() in (".txt", ".csv"):
        try:
            lines = path.read_text(encoding="utf-8-sig").replace(",", " ").replace(";", " ")
            values = np.loadtxt(lines.splitlines(), ndmin=2)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: holds no lines of numbers. Give another file.") from error
    else:
        values = np.asarray(read_condition(path, "kernel"), np.float64)
        if path.suffix.lower() != ".npy":
            values = values.mean(axis=0)  # a picture's channels
    return checked(values, str(path))


def checked(values: NDArray[np.floating], name: str) -> Kernel:
    """An array as a kernel: square, of sum 1.

    Args:
        values: (k, l), leading axes of length 1 do no harm.
        name: of it, for messages.

    Raises:
        InputError: it has even sides, no or a negative sum, or values that are no numbers.
    """
    kernel = np.asarray(values, np.float64)
    while kernel.ndim > 2 and len(kernel) == 1:
        kernel = kernel[0]
    if kernel.ndim != 2:
        raise InputError(f"{name}: a kernel has two axes, and this has the shape {np.shape(values)}. Give another.")
    height, width = kernel.shape
    if height % 2 == 0 or width % 2 == 0:
        raise InputError(
            f"{name}: the kernel is {width} x {height}, and one of even side has no middle. Give one of odd sides."
        )
    total = float(kernel.sum())
    if not np.isfinite(kernel).all() or not total > 1e-12:
        raise InputError(f"{name}: the kernel's sum is {total:g}, where one above 0 is wanted. Give another.")
    side = max(height, width)
    return resized(kernel / total, side)


def resized(kernel: Kernel, side: int) -> Kernel:
    """A kernel in so many pixels, an odd number: cut, or with zeros around it."""
    out = np.zeros((side, side))
    height, width = (min(side, length) for length in kernel.shape)
    top, left = (kernel.shape[0] - height) // 2, (kernel.shape[1] - width) // 2
    y, x = (side - height) // 2, (side - width) // 2
    out[y : y + height, x : x + width] = kernel[top : top + height, left : left + width]
    return out


def gaussian(sigma: float) -> Kernel:
    """A Gaussian, sampled."""
    return anisotropic(sigma, sigma, 0.0)


def anisotropic(sigma_x: float, sigma_y: float, angle: float) -> Kernel:
    """A Gaussian of sigma_x along x and sigma_y along y, turned by `angle`."""
    reach = max(1, math.ceil(REACH * max(sigma_x, sigma_y)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across = cos * x - sin * y, sin * x + cos * y  # y points down
    kernel = np.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))
    return np.asarray(kernel / kernel.sum())


def motion(length: float, angle: float) -> Kernel:
    """A line of that length through the middle: each pixel gets what part of the line crosses it."""
    reach = max(1, math.ceil(length / 2 - 0.5))
    count = max(1, round(length * SAMPLES)) | 1
    at = ((np.arange(count) + 0.5) / count - 0.5) * length * (1 - 1e-9)
    columns = np.rint(reach + at * math.cos(math.radians(angle))).astype(int)
    rows = np.rint(reach - at * math.sin(math.radians(angle))).astype(int)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    np.add.at(kernel, (rows, columns), 1 / count)
    return kernel


def nothing() -> Kernel:
    """No blur: one pixel."""
    return np.ones((1, 1))


def spread_of(kernel: Kernel) -> NDArray[np.float64]:
    """The covariance of a kernel's light, (2, 2) in pixels^2, along x and y (which points down); its middle is free."""
    weights = np.clip(kernel, 0, None)
    weights = weights / weights.sum()
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]].astype(np.float64)
    x, y = x - (weights * x).sum(), y - (weights * y).sum()
    return np.array([[(weights * one * other).sum() for one in (x, y)] for other in (x, y)])


def axes_of(kernel: Kernel) -> tuple[float, float, float]:
    """(long sigma, short sigma, angle of the long one) of the Gaussian of a kernel's spread; see `anisotropic`."""
    variances, axes = np.linalg.eigh(spread_of(kernel))
    short, long = np.sqrt(np.maximum(variances, SHARPEST**2))
    return float(long), float(short), math.degrees(math.atan2(-axes[1, 1], axes[0, 1])) % 180


def share_beyond_gaussian(kernel: Kernel) -> float:
    """By how much of itself a kernel differs from the Gaussian of its own middle and spread."""
    reach = len(kernel) // 2
    weights = np.clip(kernel, 0, None) / np.clip(kernel, 0, None).sum()
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    from_middle = np.stack((x - (weights * x).sum(), y - (weights * y).sum()))
    inverse = np.linalg.inv(spread_of(kernel) + np.eye(2) * SHARPEST**2)
    gaussian = np.exp(-0.5 * np.einsum("iyx,ij,jyx->yx", from_middle, inverse, from_middle))
    gaussian /= gaussian.sum()
    return float(np.linalg.norm(kernel - gaussian) / np.linalg.norm(kernel))


def with_bicubic(kernel: Kernel, scale: int) -> Kernel:
    """For nets that think of every scale-th pixel, the top left first, where the picture was shrunk by bicubic after
    the blur: what both do together, the half pixel between the two grids included.

    The cubic kernel (Keys, a = -1/2) is as wide as `scale` makes it, as in MATLAB's imresize.
    """
    reach = 2 * scale + scale // 2
    taps = cubic((np.arange(-reach, reach + 1) + (scale - 1) / 2) / scale)  # a convolution turns it round
    taps /= taps.sum()
    return convolved(kernel, np.outer(taps, taps))


def convolved(one: Kernel, other: Kernel) -> Kernel:
    """All of the convolution of two kernels: of side k + l - 1."""
    height, width = (one.shape[axis] + other.shape[axis] - 1 for axis in (0, 1))
    spectrum = np.fft.rfft2(one, (height, width)) * np.fft.rfft2(other, (height, width))
    return np.fft.irfft2(spectrum, (height, width))
