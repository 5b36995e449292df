"""A picture without torch: what is kept of a net, and the arithmetic of engines on the host beside torch's."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.nets import CPU, loaded
from upscale_cli import Upscaler
from upscale_cli.errors import CheckpointError
from upscale_cli.frames.image import Pixels
from upscale_cli.inference import color, host_color
from upscale_cli.inference.backends.base import ArraySession
from upscale_cli.inference.color_adapter import ColorAdapter
from upscale_cli.inference.host_color import HostColorAdapter
from upscale_cli.inference.profile import profile
from upscale_cli.models import known, store
from upscale_cli.models.archs.espcn import ESPCN
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import Colour, Descriptor, LoadedNet, LumaRange
from upscale_cli.models.known import load_known
from upscale_cli.models.loading import load_net, net_digest

ROOT = Path(__file__).resolve().parents[1]

WITHOUT_TORCH = (
    "upscale_cli.batch.run", "upscale_cli.jobs.photo", "upscale_cli.inference.upscaler", "upscale_cli.inference.tiled",
    "upscale_cli.inference.host_net", "upscale_cli.inference.engine_choice", "upscale_cli.executors.threads",
    "upscale_cli.inference.backends.openvino", "upscale_cli.inference.backends.onnxruntime",
    "upscale_cli.models.known", "upscale_cli.models.graph_cache",
)  # fmt: skip

ONE_PICTURE = """
import sys
from pathlib import Path
from upscale_cli.models import store
cache = Path(sys.argv[1])
store.cache_folder = lambda: cache
from upscale_cli.cli import main
sys.argv[1:] = ["{source}", "-m", "espcn", "-s", "2", "--engine", "openvino", "--overwrite", "-o", "{output}", "-q"]
try:
    code = main()
except SystemExit as end:
    code = end.code
assert not code, code
print("torch" in sys.modules)
"""


def python(text: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "UPSCALE_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", text, *arguments], env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_the_way_of_a_photo_imports_no_torch() -> None:
    text = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    assert python(f"{text}print('torch' in sys.modules)", *WITHOUT_TORCH) == "False"


@pytest.mark.slow
def test_a_net_that_was_here_before_makes_a_picture_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")
    rng = np.random.default_rng(0)
    source, output = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(source)
    text = ONE_PICTURE.format(source=source.as_posix(), output=output.as_posix())
    assert python(text, str(tmp_path / "cache")) == "True"
    first = np.asarray(Image.open(output))
    if sys.platform == "linux" and not torch.cuda.is_available():  # elsewhere torch is asked what the machine has
        assert python(text, str(tmp_path / "cache")) == "False"
    np.testing.assert_array_equal(np.asarray(Image.open(output)), first)
    plain = Upscaler("espcn", device="cpu", engine="torch", precision="fp32")(np.asarray(Image.open(source)), 2)
    assert np.abs(first.astype(int) - plain.astype(int)).max() <= 3  # bf16, where the processor has it
    for path in (tmp_path / "cache" / "nets").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-3])  # damaged: it is made anew
    assert python(text, str(tmp_path / "cache")) == "True"
    np.testing.assert_array_equal(np.asarray(Image.open(output)), first)


# What is known of a net


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "net.pth"
    torch.save(SRVGGNetCompact(num_feat=8, num_conv=2).state_dict(), path)
    return path


def never() -> LoadedNet:
    raise AssertionError("it was loaded again")


def test_what_is_known_is_not_loaded_again(checkpoint: Path) -> None:
    first = load_known(checkpoint, None, lambda: load_net(checkpoint))
    cost = profile(first, 4)
    again = load_known(checkpoint, None, never)
    assert replace(again.descriptor, config=dict(again.descriptor.config)) == first.descriptor
    assert profile(again, 4) == cost
    assert known.known_as(again) == known.known_as(first) == first.identity


def test_weights_are_loaded_when_they_are_asked_for(checkpoint: Path) -> None:
    first = load_known(checkpoint, None, lambda: load_net(checkpoint))
    again = load_known(checkpoint, None, lambda: load_net(checkpoint))
    assert net_digest(again) == net_digest(first)
    gone = load_known(checkpoint, None, lambda: load_net(checkpoint))
    torch.save(SRVGGNetCompact(num_feat=8, num_conv=2).state_dict(), checkpoint)
    with pytest.raises(CheckpointError, match="has changed"):
        net_digest(gone)


def test_another_file_sidecar_or_kind_is_another_net(checkpoint: Path) -> None:
    first = load_known(checkpoint, None, lambda: load_net(checkpoint))
    checkpoint.with_suffix(".json").write_text('{"activation": "relu"}')
    assert load_known(checkpoint, None, lambda: load_net(checkpoint)).identity != first.identity
    checkpoint.with_suffix(".json").unlink()
    asked = []
    load_known(checkpoint, None, lambda: asked.append(1) or load_net(checkpoint), lambda net: net.arch == "espcn")  # type: ignore[func-returns-value]
    assert asked


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0" * 100])
def test_a_damaged_cache_is_ignored(checkpoint: Path, damage: bytes) -> None:
    first = load_known(checkpoint, None, lambda: load_net(checkpoint))
    profile(first, 4)
    for path in (known.folder() / first.identity).iterdir():
        path.write_bytes(damage)
    again = load_known(checkpoint, None, lambda: load_net(checkpoint))
    assert again.descriptor == first.descriptor
    assert profile(again, 4) == profile(first, 4)


def test_a_cache_that_cannot_be_written_is_done_without(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(store, "write_cached", refuse)
    assert load_known(checkpoint, None, lambda: load_net(checkpoint)).descriptor.arch == "srvgg"


# The arithmetic


class Same:
    """Every engine's session at once: repeats pixels, and is a little wrong."""

    concurrency = 1

    def share(self, callers: int) -> None:
        pass

    def run(self, batch: torch.Tensor, _: object) -> torch.Tensor:
        return batch.repeat_interleave(2, -1).repeat_interleave(2, -2) * 0.9 + 0.02

    def infer(self, inputs: "dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]") -> Pixels:
        return np.asarray(self.run(torch.from_numpy(inputs["lr"]), {}).numpy())


