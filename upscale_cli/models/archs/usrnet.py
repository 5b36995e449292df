"""USRNet: a step of deconvolution by FFT and a step of a learnt denoiser, in turn; knows kernel, noise and scale.

Zhang, Van Gool, Timofte, "Deep Unfolding Network for Image Super-Resolution", CVPR 2020,
https://arxiv.org/abs/2003.10428; the closed form of the data step is that of Zhao et al., "Fast Single Image
Super-Resolution Using a New Analytical Solution for l2-l2 Problems", 2016, https://arxiv.org/abs/1605.03362

The picture is a torus here: what leaves it on the right comes in on the left. `Padded` makes a picture one.
"""

import math
from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.interface import SCALE_INPUT, Architecture, Descriptor, InputSpec, Recognised, SidecarMetadata
from upscale_cli.text import counted

SCALES: Final = (1, 2, 3, 4)
"""That it is trained for: the same weights do them all."""

LEVEL: Final = 1 / 255
"""Of the noise: it is counted in the picture's own values here."""

DOWNS: Final = 3
"""How often the denoiser halves the picture."""

MARGIN: Final = 32
"""SR pixels, at least, between two ends of a padded picture; as wide as the kernel where that is wider."""

HALO: Final = 32
"""LR pixels around a tile, where the picture does not go through as a whole."""


class ResBlock(nn.Module):
    """Two convolutions without biases, added to what goes in."""

    def __init__(self, nc: int) -> None:
        super().__init__()
        self.res = nn.Sequential(_conv(nc, nc), nn.ReLU(inplace=True), _conv(nc, nc))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.res(x)
        return out


class ResUNet(nn.Module):
    """The denoiser: a U of residual blocks, (N, in_nc, H, W) to (N, out_nc, H, W) for any H and W."""

    def __init__(self, in_nc: int, out_nc: int, nc: tuple[int, ...], nb: int) -> None:
        super().__init__()
        self.m_head = _conv(in_nc, nc[0])
        for level in range(DOWNS):
            fine, coarse = nc[level], nc[level + 1]
            down = nn.Sequential(*_blocks(fine, nb), nn.Conv2d(fine, coarse, 2, stride=2, bias=False))
            up = nn.Sequential(nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=False), *_blocks(fine, nb))
            self.add_module(f"m_down{level + 1}", down)
            self.add_module(f"m_up{level + 1}", up)
        self.m_body = nn.Sequential(*_blocks(nc[DOWNS], nb))
        self.m_tail = _conv(nc[0], out_nc)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % 2**DOWNS, 0, -height % 2**DOWNS), mode="replicate")
        skips = [self.m_head(x)]
        for level in range(1, DOWNS + 1):
            skips.append(self.get_submodule(f"m_down{level}")(skips[-1]))  # (N, nc[level], H / 2^level, W / 2^level)
        x = self.m_body(skips[-1])
        for level in range(DOWNS, 0, -1):
            x = self.get_submodule(f"m_up{level}")(x + skips[level])
        out: Tensor = self.m_tail(x + skips[0])
        return out[..., :height, :width]


