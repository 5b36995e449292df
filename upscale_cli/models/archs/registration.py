"""Brings a second picture of a scene over a first one: the reference of a net that copies from it.

    reference  ->  resized  ->  moved by what phase correlation finds  ->  in the picture's brightness and contrast

Kuglin and Hines, "The Phase Correlation Image Alignment Method", Proc. Int. Conf. on Cybernetics and Society, 1975.
What is left of motion is the net's own business.
"""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_SHIFT: Final = 0.25
"""Of a side: what is found beyond it is taken for chance."""

ROUNDS: Final = 2

GAINS: Final = (0.5, 2.0)
"""That contrast may differ by."""

TOO_PLAIN: Final = 1e-8
"""Variance below which there is nothing to go by."""


def fitted(reference: Tensor, height: int, width: int) -> Tensor:
    """(N, C, h, w) resized to a picture's size, antialiased where it shrinks."""
    if reference.shape[-2:] == (height, width):
        return reference
    return F.interpolate(reference, size=(height, width), mode="bicubic", antialias=True)


def registered(reference: Tensor, picture: Tensor, scale: int) -> Tensor:
    """The reference, shifted and in the picture's brightness; its border pixels repeat where it ends.

    Args:
        reference, picture: (N, C, H, W) in [0, 1].
        scale: that the picture was enlarged by: it has nothing finer than that to go by.
    """
    rows = [_one(own[None], other[None], scale) for own, other in zip(reference, picture, strict=True)]
    return torch.cat(rows)


def _one(reference: Tensor, picture: Tensor, scale: int) -> Tensor:
    down, across = shift_between(reference.mean(1)[0], picture.mean(1)[0], scale)
    return in_its_light(shifted(reference, down, across), picture, scale, _shared(picture, down, across))


def _shared(picture: Tensor, down: float, across: float) -> tuple[slice, slice]:
    """What of the picture the reference shows, once it is moved."""
    rows, columns = (
        slice(max(0, math.ceil(by)), length + min(0, math.floor(by)))
        for by, length in zip((down, across), picture.shape[-2:], strict=True)
    )
    return rows, columns


def shift_between(reference: Tensor, picture: Tensor, scale: int) -> tuple[float, float]:
    """How far the reference has to move, down and to the right, in pixels, to lie on the picture.

    Looked for twice: with what was found at first it is moved, so that both show the same where they are compared.

    Args:
        reference, picture: (H, W).
        scale: see `registered`.
    """
    down = across = 0.0
    for _ in range(ROUNDS):
        more_down, more_across = _shift(shifted(reference[None, None], down, across)[0, 0], picture, scale)
        down, across = down + more_down, across + more_across
    return down, across


def _shift(reference: Tensor, picture: Tensor, scale: int) -> tuple[float, float]:
    """One round of it: phase correlation of what the picture can show."""
    height, width = picture.shape
    if min(float(reference.var(correction=0)), float(picture.var(correction=0))) < TOO_PLAIN:
        return 0.0, 0.0
    window = _hann(height, picture)[:, None] * _hann(width, picture)
    ours, theirs = (torch.fft.fft2((one - one.mean()) * window) for one in (picture, reference))
    cross = ours * theirs.conj()
    cross = cross / (cross.abs() + 1e-6 * cross.abs().mean())
    limit = 0.5 / scale  # cycles a pixel: the picture has no finer detail
    down, across = torch.fft.fftfreq(height).to(picture), torch.fft.fftfreq(width).to(picture)
    radius = (down[:, None].square() + across.square()).sqrt() / limit
    weight = torch.exp(-2 * radius.square())
    surface = torch.fft.ifft2(cross * weight).real
    most_down, most_across = int(MOST_SHIFT * height), int(MOST_SHIFT * width)
    near = torch.zeros_like(surface, dtype=torch.bool)
    rows, columns = (torch.arange(-most, most + 1) for most in (most_down, most_across))
    near[rows[:, None] % height, columns[None] % width] = True
    at = int(torch.where(near, surface, surface.min()).argmax())
    y, x = divmod(at, width)
    y_part = _between(*(float(surface[(y + step) % height, x]) for step in (-1, 0, 1)))
    x_part = _between(*(float(surface[y, (x + step) % width]) for step in (-1, 0, 1)))
    return _signed(y, height) + y_part, _signed(x, width) + x_part


def _hann(length: int, like: Tensor) -> Tensor:
    places = (torch.arange(length).to(like) + 0.5) / length
    return torch.sin(math.pi * places).square()


def _signed(place: int, length: int) -> int:
    return place - length if place > length // 2 else place


def _between(before: float, here: float, after: float) -> float:
    """Where the parabola through three values has its top, from the middle one, in steps."""
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else max(-0.5, min(0.5, 0.5 * (before - after) / bend))


def shifted(picture: Tensor, down: float, across: float) -> Tensor:
    """(N, C, H, W) moved by parts of pixels, bilinearly; by whole ones it is exact."""
    number, _, height, width = picture.shape
    y = torch.arange(height, device=picture.device, dtype=picture.dtype) - down
    x = torch.arange(width, device=picture.device, dtype=picture.dtype) - across
    return sampled(picture, x.expand(number, height, width), y[:, None].expand(number, height, width))


def sampled(picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(N, C, H, W) at the places (N, H, W) in pixels, bilinearly; beyond the border its pixels repeat."""
    height, width = picture.shape[-2:]
    grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), dim=-1)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=True)


def in_its_light(
    reference: Tensor, picture: Tensor, scale: int, where: tuple[slice, slice] = (slice(None), slice(None))
) -> Tensor:
    """The reference with the gain and offset of each channel that bring it nearest to the picture.

    Both are shrunk by the scale, for the picture has nothing finer. What is clipped in either does not count.

    Args:
        where: what of both is looked at.
    """
    parts = [one[(..., *where)] for one in (picture, reference)]
    size = [max(1, length // max(2, scale)) for length in parts[0].shape[-2:]]
    ours, theirs = (F.interpolate(one, size=size, mode="bicubic", antialias=True).flatten(2) for one in parts)
    counts = ((theirs > 0.01) & (theirs < 0.99) & (ours > 0.01) & (ours < 0.99)).to(picture)
    counts = torch.where(counts.sum(2, keepdim=True) > 1, counts, torch.ones_like(counts))
    share = counts / counts.sum(2, keepdim=True)
    our_mean, their_mean = (share * ours).sum(2, keepdim=True), (share * theirs).sum(2, keepdim=True)
    spread = (share * (theirs - their_mean).square()).sum(2, keepdim=True)
    both = (share * (theirs - their_mean) * (ours - our_mean)).sum(2, keepdim=True)
    gain = torch.where(spread > TOO_PLAIN, both / spread.clamp(min=TOO_PLAIN), torch.ones_like(spread)).clamp(*GAINS)
    return gain[..., None] * reference + (our_mean - gain * their_mean)[..., None]
