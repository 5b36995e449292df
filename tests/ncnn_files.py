"""Small nets as ncnn files: .param and .bin written layer by layer, from what ncnn's documents say of both.

Written by the architectures' own descriptions: nothing of `upscale_cli.models.ncnn` has a part in it.
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from upscale_cli.models.archs.realcugan import UNet1, UNet2, UNetConv, UpCunet
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.span import SPAN
from upscale_cli.models.archs.srvgg import SRVGGNetCompact

FP16_FLAG: Final = 0x01306B47

LEAKY: Final = {9: 2}
"""An activation within a convolution, by the numbers of its parameters; its slope is parameter 10."""


@dataclass
class Writer:
    """Layers as they come. Blobs that several layers take are split, as ncnn wants it."""

    fp16: bool = False
    layers: list[tuple[str, list[str], list[str], dict[int, Any]]] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)

    def add(self, kind: str, *inputs: str, **params: Any) -> str:
        """A layer; parameters are `p0=64`, arrays are tuples. Gives its blob."""
        blob = f"b{len(self.layers)}"
        self.layers.append((kind, list(inputs), [blob], {int(name[1:]): value for name, value in params.items()}))
        return blob

    def tagged(self, weight: Tensor) -> None:
        values = weight.detach().numpy().ravel()
        if not self.fp16:
            self.data += struct.pack("<I", 0) + values.astype("<f4").tobytes()
            return
        half = values.astype("<f2").tobytes()
        self.data += struct.pack("<I", FP16_FLAG) + half + bytes(-len(half) % 4)

    def plain(self, values: Tensor) -> None:
        self.data += values.detach().numpy().astype("<f4").ravel().tobytes()

    def conv(self, x: str, layer: nn.Conv2d, slope: float | None = None) -> str:
        """With a leaky rectifier where `slope` is given."""
        side, pad = layer.kernel_size[0], int(layer.padding[0])
        act: dict[str, Any] = {} if slope is None else {"p9": 2, "p10": (float(slope),)}
        self.tagged(layer.weight)
        assert layer.bias is not None
        self.plain(layer.bias)
        return self.add(
            "Convolution", x, p0=layer.out_channels, p1=side, p3=layer.stride[0], p4=pad, p5=1,
            p6=layer.weight.numel(), **act,
        )  # fmt: skip

    def deconv(self, x: str, layer: nn.ConvTranspose2d, slope: float | None = None) -> str:
        act: dict[str, Any] = {} if slope is None else {"p9": 2, "p10": (float(slope),)}
        self.tagged(layer.weight.transpose(0, 1))
        assert layer.bias is not None
        self.plain(layer.bias)
        return self.add(
            "Deconvolution", x, p0=layer.out_channels, p1=layer.kernel_size[0], p3=layer.stride[0],
            p4=int(layer.padding[0]), p5=1, p6=layer.weight.numel(), **act,
        )  # fmt: skip

    def dense(self, x: str, layer: nn.Conv2d, activation: int) -> str:
        """A 1 x 1 convolution of a vector."""
        self.tagged(layer.weight)
        assert layer.bias is not None
        self.plain(layer.bias)
        return self.add("InnerProduct", x, p0=layer.out_channels, p1=1, p2=layer.weight.numel(), p9=activation)

    def crop(self, x: str, pixels: int) -> str:
        return self.add("Crop", x, p9=(pixels, pixels), p10=(-pixels, -pixels), p11=(-2, -1))

    def lines(self) -> Iterator[str]:
        """The layers, with splits."""
        uses = Counter(blob for _, inputs, _, _ in self.layers for blob in inputs)
        copies = {blob: [f"{blob}_{number}" for number in range(count)] for blob, count in uses.items() if count > 1}
        left = {blob: list(names) for blob, names in copies.items()}
        for number, (kind, inputs, outputs, params) in enumerate(self.layers):
            taken = [left[blob].pop() if blob in left else blob for blob in inputs]
            shown = " ".join(_param(place, value) for place, value in params.items())
            yield f"{kind:<24} {kind}_{number:<15} {len(taken)} {len(outputs)} {' '.join([*taken, *outputs])} {shown}"
            for blob in outputs:
                if blob in copies:
                    yield f"Split split_{blob} 1 {len(copies[blob])} {blob} {' '.join(copies[blob])}"

    def param(self) -> str:
        lines = list(self.lines())
        blobs = sum(int(line.split()[3]) for line in lines)
        return "\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""])

    def write(self, stem: Path) -> Path:
        """Both files; gives the .param."""
        path = stem.with_name(f"{stem.name}.param")
        path.write_text(self.param())
        path.with_suffix(".bin").write_bytes(self.data)
        return path


def _param(place: int, value: Any) -> str:
    if isinstance(value, tuple):
        return f"{-23300 - place}={len(value)},{','.join(map(_number, value))}"
    return f"{place}={_number(value)}"


def _number(value: float) -> str:
    return f"{value:e}" if isinstance(value, float) else str(value)


def srvgg(net: SRVGGNetCompact, *, fp16: bool = False) -> Writer:
    """As onnx2ncnn writes it."""
    out = Writer(fp16)
    lr = x = out.add("Input")
    for layer in net.body:
        match layer:
            case nn.Conv2d():
                x = out.conv(x, layer)
            case nn.PReLU():
                out.plain(layer.weight)
                x = out.add("PReLU", x, p0=layer.weight.numel())
            case nn.LeakyReLU():
                x = out.add("ReLU", x, p0=float(layer.negative_slope))
            case _:
                x = out.add("ReLU", x)
    x = out.add("PixelShuffle", x, p0=net.scale)
    x = out.add("BinaryOp", x, out.add("Interp", lr, p0=1, p1=float(net.scale), p2=float(net.scale)), p0=0)
    if net.shrink != 1:
        out.add("Interp", x, p0=3, p1=net.shrink, p2=net.shrink)
    return out


def rrdbnet(net: RRDBNet, *, fp16: bool = False, spelt_out: bool = False) -> Writer:
    """As onnx2ncnn writes it; `spelt_out`: without fused activations and sums."""
    out = Writer(fp16)

    def leaky(x: str, layer: nn.Module) -> str:
        assert isinstance(layer, nn.Conv2d)
        return out.add("ReLU", out.conv(x, layer), p0=0.2) if spelt_out else out.conv(x, layer, 0.2)

    def added(new: str, old: str) -> str:
        if spelt_out:
            return out.add("BinaryOp", out.add("BinaryOp", new, p0=2, p1=1, p2=0.2), old, p0=0)
        return out.add("Eltwise", new, old, p0=1, p1=(0.2, 1.0))

    x = out.add("Input")
    if isinstance(net.fold, nn.PixelUnshuffle):
        x = out.add("Reorg", x, p0=net.fold.downscale_factor)
    shallow = deep = out.conv(x, net.conv_first)
    for block in net.body:
        into = deep
        for part in block.children():
            made = [deep]
            for conv in list(part.children())[:4]:
                made.append(leaky(made[0] if len(made) == 1 else out.add("Concat", *made), conv))
            last = list(part.children())[4]
            assert isinstance(last, nn.Conv2d)
            deep = added(out.conv(out.add("Concat", *made), last), deep)
        deep = added(deep, into)
    x = out.add("BinaryOp", shallow, out.conv(deep, net.conv_body), p0=0)
    for number in range(1, net.num_up + 1):
        x = leaky(out.add("Interp", x, p0=1, p1=2.0, p2=2.0), net.get_submodule(f"conv_up{number}"))
    out.conv(leaky(x, net.conv_hr), net.conv_last)
    return out


def span(net: SPAN, *, fp16: bool = False) -> Writer:
    """As onnx2ncnn writes it."""
    out = Writer(fp16)
    x = out.add("Input")
    if net.img_range is not None:
        out.plain(net.mean)
        x = out.add("BinaryOp", x, out.add("MemoryData", p0=1, p1=1, p2=net.mean.numel()), p0=1)
        x = out.add("BinaryOp", x, p0=2, p1=1, p2=float(net.img_range)) if net.img_range != 1 else x
    shallow = deep = out.conv(x, net.conv_1.eval_conv)
    kept: list[str] = []
    inside = ""
    for number in range(1, net.num_block + 1):
        block: Any = net.get_submodule(f"block_{number}")
        inside = out.add("Swish", out.conv(deep, block.c1_r.eval_conv))
        last = out.conv(out.add("Swish", out.conv(inside, block.c2_r.eval_conv)), block.c3_r.eval_conv)
        weight = out.add("BinaryOp", out.add("Sigmoid", last), p0=1, p1=1, p2=0.5)
        deep = out.add("BinaryOp", out.add("BinaryOp", last, deep, p0=0), weight, p0=2)
        kept.append(deep)
    joined = out.add("Concat", shallow, out.conv(deep, net.conv_2.eval_conv), kept[0], inside)
    upsample, shuffle = net.upsampler
    assert isinstance(upsample, nn.Conv2d)
    assert isinstance(shuffle, nn.PixelShuffle)
    out.add("PixelShuffle", out.conv(out.conv(joined, net.conv_cat), upsample), p0=shuffle.upscale_factor)
    return out


def realcugan(net: UpCunet, *, fp16: bool = False) -> Writer:
    """As pnnx writes it, without what the tools do around it."""
    out = Writer(fp16)

    def pair(x: str, part: UNetConv) -> str:
        first, last = (layer for layer in part.conv if isinstance(layer, nn.Conv2d))
        x = out.conv(out.conv(x, first, 0.1), last, 0.1)
        if isinstance(part.seblock, nn.Identity):
            return x
        means = out.add("Pooling", x, p0=1, p4=1)
        return out.add("BinaryOp", x, out.dense(out.dense(means, part.seblock.conv1, 1), part.seblock.conv2, 4), p0=2)

    def joined(above: str, pixels: int, below: str, up: nn.ConvTranspose2d) -> str:
        return out.add("BinaryOp", out.crop(above, pixels), out.deconv(below, up, 0.1), p0=0)

    def first(x: str, unet: UNet1) -> str:
        above = pair(x, unet.conv1)
        below = pair(out.conv(above, unet.conv1_down, 0.1), unet.conv2)
        return out.deconv(out.conv(joined(above, 4, below, unet.conv2_up), unet.conv3, 0.1), unet.conv_bottom)

    def second(x: str, unet: UNet2) -> str:
        above = pair(x, unet.conv1)
        middle = pair(out.conv(above, unet.conv1_down, 0.1), unet.conv2)
        below = pair(out.conv(middle, unet.conv2_down, 0.1), unet.conv3)
        middle = pair(joined(middle, 4, below, unet.conv3_up), unet.conv4)
        return out.conv(out.conv(joined(above, 16, middle, unet.conv4_up), unet.conv5, 0.1), unet.conv_bottom)

    x = first(out.add("Input"), net.unet1)
    x = out.add("BinaryOp", second(x, net.unet2), out.crop(x, 20), p0=0)
    if net.scale == 4:
        out.add("PixelShuffle", out.crop(out.conv(x, net.conv_final), 1), p0=2)
    return out


def seeded(module: nn.Module, seed: int = 0, *, fp16: bool = False) -> nn.Module:
    """The net with weights of its own, and biases that are not near 0; as fp16 has them where asked for."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            made = torch.rand(value.shape, generator=generator) - 0.5
            value.copy_(made * 2 / max(value[0].numel(), 1) ** 0.5 if value.ndim == 4 else made * 0.2 + 0.05)
            if fp16 and name.endswith("weight") and value.ndim == 4:
                value.copy_(value.half().float())
    return module.eval()


