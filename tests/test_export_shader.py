"""`upscale export -o net.glsl`: the shader gives our net's answers, as libplacebo draws it.

Its layers are computed with NumPy here; the text itself runs in the libplacebo of the bundled ffmpeg, where there is a
Vulkan device (Debian's mesa-vulkan-drivers bring one that is a program).
"""

import functools
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.clips import ffmpeg
from tests.command import Run
from tests.goldens import recipes
from tests.nets import loaded, stub
from tests.test_export import made_up
from upscale_cli import ClipOptions, EncodeOptions, export_model, upscale_video
from upscale_cli.export.mpv_shader import mpv_shader
from upscale_cli.export.onnx_model import exported_model
from upscale_cli.export.shader_layers import Activation, Formula, ShaderNet, UnshadableError, shader_net
from upscale_cli.models.archs.espcn import ESPCN, Layer
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import LoadedNet, LumaRange
from upscale_cli.models.loading import build_net, load_net

pytestmark = pytest.mark.usefixtures("stubs")

IDENTITY: Final = """//!HOOK LUMA
//!BIND LUMA
//!DESC nothing
vec4 hook() { return LUMA_tex(LUMA_pos); }
"""

Plane = NDArray[np.float32]


class Deconvolving(nn.Module):
    """As FSRCNN is made: it shrinks, maps, expands, and enlarges by a transposed convolution."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.feature = nn.Sequential(nn.Conv2d(1, 12, 5, padding=2), nn.PReLU(12), nn.Conv2d(12, 5, 1), nn.PReLU(5))
        self.mapping = nn.Sequential(nn.Conv2d(5, 5, 3, padding=1), nn.PReLU(5), nn.Conv2d(5, 12, 1), nn.PReLU(12))
        self.last = nn.ConvTranspose2d(12, 1, 9, stride=scale, padding=4, output_padding=scale - 1)

    def forward(self, lr: Tensor) -> Tensor:
        out: Tensor = self.last(self.mapping(self.feature(lr)))
        return out


class Residual(nn.Module):
    """Sums of layers, dilation, leaky slopes, a factor, and a bounded output that the picture itself is added to."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.last = nn.Conv2d(8, 9, 3, padding=1)
        self.leaky = nn.LeakyReLU(0.2)
        self.shuffle = nn.PixelShuffle(3)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.first(lr)
        x = x + self.leaky(self.second(torch.sigmoid(x))) * 0.5
        detail = torch.tanh(self.shuffle(self.last(x)))
        return torch.clamp(detail, -0.3, 0.3) + nn.functional.interpolate(lr, scale_factor=3, mode="nearest")


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A net with weights that differ, of a size that keeps the answer in bounds; the same ones in every run."""
    torch.manual_seed(1)
    module = make()
    for name, parameter in module.named_parameters():
        nn.init.uniform_(parameter, 0.05, 0.4) if parameter.ndim == 1 and "bias" not in name else None
    return module.requires_grad_(False)


def luma_srvgg(wide: int) -> LoadedNet:
    return loaded(seeded(lambda: SRVGGNetCompact(num_in_ch=1, num_feat=wide, num_conv=2, upscale=2)))


def made(module: Callable[[], nn.Module], scale: int, halo: int) -> LoadedNet:
    net = seeded(module)
    return stub(lambda: net, scale=scale, colour="luma", halo=halo)


NETS: Final[dict[str, Callable[[], LoadedNet]]] = {
    "espcn": lambda: loaded(seeded(lambda: ESPCN(3, (Layer(1, 10, 5), Layer(10, 6, 3))))),
    "compact": lambda: luma_srvgg(8),
    "wide": lambda: luma_srvgg(64),  # 16 textures a layer: more than a pass reads at once
    "deconvolving x2": lambda: made(lambda: Deconvolving(2), 2, 6),
    "deconvolving x3": lambda: made(lambda: Deconvolving(3), 3, 6),
    "residual": lambda: made(Residual, 3, 4),
}


def shaded(net: LoadedNet) -> ShaderNet:
    scale = net.descriptor.only_scale
    assert isinstance(scale, int)
    return shader_net(exported_model(net, scale, {}), scale, 1)


def by_torch(net: LoadedNet, lr: Plane) -> Plane:
    return np.asarray(build_net(net)(torch.from_numpy(lr)[None, None])[0, 0], np.float32)


# The layers


def activated(x: Plane, activation: Activation) -> Plane:
    values = activation.slopes
    match activation.kind:
        case "relu":
            return np.maximum(x, 0)
        case "tanh":
            return np.tanh(x)
        case "sigmoid":
            return np.asarray(1 / (1 + np.exp(-x)))
        case "prelu":
            assert values is not None
            return np.maximum(x, 0) + values[:, None, None] * np.minimum(x, 0)
        case "clip":
            assert values is not None
            return np.clip(x, *values)
        case _:
            assert values is not None
            return np.asarray(values[0] * x + values[1])


def shifted(x: Plane, dy: int, dx: int) -> Plane:
    """x[y + dy, x + dx], and 0 outside of it."""
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (9, 9), (9, 9)))
    return padded[:, 9 + dy : 9 + dy + height, 9 + dx : 9 + dx + width]


def by_layers(net: ShaderNet, lr: Plane) -> Plane:
    """What the layers compute, by NumPy."""
    values = [lr[None]]
    for layer in net.layers[1:]:
        out = np.zeros((layer.channels, *lr.shape), np.float32) + layer.bias[:, None, None]
        for source in layer.inputs:
            out = out + values[source] if layer.is_sum else out
            for (dy, dx), weights in layer.taps.items():
                out = out + np.einsum("oi,ihw->ohw", weights, shifted(values[source], dy, dx))
        for activation in layer.activations:
            out = activated(out, activation)
        values.append(out)

    def enlarged(formula: Formula) -> Plane:
        if formula.kind == "nearest":
            return np.kron(lr, np.ones((net.scale, net.scale), np.float32))
        if formula.kind == "shuffled":
            blocks = values[formula.layer].reshape(net.scale, net.scale, *lr.shape)
            return blocks.transpose(2, 0, 3, 1).reshape(lr.shape[0] * net.scale, lr.shape[1] * net.scale)
        parts = [enlarged(part) for part in formula.parts]
        if formula.kind == "sum":
            return parts[0] + parts[1]
        assert formula.activation is not None
        return activated(parts[0], formula.activation)

    return enlarged(net.output)


@pytest.mark.parametrize("name", list(NETS))
def test_its_layers_are_the_net(name: str) -> None:
    net = NETS[name]()
    lr = np.random.default_rng(2).random((17, 22), dtype=np.float32)
    expected = by_torch(net, lr)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(by_layers(shaded(net), lr), expected, atol=2e-5 * float(np.ptp(expected)))


class Otherwise(nn.Module):
    """Made of one layer and an operation that shaders here do not have."""

    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self._what = what

    def forward(self, lr: Tensor) -> Tensor:
        return self._what(self.conv(lr))


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (lambda x: nn.functional.pixel_shuffle(x * x.mean(dim=(2, 3), keepdim=True), 2), "ReduceMean"),
        (lambda x: nn.functional.pixel_shuffle(x * x, 2), "multiplies layers"),
        (lambda x: nn.functional.interpolate(x, scale_factor=2, mode="nearest"), "enlarges a layer"),
        (lambda x: nn.functional.interpolate(x, scale_factor=2, mode="bicubic"), "an interpolation other than"),
        (lambda x: x, "not larger"),
    ],
)  # fmt: skip
def test_what_has_no_place_in_a_shader_is_refused(what: Callable[[Tensor], Tensor], why: str) -> None:
    with pytest.raises(UnshadableError, match=why):
        shaded(stub(lambda: Otherwise(what), colour="luma"))


@pytest.mark.parametrize(
    ("model", "why"), [("photo-lite", "it works on rgb"), ("espcn-ycbcr", "it works on ycbcr")]
)  # fmt: skip
def test_nets_for_colour_are_refused_in_one_line(model: str, why: str, tmp_path: Path, run: Run) -> None:
    given = made_up(tmp_path, model) if model == "espcn-ycbcr" else model
    done = run("export", given, "-o", tmp_path / "net.glsl")
    assert why in done.line
    assert "Choose --format onnx." in done.line
    assert not (tmp_path / "net.glsl").exists()


def test_options_of_other_formats_are_refused(tmp_path: Path, run: Run) -> None:
    assert "--fp16 is not for shaders" in run("export", "espcn", "--fp16", "-o", tmp_path / "net.glsl").line
    assert "--full-range is for shaders" in run("export", "espcn", "--full-range", "-o", tmp_path / "net.onnx").line


# The text


def text_of(net: LoadedNet, *, full_range: bool = False) -> str:
    luma_range: LumaRange = net.descriptor.luma_range
    return mpv_shader(shaded(net), {"licence": "of\nthe test"}, title="a net", luma_range=luma_range,
                      full_range=full_range)  # fmt: skip


@pytest.mark.parametrize("name", list(NETS))
def test_its_passes_are_well_formed(name: str) -> None:
    net = NETS[name]()
    head, *passes = text_of(net).split("//!HOOK LUMA\n")
    assert all(line.startswith("// ") or not line for line in head.splitlines())
    assert "// licence: of the test" in head
    saved = {"LUMA"}
    for one in passes:
        binds = re.findall(r"^//!BIND (\w+)$", one, re.MULTILINE)
        assert len(binds) == len(set(binds)) <= 16, "as many as OpenGL promises, and as players take"
        assert set(binds) <= saved
        used = set(re.findall(r"\b(UP\w+?|LUMA)_(?:tex|texOff|pos|size|pt)\b", one))
        assert used <= set(binds)
        saved |= set(re.findall(r"^//!SAVE (\w+)$", one, re.MULTILINE))
        assert one.count("//!WHEN ") == 1
        assert not re.search(r"nan|inf\b", one)
    assert "//!SAVE" not in passes[-1]
    assert f"//!WIDTH LUMA.w {net.descriptor.only_scale} *" in passes[-1]
    assert len(saved) - 1 <= 32, "mpv keeps no more textures"


def test_a_shader_s_file_says_what_it_is(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "net.glsl"
    done = run("export", "espcn", "-o", path)
    assert done.code == 0
    text = path.read_text()
    assert text.startswith("// espcn x2, a user shader for mpv")
    assert "// licence: MIT" in text
    assert "for limited-range clips" in text.lower()
    assert "espcn x2" in done.err
    assert "for full-range clips" in run_text(tmp_path, full_range=True).lower()


def run_text(folder: Path, *, full_range: bool) -> str:
    return export_model("espcn", folder / "other.glsl", full_range=full_range).output.read_text()


# What libplacebo draws


def drawn(shader: Path, codes: NDArray[np.uint8], scale: int, range_: str) -> "subprocess.CompletedProcess[bytes]":
    """A frame of that luma, without colour, as the bundled ffmpeg's libplacebo enlarges it."""
    height, width = codes.shape
    tags = f"setparams=range={range_}:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    size = f"w={width * scale}:h={height * scale}"
    command = [
        get_ffmpeg_exe(), "-v", "error", "-init_hw_device", "vulkan",
        "-f", "rawvideo", "-pix_fmt", "yuv444p", "-s", f"{width}x{height}", "-i", "-",
        "-vf", f"{tags},libplacebo={size}:custom_shader_path={shader.name}:format=yuv444p:dithering=none",
        "-frames:v", "1", "-f", "rawvideo", "-",
    ]  # fmt: skip
    frame = np.concatenate([codes.ravel(), np.full(2 * codes.size, 128, np.uint8)])
    return subprocess.run(command, input=frame.tobytes(), capture_output=True, check=False, cwd=shader.parent)


