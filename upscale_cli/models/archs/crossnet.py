"""CrossNet: features of a reference, warped by a flow at four sizes, decoded together with those of the picture.

Zheng et al., "CrossNet: An End-to-end Reference-based Super Resolution Network using Cross-scale Warping", ECCV 2018,
https://arxiv.org/abs/1807.10547; the flow is that of FlowNetS (Dosovitskiy et al., ICCV 2015,
https://arxiv.org/abs/1504.06852) with two further levels.
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.adapted import CubicEnlargement
from upscale_cli.models.archs.keys import sides_of
from upscale_cli.models.archs.registration import fitted, registered, sampled
from upscale_cli.models.interface import Architecture, Descriptor, InputSpec, Recognised, SidecarMetadata

MULTIPLE_OF: Final = 64
"""Of the pictures that it computes with: the flow halves them six times."""

USUAL_SCALE: Final = 4
"""Where nothing says another: the net itself does not enlarge, and its keys do not show what it was trained for."""

LEVELS: Final = (5, 4, 3, 2, 1)

REFERENCE: Final = InputSpec(
    name="reference", kind="reference", shape=(3, None, None), about="a sharper picture of the same scene"
)

SLOPE: Final = 0.1

OWN_NAMES: Final = {"flownet": "FlowNet", "encoder": "Encoder", "decoder": "UNet_decoder_2"}
"""The parts as the re-implementation calls them, and as the authors do."""


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2))


def _up(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(channels_in, channels_out, 4, 2, 1))


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


class FlowNet(nn.Module):
    """(N, 6, H, W) of two pictures to the flows from the first to the second at full, half, quarter, eighth size.

    Args:
        wide: channels of conv1 to conv6, and of deconv5 to deconv0.
        full: channels of the two layers at full size.
    """

    def __init__(self, wide: tuple[int, ...], full: tuple[int, int]) -> None:
        super().__init__()
        convs, ups = wide[:6], wide[6:]
        before = 6
        for level, (count, kernel) in enumerate(zip(convs, (7, 5, 5, 3, 3, 3), strict=True), start=1):
            self.add_module(f"conv{level}", _conv(before, count, kernel, 2))
            if level >= 3:
                self.add_module(f"conv{level}_1", _conv(count, count, 3))
            before = count
        self.flow6 = _conv(before, 2, 3)
        for level, count in zip((*LEVELS, 0), ups, strict=True):
            self.add_module(f"deconv{level}", _up(before, count))
            self.add_module(f"flow{level + 1}_up", nn.ConvTranspose2d(2, 2, 4, 2, 1))
            if level:
                before = convs[level - 1] + count + 2
                self.add_module(f"flow{level}", _conv(before, 2, 3))
        self.concat0_conv1 = _conv(3 + ups[-1] + 2, full[0], 7)
        self.concat0_conv2 = _conv(full[0], full[1], 7)
        self.flow_12 = _conv(full[1], 2, 3)

    def forward(self, lr_up: Tensor, reference: Tensor) -> list[Tensor]:
        x, skips = torch.cat((lr_up, reference), dim=1), []
        for level in range(1, 7):
            x = _leaky(self.get_submodule(f"conv{level}")(x))  # (N, C, H / 2^level, W / 2^level)
            if level >= 3:
                x = _leaky(self.get_submodule(f"conv{level}_1")(x))
            skips.append(x)
        flow, flows = self.flow6(x), []
        for level in LEVELS:
            finer, larger = self._larger(level, x, flow)
            x = torch.cat((skips[level - 1], finer, larger), dim=1)
            flow = self.get_submodule(f"flow{level}")(x)
            flows.append(flow)
        finer, larger = self._larger(0, x, flow)
        x = F.selu(self.concat0_conv1(torch.cat((reference, finer, larger), dim=1)))
        return [self.flow_12(F.selu(self.concat0_conv2(x))), *flows[:1:-1]]

    def _larger(self, level: int, x: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Features and flow at twice the size."""
        return _leaky(self.get_submodule(f"deconv{level}")(x)), self.get_submodule(f"flow{level + 1}_up")(flow)


