"""Chains of 3x3 convolutions in training: begun as identity, and each, if wanted, wider than it will be.

Collapsible linear blocks: Bhardwaj et al., "Collapsible Linear Blocks for Super-Efficient Super Resolution", MLSys,
2022,
https://arxiv.org/abs/2103.09404. A wide 3x3 convolution and a 1x1 that narrows it are one 3x3 convolution whose kernel
is computed from both at each step, so that training costs what the narrow net costs.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.patches import Batch
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import natural_order

Kernel = tuple[Tensor, Tensor]
"""Weight (out, in, 3, 3) and bias (out,) of one convolution."""

LOOKED_AT = 480
"""Patches by which `revive` judges."""

WAKING = 0.1
"""Share of the gradient that a channel hears which is 0 everywhere."""

NOISE = 0.5
"""Of the usual first weights, around the identity: channels that were all alike would learn alike."""


class Block(nn.Module):
    """One 3x3 convolution of the net.

    Args:
        width: planes of the wide convolution that it is trained as; 0: as itself.
        residual: the picture of its input is added to its output, within the kernel; of as many planes as it takes.
    """

    def __init__(self, channels_in: int, channels_out: int, width: int, residual: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, width or channels_out, 3)
        self.narrow = nn.Conv2d(width, channels_out, 1) if width else None
        self.residual = residual
        if residual and not width:
            with torch.no_grad():
                self.conv.weight.mul_(NOISE).add_(_identity(channels_out))
                self.conv.bias.zero_()  # type: ignore[union-attr]

    def kernel(self) -> Kernel:
        assert self.conv.bias is not None
        if self.narrow is None:
            return self.conv.weight, self.conv.bias
        assert self.narrow.bias is not None
        narrow = self.narrow.weight.flatten(1)  # (out, width)
        weight = (narrow @ self.conv.weight.flatten(1)).view(-1, *self.conv.weight.shape[1:])
        bias = narrow @ self.conv.bias + self.narrow.bias
        return weight + _identity(len(weight)) if self.residual else weight, bias


def _identity(channels: int) -> Tensor:
    kernel = torch.zeros(channels, channels, 3, 3)
    kernel[range(channels), range(channels), 1, 1] = 1
    return kernel


class Chain(nn.Module):
    """SRVGGNetCompact of luma and ReLUs, as it is trained."""

    def __init__(self, scale: int, num_feat: int, num_conv: int, width: int) -> None:
        super().__init__()
        self.scale, self.num_feat, self.num_conv = scale, num_feat, num_conv
        planes = [1, *[num_feat] * (num_conv + 1), scale**2]
        inner = range(1, num_conv + 1)
        self.blocks = nn.ModuleList(
            Block(before, after, width, residual=number in inner)
            for number, (before, after) in enumerate(itertools.pairwise(planes))
        )

    def kernels(self) -> list[Kernel]:
        return [block.kernel() for block in self.blocks if isinstance(block, Block)]

    def convolutions(self) -> list[nn.Conv2d]:
        """All that is to be learned."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]

    def net(self) -> SRVGGNetCompact:
        """As it is saved and run."""
        net = SRVGGNetCompact(1, self.num_feat, self.num_conv, self.scale, "relu")
        with torch.no_grad():
            for parameter, trained in zip(net.parameters(), itertools.chain(*self.kernels()), strict=True):
                parameter.copy_(trained)
        return net

    @torch.no_grad()
    def begin_from(self, state_dict: dict[str, Tensor]) -> None:
        """Takes over what a shallower net, or one of another scale, has learned; layers that it lacks are identities.

        Raises:
            ValueError: the net here is trained wide, is shallower, or has other planes.
        """
        stems = natural_order({key.rpartition(".")[0] for key in state_dict})
        theirs = [(state_dict[f"{stem}.weight"], state_dict[f"{stem}.bias"]) for stem in stems]
        ours = self.kernels()
        if any(isinstance(block, Block) and block.narrow for block in self.blocks) or len(theirs) > len(ours):
            raise ValueError(
                "a net can be begun from another only where it is not trained wide and is as deep or deeper"
            )
        for weight, bias in ours[len(theirs) - 1 : -1]:
            weight.copy_(_identity(len(weight)))
            bias.zero_()
        pairs = [*zip(ours, theirs[:-1], strict=False)]
        if ours[-1][0].shape == theirs[-1][0].shape:
            pairs.append((ours[-1], theirs[-1]))
        for (weight, bias), (weight_there, bias_there) in pairs:
            weight.copy_(weight_there)
            bias.copy_(bias_there)


@torch.no_grad()
def revive(convolutions: Sequence[nn.Conv2d], patches: Batch) -> int:
    """Gives new weights to channels that a ReLU keeps at 0 everywhere, for these learn nothing any more.

    What follows ignores them at first, so that the net computes what it did. By torch's random numbers.

    Args:
        convolutions: of a chain with ReLUs between them, in order.
        patches: as many as show everything that the net meets, borders and corners included.

    Returns:
        How many there were.
    """
    found, read, x = 0, 0, patches.lr
    for conv, following in itertools.pairwise(convolutions):
        assert conv.bias is not None
        read += conv.kernel_size[0] // 2
        inside = patches.inside[..., read:-read, read:-read]
        idle = ((F.conv2d(x, conv.weight, conv.bias) * inside) <= 0).flatten(2).all(dim=2).all(dim=0)
        if idle.any():
            weight = torch.empty_like(conv.weight).uniform_(-1, 1) / conv.weight[0].numel() ** 0.5
            conv.weight[idle] = weight[idle]
            conv.bias[idle] = -F.conv2d(x, weight).mean(dim=(0, 2, 3))[idle]  # above 0 in about half of all places
            following.weight[:, idle] = 0
        found += int(idle.sum())
        x = F.relu(F.conv2d(x, conv.weight, conv.bias)) * inside
    return found


class _ReluInside(torch.autograd.Function):
    """ReLU of a convolution, and 0 beyond the picture: what the net's own padding puts there. Overwrites its input.

    A channel that is 0 everywhere in a batch has no gradient, and for a random walk of its bias that is a state without
    return: such a channel hears, softly, where a larger value would lower the loss, and nothing that pushes it down.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, inside: Tensor) -> Tensor:
        x.clamp_(min=0).mul_(inside)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x, inside)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, inside = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradients[0], x, 0)
        idle = x.amax(dim=(0, 2, 3)) == 0
        if idle.any():
            gradient[:, idle] = WAKING * (gradients[0][:, idle].clamp(max=0) * inside[:, idle])
        return gradient, None


def folded_sr(kernels: Sequence[Kernel], batch: Batch, kind: torch.dtype) -> Tensor:
    """What a net of these kernels makes of the patches' middles, before its sub-pixel layer: float32, as `batch.hr`.

    Equal to the whole picture's forward pass: context comes from the patch, so nothing is padded.

    Args:
        kind: that the convolutions compute in.
    """
    *hidden, last = [
        (weight.to(kind).contiguous(memory_format=torch.channels_last), bias.to(kind)) for weight, bias in kernels
    ]
    x = batch.lr.to(kind).contiguous(memory_format=torch.channels_last)
    inside = batch.inside.to(kind).expand(-1, len(hidden[0][1]), -1, -1).contiguous(memory_format=torch.channels_last)
    for read, (weight, bias) in enumerate(hidden, start=1):
        x = _ReluInside.apply(F.conv2d(x, weight, bias), inside[..., read:-read, read:-read])  # type: ignore[no-untyped-call]
    halo = len(kernels)
    return F.conv2d(x, *last).float() + batch.lr[..., halo:-halo, halo:-halo]
