"""Another backend takes eager's place through the same seam, and pictures and frames come out the same."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from tests.goldens import reference
from tests.nets import CPU, loaded, stub
from tests.test_frame_upscaler import TV, TWICE, random_frame
from upscale_cli import Upscaler
from upscale_cli.errors import CheckpointError, DeviceError
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.backends.base import Session
from upscale_cli.inference.backends.torch_eager import DTYPES, TORCH_EAGER
from upscale_cli.inference.device import Device
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.models.archs.espcn import ESPCN
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.interface import InputSpec, LoadedNet, Precision
from upscale_cli.models.loading import build_net

pytestmark = pytest.mark.usefixtures("stubs")


class OneAtATime:
    """What callers a session is made for."""

    concurrency = 1

    def share(self, callers: int) -> None:
        """Whoever calls is served."""


class TracedSession(OneAtATime):
    """A net as a graph of operations."""

    def __init__(self, graph: fx.GraphModule, dtype: torch.dtype) -> None:
        self._graph, self._dtype = graph, dtype
        self.batches: list[tuple[int, ...]] = []

    def run(self, batch: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        assert batch.dtype == torch.float32
        self.batches.append(tuple(batch.shape))
        given = {name: value.to(self._dtype) for name, value in conditions.items()}
        out: Tensor = self._graph(batch.to(self._dtype), **given)
        return out.float()


class Traced:
    """Runs nets as graphs that torch.fx has written down, and notes what it was asked for."""

    name = "traced"

    def __init__(self) -> None:
        self.loaded: list[tuple[str, Precision]] = []
        self.sessions: list[TracedSession] = []

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> TracedSession:
        self.loaded.append((net.descriptor.arch, precision))
        graph = fx.symbolic_trace(build_net(net)).to(device, DTYPES[precision])
        graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the keyword
        self.sessions.append(TracedSession(graph, DTYPES[precision]))
        return self.sessions[-1]


class InNumpy:
    """Knows ESPCN only, needs no torch, and computes in float64 whatever it is asked for."""

    name = "numpy"

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> Session:
        assert (net.descriptor.arch, device.type, precision) == ("espcn", "cpu", "fp32")
        config = net.descriptor.config
        weights = {
            f"conv{number}.{part}": net.state_dict[f"conv{number}.{part}"].numpy()
            for number in range(1, len(config["hidden"]) + 2)
            for part in ("weight", "bias")
        }

        class InNumpySession(OneAtATime):
            def run(self, batch: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
                assert not conditions
                made = [
                    reference.espcn(one, weights, config["scale"], config["activation"])
                    for one in batch.double().numpy()
                ]
                return torch.from_numpy(np.stack(made)).float()

        return InNumpySession()


def nothing_said(text: str) -> None:
    raise AssertionError(f"unexpected: {text}")


def module(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "espcn":
        return ESPCN(2)
    if kind == "srvgg":
        return SRVGGNetCompact(num_feat=8, num_conv=2)
    return RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, unshuffle=2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["espcn", "srvgg", "rrdbnet"])
def test_tiles(kind: str, precision: Precision, noise: Callable[..., Pixels]) -> None:
    lr, net, backend = noise(301, 38, 3), loaded(module(kind)), Traced()
    eager = TiledNet(net, CPU, precision, tile=24, say=nothing_said).upscale(lr, np.float32, clip=False)
    traced = TiledNet(net, CPU, precision, tile=24, backend=backend, say=nothing_said)
    np.testing.assert_array_equal(traced.upscale(lr, np.float32, clip=False), eager)
    assert backend.loaded == [(kind, precision)]
    assert len(backend.sessions[0].batches) > 1
    multiple_of = net.descriptor.multiple_of
    for _, channels, height, width in backend.sessions[0].batches:
        assert channels == net.descriptor.channels
        assert (height % multiple_of, width % multiple_of) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(21, 30), (21, 30, 1), (21, 30, 2), (21, 30, 3), (21, 30, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_photo(shape: tuple[int, ...], dtype: type, noise: Callable[..., Pixels]) -> None:
    """By two passes and a size between, in all layouts."""
    lr, backend = noise(*shape, dtype=dtype), Traced()
    options: dict[str, Any] = {"device": "cpu", "tile": 16, "precision": "fp32"}
    traced = Upscaler("espcn", backend=backend, **options)
    np.testing.assert_array_equal(traced(lr, scale=5), Upscaler("espcn", **options)(lr, scale=5))
    assert backend.loaded == [("espcn", "fp32")] * len(set(traced.plan(30, 21, traced.target(5)).passes))
    assert all(session.batches for session in backend.sessions)


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p10le", "gbrp", "yuva420p"])
@pytest.mark.parametrize("model", ["espcn", "photo-lite"])
def test_frames(model: str, name: str) -> None:
    samples = [random_frame(name, 18, 14, seed) for seed in range(3)]
    backend, made = Traced(), []
    for options in ({"backend": backend}, {}):
        upscaler = Upscaler(model, device="cpu", precision="fp32", **options)  # type: ignore[arg-type]
        frames = VideoUpscaler(upscaler, FORMATS[name], 18, 14, TV, TWICE, say=nothing_said)
        made.append([frames.collect(frames.submit(one)) for one in samples])
    for traced, eager in zip(*made, strict=True):
        np.testing.assert_array_equal(traced, eager)
    assert len(backend.sessions[0].batches) >= 3


def test_it_need_not_be_torch(noise: Callable[..., Pixels]) -> None:
    lr = noise(20, 27, 3)
    in_numpy = Upscaler("espcn", device="cpu", tile=16, backend=InNumpy())(lr, scale=2).astype(int)
    assert np.abs(in_numpy - Upscaler("espcn", device="cpu", tile=16)(lr, scale=2)).max() <= 1


def test_what_a_net_wants_beside_the_picture_comes_by_name(noise: Callable[..., Pixels]) -> None:
    lr = noise(30, 20, 3, dtype=np.float32)
    inputs = InputSpec(name="level"), InputSpec(name="gains", shape=(3, None, None), tiled=True)
    net = stub(_Lit, halo=1, inputs=inputs)
    given: Any = {"level": 0.25, "gains": noise(3, 30, 20, dtype=np.float32)}
    made = [
        TiledNet(net, CPU, "fp32", tile=8, given=given, backend=backend, say=nothing_said).upscale(lr, np.float32)
        for backend in (TORCH_EAGER, Traced())
    ]
    np.testing.assert_array_equal(made[0], made[1])
    expected = (lr * given["gains"].transpose(1, 2, 0) + 0.25).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(made[0], expected.clip(0, 1), atol=1e-6)


class _Lit(nn.Module):
    """Doubles pixels, each by a gain of its own, and adds a level."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, lr: Tensor, level: Tensor, gains: Tensor) -> Tensor:
        lit = lr * gains * self.weight + level[:, None, None, None]
        return nn.functional.interpolate(lit, scale_factor=2.0, mode="nearest")


