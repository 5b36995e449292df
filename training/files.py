"""Pictures in, checkpoints out: what all trainings share."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from upscale_cli.export.checkpoint import safetensors_bytes

PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp"})


def picture_files(folder: Path) -> list[Path]:
    """Every picture under a folder, in the order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_ENDINGS)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a checkpoint, and its folder; nothing stands there before it is whole, and equal content is an equal file.

    Args:
        metadata: what the file says of itself, to which the keys of the modelspec standard are added.
    """
    data = safetensors_bytes({key: tensor.contiguous() for key, tensor in tensors.items()}, metadata, title=path.stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
