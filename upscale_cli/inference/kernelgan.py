"""KernelGAN: the blur kernel of a picture, by training on it a deep linear net that shrinks it so that its patches look
as they did before.

Bell-Kligler, Shocher, Irani, "Blind Super-Resolution Kernel Estimation using an Internal-GAN", NeurIPS 2019,
https://arxiv.org/abs/1909.06581. Written after the paper; the authors' code is not for commercial use, and none of it
is here.

picture in [-1, 1]  ->  Generator (its impulse response is the kernel)  ->  Discriminator (which patches are real?)

`implicit_kernel`, `losses`, `penalty_mask`, `postprocessed` and `kernel_x4` are the method's pieces without chance.
"""

import math
import time
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from upscale_cli.errors import OptionError
from upscale_cli.events import Say
from upscale_cli.frames.cubic import cubic
from upscale_cli.inference.blur_kernels import Kernel, anisotropic, axes_of, checked, resized
from upscale_cli.messages import option

SIDES: Final = (7, 5, 3, 1, 1, 1)
"""Of the generator's convolutions."""

WIDTH: Final = 64
SIDE: Final = 13
"""Of the kernel: what the generator's convolutions see together."""

CROP: Final = 64
STEPS: Final = 3000
RATE: Final = 2e-4
RATE_DROPS: Final = 750
"""Steps after which the learning rates become a tenth."""

JUDGED: Final = 200
"""Steps between two looks at whether the bicubic loss has done its work."""

SHAVED: Final = 10
"""Pixels at the borders that are left out."""

MET: Final = 0.05
"""The bicubic loss of a channel that is little."""

LEAST_BICUBIC: Final = 5e-6
FORMED: Final = 5e-3
"""The weight of the bicubic loss: its least, and below which the kernel's form counts."""

SAID: Final = 30.0
"""Seconds between two lines about progress."""


class Generator(nn.Module):
    """Shrinks by 2: convolutions without biases and without anything between. (N, 1, H, W), no padding."""

    def __init__(self) -> None:
        super().__init__()
        self.first_layer = nn.Conv2d(1, WIDTH, SIDES[0], bias=False)
        self.feature_block = nn.Sequential(*(nn.Conv2d(WIDTH, WIDTH, side, bias=False) for side in SIDES[1:-1]))
        self.final_layer = nn.Conv2d(WIDTH, 1, SIDES[-1], stride=2, bias=False)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, (H - 12) / 2, (W - 12) / 2): each channel by itself."""
        number, channels = picture.shape[:2]
        planes = picture.reshape(number * channels, 1, *picture.shape[-2:])
        out: Tensor = self.final_layer(self.feature_block(self.first_layer(planes)))
        return out.reshape(number, channels, *out.shape[-2:])

    @property
    def weights(self) -> list[Tensor]:
        """In order."""
        return list(self.parameters())


def discriminator() -> nn.Module:
    """(N, 3, H, W) to (N, 1, H - 6, W - 6): how real the 7 x 7 pixels around each one are."""
    layers: list[nn.Module] = [spectral_norm(nn.Conv2d(3, WIDTH, 7))]
    for _ in range(5):
        layers += [spectral_norm(nn.Conv2d(WIDTH, WIDTH, 1)), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(WIDTH, 1, 1)), nn.Sigmoid())


def implicit_kernel(weights: list[Tensor]) -> Tensor:
    """The kernel (13, 13) that a generator's weights make together: its impulse response, turned by half a turn."""
    out = weights[0].new_ones(1, 1, 1, 1)
    for number, weight in enumerate(weights):
        out = F.conv2d(out, weight, padding=SIDE - 1 if number == 0 else 0)
    return out[0, 0].flip((0, 1))


