"""What every net of `models/archs` is held to, whatever it is: tests call these with a net of theirs."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from tests.conftest import SHARED
from tests.nets import CPU
from tests.test_models import reach
from upscale_cli import load_model
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.bare import BareModel
from upscale_cli.models.interface import LoadedNet, SidecarMetadata
from upscale_cli.models.loading import build_net, load_net
from upscale_cli.models.onnx_graph import INPUT, OUTPUT, onnx_bytes
from upscale_cli.models.plugins import architecture

needs_shared = pytest.mark.skipif(
    not (SHARED / "weights-more").is_dir(), reason="the shared folder with weights is not here"
)

WHOLE = 10_000
LEVEL = 1 / 255


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """The net with weights that are the same in every run, and such that no part of it is lost in another.

    What a net is made with can be zeros (temperatures, factors); here nothing is.
    """
    torch.manual_seed(seed)
    net = make().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim < 2 or not parameter.any():
                parameter.copy_(0.5 + 0.5 * torch.rand_like(parameter))
    return net


def saved(state_dict: Mapping[str, Tensor], folder: Path) -> Path:
    path = folder / "net.safetensors"
    safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in state_dict.items()}, path)
    return path


def comes_back(net: nn.Module, folder: Path, card: Mapping[str, Any] | None = None) -> BareModel:
    """The net saved and loaded does what it did, at an odd size and in a batch."""
    model = load_model(saved(net.state_dict(), folder), card=card)
    torch.manual_seed(1)
    lr = torch.rand(2, model.descriptor.channels, 37, 45)
    with torch.inference_mode():
        expected, sr = net(lr), model.net(lr=lr)
        one = model.net(lr[1:])
    scale = model.descriptor.only_scale
    assert scale is not None
    assert sr.shape == (2, model.descriptor.channels, 37 * scale, 45 * scale)
    assert torch.allclose(sr, expected, rtol=1e-4, atol=1e-5 * float(expected.std()))
    assert torch.allclose(sr[1:], one, rtol=1e-3, atol=1e-4 * float(expected.std())), "pictures of a batch mix"
    return model


def halo_is_the_field(net: LoadedNet) -> None:
    """No pixel beyond the halo has a part in an SR pixel, and one at the halo has."""
    facts = net.descriptor
    assert facts.exact
    torch.manual_seed(2)
    module = build_net(net).requires_grad_(True).double()
    found = reach(lambda lr: module(lr.double()), facts.channels, int(facts.only_scale or 1), facts.halo + 2)
    assert found == facts.halo


def tiled(net: LoadedNet, lr: np.ndarray[Any, Any], **options: Any) -> np.ndarray[Any, Any]:
    """SR of (H, W, C) uint8, float32 in [0, 1], by the pipeline."""
    return TiledNet(net, CPU, "fp32", say=pytest.fail, **options).upscale(lr, np.float32).clip(0, 1)


def picture(height: int, width: int) -> np.ndarray[Any, Any]:
    """A crop of a real one; without it, waves."""
    path = SHARED / "eval/Set5/butterfly.png"
    if path.is_file():
        from PIL import Image

        return np.array(Image.open(path).convert("RGB"))[40 : 40 + height, 20 : 20 + width]
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / rate) + np.cos(x / (rate + 1)) for rate in (2, 3, 5)]
    return np.rint(127.5 + 60 * np.stack(waves, axis=-1)).clip(0, 255).astype(np.uint8)


def tiles_equal_the_whole(net: LoadedNet) -> None:
    """For nets whose halo is their whole field: at most 1 level of 8 bits apart."""
    lr = picture(60, 90)
    whole, cut = tiled(net, lr, tile=WHOLE), tiled(net, lr, tile=32)
    assert np.abs(whole - cut).max() <= LEVEL
    assert whole.std() > LEVEL


def runs_elsewhere(net: LoadedNet, more: Callable[[Tensor], Mapping[str, Tensor]] = lambda _: {}) -> None:
    """Translated to ONNX it does in ONNX Runtime and in OpenVINO what it does in torch, at sizes of any kind.

    Args:
        more: what else it takes, for pictures (N, C, H, W).
    """
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is not installed")
    model = onnx_bytes(net)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    module = build_net(net)
    for shape in ((1, 24, 36), (2, 37, 45)):
        torch.manual_seed(3)
        lr = torch.rand(shape[0], net.descriptor.channels, *shape[1:])
        given = more(lr)
        with torch.inference_mode():
            expected = module(lr, **given).numpy()
        feed = {INPUT: lr.numpy(), **{name: value.numpy() for name, value in given.items()}}
        (sr,) = session.run([OUTPUT], feed)
        assert np.abs(sr - expected).max() <= 1e-4 * np.ptp(expected)
        by_openvino = _openvino(model, feed)
        if by_openvino is not None:
            assert np.abs(by_openvino - expected).max() <= 1e-4 * np.ptp(expected)


def _openvino(model: bytes, feed: Mapping[str, Any]) -> "np.ndarray[Any, Any] | None":
    try:
        import openvino
    except ImportError:
        return None
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled(dict(feed))[OUTPUT])


def files() -> Iterator[Path]:
    """Every checkpoint in ../shared."""
    for folder in ("weights", "weights-more"):
        yield from sorted((SHARED / folder).glob("*.safetensors"))
    yield from sorted((SHARED / "goldens").glob("*/weights.safetensors"))


def claimed(arch: str) -> set[str]:
    """Which checkpoints in ../shared the architecture takes for its own, by keys and shapes alone."""
    recognise = architecture(arch).recognise
    return {
        path.stem if path.stem != "weights" else path.parent.name
        for path in files()
        if recognise(safetensors.torch.load_file(path), SidecarMetadata()) is not None
    }


def of(net: nn.Module, folder: Path, card: Mapping[str, Any] | None = None) -> LoadedNet:
    """A net as it comes from a file."""
    return load_net(saved(net.state_dict(), folder), card=None if card is None else SidecarMetadata.read(card))
