"""How near SR comes to HR: PSNR, SSIM and MS-SSIM, as the field reports them; and how it makes LR. Pure; NumPy only.

The field's convention, which every published Set5 or Set14 figure rests on: HR cropped to a multiple of the scale;
luma of BT.601 in studio range (16..235), gray pictures as they are; LR by MATLAB's antialiased bicubic, rounded to
8 bits; SR rounded to 8 bits; `scale` pixels cut from each border before measuring.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]
"""(height, width) float64, one channel in 8-bit levels: 0..255, or 16..235 for studio luma."""

FULL_RANGE = np.array([0.299, 0.587, 0.114])
"""BT.601 luma weights of R, G, B: what the nets see."""

STUDIO_RANGE = np.array([65.481, 128.553, 24.966]) / 255
"""The same weights squeezed to 219 levels above 16, to the digits MATLAB's rgb2ycbcr uses: what is measured."""

SSIM_TAPS = 11
SSIM_SIGMA = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
"""Window and constants of Wang et al., "Image Quality Assessment", IEEE TIP 2004."""

MS_SSIM_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five sizes, the full one first: Wang, Simoncelli, Bovik, "Multi-Scale Structural Similarity", ACSSC 2003."""

MS_SSIM_LEAST_SIDE: Final = SSIM_TAPS * 2 ** (len(MS_SSIM_WEIGHTS) - 1)
"""176 pixels: so that SSIM's window fits into the smallest of the five sizes."""

Shrinking = Literal["bicubic", "bicubic-aliased", "bicubic-corner", "bilinear", "area", "lanczos", "every"]
"""How LR is made of HR. All are antialiased but "bicubic-aliased", which is OpenCV's INTER_CUBIC (a = -0.75), and
"every", which takes every scale-th pixel. LR pixel i lies in the middle of the scale HR pixels it stands for; those of
"every" and "bicubic-corner" lie on the first of them."""


def full_luma(rgb: NDArray[Any]) -> Plane:
    """(height, width, 3) R'G'B' in 0..255 to luma in 0..255, not rounded."""
    luma: Plane = rgb.astype(np.float64) @ FULL_RANGE
    return luma


def studio_luma(rgb: NDArray[Any]) -> Plane:
    """(height, width, 3) R'G'B' in 0..255 to luma in 16..235, not rounded."""
    luma: Plane = rgb.astype(np.float64) @ STUDIO_RANGE + 16
    return luma


def to_8_bit(plane: Plane) -> Plane:
    """Rounded to whole levels and clipped to 0..255, halves up as MATLAB's uint8() does; still float64."""
    rounded: Plane = np.clip(np.floor(plane + 0.5), 0, 255)
    return rounded


def crop_to_multiple(picture: NDArray[Any], multiple: int) -> NDArray[Any]:
    """Rows and columns cut from the end until both sides divide by `multiple`, so that HR is exactly scale x LR."""
    height, width = picture.shape[:2]
    return picture[: height - height % multiple, : width - width % multiple]


def crop_border(picture: NDArray[Any], border: int) -> NDArray[Any]:
    """`border` pixels cut from each side.

    Raises:
        ValueError: nothing would be left.
    """
    height, width = picture.shape[:2]
    if 2 * border >= min(height, width):
        raise ValueError(f"a border of {border} leaves nothing of a picture of {width}x{height}")
    return picture[border : height - border, border : width - border]