def penalty_mask(side: int = SIDE, scale: int = 2) -> Tensor:
    """(side, side): what light far from the middle costs, 0 near it and up to 30."""
    at = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    bell = torch.exp(-(at**2) / (2 * side**2))
    both = bell[:, None] * bell[None]
    mask = 30 * (1 - both / both.max())
    margin = (side - 7) // scale - 1
    mask[margin : side - margin, margin : side - margin] = 0
    return mask.float()


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each loss counts."""

    bicubic: float = 5.0
    sum_to_one: float = 0.5
    boundaries: float = 0.5
    centralized: float = 0.0
    sparse: float = 0.0


def losses(kernel: Tensor, crop: Tensor, shrunk: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """The terms beside the adversarial one, not weighted, as the authors' code computes them.

    Its bicubic term compares each channel with the sum of all three. `estimated` compares each with itself.

    Args:
        kernel: (13, 13), see `implicit_kernel`.
        crop: (1, C, H, W) in [-1, 1], what the generator got; `shrunk` is what it made of it.
        mask: see `penalty_mask`.
    """
    side = len(kernel)
    middle = side // 2 + 0.5 * (2 - side % 2)
    at = torch.arange(side, dtype=kernel.dtype, device=kernel.device)
    total = kernel.sum()
    centre = torch.stack(((kernel.sum(dim=1) * at).sum(), (kernel.sum(dim=0) * at).sum())) / total
    return {
        "bicubic": F.mse_loss(shrunk, _centre(bicubic_half(crop), shrunk).sum(dim=1, keepdim=True).expand_as(shrunk)),
        "sum2one": (1 - total).abs(),
        "boundaries": (kernel * mask).abs().mean(),
        "centralized": F.mse_loss(centre, torch.full_like(centre, middle)),
        "sparse": kernel.abs().pow(0.2).mean(),
    }


def bicubic_half(picture: Tensor) -> Tensor:
    """(N, C, H, W) shrunk by 2 with the antialiased cubic kernel (Keys, a = -1/2), zeros beyond the border."""
    taps = torch.from_numpy(cubic((np.arange(8) - 3.5) / 2)).to(picture)
    taps = taps / taps.sum()
    channels = picture.shape[1]
    weight = (taps[:, None] * taps[None]).expand(channels, 1, 8, 8)
    return F.conv2d(picture, weight, stride=2, padding=3, groups=channels)


def _centre(large: Tensor, small: Tensor) -> Tensor:
    top, left = ((a - b) // 2 for a, b in zip(large.shape[-2:], small.shape[-2:], strict=True))
    return large[..., top : top + small.shape[-2], left : left + small.shape[-1]]


def postprocessed(kernel: NDArray[np.float64], scale: int = 2, kept: int = 40) -> NDArray[np.float64]:
    """A kernel without its smallest values, its light centred for a scale: larger than before, of sum 1.

    Args:
        kernel: (k, k).
        kept: how many values stand out.
    """
    least = np.sort(kernel.ravel())[-(kept + 1)]
    cleaned = np.clip(kernel - 0.75 * least, 0, None)
    return centred(cleaned / cleaned.sum(), scale)


def centred(kernel: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """A kernel moved, by cubic splines, so that its light's middle is where a scale wants it."""
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]]
    middle = np.array([(kernel * y).sum(), (kernel * x).sum()]) / kernel.sum()
    wanted = np.array(kernel.shape) // 2 + 0.5 * (scale - np.array(kernel.shape) % 2)
    move = wanted - middle
    padded = np.pad(kernel, math.ceil(float(np.max(np.abs(move)))) + 1)
    down, across = (_moved(length, by) for length, by in zip(padded.shape, move, strict=True))
    moved = down @ padded @ across.T
    return np.asarray(moved / moved.sum())


def _moved(length: int, by: float) -> NDArray[np.float64]:
    """(length, length): values on a line to those of their cubic B-spline `by` further on; 0 beyond the ends.

    Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing Magazine 16(6), 1999.
    """

    def spline(places: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) places on the line to (n, length) weights of coefficients, mirrored at its ends."""
        out = np.zeros((len(places), length))
        first = np.floor(places).astype(int) - 1
        for step in range(4):
            distance = np.abs(places - (first + step))
            near, far = 2 / 3 - distance**2 * (1 - distance / 2), (2 - distance).clip(0) ** 3 / 6
            at = np.abs(first + step)
            at = np.where(at > length - 1, 2 * (length - 1) - at, at)
            np.add.at(out, (np.arange(len(places)), at), np.where(distance < 1, near, far))
        return out

    places = np.arange(length, dtype=np.float64) - by
    inside = (places >= 0) & (places <= length - 1)
    weights = np.zeros((length, length))
    weights[inside] = spline(places[inside])
    return np.asarray(weights @ np.linalg.inv(spline(np.arange(length, dtype=np.float64))))


def kernel_x4(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel for a scale of 4, of that for 2: it twice, the second time with its pixels apart."""
    side = len(kernel)
    apart = np.zeros((2 * side - 1, 2 * side - 1))
    apart[::2, ::2] = kernel
    size = len(apart) + side - 1
    both = np.fft.irfft2(np.fft.rfft2(apart, (size, size)) * np.fft.rfft2(kernel, (size, size)), (size, size))
    cut = side // 2
    inner = both[cut : size - cut, cut : size - cut]
    return np.asarray(inner / inner.sum())


