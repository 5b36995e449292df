"""An ONNX model as OpenVINO's own two files: NAME.xml, the graph, and NAME.bin, its weights."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.files.atomic_file import OutputFile
from upscale_cli.inference.backends import libraries

if TYPE_CHECKING:
    import onnx


def weights_path(graph: Path) -> Path:
    """Where OpenVINO looks for the weights of a graph."""
    return graph.with_suffix(".bin")


def openvino_ir(model: "onnx.ModelProto", *, fp16: bool) -> tuple[bytes, bytes]:
    """Graph and weights.

    Args:
        fp16: store the weights in half precision; what they are computed in is the device's choice.
    """
    openvino = libraries.openvino()
    converted = openvino.Core().read_model(model.SerializeToString(), b"")
    facts: Mapping[str, str] = {prop.key: prop.value for prop in model.metadata_props}
    for key, value in facts.items():
        converted.set_rt_info(value, ["upscale", key])
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "net.xml"
        openvino.save_model(converted, graph, compress_to_fp16=fp16)
        return graph.read_bytes(), weights_path(graph).read_bytes()


def write_pair(path: Path, graph: bytes, weights: bytes, *, overwrite: bool) -> None:
    """Writes both files, or none: no graph ever stands beside weights that are not its own.

    Raises:
        OutputError: one of them exists, or cannot be written.
    """
    beside = weights_path(path)
    is_placed = False
    try:
        with OutputFile(path, overwrite=overwrite) as first:
            first.write(graph)
            with OutputFile(beside, overwrite=overwrite) as second:
                second.write(weights)
                if overwrite:
                    path.unlink(missing_ok=True)
            is_placed = True
    except BaseException:
        if is_placed:
            beside.unlink(missing_ok=True)
        raise
