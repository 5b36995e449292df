"""The ONNX graph of a net as engines read it: as it came, as it was kept, or translated now, by torch."""

from upscale_cli.models import known
from upscale_cli.models.interface import LoadedNet


def graph_of(net: LoadedNet) -> bytes:
    """Serialised; see `onnx_graph.onnx_model`.

    Raises:
        NotTranslatableError: it does something that only torch can.
        RuntimeError, MemoryError: as torch raises them.
    """
    if net.graph is not None:
        return net.graph.model
    kept = known.fact(net, "graph.onnx")
    if kept is not None:
        return kept
    from upscale_cli.models.onnx_graph import onnx_bytes

    made = onnx_bytes(net)
    known.keep(net, "graph.onnx", made)
    return made