# What stays outside of a backend


class Spoilt(Traced):
    """Half precision fails in it."""

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> TracedSession:
        session = super().load(net, device, precision)
        if precision != "fp32":
            session.run = lambda batch, conditions: torch.full_like(  # type: ignore[method-assign]
                TracedSession.run(session, batch, conditions), float("nan")
            )
        return session


def test_what_half_precision_spoils_in_it_is_asked_for_again_in_fp32(noise: Callable[..., Pixels]) -> None:
    reported: list[str] = []
    lr, net, backend = noise(40, 30, 3), loaded(module("espcn")), Spoilt()
    half = TiledNet(net, CPU, "bf16", tile=16, backend=backend, say=reported.append)
    full = TiledNet(net, CPU, "fp32", tile=16, say=nothing_said)
    np.testing.assert_array_equal(half.upscale(lr, np.uint8), full.upscale(lr, np.uint8))
    assert backend.loaded == [("espcn", "bf16"), ("espcn", "fp32")]
    assert half.precision == "fp32"
    assert len(reported) == 1


class Poor(Traced):
    """Has room for small windows only, and says so as its library does."""

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self._room, self._error = room, error

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> TracedSession:
        session = super().load(net, device, precision)

        def run(batch: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
            if batch.shape[-1] * batch.shape[-2] > self._room:
                raise self._error
            return TracedSession.run(session, batch, conditions)

        session.run = run  # type: ignore[method-assign]
        return session


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_its_memory_runs_out(error: Exception, noise: Callable[..., Pixels]) -> None:
    reported: list[str] = []
    lr, net = noise(60, 50, 3), loaded(module("espcn"))
    poor = TiledNet(net, CPU, "fp32", tile=1000, backend=Poor(32 * 32, error), say=reported.append)
    whole = TiledNet(net, CPU, "fp32", tile=1000, say=nothing_said)
    np.testing.assert_allclose(poor.upscale(lr, np.float32), whole.upscale(lr, np.float32), atol=2e-6)
    assert [line.split(":")[0] for line in reported] == ["out of memory on cpu"]
    with pytest.raises(DeviceError, match="even for a window of"):
        TiledNet(net, CPU, "fp32", tile=1000, backend=Poor(10, error), say=reported.append).upscale(lr, np.float32)


class Broken(Traced):
    """Cannot load."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def load(self, *_: object) -> TracedSession:
        raise self._error


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (MemoryError(), DeviceError),
        (torch.OutOfMemoryError("no"), DeviceError),
        (CheckpointError("the net cannot be exported"), CheckpointError),
    ],
)
def test_what_comes_in_the_way_of_loading_is_one_clear_error(error: Exception, becomes: type[Exception]) -> None:
    with pytest.raises(becomes):
        TiledNet(loaded(module("espcn")), CPU, "fp32", backend=Broken(error), say=nothing_said)


def test_eager_shares_the_weights_and_leaves_them_as_they_are() -> None:
    net = loaded(module("srvgg"))
    before = {key: tensor.clone() for key, tensor in net.state_dict.items()}
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp32")
    for precision in precisions:
        session = TORCH_EAGER.load(net, CPU, precision)
        session.run(torch.rand(1, 3, 8, 8), {})
    for key, tensor in net.state_dict.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, before[key])
