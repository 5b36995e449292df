"""What happens to pictures on their way to a user: blur, resize, noise and JPEG, over and over. HR -> LR.

Written from the description in Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure
Synthetic Data", ICCVW 2021, https://arxiv.org/abs/2107.10833, sections 3 and 4.1, which HEAVY's ranges are from.
LIGHT and CLEAN are ours: most pictures that people have are better than the paper's.

Pictures are (1, 3, H, W) float32 in [0, 1] on the way (noise and overshoot may leave that range until the next
encoder clips them), and (H, W, 3) uint8 at both ends. All chance comes from the generator that is given.
"""

import io
import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from upscale_cli.evaluation.metrics import FULL_RANGE, crop_to_multiple

Random = np.random.Generator
Pixels8 = NDArray[np.uint8]
Range = tuple[float, float]
"""Lowest and highest value; drawn evenly in between."""

BlurShape = Literal["gaussian", "generalised", "plateau"]
Sampling = Literal["area", "bilinear", "bicubic"]
SUBSAMPLINGS: Final = ("4:4:4", "4:2:2", "4:2:0")


@dataclass(frozen=True, slots=True)
class Blur:
    """Ranges of a blur. Shares are probabilities.

    Attributes:
        share: pictures that are blurred at all.
        sigma: of the two axes of the kernel, in pixels.
        shapes: gaussian, generalised gaussian (flatter or sharper in the middle), plateau.
        generalised_beta, plateau_beta: shape parameter of the latter two.
        isotropic_share: kernels whose two axes are equal.
        sinc_share: low-pass filters instead of these, which ring.
        sides: of the kernel; odd numbers within are drawn.
    """

    share: float = 1.0
    sigma: Range = (0.2, 3.0)
    shapes: tuple[float, float, float] = (0.7, 0.15, 0.15)
    generalised_beta: Range = (0.5, 4.0)
    plateau_beta: Range = (1.0, 2.0)
    isotropic_share: float = 0.65
    sinc_share: float = 0.1
    sides: tuple[int, int] = (7, 21)


@dataclass(frozen=True, slots=True)
class Noise:
    """Ranges of sensor noise. Shares are probabilities.

    Attributes:
        share: pictures that are noisy at all.
        gaussian_share: of these, those whose noise is the same in dark and light; the others' is shot noise.
        sigma: of gaussian noise, in levels of 255.
        poisson_scale: standard deviation of shot noise relative to that of 255 photons at white.
        grey_share: noise that is equal in the three channels.
    """

    share: float = 1.0
    gaussian_share: float = 0.5
    sigma: Range = (1.0, 30.0)
    poisson_scale: Range = (0.05, 3.0)
    grey_share: float = 0.4


@dataclass(frozen=True, slots=True)
class Stage:
    """One round of blur, resize, noise and JPEG.

    Attributes:
        enlarge, shrink: probabilities of a resize up and down; else the size is kept.
        factor: of the sides. In the last stage it is relative to LR's size, in the others to what comes in.
        antialiased_share: shrinking by bilinear or bicubic that averages; the rest samples, and aliases.
        jpeg_share: probability of a JPEG.
        jpeg_quality: as the encoder counts it, 1 to 95.
    """

    blur: Blur = Blur()
    enlarge: float = 0.2
    shrink: float = 0.7
    factor: Range = (0.15, 1.5)
    antialiased_share: float = 0.5
    noise: Noise = Noise()
    jpeg_share: float = 1.0
    jpeg_quality: Range = (30.0, 95.0)


@dataclass(frozen=True, slots=True)
class Degradation:
    """All stages of a picture's way; the last one ends at LR's size.

    Attributes:
        stages: at least one.
        final_sinc_share: probability of a sinc filter at LR's size, before or after the last JPEG.
        samplings: probabilities of area, bilinear and bicubic for the resize to LR's size.
    """

    stages: tuple[Stage, ...]
    final_sinc_share: float = 0.0
    samplings: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)


