"""OpenVINO: on Intel's and others' CPUs a good deal faster than torch; on Intel's GPUs and NPUs by name.

A net is read from its ONNX graph (`models/onnx_graph.py`) and compiled for one shape at a time: for each shape that a
model of free sides has met, OpenVINO 2026.4.1 keeps 0.4 MB for good, and a compiled model that is dropped keeps
nothing. (`openvino.convert_model` is not used: it reports its use to the makers, and traces an RRDBNet for 16 s.)

https://docs.openvino.ai/2026/openvino-workflow/running-inference.html
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from upscale_cli.inference.backends.array_session import MOST_SHAPES, EngineSession, Shapes
from upscale_cli.inference.backends.base import CodesSession
from upscale_cli.inference.backends.openvino_codes import with_codes
from upscale_cli.inference.backends.openvino_mixed import mixed_model
from upscale_cli.inference.cgroups import cores
from upscale_cli.inference.device import Device, cpu_multiplies_int8
from upscale_cli.models.graph_cache import graph_of
from upscale_cli.models.interface import LoadedNet, Precision

WEIGHT_BYTES: Final = 64 * 2**20
"""Of the weights of all shapes together, beyond which fewer are kept: each has its own copy."""

ELEMENT_TYPES: Final[dict[Precision, str]] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""Of int8 that of the layers in between; the graph itself says what is in 8 bits."""


@functools.cache
def core() -> Any:
    """OpenVINO itself, begun with the first net."""
    import openvino

    return openvino.Core()


def version() -> str:
    """As its makers number it, without the build.

    Raises:
        ImportError: it is not installed.
    """
    import openvino

    return str(openvino.get_version()).split("-")[0]


def precisions(device: str) -> frozenset[Precision]:
    """What a device computes in natively, by OpenVINO's own account."""
    found = set(core().get_property(device, "OPTIMIZATION_CAPABILITIES"))
    names: dict[str, Precision] = {"FP32": "fp32", "BF16": "bf16", "FP16": "fp16"}
    if device == "CPU" and cpu_multiplies_int8():
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
    """

    def __init__(self, model: Any, device: str, precision: Precision, requests: int, threads: int) -> None:
        weights = sum(node.get_element_type().size * int(np.prod(node.get_output_shape(0)))
                      for node in model.get_ops() if node.get_type_name() == "Constant")  # fmt: skip
        super().__init__(requests, threads, max(1, min(MOST_SHAPES, WEIGHT_BYTES // max(1, weights))))
        self._model, self._device, self._precision = model, device, precision
        self._with_codes: list[OpenVinoSession] = []

    @property
    def concurrency(self) -> int:
        """Two at least, where there are cores for it: one waits while the other is computed, so that what is done
        before and after a net is done meanwhile."""
        return max(2, self._own) if self._threads > 1 else self._own

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        shapes = {name: value.shape for name, value in inputs.items()}
        compiled = self._begun_for(tuple(shapes.values()), lambda: _Compiled(self._compile(shapes)))
        return compiled.infer(inputs)[0]

    def with_codes(self, zero: float, span: float, channels_last: int = 0) -> CodesSession:
        """See `base.TakesCodes`."""
        model = with_codes(self._model, zero, span, channels_last)
        session = OpenVinoSession(model, self._device, self._precision, self._own, self._threads)
        session.share(self._requests)
        self._with_codes.append(session)
        return session

    def share(self, callers: int) -> None:
        super().share(callers)
        for session in self._with_codes:
            session.share(callers)

    def infer_codes(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
        """See `base.CodesSession`; of a session that `with_codes` made."""
        compiled = self._begun_for((codes.shape,), lambda: _Compiled(self._compile({"codes": codes.shape}), 2))
        sr, mean = compiled.infer({"codes": codes})
        return sr, float(mean[0])

    def _compile(self, shapes: Shapes) -> Any:
        model = self._model.clone()
        model.reshape({name: list(shape) for name, shape in shapes.items()})
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
    """A net for one shape; as many requests as there are callers at a time."""

    def __init__(self, compiled: Any, wanted: int = 1) -> None:
        self._compiled = compiled
        outputs = compiled.outputs[:wanted]
        self._outputs = [(tuple(output.shape), output.get_element_type().to_dtype()) for output in outputs]
        self._idle: list[Any] = []

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """The outputs that are wanted, the first ones, the caller's own."""
        import openvino

        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        made = [np.empty(shape, dtype) for shape, dtype in self._outputs]
        for number, array in enumerate(made):
            request.set_output_tensor(number, openvino.Tensor(array, shared_memory=True))
        for name, value in inputs.items():
            request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
        request.infer()
        self._idle.append(request)
        return made


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
