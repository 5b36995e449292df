"""How near SR comes to HR: PSNR and SSIM on luma, as the field reports them. Pure; NumPy only.

The field's convention, which every published Set5 or Set14 figure rests on: HR cropped to a multiple of the scale;
luma of BT.601 in studio range (16..235), 8 bits; LR by MATLAB's antialiased bicubic; SR rounded to 8 bits; `scale`
pixels cut from each border before measuring.
"""

import math
from typing import Any

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
    x, y = sr.astype(np.float64), hr.astype(np.float64)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x = _window_mean(x * x) - mean_x * mean_x
    var_y = _window_mean(y * y) - mean_y * mean_y
    covariance = _window_mean(x * y) - mean_x * mean_y
    c1, c2 = (SSIM_K1 * peak) ** 2, (SSIM_K2 * peak) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return float(np.mean(luminance * structure))


def bicubic(plane: Plane, scale: float) -> Plane:
    """A plane resized as MATLAB's imresize(plane, scale, "bicubic") does it: a = -0.5, antialiased when shrinking.

    Sides become ceil(scale * side); not rounded and not clipped. Keys, "Cubic Convolution Interpolation for Digital
    Image Processing", IEEE TASSP 1981. Pillow and torch agree inside the picture, but not at its borders: they
    leave out what lies beyond, MATLAB mirrors it. Dense matrices: fast for test pictures, not meant for megapixels.
    """
    height, width = plane.shape
    resized: Plane = _bicubic_matrix(height, scale) @ plane @ _bicubic_matrix(width, scale).T
    return resized


def _bicubic_matrix(length: int, scale: float) -> Plane:
    """(ceil(scale * length), length): row i holds the weights of the input pixels that output pixel i is made of."""
    out_length = math.ceil(length * scale - 1e-9)  # 1/3 of 90 is 30, whatever the last bit of the product says
    stretch = min(scale, 1.0)  # shrinking stretches the kernel over 1/scale as many pixels: the antialiasing
    taps = math.ceil(4 / stretch) + 2
    centre = (np.arange(out_length) + 0.5) / scale - 0.5  # in input pixels
    source = np.floor(centre - 2 / stretch).astype(np.int64)[:, None] + np.arange(taps)
    weight = _cubic((centre[:, None] - source) * stretch)
    weight /= weight.sum(axis=1, keepdims=True)
    mirrored = source % (2 * length)  # ... 1 0 | 0 1 2 ... length-1 | length-1 ...
    mirrored = np.minimum(mirrored, 2 * length - 1 - mirrored)
    matrix: Plane = np.zeros((out_length, length))
    np.add.at(matrix, (np.arange(out_length)[:, None], mirrored), weight)
    return matrix


def _cubic(distance: Plane) -> Plane:
    """Keys' kernel with a = -0.5: exact for parabolas, 0 from two pixels on."""
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weight: Plane = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    return weight


def _window_mean(plane: Plane) -> Plane:
    """Gaussian mean around each pixel whose window lies inside: (H, W) to (H - 10, W - 10)."""
    offset = np.arange(SSIM_TAPS) - SSIM_TAPS // 2
    taps = np.exp(-(offset**2) / (2 * SSIM_SIGMA**2))
    taps /= taps.sum()
    for axis in (0, 1):
        kept = plane.shape[axis] - SSIM_TAPS + 1
        plane = sum(
            (tap * plane.take(range(start, start + kept), axis=axis) for start, tap in enumerate(taps)),
            start=np.zeros(()),
        )
    return plane


def _check_shapes(sr: NDArray[Any], hr: NDArray[Any]) -> None:
    if sr.shape != hr.shape:
        raise ValueError(f"SR {sr.shape} and HR {hr.shape} differ in shape")
