"""The engines that this machine has, by name: what each can do, and what makes it. None is imported to be asked for.

A name is that of a library, "torch" or "openvino", or that and of what it runs on: "openvino:gpu", "onnxruntime:cpu".
"""

import importlib.util
import os
import re
from collections.abc import Iterator
from typing import Final

from upscale_cli.errors import DeviceError, OptionError, printable
from upscale_cli.events import Say, unreported
from upscale_cli.inference.backends.base import Backend
from upscale_cli.inference.cgroups import cores
from upscale_cli.inference.device import cpu_multiplies_int8, processor_name
from upscale_cli.inference.options import BY_OPENVINO, ENGINES
from upscale_cli.messages import option
from upscale_cli.models.interface import Precision

TORCH: Final = "torch"
OPENVINO: Final = "openvino"
ONNXRUNTIME: Final = "onnxruntime"

INTEL: Final = dict(zip(("openvino:gpu", "openvino:npu"), BY_OPENVINO, strict=True))
"""Engines that are asked for by a device, and that device."""

HALF: Final = frozenset({*INTEL, *(f"onnxruntime:{name}" for name in ("cuda", "tensorrt", "directml", "migraphx"))})
"""Engines on GPUs and the like, which are twice as fast in half precision."""

LONGEST_REASON: Final = 200
"""Characters of what an engine says is wrong."""

_PLACES: Final = ("Exception from ", "Check '", "FrontEnd API failed", "Model wasn't fully", "Summary:")
"""What lines of OpenVINO's errors begin with that say nothing to users."""

_ONNXRUNTIME_CODE: Final = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")

KNOWN: Final = frozenset({*ENGINES, *INTEL}) - {"auto", ONNXRUNTIME}
"""What a choice may name."""


def canonical(engine: str) -> str:
    """One name for each engine.

    >>> canonical("onnxruntime")
    'onnxruntime:cpu'
    """
    return "onnxruntime:cpu" if engine == ONNXRUNTIME else engine


def parts(engine: str) -> tuple[str, str]:
    """(library, what it runs on)."""
    library, _, device = engine.partition(":")
    return library, device or "cpu"


def is_installed(engine: str) -> bool:
    """Whether its library is here; it is not imported for that."""
    library = parts(engine)[0]
    return library == TORCH or importlib.util.find_spec(library) is not None


def version(engine: str) -> str:
    """Of its library; "" for torch, whose versions were seen to give the same pictures."""
    match parts(engine)[0]:
        case "torch":
            return ""
        case "openvino":
            from upscale_cli.inference.backends import openvino

            return openvino.version()
        case _:
            from upscale_cli.inference.backends import onnxruntime

            return onnxruntime.version()


def precisions(engine: str) -> frozenset[Precision]:
    """What an engine that is installed computes in."""
    library, device = parts(engine)
    if library == OPENVINO:
        from upscale_cli.inference.backends import openvino

        return openvino.precisions(device.upper())
    if library == ONNXRUNTIME:
        from upscale_cli.inference.backends import onnxruntime

        found: set[Precision] = {"fp32"}
        if onnxruntime.PROVIDERS[device].bears_fp16:
            found.add("fp16")
        if device == "cpu" and cpu_multiplies_int8():
            found.add("int8")
        return frozenset(found)
    return frozenset({"fp32", "fp16", "bf16"})


def check(engine: str) -> None:
    """Refuses an engine whose library is installed, but does not reach what it is to run on.

    Raises:
        OptionError: it was built without that.
        DeviceError: there is no such device.
    """
    library, device = parts(engine)
    if library == ONNXRUNTIME:
        from upscale_cli.inference.backends import onnxruntime

        here = onnxruntime.available()
        if device not in here:
            raise OptionError(
                f"{option('engine', engine)} is not in this build of ONNX Runtime, which has {', '.join(here)}. "
                f"Choose {option('engine', f'{ONNXRUNTIME}:{here[0]}')}, or install it: pip install {package(engine)}"
            )
    if engine in INTEL:
        from upscale_cli.inference.backends import openvino

        seen = openvino.devices()
        if not any(name == device.upper() or name.startswith(f"{device.upper()}.") for name in seen):
            raise DeviceError(
                f"device {INTEL[engine]}: OpenVINO sees {', '.join(seen)} on this machine. Check the driver, or choose "
                f"{option('device', 'cpu')}."
            )


def asked_as(engine: str) -> str:
    """The option that an engine is asked for by."""
    return option("device", INTEL[engine]) if engine in INTEL else option("engine", engine)


def package(engine: str) -> str:
    """What pip is to install for it."""
    library, device = parts(engine)
    if library == OPENVINO or device == "cpu":
        return f'"upscale-cli[{library}]"'
    from upscale_cli.inference.backends.onnxruntime import PROVIDERS

    return f"{PROVIDERS[device].package}"


def told(error: BaseException) -> str:
    """What an engine's error says, in one line: where in its source it arose is left out.

    >>> told(RuntimeError("Exception from src/core.cpp:105:\\nCheck 'false' failed at src/a.cpp:1:\\nNo such node\\n"))
    'No such node'
    """
    lines = [line.removeprefix("-- ").strip() for line in str(error).splitlines()]
    lines = [_ONNXRUNTIME_CODE.sub("", line) for line in lines if line and not line.startswith(_PLACES)]
    return printable(lines[0])[:LONGEST_REASON].rstrip(".: ") if lines else type(error).__name__


def callers(engine: str) -> Iterator[int]:
    """How many windows at a time are worth trying."""
    _, device = parts(engine)
    if engine == TORCH or (device not in ("cpu", "gpu", "npu")):
        yield 1
        return
    most = cores() if device == "cpu" else 4
    yield from (count for count in ((1, 2, 4) if parts(engine)[0] == OPENVINO else (1, 2)) if count <= most)


def backend(engine: str, requests: int, say: Say = unreported) -> Backend:
    """What makes an engine's sessions.

    Args:
        say: takes what the user should know: that something takes long.
    """
    library, device = parts(engine)
    if library == OPENVINO:
        from upscale_cli.inference.backends.openvino import OpenVino

        return OpenVino(device.upper(), requests)
    if library == ONNXRUNTIME:
        from upscale_cli.inference.backends.onnxruntime import OnnxRuntime

        return OnnxRuntime(device, requests, say)
    from upscale_cli.inference.backends.torch_eager import TORCH_EAGER

    return TORCH_EAGER


def devices(engine: str) -> list[str]:
    """What an engine's library sees here, for people."""
    match parts(engine)[0]:
        case "openvino":
            from upscale_cli.inference.backends import openvino

            return [f"{name} ({openvino.full_name(name)})" for name in openvino.devices()]
        case "onnxruntime":
            from upscale_cli.inference.backends import onnxruntime

            return onnxruntime.available()
        case _:
            return []


def machine() -> str:
    """What decides how fast an engine is here: the processor, as the system knows it, and how many threads it has."""
    return f"{processor_name()}, {cores()} threads"


def installed_as(engine: str) -> str:
    """What changes whenever its library is installed anew; "" where it is not here. It is not imported for that."""
    found = importlib.util.find_spec(parts(engine)[0])
    if found is None or found.origin is None:
        return ""
    try:
        stat = os.stat(found.origin)
    except OSError:
        return found.origin
    return f"{found.origin} {stat.st_size} {stat.st_mtime_ns}"
