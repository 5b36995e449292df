"""The libraries of engines, loaded so that they report their use to nobody. By themselves both of them do.

OpenVINO 2026.4.1 does it in every process that imports it: its package loads a converter, which is not used here, and
that sends an event to Google Analytics by a process of its own, and writes an identity into the user's home. Without
the converter OpenVINO is there in two thirds of the time. ONNX Runtime 1.32.0, on Linux, macOS and Windows, sends what
machine it runs on, and keeps an identity in the user's cache folder. Only this file imports them.

https://docs.openvino.ai/2026/about-openvino/additional-resources/telemetry.html,
https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
"""

import os
import sys
from typing import Any, Final

_CONVERTER: Final = "openvino.tools.ovc"


def openvino() -> Any:
    """OpenVINO.

    Raises:
        ImportError: it is not installed.
    """
    is_first = "openvino" not in sys.modules
    if is_first:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # not to be found, which OpenVINO is content with
    try:
        import openvino
    finally:
        if is_first:
            sys.modules.pop(_CONVERTER, None)
    if is_first:
        openvino.__getattr__ = _late
    return openvino


def _late(name: str) -> Any:
    """The converter, where another part of a Python user's program asks OpenVINO for it."""
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    from openvino.tools.ovc import convert_model

    return convert_model


def onnxruntime() -> Any:
    """ONNX Runtime.

    Raises:
        ImportError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it is read when the library is loaded
    import onnxruntime

    return onnxruntime