def psnr(sr: NDArray[Any], hr: NDArray[Any], peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB over all elements of two arrays of one shape; inf where they are equal."""
    _check_shapes(sr, hr)
    mse = float(np.mean((sr.astype(np.float64) - hr.astype(np.float64)) ** 2))
    return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)


def ssim(sr: NDArray[Any], hr: NDArray[Any], peak: float = 255.0) -> float:
    """Mean structural similarity of two (height, width) planes: Gaussian window 11x11, sigma 1.5.

    Only where the window lies inside the picture; variances are the population's. Wang et al. 2004.

    Raises:
        ValueError: shapes differ, or a side is below 11 pixels.
    """
    _check_shapes(sr, hr)
    if sr.ndim != 2 or min(sr.shape) < SSIM_TAPS:
        raise ValueError(f"SSIM needs a plane of at least {SSIM_TAPS}x{SSIM_TAPS}, not {sr.shape}")
    luminance, structure = _similarity(sr.astype(np.float64), hr.astype(np.float64), peak)
    return float(np.mean(luminance * structure))


def ms_ssim(sr: NDArray[Any], hr: NDArray[Any], peak: float = 255.0) -> float:
    """Structural similarity at five sizes, each half of the one before, of two (height, width) planes.

    Structure counts at every size, luminance at the smallest one only. A negative mean structure, which has no power
    of 0.0448, counts as 0. Wang, Simoncelli, Bovik 2003.

    Raises:
        ValueError: shapes differ, or a side is below 176 pixels.
    """
    _check_shapes(sr, hr)
    if sr.ndim != 2 or min(sr.shape) < MS_SSIM_LEAST_SIDE:
        raise ValueError(f"MS-SSIM needs a plane of at least {MS_SSIM_LEAST_SIDE} pixels a side, not {sr.shape}")
    x, y = sr.astype(np.float64), hr.astype(np.float64)
    product = 1.0
    for weight in MS_SSIM_WEIGHTS[:-1]:
        _, structure = _similarity(x, y, peak)
        product *= max(float(structure.mean()), 0.0) ** weight
        x, y = _halved(x), _halved(y)
    luminance, structure = _similarity(x, y, peak)
    return float(product * max(float(np.mean(luminance * structure)), 0.0) ** MS_SSIM_WEIGHTS[-1])


def _similarity(x: Plane, y: Plane, peak: float) -> tuple[Plane, Plane]:
    """Maps of how alike two planes are around each pixel, in luminance and in structure (contrast included)."""
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x = _window_mean(x * x) - mean_x * mean_x
    var_y = _window_mean(y * y) - mean_y * mean_y
    covariance = _window_mean(x * y) - mean_x * mean_y
    c1, c2 = (SSIM_K1 * peak) ** 2, (SSIM_K2 * peak) ** 2
    luminance: Plane = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure: Plane = (2 * covariance + c2) / (var_x + var_y + c2)
    return luminance, structure


def _halved(plane: Plane) -> Plane:
    """Means of 2 x 2 pixels; the last ones of an odd side count twice, as in the authors' mirrored border."""
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    quads: Plane = (even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]) / 4
    return quads


def _window_mean(plane: Plane) -> Plane:
    """Gaussian mean around each pixel whose window lies inside: (H, W) to (H - 10, W - 10)."""
    offset = np.arange(SSIM_TAPS) - SSIM_TAPS // 2
    taps = np.exp(-(offset**2) / (2 * SSIM_SIGMA**2))
    taps /= taps.sum()
    height, width = (side - SSIM_TAPS + 1 for side in plane.shape)
    plane = sum((tap * plane[start : start + height] for start, tap in enumerate(taps)), start=np.zeros(()))
    return sum((tap * plane[:, start : start + width] for start, tap in enumerate(taps)), start=np.zeros(()))


# How LR is made


def blurred(plane: Plane, kernel: NDArray[np.float64]) -> Plane:
    """A plane convolved with a kernel of odd sides, (height, width); it continues on its opposite side.

    So SRMD, USRNet and the other nets that take a kernel are measured by their authors. By Fourier transform, for
    kernels can be large.
    """
    height, width = kernel.shape
    field = np.zeros_like(plane)
    rows = (np.arange(height) - height // 2) % plane.shape[0]
    columns = (np.arange(width) - width // 2) % plane.shape[1]
    np.add.at(field, (rows[:, None], columns), kernel)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(plane) * np.fft.rfft2(field), s=plane.shape))


