"""An ncnn net, from its two files to one of ours."""

from pathlib import Path
from typing import Final

from upscale_cli.errors import CheckpointError
from upscale_cli.models.interface import Recognised, SidecarMetadata
from upscale_cli.models.ncnn.blobs import read_blobs
from upscale_cli.models.ncnn.nets import recognise
from upscale_cli.models.ncnn.param import MOST_BYTES, NcnnError, parse_param

LARGEST_BYTES: Final = 2**31 - 1
"""Of the weights; those of the largest nets here have 34 MB."""


def read_ncnn(graph: Path, weights: Path, metadata: SidecarMetadata) -> Recognised:
    """The net of ours that the two files are.

    Raises:
        CheckpointError: one of them cannot be read, is damaged or quantised, or it is no net of ours.
    """
    if not graph.is_file():
        raise CheckpointError(f"{weights}: lacks {graph.name}, the graph of its weights. Put it next to it")
    try:
        layers = parse_param(_read(graph, MOST_BYTES))
        if not weights.is_file():
            raise NcnnError(f"lacks {weights.name}, which holds its weights. Put it next to it")
        return recognise(layers, read_blobs(layers, _read(weights, LARGEST_BYTES)), metadata)
    except NcnnError as error:
        raise CheckpointError(f"{graph}: {error}") from error


def _read(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise NcnnError(f"has more than {most:,} bytes ({path.name}), which no ncnn net has. Get the file again")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