@functools.cache
def why_nothing_is_drawn(folder: Path) -> str:
    """Why shaders cannot be tried here; "" where they can."""
    shader = folder / "identity.glsl"
    shader.write_text(IDENTITY)
    codes = np.arange(20, 220, dtype=np.uint8).reshape(10, 20)
    done = drawn(shader, codes, 1, "tv")
    is_right = done.returncode == 0 and done.stdout[: codes.size] == codes.tobytes()
    return "" if is_right else f"no libplacebo or no Vulkan device here ({done.stderr.decode()[:100].strip()})"


@pytest.fixture
def vulkan(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where there is no ffmpeg with libplacebo, or no Vulkan device."""
    if why := why_nothing_is_drawn(tmp_path_factory.getbasetemp()):
        pytest.skip(why)


def picture(height: int, width: int) -> Plane:
    """Edges, texture and shades, 0.05 to 0.95, so that nothing exceeds what a player may clip."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = np.sin(x / 2.5) * np.cos(y / 3) + np.sign(np.sin((x + 2 * y) / 6))
    return np.asarray(0.5 + 0.15 * waves + 0.1 * (x / width - 0.5), np.float32)


def expected_codes(net: LoadedNet, codes: NDArray[np.uint8], range_: str) -> Plane:
    black, span = (0, 255) if range_ == "pc" else (16, 219)
    values: Plane = np.asarray((codes - black) / span, np.float32)
    if net.descriptor.luma_range == "studio":
        sr = (by_torch(net, np.asarray(values * (219 / 255) + 16 / 255, np.float32)) - 16 / 255) * (255 / 219)
    else:
        sr = by_torch(net, values)
    return np.asarray(sr.clip(0, 1) * span + black, np.float32)


def assert_drawn_as_computed(net: LoadedNet, shader: Path, range_: str, size: tuple[int, int]) -> None:
    """Within one level, of which half is the rounding to levels."""
    scale = net.descriptor.only_scale
    assert isinstance(scale, int)
    black, span = (0, 255) if range_ == "pc" else (16, 219)
    codes = np.round(picture(*size) * span + black).astype(np.uint8)
    done = drawn(shader, codes, scale, range_)
    assert done.returncode == 0, done.stderr.decode()
    shape = size[0] * scale, size[1] * scale
    answer = np.frombuffer(done.stdout, np.uint8)[: shape[0] * shape[1]].reshape(shape)
    expected = np.round(expected_codes(net, codes, range_))
    assert np.ptp(expected) > 40
    difference = np.abs(answer - expected)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.4


@pytest.mark.slow
@pytest.mark.usefixtures("vulkan")
@pytest.mark.parametrize("name", [name for name in NETS if name != "wide"])
@pytest.mark.parametrize("range_", ["tv", "pc"])
def test_made_up_nets_are_drawn_as_computed(name: str, range_: str, tmp_path: Path) -> None:
    net = NETS[name]()
    shader = tmp_path / "net.glsl"
    shader.write_text(text_of(net, full_range=range_ == "pc"))
    assert_drawn_as_computed(net, shader, range_, (25, 34))


@pytest.mark.slow
@pytest.mark.usefixtures("vulkan")
@pytest.mark.parametrize("range_", ["tv", "pc"])
def test_a_net_for_studio_range_is_drawn_as_computed(range_: str, tmp_path: Path) -> None:
    """Whose own black is 16 of 255, whatever that of the clip is."""
    shapes: recipes.Shapes = {
        "conv1.weight": (12, 1, 5, 5), "conv1.bias": (12,), "conv2.weight": (8, 12, 3, 3), "conv2.bias": (8,),
        "conv3.weight": (4, 8, 3, 3), "conv3.bias": (4,),
    }  # fmt: skip
    weights = {key: torch.from_numpy(value) * 0.3 for key, value in recipes.seeded(shapes, 2).items()}
    weights["conv3.bias"] += 0.5
    save_file(weights, tmp_path / "net.safetensors")
    (tmp_path / "net.json").write_text('{"activation": "tanh", "luma_range": "studio"}')
    net = load_net(tmp_path / "net.safetensors")
    made = export_model(tmp_path / "net.safetensors", tmp_path / "net.glsl", full_range=range_ == "pc")
    assert_drawn_as_computed(net, made.output, range_, (25, 34))


@pytest.mark.slow
@pytest.mark.usefixtures("vulkan")
@pytest.mark.parametrize(("scale", "size"), [(2, (33, 46)), (3, (27, 31))])
def test_our_own_net_is_drawn_as_our_clips_come_out(scale: int, size: tuple[int, int], tmp_path: Path) -> None:
    height, width = size
    codes = np.round(picture(height, width) * 219 + 16).astype(np.uint8)
    (tmp_path / "lr.yuv").write_bytes(codes.tobytes() + bytes([128]) * (2 * codes.size))
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv444p")
    clip, sr = tmp_path / "lr.mkv", tmp_path / "sr.mkv"
    tags = ("-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
    ffmpeg(*raw, "-s", f"{width}x{height}", "-i", tmp_path / "lr.yuv", "-c:v", "ffv1", *tags, clip)
    options = ClipOptions(encode=EncodeOptions(codec="ffv1"))
    upscale_video(clip, sr, scale=scale, model="espcn", options=options, device="cpu")
    ffmpeg("-i", sr, *raw, tmp_path / "sr.yuv")
    ours = np.frombuffer((tmp_path / "sr.yuv").read_bytes(), np.uint8)[: codes.size * scale**2].astype(int)

    made = export_model("espcn", tmp_path / "net.glsl", scale=scale)
    done = drawn(made.output, codes, scale, "tv")
    assert done.returncode == 0, done.stderr.decode()
    theirs = np.frombuffer(done.stdout, np.uint8)[: ours.size]
    assert np.ptp(ours) > 100
    assert np.abs(ours - theirs).max() <= 1
