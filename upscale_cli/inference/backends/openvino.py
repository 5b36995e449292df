"""OpenVINO: on Intel's and others' CPUs a good deal faster than torch; on Intel's GPUs and NPUs by name.

A net is read from its ONNX graph (`models/onnx_graph.py`) and compiled for one shape at a time: for each shape that a
model of free sides has met, OpenVINO 2026.4.1 keeps 0.4 MB for good, and a compiled model that is dropped keeps
nothing. (`openvino.convert_model` is not used: it reports its use to the makers, as `libraries.py` says, and traces an
RRDBNet for 16 s.)

https://docs.openvino.ai/2026/openvino-workflow/running-inference.html
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from upscale_cli.inference.backends import libraries
from upscale_cli.inference.backends.array_session import MOST_SHAPES, EngineSession, Shapes
from upscale_cli.inference.backends.base import CodesSession, Enlarge
from upscale_cli.inference.backends.openvino_codes import CODES, with_codes
from upscale_cli.inference.backends.openvino_mixed import mixed_model
from upscale_cli.inference.backends.openvino_planes import enlarging
from upscale_cli.inference.backends.openvino_strips import in_strips
from upscale_cli.inference.backends.subpixels import put_subpixels
from upscale_cli.inference.cgroups import cores
from upscale_cli.inference.device import Device, cpu_adds_pairs_of_int8, cpu_multiplies_int8
from upscale_cli.models.graph_cache import graph_of
from upscale_cli.models.interface import LoadedNet, Precision

WEIGHT_BYTES: Final = 64 * 2**20
"""Of the weights of all shapes together, beyond which fewer are kept: each has its own copy."""

ELEMENT_TYPES: Final[dict[Precision, str]] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""Of int8 that of the layers in between; the graph itself says what is in 8 bits."""


@functools.cache
def core() -> Any:
    """OpenVINO itself, begun with the first net."""
    return libraries.openvino().Core()


def version() -> str:
    """As its makers number it, without the build.

    Raises:
        ImportError: it is not installed.
    """
    return str(libraries.openvino().get_version()).split("-")[0]


def precisions(device: str) -> frozenset[Precision]:
    """What a device computes in natively, by OpenVINO's own account."""
    found = set(core().get_property(device, "OPTIMIZATION_CAPABILITIES"))
    names: dict[str, Precision] = {"FP32": "fp32", "BF16": "bf16", "FP16": "fp16"}
    if device == "CPU" and (cpu_multiplies_int8() or cpu_adds_pairs_of_int8()):
        names["INT8"] = "int8"  # on others untried
    return frozenset({"fp32", *(names[name] for name in found & names.keys())})


def devices() -> list[str]:
    """What it sees on this machine: "CPU", "GPU" or "GPU.0", "NPU"."""
    return [str(name) for name in core().available_devices]


def full_name(device: str) -> str:
    """What a device calls itself."""
    return str(core().get_property(device, "FULL_DEVICE_NAME"))


def read(data: bytes) -> Any:
    """A model, from the bytes of an ONNX file.

    OpenVINO 2026.4.1 folds a Gather that permutes channels into the weights of the convolution after it, by the
    permutation where its inverse is needed, and computes something else without a word. It folds nothing that is an
    output of the model, so such a Gather is made one.

    Raises:
        RuntimeError: it is none, or OpenVINO does not know what it does.
    """
    model = core().read_model(data)
    for node in model.get_ops():
        if node.get_type_name() == "Gather":
            users = {user.get_node().get_type_name() for user in node.output(0).get_target_inputs()}
            if any("Convolution" in name for name in users):
                model.add_outputs(node.output(0))
    return model


