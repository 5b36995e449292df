"""Pictures in, checkpoints out: what all trainings share."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp"})


def picture_files(folder: Path) -> list[Path]:
    """Every picture under a folder, in the order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_ENDINGS)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a checkpoint, and its folder; nothing stands there before it is whole, and equal content is an equal file.

    The header's keys are sorted, for the library writes the metadata in a new order each time: two trainings that agree
    in every weight would still differ in their sha256.
    """
    content = save({key: tensor.contiguous() for key, tensor in tensors.items()}, metadata=dict(metadata))
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format wants its tensors aligned to 8 bytes
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    part.replace(path)
