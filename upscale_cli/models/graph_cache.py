"""The ONNX graph of a net as engines read it: as it came, as it was kept, or translated now, by torch."""

from upscale_cli.models import known
from upscale_cli.models.interface import LoadedNet, Precision
from upscale_cli.models.quantised import int8_model


def graph_of(net: LoadedNet, precision: Precision) -> bytes:
    """Serialised; see `onnx_graph.onnx_model`. In int8 it is the file that came with the weights; all others share one.

    Raises:
        NotTranslatableError: it does something that only torch can.
        CheckpointError: its file in 8 bits is not there, or is another.
        RuntimeError, MemoryError: as torch raises them.
    """
    if net.graph is not None:
        return net.graph.model
    if precision == "int8" and net.int8 is not None:
        return int8_model(net.int8)
    kept = known.fact(net, "graph.onnx")
    if kept is not None:
        return kept
    from upscale_cli.models.onnx_graph import onnx_bytes

    made = onnx_bytes(net)
    known.keep(net, "graph.onnx", made)
    return made
