"""What makes a job the same job as one that was killed: the input's content, and what decides about a pixel."""

import hashlib
import io
from pathlib import Path
from typing import Any, Final

from upscale_cli._version import __version__
from upscale_cli.files.work_folder import under_keys
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler

_DIGEST_BYTES: Final = 2**18
_DIGEST_PIECES: Final = 64
"""Of a source: how large, and how many pieces of it tell two apart."""


def digest(source: Path | bytes) -> str:
    """Of a file's size, and of pieces from all over it: reading a whole film would take minutes."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
        size = stream.seek(0, 2)
        sha256 = hashlib.sha256(str(size).encode())
        for number in range(_DIGEST_PIECES):
            stream.seek(max(0, size - _DIGEST_BYTES) * number // (_DIGEST_PIECES - 1))
            sha256.update(stream.read(_DIGEST_BYTES))
    return sha256.hexdigest()


def requested_options(upscaler: Upscaler, target: Target) -> dict[str, Any]:
    """Model, its options and the size, each under the name that the user knows."""
    model = upscaler.identity()
    return {
        "its checkpoints": model.pop("checkpoints"),
        **under_keys(**model),
        **under_keys(
            scale=target.scale, box=target.box, stretch=target.stretch, long_side=target.long_side,
            megapixels=target.megapixels,
        ),
        "this program's version": __version__,
    }  # fmt: skip
