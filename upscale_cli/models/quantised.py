"""Nets in 8 bits: the bundled files that rows of the registry name, for engines that read ONNX. Imports no torch."""

import hashlib
from pathlib import Path

from upscale_cli.errors import CheckpointError
from upscale_cli.models.interface import Int8File
from upscale_cli.models.registry import MODELS
from upscale_cli.models.store import bundled_folder, sha256_of


def int8_of(path: Path) -> Int8File | None:
    """What is bundled in 8 bits of the net of a checkpoint file, which is known by its sum."""
    try:
        size = path.stat().st_size
        alike = [spec for spec in MODELS if spec.int8 is not None and spec.size == size]
        found = sha256_of(path) if alike else ""
    except OSError:
        return None
    return next((spec.int8 for spec in alike if spec.sha256 == found), None)


def int8_model(its: Int8File) -> bytes:
    """Serialised ONNX.

    Raises:
        CheckpointError: the file is not there, or is another.
    """
    path = bundled_folder() / its.file
    try:
        model = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}. Install upscale-cli again") from error
    if hashlib.sha256(model).hexdigest() != its.sha256:
        raise CheckpointError(f"{path}: is not the file that came with upscale-cli. Install it again")
    return model
