"""Nets as ONNX graphs: what onnxruntime makes of them is what torch does."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.nets import Leveled, loaded, stub
from upscale_cli.models.archs.espcn import ESPCN
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import InputSpec, LoadedNet
from upscale_cli.models.loading import build_net
from upscale_cli.models.onnx_graph import INPUT, OPSET, OUTPUT, NotTranslatableError, onnx_model

pytestmark = pytest.mark.usefixtures("stubs")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is not installed")


class Attentive(nn.Module):
    """What nets beyond ours do: attention by a mean, a transposed convolution, bicubic, a clamp."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding="same", dilation=2)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.up = nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        x = F.silu(self.conv(lr))
        x = x * self.attention(x) - 0.1 * x
        base = F.interpolate(lr, scale_factor=2, mode="bicubic", align_corners=False)
        return torch.clamp(self.up(x), -1, 1) + base


class Tokens(nn.Module):
    """What nets with attention do: sizes computed, pixels as tokens and back, maxima of regions, normalisations."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.norm = nn.LayerNorm(8)
        self.bias = nn.Embedding(16, 1)
        self.out = nn.Linear(4, 12, bias=False)
        self.register_buffer("places", torch.arange(16).flip(0))

    def forward(self, lr: Tensor) -> Tensor:
        _, channels, height, width = lr.shape
        padded = F.pad(lr, (0, -width % 4, -height % 4, 0), mode="reflect")
        rows, columns = padded.shape[2] // 4, padded.shape[-1] // 4
        cut = padded.reshape(-1, channels, rows, 4, columns, 4).permute(0, 2, 4, 3, 5, 1).flatten(3, 4)
        key, value = self.norm(self.embed(cut)).chunk(2, dim=-1)  # (N, rows, columns, 16, 4)
        chosen = key.index_select(3, self.places) + self.bias(self.places)
        weights = (F.normalize(chosen, dim=-1) @ key.permute(0, 1, 2, 4, 3) * (10 / width)).softmax(dim=-1)
        made = self.out(weights @ value).reshape(-1, rows, columns, 4, 4, 12).permute(0, 5, 1, 3, 2, 4)
        x = made.reshape(-1, 12, rows * 4, columns * 4)[..., -height:, :width]
        region = F.adaptive_max_pool2d(x, (height // 5, 3)) + x.var(dim=(-2, -1), keepdim=True)
        x = x * F.interpolate(region, size=lr.shape[-2:], mode="nearest") + x[:, 1:2] + x[:, 0][:, None]
        return F.pixel_shuffle(x, 2)


class Deciding(nn.Module):
    """Does what the picture's size tells it to, which no graph of fixed operations can."""

    def forward(self, lr: Tensor) -> Tensor:
        return F.interpolate(lr, scale_factor=2) if lr.shape[-1] > 16 else lr.repeat(1, 1, 2, 2)


MADE: dict[str, Callable[[], LoadedNet]] = {
    "espcn": lambda: loaded(ESPCN(scale=3)),
    "srvgg": lambda: loaded(SRVGGNetCompact(num_feat=8, num_conv=3, upscale=4)),
    "rrdbnet x4": lambda: loaded(RRDBNet(num_feat=16, num_block=2, num_grow_ch=8)),
    "rrdbnet x2": lambda: loaded(RRDBNet(num_feat=16, num_block=2, num_grow_ch=8, unshuffle=2)),
    "attention": lambda: stub(Attentive),
    "tokens": lambda: stub(Tokens),
    "an input": lambda: stub(Leveled, inputs=(InputSpec(name="noise_level"),)),
}


@pytest.mark.parametrize("name", list(MADE))
@pytest.mark.parametrize("shape", [(1, 24, 36), (2, 8, 44)])
def test_onnxruntime_gives_what_torch_gives(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    net = MADE[name]()
    model = onnx_model(net)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == OPSET
    batch, height, width = shape
    lr = torch.rand(batch, net.descriptor.channels, height, width)
    given = {spec.name: torch.full((batch,), 0.7) for spec in net.descriptor.inputs}
    with torch.no_grad():
        module = build_net(net)
        expected = module(lr, **given).numpy()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = {INPUT: lr.numpy(), **{key: value.numpy() for key, value in given.items()}}
    (sr,) = session.run([OUTPUT], inputs)
    assert sr.shape == expected.shape
    assert np.abs(sr - expected).max() <= 1e-4 * np.ptp(expected)


def test_what_has_no_translation_is_refused_with_the_reason() -> None:
    with pytest.raises(NotTranslatableError, match="depends on the picture"):
        onnx_model(stub(Deciding))

    class Folding(nn.Module):
        def forward(self, lr: Tensor) -> Tensor:
            folded: Tensor = torch.fft.fft2(lr).real
            return folded

    with pytest.raises(NotTranslatableError, match="fft2"):
        onnx_model(stub(Folding))

    class FromTheEnd(nn.Module):
        def forward(self, lr: Tensor) -> Tensor:
            return lr.permute(0, 1, -1, 2)

    with pytest.raises(NotTranslatableError, match="counted from the end"):
        onnx_model(stub(FromTheEnd))

    class Arguments(nn.Module):
        def forward(self, lr: Tensor) -> Tensor:
            return lr.softmax(dim=1, dtype=torch.float64)

    with pytest.raises(NotTranslatableError, match="dtype"):
        onnx_model(stub(Arguments))


def test_layers_that_share_weights_keep_them_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.up = nn.Upsample(scale_factor=2)

        def forward(self, lr: Tensor) -> Tensor:
            made: Tensor = self.up(self.conv(self.conv(lr)))
            return made

    model = onnx_model(stub(Twice))
    assert sum(one.name.startswith("weight") for one in model.graph.initializer) == 2