@pytest.mark.parametrize("transfer", ["display", "linear"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("colour", "luma_range"), [
    ("rgb", "full"), ("luma", "full"), ("luma", "studio"), ("ycbcr", "full"), ("ycbcr", "studio"),
])  # fmt: skip
def test_colours_are_those_of_torch(colour: Colour, luma_range: LumaRange, channels: int, transfer: str) -> None:
    net = Descriptor(
        arch="made-up", scales=(2,), channels=1 if colour == "luma" else 3, colour=colour, luma_range=luma_range, halo=0
    )
    lr = np.random.default_rng(0).random((1, channels, 33, 21), dtype=np.float32)
    session: ArraySession = Same()  # type: ignore[assignment]
    expected = ColorAdapter(net, session, 2)(torch.from_numpy(lr), {}, transfer).numpy()  # type: ignore[arg-type]
    made = HostColorAdapter(net, session, 2)(lr, {}, transfer)  # type: ignore[arg-type]
    np.testing.assert_allclose(made, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_are_rounded_as_by_torch(dtype: type) -> None:
    unit = np.random.default_rng(0).normal(0.5, 0.4, (40, 50, 3)).astype(np.float32)
    white = np.iinfo(dtype).max
    unit[0, :40, 0] = (np.arange(40) + 0.5) / white  # halves go to even
    expected = color.to_depth(torch.from_numpy(unit.copy()), np.dtype(dtype)).numpy()
    planes = np.ascontiguousarray(unit.transpose(2, 0, 1)).transpose(1, 2, 0)
    np.testing.assert_array_equal(host_color.pixels_of(planes, dtype), expected)
    np.testing.assert_array_equal(color.rounded(unit, dtype), expected)


@pytest.mark.parametrize("options", [{}, {"tile": 24, "overlap": 6}, {"tta": True, "tile": 30}, {"wrap": True}])
def test_pictures_by_an_engine_on_the_host(options: dict[str, object], noise: Callable[..., Pixels]) -> None:
    pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")
    from upscale_cli.inference.backends.openvino import OpenVino
    from upscale_cli.inference.tiled import TiledNet

    torch.manual_seed(0)
    lr, net = noise(71, 58, 3), loaded(ESPCN(2))
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535), (np.float32, 1)):
        expected = TiledNet(net, CPU, "fp32", say=print, **options).upscale(lr, dtype)  # type: ignore[arg-type]
        made = TiledNet(net, CPU, "fp32", backend=OpenVino(requests=2), say=print, **options).upscale(lr, dtype)  # type: ignore[arg-type]
        assert np.abs(made.astype(float) - expected.astype(float)).max() <= max(white * 3e-5, white == 255)
