"""A net in strips is the net: the same bits as by the whole, and what has no strips stays whole."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.nets import stub
from upscale_cli.inference.backends import openvino_strips
from upscale_cli.inference.backends.subpixels import put_subpixels
from upscale_cli.models.onnx_graph import onnx_bytes

pytest.importorskip("openvino")
pytestmark = pytest.mark.usefixtures("stubs")

HEIGHT, WIDTH = 37, 24


class Chain(nn.Module):
    """Layers of all kinds of reach, a skip over some, and one at SR size, whose rows begin within an LR pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 5, padding=2)
        self.wide = nn.Conv2d(6, 6, 3, padding=2, dilation=2)
        self.slope = nn.PReLU(6)
        self.by_plane = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.last = nn.Conv2d(6, 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.after = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        x = torch.tanh(self.first(lr))
        x = x + self.by_plane(self.slope(self.wide(x)))
        x = self.after(self.shuffle(self.last(x)))
        out: Tensor = x + nn.functional.interpolate(lr, scale_factor=2, mode="nearest")
        return out


class Pooling(Chain):
    """Looks at the whole picture."""

    def forward(self, lr: Tensor) -> Tensor:
        return super().forward(lr) * torch.sigmoid(lr.mean((2, 3), keepdim=True))


def model_of(module: type[nn.Module]) -> Any:
    from upscale_cli.inference.backends.openvino import read

    torch.manual_seed(0)
    model = read(onnx_bytes(stub(module, colour="luma")))
    model.reshape([1, 1, HEIGHT, WIDTH])
    return model


def answers(model: Any, lr: np.ndarray, hint: str = "f32") -> list[np.ndarray]:
    from upscale_cli.inference.backends.openvino import core

    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    return [np.array(one) for one in compiled([lr]).values()]


@pytest.fixture
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_strips, "STRIP_PIXELS", 8 * WIDTH)
    monkeypatch.setattr(openvino_strips, "MOST_EXTRA", 2.0)


@pytest.mark.usefixtures("small_strips")
def test_strips_give_the_values_of_the_whole() -> None:
    """To the borders, and where their heights differ."""
    model = model_of(Chain)
    divided = openvino_strips.in_strips(model)
    assert sum(node.get_type_name() == "Convolution" for node in divided.get_ops()) == 5 * 4  # in five strips
    lr = np.random.default_rng(0).random((1, 1, HEIGHT, WIDTH), np.float32)
    (whole,), (sr,) = answers(model, lr), answers(divided, lr)
    np.testing.assert_array_equal(sr, whole)
    torch.manual_seed(0)
    with torch.no_grad():
        np.testing.assert_allclose(sr, Chain()(torch.from_numpy(lr)).numpy(), atol=1e-5)


@pytest.mark.usefixtures("small_strips")
def test_codes_and_their_mean_in_strips() -> None:
    from upscale_cli.inference.backends.openvino_codes import with_codes

    for module, zero in ((Chain, 16.0), (Pooling, 0.0)):
        model, block = with_codes(model_of(module), zero, 219.0)
        model.reshape([1, 1, HEIGHT, WIDTH])
        assert block == 1  # it does not end in a sub-pixel layer
        divided = openvino_strips.in_strips(model)
        if module is Pooling:
            assert divided is model
            continue
        codes = np.random.default_rng(1).integers(0, 256, (1, 1, HEIGHT, WIDTH)).astype(np.uint8)
        (whole, mean), (sr, its_mean) = answers(model, codes), answers(divided, codes)
        np.testing.assert_array_equal(sr, whole)
        np.testing.assert_allclose(its_mean, mean, rtol=1e-5)


def test_pictures_that_fit_and_nets_that_reach_too_far_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Chain)
    assert openvino_strips.in_strips(model) is model
    monkeypatch.setattr(openvino_strips, "STRIP_PIXELS", 4 * WIDTH)
    monkeypatch.setattr(openvino_strips, "MOST_EXTRA", 0.01)
    assert openvino_strips.in_strips(model) is model


@pytest.mark.parametrize("block", [2, 3, 4])
@pytest.mark.parametrize("cut", [0, 1])
def test_the_sub_pixel_layer_on_codes_is_torchs(block: int, cut: int) -> None:
    places = np.random.default_rng(block).integers(0, 256, (5, 7, block**2)).astype(np.uint8)
    expected = nn.functional.pixel_shuffle(torch.from_numpy(places.transpose(2, 0, 1).copy()), block)[0].numpy()
    out = np.zeros((5 * block - cut, 7 * block - cut), np.uint8)
    put_subpixels(places, block, out)
    np.testing.assert_array_equal(out, expected[: 5 * block - cut, : 7 * block - cut])