def bicubic(plane: Plane, scale: float) -> Plane:
    """A plane resized as MATLAB's imresize(plane, scale, "bicubic") does it: a = -0.5, antialiased when shrinking."""
    return resized(plane, scale, "bicubic")


def resized(plane: Plane, scale: float, shrinking: Shrinking) -> Plane:
    """A plane resized by a kernel, in the way of MATLAB's imresize.

    Sides become ceil(scale * side); not rounded and not clipped. Keys, "Cubic Convolution Interpolation for Digital
    Image Processing", IEEE TASSP 1981. Pillow and torch agree inside the picture, but not at its borders: they
    leave out what lies beyond, MATLAB mirrors it. Dense matrices: fast for test pictures, not meant for megapixels.
    """
    height, width = plane.shape
    result: Plane = _resizing(height, scale, shrinking) @ plane @ _resizing(width, scale, shrinking).T
    return result


@functools.lru_cache(maxsize=64)
def _resizing(length: int, scale: float, shrinking: Shrinking) -> Plane:
    """(ceil(scale * length), length): row i holds the weights of the input pixels that output pixel i is made of."""
    kernel = KERNELS[shrinking]
    out_length = math.ceil(length * scale - 1e-9)  # 1/3 of 90 is 30, even where the last bit of the product differs
    # Shrinking stretches the kernel over 1/scale as many pixels: the antialiasing.
    stretch = min(scale, 1.0) if kernel.antialiased else 1.0
    taps = math.ceil(2 * kernel.reach / stretch) + 2
    centre = np.arange(out_length) / scale if kernel.corner else (np.arange(out_length) + 0.5) / scale - 0.5
    source = np.floor(centre - kernel.reach / stretch).astype(np.int64)[:, None] + np.arange(taps)
    weight = kernel.weight(np.abs((centre[:, None] - source) * stretch))
    weight /= weight.sum(axis=1, keepdims=True)
    mirrored = source % (2 * length)  # ... 1 0 | 0 1 2 ... length-1 | length-1 ...
    mirrored = np.minimum(mirrored, 2 * length - 1 - mirrored)
    matrix: Plane = np.zeros((out_length, length))
    np.add.at(matrix, (np.arange(out_length)[:, None], mirrored), weight)
    matrix.flags.writeable = False  # it is shared
    return matrix


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A weight by distance.

    Attributes:
        weight: of a distance of 0 or more, in pixels of the coarser grid.
        reach: from where on it is 0.
        antialiased: whether shrinking stretches it.
        corner: pixels of the two grids lie on each other at the first one, not in the middle.
    """

    weight: Callable[[Plane], Plane]
    reach: float
    antialiased: bool = True
    corner: bool = False


def _cubic(x: Plane, a: float) -> Plane:
    """Keys' kernel, 0 from two pixels on; with a = -0.5 it is exact for parabolas."""
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    weight: Plane = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    return weight


def _triangle(x: Plane) -> Plane:
    weight: Plane = np.maximum(1 - x, 0)
    return weight


def _box(x: Plane) -> Plane:
    weight: Plane = (x < 0.5).astype(np.float64)
    return weight


def _lanczos3(x: Plane) -> Plane:
    weight: Plane = np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    return weight


KERNELS: Final[dict[Shrinking, _Kernel]] = {
    "bicubic": _Kernel(functools.partial(_cubic, a=-0.5), reach=2),
    "bicubic-aliased": _Kernel(functools.partial(_cubic, a=-0.75), reach=2, antialiased=False),
    "bicubic-corner": _Kernel(functools.partial(_cubic, a=-0.5), reach=2, corner=True),
    "bilinear": _Kernel(_triangle, reach=1),
    "area": _Kernel(_box, reach=0.5),
    "lanczos": _Kernel(_lanczos3, reach=3),
    "every": _Kernel(_box, reach=0.5, antialiased=False, corner=True),
}


def _check_shapes(sr: NDArray[Any], hr: NDArray[Any]) -> None:
    if sr.shape != hr.shape:
        raise ValueError(f"SR {sr.shape} and HR {hr.shape} differ in shape")