class OpenVinoSession(EngineSession["_Compiled"]):
    """A net on a device of OpenVINO's, compiled for some shapes; see `EngineSession`.

    Args:
        model: openvino's, with free sides.
        device: "CPU", "GPU" or "NPU".
        precision: to compute in; the picture is float32 on both sides.
        requests: how many windows are computed at a time.
        threads: of the processor, for all of them together.
        many: windows of one shape will come: it is worth taking longer to compile.
    """

    def __init__(
        self, model: Any, device: str, precision: Precision, requests: int, threads: int, *, many: bool = False
    ) -> None:
        weights = sum(node.get_element_type().size * int(np.prod(node.get_output_shape(0)))
                      for node in model.get_ops() if node.get_type_name() == "Constant")  # fmt: skip
        super().__init__(requests, threads, max(1, min(MOST_SHAPES, WEIGHT_BYTES // max(1, weights))))
        self._model, self._device, self._precision, self._many = model, device, precision, many
        self._shared: list[OpenVinoSession] = []

    @property
    def concurrency(self) -> int:
        """Two at least, where there are cores for it: one waits while the other is computed, so that what is done
        before and after a net is done meanwhile."""
        return max(2, self._own) if self._threads > 1 else self._own

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        compiled = self.compiled(inputs)
        sr = np.empty(compiled.shape, compiled.dtype)
        with compiled.inferred(inputs, sr):
            return sr

    def compiled(self, inputs: Mapping[str, NDArray[Any]]) -> "_Compiled":
        """The net for inputs of such shapes."""
        shapes = {name: value.shape for name, value in inputs.items()}
        return self._begun_for(tuple(shapes.values()), lambda: _Compiled(self._compile(shapes)))

    def with_codes(self, zero: float, span: float, channels_last: int = 0, *, many: bool = False) -> CodesSession:
        """See `base.TakesCodes`."""
        model, block = with_codes(self._model, zero, span, channels_last)
        return _Codes(self._beside(model, self._precision, many=many), block, channels_last)

    def enlarging(self, kernels: NDArray[np.float32], before: tuple[int, int], after: tuple[int, int]) -> Enlarge:
        """See `base.EnlargesPlanes`."""
        model, block = enlarging(kernels, before, after)
        session = self._beside(model, "fp32")

        def enlarge(planes: NDArray[np.uint8], out: Sequence[NDArray[np.uint8]]) -> None:
            inputs = {CODES: planes}
            with session.compiled(inputs).inferred(inputs) as (places,):
                for one, plane in zip(places, out, strict=True):
                    put_subpixels(one, block, plane)

        return enlarge

    def _beside(self, model: Any, precision: Precision, *, many: bool = False) -> "OpenVinoSession":
        """A session that shares the processor as this one does."""
        session = OpenVinoSession(model, self._device, precision, self._own, self._threads, many=many)
        session.share(self._requests)
        self._shared.append(session)
        return session

    def share(self, callers: int) -> None:
        super().share(callers)
        for session in self._shared:
            session.share(callers)

    def _compile(self, shapes: Shapes) -> Any:
        model = self._model.clone()
        model.reshape({name: list(shape) for name, shape in shapes.items()})
        if self._many and self._device == "CPU" and self._precision != "int8":  # a quarter of the bytes: nothing gained
            model = in_strips(model)
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": ELEMENT_TYPES[self._precision]}
        if self._device == "CPU":
            settings |= {
                "PERFORMANCE_HINT": "LATENCY" if self._requests == 1 else "THROUGHPUT",
                "NUM_STREAMS": str(self._requests),
                "INFERENCE_NUM_THREADS": max(self._threads, self._requests),
                "ENABLE_CPU_PINNING": False,  # ffmpeg, and other runs, want the same cores
            }
        return core().compile_model(model, self._device, settings)


class _Compiled:
    """A net for one shape; as many requests as there are callers at a time.

    Attributes:
        shape, dtype: of the first output.
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        first = compiled.outputs[0]
        self.shape, self.dtype = tuple(first.shape), first.get_element_type().to_dtype()
        self._idle: list[Any] = []

    @contextmanager
    def inferred(
        self, inputs: Mapping[str, NDArray[Any]], out: NDArray[Any] | None = None
    ) -> Iterator[Sequence[NDArray[Any]]]:
        """All outputs; in memory that is used again afterwards.

        Args:
            out: contiguous, takes the first; to be given always or never.
        """
        openvino = libraries.openvino()
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        if out is not None:
            request.set_output_tensor(0, openvino.Tensor(out, shared_memory=True))
        for name, value in inputs.items():
            request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
        request.infer()
        yield [request.get_output_tensor(place).data for place in range(len(self._compiled.outputs))]
        self._idle.append(request)  # but for one that has failed


class _Codes:
    """See `base.CodesSession`.

    Args:
        session: of a net of codes.
        block: see `openvino_codes.Coded`.
        channels_last: see `openvino_codes.with_codes`.
    """

    def __init__(self, session: OpenVinoSession, block: int, channels_last: int) -> None:
        self._session, self._block, self._channels_last = session, block, channels_last

    def infer_codes(
        self, codes: NDArray[np.uint8], out: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.uint8], float]:
        inputs = {CODES: codes}
        compiled = self._session.compiled(inputs)
        if self._block == 1:
            sr = np.empty(compiled.shape, np.uint8) if out is None else out
            with compiled.inferred(inputs, sr) as (_, mean, *_):
                return sr, float(mean[0])
        batch, height, width = compiled.shape[:3]
        sides = self._block * height, self._block * width
        if out is None:
            out = np.empty((batch, *sides, 1) if self._channels_last else (batch, 1, *sides), np.uint8)
        with compiled.inferred(inputs) as (made, mean, *_):
            for places, plane in zip(made, out.reshape(batch, *sides), strict=True):
                put_subpixels(places, self._block, plane)
            return out, float(mean[0])


@dataclass(frozen=True, slots=True)
class OpenVino:
    """See `base.Backend`.

    Attributes:
        device: "CPU", "GPU" or "NPU".
        requests: how many windows are computed at a time.
    """

    device: str = "CPU"
    requests: int = 1
    takes_arrays: ClassVar[Literal[True]] = True

    @property
    def name(self) -> str:
        return "openvino"

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> OpenVinoSession:
        """A net at work; pictures come from the host and go back there.

        Raises:
            NotTranslatableError: it does something that only torch can.
            RuntimeError, MemoryError: as the library raises them.
        """
        assert device.type == "cpu", device
        if precision == "bf16" and net.descriptor.sensitive:
            model = mixed_model(core(), net, version(), lambda: read(graph_of(net, precision)))
        else:
            model = read(graph_of(net, precision))
        return OpenVinoSession(model, self.device, precision, self.requests, cores())
