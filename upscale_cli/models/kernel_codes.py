"""The matrix by which SRMD and its successors turn a blur kernel into codes: where it is, and how it is read.

It comes from a principal component analysis of random Gaussian kernels, and nets only understand the one that they were
trained with. It is part of no checkpoint: it lies next to one, on the search path, or is fetched.
"""

import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import CheckpointError, FetchError
from upscale_cli.files.names import is_file
from upscale_cli.models.registry import Spec
from upscale_cli.models.store import SEARCH_PATH_VARIABLE, cache_folder, is_offline, weights_folders

CODED_SIDE: Final = 15

SHAPE: Final = (15, CODED_SIDE**2)
"""Codes, and the pixels of a kernel of 15 x 15 column by column."""

NAMES: Final = ("srmd-pca.safetensors", "srmd_pca_matlab.mat", "srmd-pca.npy")

SOURCE: Final = Spec(
    model="srmd-pca", scale=1, arch="srmd", channels="rgb", file="srmd_pca_matlab.mat", size=None, macs=0,
    sha256="3b485dfbca9c38ced6b4fb56494882e0560be81522213cf8fc280e3ad095502a", unconfirmed=True,
    url="https://raw.githubusercontent.com/cszn/KAIR/fc1732f4a4514e42ce15e5b3a1e18c828af47a1e/kernels/srmd_pca_matlab.mat",
    licence="MIT, (c) Kai Zhang", about="kernels to codes, for SRMD",
)  # fmt: skip
"""Where it can be had."""

LARGEST: Final = 1 << 24
"""Bytes of such a file; the largest has 27 kB."""


def matrix(near: Path | None, wanted_by: str) -> NDArray[np.float32]:
    """(15, 225) float32: codes = matrix @ kernel, its pixels column by column.

    Args:
        near: the folder that is looked into first.
        wanted_by: what cannot do without it, for the message.

    Raises:
        CheckpointError: it is not on this machine and could not be fetched, or is damaged.
    """
    for folder in ([] if near is None else [near]) + weights_folders():
        for name in NAMES:
            if is_file(folder / name):
                return read(folder / name)
    if not is_offline():
        from upscale_cli.models.fetch import fetch

        try:
            return read(fetch(SOURCE, cache_folder()))
        except FetchError as error:
            reason = f" and could not be fetched ({str(error).partition('. ')[0]})"
    else:
        reason = ""
    raise CheckpointError(
        f"{wanted_by}: also needs {NAMES[0]}, by which kernels become codes: it is not here{reason}. Put it, or "
        f"{SOURCE.url}, next to the checkpoint or into a folder of {SEARCH_PATH_VARIABLE}"
    )


def codes_of(kernel: NDArray[np.float64], wanted_by: str) -> NDArray[np.float32]:
    """(15,) float32 of a kernel of 15 x 15.

    Raises:
        CheckpointError: see `matrix`.
    """
    return np.asarray(matrix(None, wanted_by) @ kernel.flatten(order="F"), np.float32)


def read(path: Path) -> NDArray[np.float32]:
    """The matrix in a file.

    Raises:
        CheckpointError: there is none.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("too large")
        if path.suffix == ".npy":
            found = np.load(path, allow_pickle=False)
        elif path.suffix == ".mat":
            found = _matlab(path.read_bytes())
        else:
            from safetensors.numpy import load_file

            found = load_file(path)["P"]
    except Exception as error:  # bytes of unknown origin: anything can fail
        raise CheckpointError(f"{path}: holds no matrix of kernel codes. Get the file again") from error
    if found.shape != SHAPE or not np.isfinite(found).all():
        raise CheckpointError(
            f"{path}: holds an array of shape {found.shape}, where one of {SHAPE} is wanted. Get the file again"
        )
    return np.ascontiguousarray(found, dtype=np.float32)


def _matlab(data: bytes) -> NDArray[np.float64]:
    """The first matrix of doubles in a MAT-file of level 5.

    "MAT-File Format", MathWorks, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
    """
    order = "<" if data[126:128] == b"IM" else ">"
    at = 128
    while at < len(data):
        kind, size = np.frombuffer(data, f"{order}u4", 2, at)
        element = data[at + 8 : at + 8 + int(size)]
        if kind == 15:  # compressed: one element more inside
            inside = zlib.decompressobj().decompress(element, LARGEST)
            kind, element = int(np.frombuffer(inside, f"{order}u4", 1)[0]), inside[8:]
        if kind == 14:
            found = _doubles(element, order)
            if found is not None:
                return found
        at += 8 + int(size)
    raise ValueError("no matrix")


def _doubles(element: bytes, order: str) -> NDArray[np.float64] | None:
    """What follows the tag of a matrix: flags, dimensions, name and values, each with a tag of its own."""
    parts: list[tuple[int, bytes]] = []
    at = 0
    while at < len(element) and len(parts) < 4:
        first, size = (int(number) for number in np.frombuffer(element, f"{order}u4", 2, at))
        if first >> 16:  # a short one: size, kind and up to four bytes of data share eight
            kind, start, size = first & 0xFFFF, at + 4, first >> 16
            at += 8
        else:
            kind, start = first, at + 8
            at = start + -(-size // 8) * 8
        parts.append((kind, element[start : start + size]))
    if len(parts) < 4 or parts[3][0] != 9:
        return None
    shape = np.frombuffer(parts[1][1], f"{order}i4")
    return np.frombuffer(parts[3][1], f"{order}f8").reshape(shape, order="F")
