"""In which formats nets are written. Imports no torch."""

from typing import Final, Literal

Format = Literal["onnx", "openvino", "mpv", "safetensors"]

ENDINGS: Final[dict[Format, str]] = {"onnx": ".onnx", "openvino": ".xml", "mpv": ".glsl", "safetensors": ".safetensors"}

USUAL_SCALES: Final[dict[Format, int]] = {"onnx": 4, "openvino": 4, "mpv": 2, "safetensors": 4}
"""Where the user names none, as for photos and clips."""
