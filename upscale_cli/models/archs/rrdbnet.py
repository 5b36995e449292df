"""RRDBNet: the generator of ESRGAN and Real-ESRGAN, residual-in-residual dense blocks.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCVW 2018,
https://arxiv.org/abs/1809.00219; pixel-unshuffle for scale 2 and 1: "Real-ESRGAN", ICCVW 2021,
https://arxiv.org/abs/2107.10833
"""

import re
from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

RESIDUAL_SCALING = 0.2
"""beta of the paper: how much of a dense block is added to its input."""

DEFAULT_HALO: Final = 40
SHALLOW_HALO: Final = 32
SHALLOW: Final = 6
"""In pixels of the body; the second for nets of at most so many blocks. The exact field is 15 a block (345 for 23): not
affordable. With published weights the trace of a cut fades by half every 5 to 15 pixels, and begins high on hard
texture: at 16, pictures of gravel in windows of 256 come to less than 43 dB of the whole, at 40 to 51 dB
(benchmarks/halo.py)."""


def halo_of(num_block: int) -> int:
    """Pixels of the body around a tile: the fewest that keep windows of 256 pixels above 50 dB of the whole picture on
    the hardest texture.

    >>> halo_of(23), halo_of(6)
    (40, 32)
    """
    return SHALLOW_HALO if num_block <= SHALLOW else DEFAULT_HALO


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each of which sees the output of all before it."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_grow_ch, 3, padding=1)
        self.conv2 = nn.Conv2d(num_feat + num_grow_ch, num_grow_ch, 3, padding=1)
        self.conv3 = nn.Conv2d(num_feat + 2 * num_grow_ch, num_grow_ch, 3, padding=1)
        self.conv4 = nn.Conv2d(num_feat + 3 * num_grow_ch, num_grow_ch, 3, padding=1)
        self.conv5 = nn.Conv2d(num_feat + 4 * num_grow_ch, num_feat, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:  # (N, num_feat, h, w)
        dense = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            dense = torch.cat((dense, lrelu(conv(dense))), dim=1)  # num_grow_ch more channels each time
        out: Tensor = torch.add(x, self.conv5(dense), alpha=RESIDUAL_SCALING)
        return out


class RRDB(nn.Module):
    """Three dense blocks inside one residual."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb2 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb3 = ResidualDenseBlock(num_feat, num_grow_ch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL_SCALING)


class RRDBNet(nn.Module):
    """`num_block` RRDBs, then `num_up` doublings by nearest neighbour and convolution.

    With `unshuffle` above 1 the picture is folded first: unshuffle ** 2 times the channels at that much smaller
    sides, so that the same body makes scale 2 (unshuffle 2) or 1 (unshuffle 4) at a fraction of the cost.

    Shapes: (N, num_in_ch, H, W) in [0, 1], sides divisible by `unshuffle`, to (N, num_in_ch, scale * H, scale * W),
    not clamped; scale = 2 ** num_up / unshuffle.
    """

    def __init__(
        self, num_in_ch: int = 3, num_feat: int = 64, num_block: int = 23, num_grow_ch: int = 32,
        num_up: int = 2, unshuffle: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_up = num_up
        self.fold = nn.PixelUnshuffle(unshuffle) if unshuffle > 1 else nn.Identity()
        self.conv_first = nn.Conv2d(num_in_ch * unshuffle**2, num_feat, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        for number in range(1, num_up + 1):
            self.add_module(f"conv_up{number}", nn.Conv2d(num_feat, num_feat, 3, padding=1))
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_last = nn.Conv2d(num_feat, num_in_ch, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.conv_first(self.fold(lr))  # (N, num_feat, h, w), h = H / unshuffle
        feat: Tensor = shallow + self.conv_body(self.body(shallow))
        for number in range(1, self.num_up + 1):
            feat = F.interpolate(feat, scale_factor=2, mode="nearest")
            feat = lrelu(self.get_submodule(f"conv_up{number}")(feat))  # (N, num_feat, 2 ** number * h, ...)
        out: Tensor = self.conv_last(lrelu(self.conv_hr(feat)))
        return out


def lrelu(x: Tensor) -> Tensor:
    """In place: its input is always a fresh convolution output that nothing else holds."""
    return F.leaky_relu(x, negative_slope=0.2, inplace=True)


NEEDED = ("conv_first.weight", "conv_body.weight", "conv_hr.weight", "conv_last.weight", "body.0.rdb1.conv1.weight")
"""Keys that every RRDBNet has."""


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:  # noqa: ARG001  # every one takes it
    """Real-ESRGAN's and BasicSR's keys, those of the first ESRGAN code, and the older model.N ones."""
    renamed = {_new_key(key): tensor for key, tensor in _without_sequence_numbers(state_dict).items()}
    shapes = {key: tuple(tensor.shape) for key, tensor in renamed.items()}
    blocks = {int(match[1]) for key in shapes if (match := re.match(r"body\.(\d+)\.rdb1\.conv1\.weight$", key))}
    if any(".conv1x1." in key for key in shapes):
        return None  # ESRGAN+, another net
    if not blocks or any(len(shapes.get(key, ())) != 4 for key in NEEDED):
        return None
    num_up = sum(1 for key in shapes if re.match(r"conv_up\d+\.weight$", key))
    num_feat, folded_ch = shapes["conv_first.weight"][:2]
    num_in_ch = shapes["conv_last.weight"][0]
    unshuffle = {1: 1, 4: 2, 16: 4}.get(folded_ch // num_in_ch, 0)
    if num_in_ch not in (1, 3) or num_in_ch * unshuffle**2 != folded_ch or 2**num_up < unshuffle:
        return None

    descriptor = Descriptor(
        arch=ARCH.name,
        sensitive=frozenset({"first", "last", "sums"}),
        config={
            "num_in_ch": num_in_ch,
            "num_feat": num_feat,
            "num_block": len(blocks),  # not the highest number: a file could claim any
            "num_grow_ch": shapes["body.0.rdb1.conv1.weight"][0],
            "num_up": num_up,
            "unshuffle": unshuffle,
        },
        scales=(2**num_up // unshuffle,),
        channels=num_in_ch,
        colour="rgb" if num_in_ch == 3 else "luma",
        halo=halo_of(len(blocks)) * unshuffle,
        multiple_of=unshuffle,
        depth=counted(len(blocks), "block"),
    )
    return Recognised(descriptor, renamed)


def lacks(state_dict: Mapping[str, Tensor]) -> str | None:
    """The first key that is missing where others are of dense blocks or of the layers around them."""
    keys = {_new_key(key) for key in _without_sequence_numbers(state_dict)}
    stems = {stem.removesuffix(".weight") for stem in NEEDED}
    ours = any(".rdb1.conv1." in key for key in keys) or (
        "conv_first.weight" in keys and all(key.rpartition(".")[0] in stems or ".rdb" in key for key in keys)
    )  # conv_first alone is in many other nets
    if not ours or any(".conv1x1." in key for key in keys):
        return None
    return next((key for key in NEEDED if key not in keys), None)


def _without_sequence_numbers(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The oldest layout numbers its layers by their place in one nn.Sequential; gives those their names.

    model.0 first, model.1.sub.N the blocks with the body's convolution last, then activations and nearest
    upsamplings in between (which have no weights), the up convolutions, conv_hr and conv_last.
    """
    subs = [int(match[1]) for key in state_dict if (match := re.match(r"model\.1\.sub\.(\d+)\.", key))]
    if not subs:
        return dict(state_dict)
    tail = sorted({int(match[1]) for key in state_dict if (match := re.match(r"model\.(\d+)\.weight$", key))} - {0})
    names = {"model.0": "conv_first", f"model.1.sub.{max(subs)}": "conv_body"}
    if len(tail) >= 2:
        names |= {f"model.{tail[-1]}": "conv_last", f"model.{tail[-2]}": "conv_hr"}
    names |= {f"model.{place}": f"conv_up{number}" for number, place in enumerate(tail[:-2], start=1)}
    out = {}
    for key, tensor in state_dict.items():
        stem, _, part = key.rpartition(".")
        key = re.sub(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3.", key)
        out[f"{names[stem]}.{part}" if stem in names else key] = tensor
    return out


_RENAMED = (
    (r"^RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2."),
    (r"^trunk_conv\.", "conv_body."),
    (r"^upconv(\d)\.", r"conv_up\1."),
    (r"^HRconv\.", "conv_hr."),
)
"""Keys of the first ESRGAN repository, and what BasicSR and Real-ESRGAN call them."""


def _new_key(key: str) -> str:
    for pattern, new in _RENAMED:
        key = re.sub(pattern, new, key)
    return key


ARCH: Final = Architecture(
    name="rrdbnet", recognise=recognise, net=RRDBNet, lacks=lacks,
    about="Wang et al., ESRGAN, ECCVW 2018, https://arxiv.org/abs/1809.00219",
    changed_halo=f"{DEFAULT_HALO}, {SHALLOW_HALO} up to {SHALLOW} blocks",
)  # fmt: skip