def estimated(channels: NDArray[np.float64], scale: float, minutes: float, say: Say) -> Kernel:
    """Trains on a picture, for a given time at most.

    The time decides about the number of steps, so that two runs need not find the same to the last digit.

    Args:
        channels: (1 or 3, H, W) in [0, 1].
        scale: SR pixels per LR pixel that the kernel is for.
        minutes: that it may take.
        say: takes how far it is.

    Returns:
        In SR pixels, of odd side, its light in the middle.

    Raises:
        OptionError: the picture is too small.
    """
    least = CROP + 2 * SHAVED
    if min(channels.shape[1:]) < least:
        raise OptionError(
            f"{option('kernel', 'kernelgan')}: the picture is {channels.shape[2]} x {channels.shape[1]}, and at least "
            f"{least} x {least} pixels are wanted to train on. Choose {option('kernel', 'auto')}."
        )
    picture = torch.from_numpy(np.broadcast_to(channels, (3, *channels.shape[1:])).astype(np.float32))
    picture = picture[:, SHAVED:-SHAVED, SHAVED:-SHAVED]
    say(f"training on the picture for its blur kernel: up to {minutes:g} minutes ({STEPS} steps).")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        training = _Training(picture)
        begin = said = time.monotonic()
        step, planned = 0, STEPS
        while step < planned:
            training.step(step / planned)
            step, now = step + 1, time.monotonic()
            if step >= 10:  # by then the pace shows
                planned = min(STEPS, max(step, int(step * minutes * 60 / max(now - begin, 1e-6))))
            if now - said >= SAID:
                said = now
                say(f"kernel: step {step} of {planned}")
        found = implicit_kernel(training.generator.weights).detach().double().numpy()
    kernel = postprocessed(found)
    if scale == 4:
        kernel = kernel_x4(kernel)
    elif scale != 2:
        long, short, angle = axes_of(kernel)
        return anisotropic(long * scale / 2, short * scale / 2, angle)
    return checked(_in_the_middle(kernel), "the kernel found")


def _in_the_middle(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """A kernel for the field's grids, of odd side and with its middle on a pixel: half a pixel back."""
    odd = resized(kernel, len(kernel) | 1)
    return centred(odd, 1)


class _Training:
    """The two nets, one crop after the other.

    Args:
        picture: (3, H, W) in [0, 1].
    """

    def __init__(self, picture: Tensor) -> None:
        self._picture, self._odds = picture, _odds(picture)
        self.generator, self._judge = Generator(), discriminator()
        for module in (*self.generator.modules(), *self._judge.modules()):
            if isinstance(module, nn.Conv2d):
                weight = module.weight if not hasattr(module, "parametrizations") else None
                if weight is not None:
                    nn.init.xavier_normal_(weight, 0.1 if weight.shape[-1] > 1 or weight.shape[0] > 1 else 1.0)
        self._optimisers = [
            torch.optim.Adam(net.parameters(), lr=RATE, betas=(0.5, 0.999)) for net in (self.generator, self._judge)
        ]
        self._mask = penalty_mask()
        self._counts = Weights()
        self._good, self._next = 0, JUDGED / STEPS

    def step(self, share: float) -> None:
        """One of each net.

        Args:
            share: of the whole training that is done.
        """
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = RATE * 0.1 ** int(share * STEPS / RATE_DROPS)
        crop, real = self._crop(CROP), self._crop((CROP - SIDE + 1) // 2)
        real = (real + torch.randn_like(real) / 255) * 2 - 1
        crop = crop * 2 - 1
        fake = self.generator(crop)

        terms = losses(implicit_kernel(self.generator.weights), crop, fake, self._mask)
        bicubic = F.mse_loss(fake, _centre(bicubic_half(crop), fake))
        judged = self._judge(fake + torch.randn_like(fake) / 255)
        counts = self._counts
        total = (
            (judged - 1).abs().mean() + counts.bicubic * bicubic + counts.sum_to_one * terms["sum2one"]
            + counts.boundaries * terms["boundaries"] + counts.centralized * terms["centralized"]
            + counts.sparse * terms["sparse"]
        )  # fmt: skip
        self._update(0, total)
        wrong = self._judge(fake.detach() + torch.randn_like(fake) / 255)
        self._update(1, 0.5 * ((self._judge(real) - 1).abs().mean() + wrong.abs().mean()))
        self._rebalance(float(bicubic.detach()), share)

    def _update(self, number: int, loss: Tensor) -> None:
        self._optimisers[number].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimisers[number].step()

    def _rebalance(self, bicubic: float, share: float) -> None:
        """Bicubic only shows the way: it counts less and less once it is met, and the kernel's form counts then."""
        self._good = self._good + 1 if bicubic < MET else 0
        if share >= self._next:
            self._next += JUDGED / STEPS
            if self._good >= 3:
                self._counts = replace(self._counts, bicubic=max(self._counts.bicubic / 100, LEAST_BICUBIC))
                if self._counts.bicubic < FORMED:
                    self._counts = replace(self._counts, centralized=1.0, sparse=5.0)

    def _crop(self, side: int) -> Tensor:
        """(1, 3, side, side) around a place, the likelier the more there is to see."""
        height, width = self._picture.shape[-2:]
        at = int(torch.multinomial(self._odds.reshape(-1), 1))
        top = min(max(at // width - side // 2, 0), height - side) // 2 * 2
        left = min(max(at % width - side // 2, 0), width - side) // 2 * 2
        return self._picture[None, :, top : top + side, left : left + side]


def _odds(picture: Tensor) -> Tensor:
    """(H, W): the gradients around each pixel, the largest of them cut."""
    gray = picture.mean(dim=0)
    down, across = torch.gradient(gray)
    around = F.avg_pool2d(torch.hypot(down, across)[None, None], 5, stride=1, padding=2)[0, 0]
    return around.clamp(max=float(np.quantile(around.numpy(), 0.97))) + 1e-8