MADE: Final[Mapping[str, tuple[Callable[[], nn.Module], Callable[..., Writer]]]] = {
    "srvgg-x4": (lambda: SRVGGNetCompact(num_feat=8, num_conv=3), srvgg),
    "srvgg-x2-of-x4": (lambda: SRVGGNetCompact(num_feat=8, num_conv=2, out_scale=2), srvgg),
    "srvgg-x3-of-x4": (lambda: SRVGGNetCompact(num_feat=8, num_conv=2, out_scale=3), srvgg),
    "srvgg-x3-relu": (lambda: SRVGGNetCompact(num_feat=6, num_conv=2, upscale=3, act_type="relu"), srvgg),
    "srvgg-x2-leaky": (lambda: SRVGGNetCompact(num_feat=6, num_conv=2, upscale=2, act_type="leakyrelu"), srvgg),
    "rrdbnet-x4": (lambda: RRDBNet(num_feat=8, num_block=2, num_grow_ch=4), rrdbnet),
    "rrdbnet-x2": (lambda: RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, unshuffle=2), rrdbnet),
    "span-x4": (lambda: SPAN(num_feat=8), span),
    "span-x2-plain": (lambda: SPAN(num_feat=8, num_block=3, upscale=2, img_range=None), span),
    "span-x2-mean": (lambda: SPAN(num_feat=8, upscale=2, img_range=1.0, rgb_mean=(0.485, 0.456, 0.406)), span),
    "realcugan-x2": (lambda: UpCunet(2), realcugan),
    "realcugan-x2-nose": (lambda: UpCunet(2, se=False), realcugan),
    "realcugan-x3": (lambda: UpCunet(3), realcugan),
    "realcugan-x4": (lambda: UpCunet(4), realcugan),
}
"""Nets by name: how each is made, and how it is written."""