HEAVY: Final = Degradation(
    stages=(
        Stage(),
        Stage(
            blur=Blur(share=0.8, sigma=(0.2, 1.5)),
            enlarge=0.3, shrink=0.4, factor=(0.3, 1.2),
            noise=Noise(sigma=(1.0, 25.0), poisson_scale=(0.05, 2.5)),
        ),
    ),
    final_sinc_share=0.8,
)  # fmt: skip
"""The paper's: second order, everything at once."""

LIGHT: Final = Degradation(
    stages=(
        Stage(
            blur=Blur(share=0.5, sigma=(0.2, 1.2), sinc_share=0.05),
            enlarge=0.0, shrink=0.0, antialiased_share=0.9,
            noise=Noise(share=0.4, sigma=(0.5, 6.0), poisson_scale=(0.05, 0.6)),
            jpeg_share=0.8, jpeg_quality=(55.0, 95.0),
        ),
    ),
    final_sinc_share=0.1,
)  # fmt: skip
"""A photo of a decent camera, once through a web site."""

WEB: Final = Degradation(
    stages=(
        Stage(
            blur=Blur(share=0.3, sigma=(0.2, 1.0), sinc_share=0.0),
            enlarge=0.0, shrink=0.0, antialiased_share=0.95,
            noise=Noise(share=0.25, sigma=(0.5, 5.0), poisson_scale=(0.05, 0.5)),
            jpeg_share=1.0, jpeg_quality=(20.0, 90.0),
        ),
    ),
    samplings=(0.15, 0.15, 0.7),
)  # fmt: skip
"""Compressed as strongly as pages, messengers and old archives do it, and little else."""

CLEAN: Final = Degradation(
    stages=(
        Stage(
            blur=Blur(share=0.0), enlarge=0.0, shrink=0.0, antialiased_share=1.0,
            noise=Noise(share=0.0), jpeg_share=0.0,
        ),
    ),
    samplings=(0.0, 0.0, 1.0),
)  # fmt: skip
"""An antialiased bicubic and nothing else."""


def degrade(hr: Pixels8, degradation: Degradation, random: Random, scale: int = 4) -> Pixels8:
    """An LR that may have become of this HR; the same one for the same state of `random`.

    Args:
        hr: (H, W, 3) RGB. Rows and columns beyond a multiple of `scale` are left out.
        degradation: what may happen, and how much of it.
        random: moved on by an amount that depends on what was drawn.
        scale: HR pixels per LR pixel; 1 degrades without a change of size.

    Returns:
        (H // scale, W // scale, 3) RGB.

    Raises:
        ValueError: a side is smaller than `scale`.
    """
    if min(hr.shape[:2]) < scale:
        raise ValueError(f"HR of {hr.shape[1]}x{hr.shape[0]} pixels has no LR pixel at scale {scale}")
    hr = crop_to_multiple(hr, scale)
    lr_size = hr.shape[0] // scale, hr.shape[1] // scale
    picture = torch.from_numpy(np.array(hr)).permute(2, 0, 1)[None].float().div_(255)
    *earlier, last = degradation.stages
    for stage in earlier:
        picture = _blurred(picture, stage.blur, random)
        picture = _resized_by_chance(picture, tuple(picture.shape[2:]), stage, random)
        picture = _jpeg_by_chance(_noisy(picture, stage.noise, random), stage, random)
    picture = _blurred(picture, last.blur, random)
    picture = _resized_by_chance(picture, lr_size, last, random)
    picture = _noisy(picture, last.noise, random)
    sampling = _drawn(("area", "bilinear", "bicubic"), degradation.samplings, random)
    picture = resized(picture, lr_size, sampling, antialias=_happens(last.antialiased_share, random))
    return to_pixels(_finished(picture, degradation, random))


def _finished(picture: Tensor, degradation: Degradation, random: Random) -> Tensor:
    """The last sinc filter and the last JPEG, in either order: sharpened and then saved, or the other way round."""

    def sinc(picture: Tensor) -> Tensor:
        if not _happens(degradation.final_sinc_share, random):
            return picture
        return convolved(picture, _drawn_sinc(degradation.stages[-1].blur, random))

    def jpeg(picture: Tensor) -> Tensor:
        return _jpeg_by_chance(picture, degradation.stages[-1], random)

    first, second = (sinc, jpeg) if _happens(0.5, random) else (jpeg, sinc)
    return second(first(picture))