class Encoder(nn.Module):
    """(N, 3, H, W) to features at full, half, quarter and eighth size."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.layer_f = _conv(3, num_feat, 5)
        for level in range(1, 5):
            self.add_module(f"conv{level}", _conv(num_feat, num_feat, 5, 1 if level == 1 else 2))

    def forward(self, picture: Tensor) -> list[Tensor]:
        x, found = F.selu(self.layer_f(picture)), []
        for level in range(1, 5):
            x = F.selu(self.get_submodule(f"conv{level}")(x))
            found.append(x)
        return found


class Decoder(nn.Module):
    """Features of picture and reference, the smallest first, to the SR picture.

    Args:
        fusions: `post_fusion2` is in every checkpoint; the authors' code makes no use of what it gives (1), a
            re-implementation does (2).
    """

    def __init__(self, num_feat: int, fusions: int) -> None:
        super().__init__()
        self.fusions = fusions
        self.warp_deconv4 = _up(2 * num_feat, num_feat)
        self.warp_deconv3 = _up(3 * num_feat, num_feat)
        self.warp_deconv2 = _up(3 * num_feat, num_feat)
        self.post_fusion1 = _conv(3 * num_feat, num_feat, 5)
        self.post_fusion2 = _conv(num_feat, num_feat, 5)
        self.final = _conv(num_feat, 3, 5)

    def forward(self, own: list[Tensor], warped: list[Tensor]) -> Tensor:
        x = F.selu(self.warp_deconv4(torch.cat((own[3], warped[3]), dim=1)))
        x = F.selu(self.warp_deconv3(torch.cat((x, own[2], warped[2]), dim=1)))
        x = F.selu(self.warp_deconv2(torch.cat((x, own[1], warped[1]), dim=1)))
        x = F.selu(self.post_fusion1(torch.cat((x, own[0], warped[0]), dim=1)))
        if self.fusions == 2:
            x = F.selu(self.post_fusion2(x))
        sr: Tensor = self.final(x)
        return sr


class CrossNet(nn.Module):
    """Three pictures of the SR size to one.

    Args:
        num_feat: channels of encoder and decoder.
        wide, full: of the flow's net; see `FlowNet`.
        fusions: see `Decoder`.

    Shapes: lr_up (enlarged by bicubic, what the flow sees), lr_sr (enlarged by any net, what is improved) and
    reference, each (N, 3, H, W) in [0, 1], to (N, 3, H, W), not clamped. Sides that do not divide by 64 are
    continued on the right and at the bottom by their last pixels, which are cut off again.
    """

    def __init__(self, num_feat: int, wide: tuple[int, ...], full: tuple[int, int], fusions: int = 1) -> None:
        super().__init__()
        self.FlowNet = FlowNet(wide, full)
        self.Encoder = Encoder(num_feat)
        self.UNet_decoder_2 = Decoder(num_feat, fusions)

    def forward(self, lr_up: Tensor, lr_sr: Tensor, reference: Tensor) -> Tensor:
        height, width = lr_up.shape[-2:]
        more = (0, -width % MULTIPLE_OF, 0, -height % MULTIPLE_OF)
        lr_up, lr_sr, reference = (F.pad(one, more, mode="replicate") for one in (lr_up, lr_sr, reference))
        flows = self.FlowNet(lr_up, reference)
        warped = [_warped(found, flow) for found, flow in zip(self.Encoder(reference), flows, strict=True)]
        sr: Tensor = self.UNet_decoder_2(self.Encoder(lr_sr), warped)
        return sr[..., :height, :width]


def _warped(features: Tensor, flow: Tensor) -> Tensor:
    """(N, C, H, W) from where the flow, (N, 2, H, W) of x and y in pixels, points; the border repeats."""
    height, width = features.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    return sampled(features, x, y)


class WithReference(nn.Module):
    """The net for an LR picture and a reference of any size, which is brought over it first."""

    def __init__(self, net: nn.Module, scale: int) -> None:
        super().__init__()
        self.net, self.scale = net, scale
        self.enlarge = CubicEnlargement(scale, 3)

    def forward(self, lr: Tensor, reference: Tensor) -> Tensor:
        lr_up = self.enlarge(lr)
        height, width = lr_up.shape[-2:]
        reference = registered(fitted(reference, height, width), lr_up, self.scale)
        sr: Tensor = self.net(lr_up, lr_up, reference)
        return sr


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """FlowNet, Encoder and UNet_decoder_2, or flownet, encoder and decoder in the re-implementation of Zeqiang Lai,
    whose decoder goes through both fusions; widths by the shapes.
    """
    own, fusions = dict(state_dict), 1
    if "decoder.final.0.weight" in own:
        parted = [(key.partition("."), tensor) for key, tensor in own.items()]
        own = {f"{OWN_NAMES.get(first, first)}.{rest}": tensor for (first, _, rest), tensor in parted}
        fusions = 2
    convs, ups, full = (
        [sides_of(own, f"FlowNet.{name}.0.weight") for name in names]
        for names in (
            [f"conv{level}" for level in range(1, 7)],
            [f"deconv{level}" for level in (*LEVELS, 0)],
            ["concat0_conv1", "concat0_conv2"],
        )
    )
    num_feat = sides_of(own, "UNet_decoder_2.final.0.weight")[1]
    if not num_feat or not all(map(all, (*convs, *ups, *full))):
        return None
    stated = metadata.stated.get("scale")
    scale = stated if isinstance(stated, int) and 2 <= stated <= 8 else USUAL_SCALE
    descriptor = Descriptor(
        arch=ARCH.name,
        config={
            "num_feat": num_feat,
            "wide": (*(shape[0] for shape in convs), *(shape[1] for shape in ups)),
            "full": (full[0][0], full[1][0]),
            "fusions": fusions,
        },
        scales=(scale,),
        halo=MULTIPLE_OF,
        sees_whole=True,
        one_at_a_time=True,
        least_side=8,
        precisions=frozenset({"fp32"}),
        inputs=(REFERENCE,),
    )
    return Recognised(descriptor, own, () if scale == stated else (f"scale {scale}",))


def adapt(module: nn.Module, facts: Descriptor) -> nn.Module:
    return WithReference(module, int(facts.only_scale or USUAL_SCALE))


ARCH: Final = Architecture(
    name="crossnet", recognise=recognise, net=CrossNet, adapt=adapt,
    about="Zheng et al., ECCV 2018, https://arxiv.org/abs/1807.10547",
    inputs=("reference",),
)  # fmt: skip