def written(name: str, folder: Path, *, fp16: bool = False) -> tuple[nn.Module, Path]:
    """(the net, its .param)."""
    make, write = MADE[name]
    net = seeded(make(), fp16=fp16)
    return net, write(net, fp16=fp16).write(folder / name)


def by_ncnn(param: Path, lr: Tensor) -> Tensor:
    """What ncnn's own package makes of a batch of one, (1, C, H, W), in float32 on the CPU."""
    import ncnn

    net = ncnn.Net()
    for name in ("vulkan_compute", "fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        with suppress(AttributeError):
            setattr(net.opt, f"use_{name}", False)
    assert net.load_param(str(param)) == 0
    assert net.load_model(str(param.with_suffix(".bin"))) == 0
    values = np.ascontiguousarray(lr[0].numpy())  # ncnn.Mat does not keep what it looks at
    with net.create_extractor() as extractor:
        extractor.input(net.input_names()[0], ncnn.Mat(values).clone())
        code, out = extractor.extract(net.output_names()[0])
        assert code == 0
        return torch.from_numpy(np.array(out))[None]


def as_the_tools(param: Path, net: nn.Module, lr: Tensor) -> Tensor:
    """`by_ncnn`, with what the ncnn tools do around a Real-CUGAN."""
    if not isinstance(net, UpCunet):
        return by_ncnn(param, lr)
    below, right = (-side % net.multiple_of for side in lr.shape[2:])
    around = net.padding
    padded = nn.functional.pad(lr, (around, around + right, around, around + below), mode="reflect")
    sr = by_ncnn(param, padded)[..., : net.scale * lr.shape[2], : net.scale * lr.shape[3]]
    return sr + nn.functional.interpolate(lr, scale_factor=4) if net.scale == 4 else sr
