"""ONNX Runtime: nets on what its providers reach, by name. Tried with the CPU's provider; the others are untried.

One session takes windows of any shape. By default it would plan its memory anew for each shape it meets and keep every
plan (36 MB over 300 shapes, version 1.32.0, and 6 MB without plans); and its
threads would spin while they wait, on cores that ffmpeg wants (1.7 times slower on 2 cores that others use, too).

https://onnxruntime.ai/docs/api/python/api_summary.html, https://onnxruntime.ai/docs/execution-providers/
"""

import hashlib
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from upscale_cli.events import Say, unreported
from upscale_cli.inference.backends import libraries
from upscale_cli.inference.backends.array_session import EngineSession, Shapes
from upscale_cli.inference.cgroups import cores
from upscale_cli.inference.device import Device
from upscale_cli.models import store
from upscale_cli.models.graph_cache import graph_of
from upscale_cli.models.interface import INPUT, OUTPUT, LoadedNet, Precision


@dataclass(frozen=True, slots=True)
class Provider:
    """What ONNX Runtime calls a kind of device, and how it is told to compute in half precision.

    Attributes:
        name: ONNX Runtime's.
        package: of PyPI, that brings it.
        half: options that make it compute in fp16 by itself; None: it computes in what the graph has.
        bears_fp16: it has half precision at all.
        by_shape: it compiles for one shape at a time.
    """

    name: str
    package: str
    half: Mapping[str, str] | None = None
    bears_fp16: bool = True
    by_shape: bool = False


