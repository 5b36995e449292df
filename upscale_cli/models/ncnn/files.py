"""The two files of an ncnn net, found by either of them or by what their names have in common. Imports no torch."""

from pathlib import Path
from typing import Final

from upscale_cli.files.names import is_file

GRAPH_ENDING: Final = ".param"
WEIGHTS_ENDING: Final = ".bin"


def ncnn_pair(path: Path) -> tuple[Path, Path] | None:
    """(graph, weights) that a path means; None where it means no ncnn net.

    `NAME.param`, `NAME.bin` with its graph next to it, or NAME where there is no such file and both are there.
    """
    ending = path.suffix.lower()
    if ending == GRAPH_ENDING:
        return (path, path.with_suffix(WEIGHTS_ENDING)) if is_file(path) else None
    if ending == WEIGHTS_ENDING:
        graph = path.with_suffix(GRAPH_ENDING)
        return (graph, path) if is_file(graph) or _is_of_ncnn(path) else None
    graph, weights = (Path(f"{path}{end}") for end in (GRAPH_ENDING, WEIGHTS_ENDING))
    return (graph, weights) if not is_file(path) and is_file(graph) else None


def _is_of_ncnn(path: Path) -> bool:
    """Whether a .bin is nothing that a checkpoint of another kind, or a page that was saved instead, begins with."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except (OSError, ValueError):
        return False
    return len(head) == 9 and not head.startswith((b"PK", b"\x80", b"<", b"version")) and head[8:] != b"{"