# ------------------------------------------------------------------------------------------------------------ blur


def blur_kernel(
    side: int, sigma: Range, angle: float, beta: float = 1.0, shape: BlurShape = "gaussian"
) -> NDArray[np.float32]:
    """(side, side), sums to 1. With r the distance from the middle in units of sigma along each axis:

    gaussian exp(-r^2 / 2), generalised exp(-(r^2)^beta / 2), plateau 1 / (1 + (r^2)^beta).

    Args:
        side: odd number of pixels.
        sigma: of the first and the second axis, in pixels.
        angle: of the first axis, in radians from the rows' direction.
        beta: below 1 a sharper peak, above 1 a flatter one.
        shape: which of the three.
    """
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    along = (x * math.cos(angle) + y * math.sin(angle)) / sigma[0]
    across = (y * math.cos(angle) - x * math.sin(angle)) / sigma[1]
    squared = along**2 + across**2
    match shape:
        case "gaussian":
            kernel = np.exp(-squared / 2)
        case "generalised":
            kernel = np.exp(-(squared**beta) / 2)
        case "plateau":
            kernel = 1 / (1 + squared**beta)
    taps: NDArray[np.float32] = (kernel / kernel.sum()).astype(np.float32)
    return taps


def sinc_kernel(side: int, cutoff: float) -> NDArray[np.float32]:
    """(side, side), sums to 1: the ideal round low-pass filter, cut off to a square, so that it rings.

    cutoff / (2 pi r) * J1(cutoff * r), with r the distance from the middle and J1 a Bessel function.

    Args:
        side: odd number of pixels.
        cutoff: radians per pixel, up to pi; below, finer detail is taken away and edges get echoes.
    """
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    distance = torch.from_numpy(np.hypot(x, y))
    middle = distance == 0
    distance[middle] = 1  # any number: its value is replaced
    kernel = cutoff * torch.special.bessel_j1(cutoff * distance) / (2 * math.pi * distance)
    kernel[middle] = cutoff**2 / (4 * math.pi)
    taps: NDArray[np.float32] = (kernel / kernel.sum()).float().numpy()
    return taps


def convolved(picture: Tensor, kernel: NDArray[np.float32]) -> Tensor:
    """(1, 3, H, W) to the same, each channel by itself; beyond the border its pixels repeat."""
    reach = kernel.shape[0] // 2
    channels = F.pad(picture, (reach, reach, reach, reach), mode="replicate").transpose(0, 1)
    return F.conv2d(channels, torch.from_numpy(kernel)[None, None]).transpose(0, 1)


def _blurred(picture: Tensor, blur: Blur, random: Random) -> Tensor:
    if not _happens(blur.share, random):
        return picture
    if _happens(blur.sinc_share, random):
        return convolved(picture, _drawn_sinc(blur, random))
    shape: BlurShape = _drawn(("gaussian", "generalised", "plateau"), blur.shapes, random)
    beta = random.uniform(*(blur.plateau_beta if shape == "plateau" else blur.generalised_beta))
    first, second = random.uniform(*blur.sigma, size=2)
    sigma = (first, first if _happens(blur.isotropic_share, random) else second)
    return convolved(picture, blur_kernel(_drawn_side(blur, random), sigma, random.uniform(0, math.pi), beta, shape))


def _drawn_sinc(blur: Blur, random: Random) -> NDArray[np.float32]:
    side = _drawn_side(blur, random)
    lowest = math.pi / 3 if side < 13 else math.pi / 5  # a small kernel cannot hold the wide ripples of a low cutoff
    return sinc_kernel(side, random.uniform(lowest, math.pi))