PROVIDERS: Final[Mapping[str, Provider]] = {
    "cpu": Provider("CPUExecutionProvider", "onnxruntime", bears_fp16=False),
    "cuda": Provider("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": Provider("TensorrtExecutionProvider", "onnxruntime-gpu", {"trt_fp16_enable": "1"}, by_shape=True),
    "directml": Provider("DmlExecutionProvider", "onnxruntime-directml"),
    "coreml": Provider("CoreMLExecutionProvider", "onnxruntime"),
    "migraphx": Provider("MIGraphXExecutionProvider", "onnxruntime-rocm", {"migraphx_fp16_enable": "1"}),
    "openvino": Provider("OpenVINOExecutionProvider", "onnxruntime-openvino", {"precision": "FP16"}),
}
"""By the names that engines go by: "onnxruntime:cpu"."""

_QUIET: Final = 3  # errors

TOLD_EVERY: Final = 15.0
"""Seconds between two lines about what is still being built."""


def version() -> str:
    """Of the library.

    Raises:
        ImportError: it is not installed.
    """
    return str(libraries.onnxruntime().__version__)


def available() -> list[str]:
    """The providers that this build has, by our names; whether there is a device for each shows when it is used."""
    built = libraries.onnxruntime().get_available_providers()
    return [ours for ours, provider in PROVIDERS.items() if provider.name in built]


def engine_folder() -> Path:
    """Where TensorRT's engines are kept, a folder for each net, shape, precision, device and version."""
    return store.cache_folder() / "tensorrt"


class OnnxRuntimeSession(EngineSession[Any]):
    """A net by one provider; see `EngineSession`.

    Args:
        model: ONNX, of free sides.
        provider: by our name.
        precision: to compute in; the picture is float32 on both sides.
        requests: how many windows are computed at a time.
        threads: of the processor, for all of them together.
        say: takes what the user should know, also from other threads.
    """

    def __init__(
        self, model: bytes, provider: str, precision: Precision, requests: int, threads: int,
        say: Say = unreported,
    ) -> None:  # fmt: skip
        super().__init__(requests, threads)
        self._say = say
        self._provider, self._precision = provider, precision
        its = PROVIDERS[provider]
        self._model = _halved(model) if precision == "fp16" and its.half is None else model
        if not its.by_shape:
            self._session_for({})  # what it does not know shows at once

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        session = self._session_for({name: value.shape for name, value in inputs.items()})
        with _as_python_raises():
            (sr,) = session.run([OUTPUT], dict(inputs))
        return np.asarray(sr)

    def _session_for(self, shapes: Shapes) -> Any:
        key = tuple(shapes.values()) if PROVIDERS[self._provider].by_shape else ()
        return self._begun_for(key, lambda: self._begin(shapes))

    def _begin(self, shapes: Shapes) -> Any:
        onnxruntime = libraries.onnxruntime()
        its = PROVIDERS[self._provider]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _QUIET
        options.enable_mem_pattern = False
        options.intra_op_num_threads = max(1, self._threads - self._requests + 1)  # the callers' own are among them
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings = dict(its.half or {}) if self._precision == "fp16" else {}
        if its.by_shape:
            for name, length in zip(("batch", "height", "width"), (shapes[INPUT][at] for at in (0, 2, 3)), strict=True):
                options.add_free_dimension_override_by_name(name, length)
        building: AbstractContextManager[None] = nullcontext()
        if self._provider == "tensorrt":
            folder = _engine_folder_of(self._model, shapes, self._precision)
            settings |= _kept_engines(folder)
            if not any(folder.iterdir()):
                height, width = shapes[INPUT][2:]
                building = _reported(self._say, f"TensorRT builds an engine for windows of {width} x {height} pixels")
        providers: list[Any] = [(its.name, settings)] if settings else [its.name]
        if self._provider != "cpu":
            providers.append(PROVIDERS["cpu"].name)  # for what the other leaves out
        with building, _as_python_raises(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a provider is left out, which is seen below
            session = onnxruntime.InferenceSession(self._model, options, providers=providers)
        if its.name not in session.get_providers():  # it was left out with a line in the log, and the CPU has it all
            raise RuntimeError(f"{its.name} finds no device, or lacks a library it needs")
        return session


def _halved(model: bytes) -> bytes:
    import onnx

    from upscale_cli.models.onnx_half import halve

    half = onnx.load_model_from_string(model)
    halve(half)
    return bytes(half.SerializeToString())


@contextmanager
def _as_python_raises() -> Iterator[None]:
    """ONNX Runtime's exceptions are derived from none of Python's but the most general.

    Raises:
        MemoryError, RuntimeError: instead of its own.
    """
    try:
        yield
    except (RuntimeError, ValueError, MemoryError):
        raise
    except Exception as error:
        text = str(error)
        if "allocate memory" in text or "bad_alloc" in text:
            raise MemoryError(text) from error
        raise RuntimeError(text) from error


@contextmanager
def _reported(say: Say, what: str) -> Iterator[None]:
    """Says that something is done that takes minutes, and from time to time that it still is."""
    say(f"{what}, which takes it minutes; it is kept for the next time.")
    begin, done = time.monotonic(), threading.Event()

    def go_on() -> None:
        while not done.wait(TOLD_EVERY):
            say(f"{what}: {time.monotonic() - begin:.0f} s so far.")

    thread = threading.Thread(target=go_on, name="building", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _engine_folder_of(model: bytes, shapes: Shapes, precision: Precision) -> Path:
    """Made here: where an engine is kept, by all that it depends on; TensorRT tells devices apart by itself as well."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "unknown"
    parts = hashlib.sha256(model).hexdigest(), repr(sorted(shapes.items())), precision, device, version()
    folder = engine_folder() / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _kept_engines(folder: Path) -> dict[str, str]:
    """TensorRT's options to keep what it builds."""
    return {
        "trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder), "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(engine_folder()),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    """See `base.Backend`.

    Attributes:
        provider: by our name.
        requests: how many windows are computed at a time.
        say: takes what the user should know.
    """

    provider: str = "cpu"
    requests: int = 1
    say: Say = field(default=unreported, compare=False)
    takes_arrays: ClassVar[Literal[True]] = True

    @property
    def name(self) -> str:
        return f"onnxruntime:{self.provider}"

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> OnnxRuntimeSession:
        """A net at work; pictures come from the host and go back there.

        Raises:
            NotTranslatableError: it does something that only torch can.
            RuntimeError, MemoryError: as the library raises them.
        """
        assert device.type == "cpu", device
        return OnnxRuntimeSession(graph_of(net, precision), self.provider, precision, self.requests, cores(), self.say)