class HyPaNet(nn.Module):
    """How much each step trusts the picture and how much it smooths: (N, 2, 1, 1) to (N, 2 * n_iter, 1, 1)."""

    def __init__(self, n_iter: int, h_nc: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(2, h_nc, 1), nn.ReLU(inplace=True), nn.Conv2d(h_nc, h_nc, 1), nn.ReLU(inplace=True),
            nn.Conv2d(h_nc, 2 * n_iter, 1), nn.Softplus(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(x) + 1e-6
        return out


class USRNet(nn.Module):
    """`n_iter` times a data step and a denoiser.

    Shapes: lr (N, 3, H, W) in [0, 1], kernel (N or 1, 1, k, k) of sum 1, scale (N,) all equal, sigma (N,) or
    (N, 1, 1, 1) in the picture's values; to (N, 3, scale * H, scale * W), not clamped.

    The LR picture is every scale-th pixel of the SR picture after the blur, the top left one first; both are periodic.
    """

    def __init__(self, n_iter: int, h_nc: int, in_nc: int, out_nc: int, nc: tuple[int, ...], nb: int) -> None:
        super().__init__()
        self.n_iter = n_iter
        self.p = ResUNet(in_nc, out_nc, nc, nb)
        self.h = HyPaNet(n_iter, h_nc)

    def forward(self, lr: Tensor, kernel: Tensor, scale: Tensor | int, sigma: Tensor) -> Tensor:
        side = scale_of(scale)
        number, _, height, width = lr.shape
        large = (height * side, width * side)
        level = sigma.reshape(-1, 1, 1, 1).to(lr).expand(number, 1, 1, 1)
        alphas, betas = self.h(torch.cat((level, torch.full_like(level, side)), dim=1)).split(self.n_iter, dim=1)

        response = torch.fft.fft2(placed(kernel.to(lr), large))  # (N or 1, 1, *large) complex
        apart = lr.new_zeros(*lr.shape[:2], *large)
        apart[..., ::side, ::side] = lr
        given = response.conj() * torch.fft.fft2(apart)
        sr = F.interpolate(lr, scale_factor=side, mode="nearest")
        for step in range(self.n_iter):
            alpha, beta = alphas[:, step, None], betas[:, step, None]  # (N, 1, 1, 1)
            sr = data_step(sr, response, given, alpha, side)
            sr = self.p(torch.cat((sr, beta.expand(number, 1, *large)), dim=1))
        return sr


def data_step(sr: Tensor, response: Tensor, given: Tensor, alpha: Tensor, scale: int) -> Tensor:
    """The picture x of the least |lr - (x * k) at every scale-th pixel|^2 + alpha |x - sr|^2.

    Args:
        sr: (N, C, H, W), what it should stay near to.
        response: (N or 1, 1, H, W) complex: the kernel's.
        given: (N, C, H, W) complex: the LR picture, its pixels apart, through the conjugate of `response`.
        alpha: (N, 1, 1, 1).
    """
    wanted = given + torch.fft.fft2(alpha * sr)
    aliased = _folded(response * wanted, scale)
    power = _folded(response.real.square() + response.imag.square(), scale)
    correction = response.conj() * (aliased / (power + alpha)).tile(1, 1, scale, scale)
    nearest: Tensor = torch.fft.ifft2((wanted - correction) / alpha).real
    return nearest


def _folded(spectrum: Tensor, scale: int) -> Tensor:
    """The mean of the scale x scale parts of a spectrum that become one where only every scale-th pixel is kept."""
    number, channels, height, width = spectrum.shape
    parts = spectrum.reshape(number, channels, scale, height // scale, scale, width // scale)
    return parts.mean(dim=(2, 4))


def placed(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 1, k, k) in a picture of that size, (height, width), with its middle at the top left pixel; it wraps."""
    height, width = kernel.shape[-2:]
    # A picture may be smaller than its kernel, whose ends then overlap.
    tall, wide = (-(-side // period) * period for side, period in zip((height, width), size, strict=True))
    whole = F.pad(kernel, (0, wide - width, 0, tall - height))
    periods = whole.reshape(*kernel.shape[:2], tall // size[0], size[0], wide // size[1], size[1])
    return periods.sum(dim=(2, 4)).roll((-(height // 2), -(width // 2)), dims=(-2, -1))


def scale_of(scale: Tensor | int) -> int:
    """One number of a batch."""
    return scale if isinstance(scale, int) else round(float(scale.reshape(-1)[0]))


class Padded(nn.Module):
    """The net for pictures that end: they are continued until they can begin anew, which is cut off again."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, lr: Tensor, kernel: Tensor, scale: Tensor, sigma: Tensor) -> Tensor:
        side = scale_of(scale)
        height, width = lr.shape[-2:]
        multiple = 2**DOWNS // math.gcd(side, 2**DOWNS)  # so that the denoiser has nothing to pad
        least = math.ceil(max(MARGIN, *kernel.shape[-2:]) / side)
        more = (least + -(length + least) % multiple for length in (height, width))
        for axis, count in zip((-2, -1), more, strict=True):
            lr = continued(lr, axis, count)
        sr: Tensor = self.net(lr, kernel, side, sigma)
        return sr[..., : height * side, : width * side]


def continued(picture: Tensor, axis: int, count: int) -> Tensor:
    """A picture with so many pixels more at the end of an axis, from which it goes on smoothly at its beginning.

    They fade from the mirror image of its end to that of its beginning. (The authors' test code makes such pixels by
    Liu and Jia, "Reducing boundary artifacts in image deconvolution", ICIP 2008.)
    """
    length = picture.shape[axis]
    step = torch.arange(count, device=picture.device)
    after, before = _mirrored(length + step, length), _mirrored(step - count, length)
    turn = (step + 1).to(picture) / (count + 1)
    fade = (0.5 - 0.5 * torch.cos(math.pi * turn)).reshape([-1 if at == axis % picture.ndim else 1
                                                            for at in range(picture.ndim)])  # fmt: skip
    more = (1 - fade) * picture.index_select(axis, after) + fade * picture.index_select(axis, before)
    return torch.cat((picture, more), dim=axis)


def _mirrored(places: Tensor, length: int) -> Tensor:
    """Places beyond a picture, as those within it that they mirror; the border itself counts twice."""
    inside = places % (2 * length)
    return torch.where(inside < length, inside, 2 * length - 1 - inside)


def _conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)


def _blocks(nc: int, nb: int) -> list[ResBlock]:
    return [ResBlock(nc) for _ in range(nb)]


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """p.m_head to p.m_tail, and h.mlp with two inputs; the widths are those of the blocks."""
    shapes = {key: tuple(tensor.shape) for key, tensor in state_dict.items()}
    head, tail = shapes.get("p.m_head.weight", ()), shapes.get("p.m_tail.weight", ())
    first, last = shapes.get("h.mlp.0.weight", ()), shapes.get("h.mlp.4.weight", ())
    if {len(head), len(tail), len(first), len(last)} != {4} or first[1:] != (2, 1, 1) or last[0] % 2:
        return None
    downs = [shapes.get(f"p.m_up{level}.0.weight", ()) for level in range(1, DOWNS + 1)]  # (coarse, fine, 2, 2)
    if any(len(shape) != 4 for shape in downs) or head[1] != tail[0] + 1:
        return None
    nb = sum(1 for key in shapes if key.startswith("p.m_body.") and key.endswith(".res.0.weight"))
    if tail[0] != 3 or not nb:
        return None
    n_iter, nc = last[0] // 2, (downs[0][1], *(shape[0] for shape in downs))
    descriptor = Descriptor(
        arch=ARCH.name,
        config={"n_iter": n_iter, "h_nc": first[0], "in_nc": head[1], "out_nc": tail[0], "nc": nc, "nb": nb},
        scales=SCALES,
        halo=HALO,
        sees_whole=True,
        precisions=frozenset({"fp32"}),
        inputs=(
            InputSpec(
                name="kernel", kind="kernel", sampling="every", shape=(1, None, None),
                about="what blurred the picture, of sum 1, in output pixels",
            ),
            InputSpec(name=SCALE_INPUT),
            InputSpec(
                name="sigma", kind="noise", level=LEVEL, least=0, most=50 * LEVEL,
                about="standard deviation of the noise, of white 1",
            ),
        ),
        depth=counted(n_iter, "step"),
    )  # fmt: skip
    return Recognised(descriptor, dict(state_dict))


def adapt(module: nn.Module, _facts: Descriptor) -> nn.Module:
    return Padded(module)


ARCH: Final = Architecture(
    name="usrnet", recognise=recognise, net=USRNet, adapt=adapt,
    about="Zhang et al., CVPR 2020, https://arxiv.org/abs/2003.10428",
    inputs=("kernel", "noise"),
)  # fmt: skip