def _drawn_side(blur: Blur, random: Random) -> int:
    low, high = blur.sides
    return low + 2 * int(random.integers((high - low) // 2 + 1))


# ---------------------------------------------------------------------------------------------------------- resize


def resized(picture: Tensor, size: tuple[int, int], sampling: Sampling, *, antialias: bool = True) -> Tensor:
    """(1, 3, H, W) to (1, 3, *size).

    Args:
        picture: in [0, 1]; bicubic overshoots it.
        size: height and width.
        sampling: area is the mean of what a new pixel covers.
        antialias: for bilinear and bicubic: averages when it shrinks.
    """
    if tuple(picture.shape[2:]) == size:
        return picture
    if sampling == "area":
        return F.interpolate(picture, size, mode="area")
    return F.interpolate(picture, size, mode=sampling, align_corners=False, antialias=antialias)


def _resized_by_chance(picture: Tensor, base: tuple[int, ...], stage: Stage, random: Random) -> Tensor:
    """Up, down, or as it is; the drawn factor is relative to `base`, (height, width)."""
    direction = _drawn(
        ("enlarge", "shrink", "keep"), (stage.enlarge, stage.shrink, 1 - stage.enlarge - stage.shrink), random
    )
    if direction == "keep":
        return picture
    low, high = stage.factor
    factor = random.uniform(1, high) if direction == "enlarge" else random.uniform(low, 1)
    sampling: Sampling = _drawn(("area", "bilinear", "bicubic"), (1 / 3, 1 / 3, 1 / 3), random)
    size = max(1, round(base[0] * factor)), max(1, round(base[1] * factor))
    return resized(picture, size, sampling, antialias=_happens(stage.antialiased_share, random))


# ----------------------------------------------------------------------------------------------------------- noise


def gaussian_noise(picture: Tensor, sigma: float, random: Random, *, grey: bool) -> Tensor:
    """To be added: standard deviation `sigma` levels of 255; `grey`: equal in the three channels."""
    channels = 1 if grey else 3
    noise = random.standard_normal((1, channels, *picture.shape[2:]), dtype=np.float32)
    return torch.from_numpy(noise).mul_(sigma / 255).expand_as(picture)


def poisson_noise(picture: Tensor, scale: float, random: Random, *, grey: bool) -> Tensor:
    """To be added: that of counting 255 photons at white, times `scale`; grows as the root of the light."""
    light = picture.clamp(0, 1)
    if grey:
        weights = torch.from_numpy(FULL_RANGE).float()
        light = (light * weights[:, None, None]).sum(dim=1, keepdim=True)
    expected = light.numpy() * 255
    noise = (random.poisson(expected) - expected).astype(np.float32)
    return torch.from_numpy(noise).mul_(scale / 255).expand_as(picture)


def _noisy(picture: Tensor, noise: Noise, random: Random) -> Tensor:
    if not _happens(noise.share, random):
        return picture
    grey = _happens(noise.grey_share, random)
    if _happens(noise.gaussian_share, random):
        return picture + gaussian_noise(picture, random.uniform(*noise.sigma), random, grey=grey)
    return picture + poisson_noise(picture, random.uniform(*noise.poisson_scale), random, grey=grey)


# ------------------------------------------------------------------------------------------------------------ JPEG


def through_jpeg(picture: Tensor, quality: int, subsampling: str = "4:2:0") -> Tensor:
    """What libjpeg leaves of a picture: clipped, rounded to 8 bits, encoded, decoded."""
    buffer = io.BytesIO()
    Image.fromarray(to_pixels(picture)).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(buffer) as decoded:
        pixels = torch.from_numpy(np.array(decoded))
    return pixels.permute(2, 0, 1)[None].float().div_(255)


def _jpeg_by_chance(picture: Tensor, stage: Stage, random: Random) -> Tensor:
    if not _happens(stage.jpeg_share, random):
        return picture
    quality = round(random.uniform(*stage.jpeg_quality))
    return through_jpeg(picture, quality, SUBSAMPLINGS[random.integers(len(SUBSAMPLINGS))])


# ---------------------------------------------------------------------------------------------------------- common


def to_pixels(picture: Tensor) -> Pixels8:
    """(1, 3, H, W) to (H, W, 3) uint8, clipped and rounded."""
    pixels: Pixels8 = picture.mul(255).round_().clamp_(0, 255).byte()[0].permute(1, 2, 0).contiguous().numpy()
    return pixels


def _happens(share: float, random: Random) -> bool:
    return bool(random.random() < share)


def _drawn(choices: tuple[Any, ...], shares: tuple[float, ...], random: Random) -> Any:
    return choices[random.choice(len(choices), p=shares)]
