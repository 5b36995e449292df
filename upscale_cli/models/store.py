"""Where checkpoint files are on this machine, and whether they are what they should be. Imports no torch.

The search path, in order:

1. the folders in UPSCALE_WEIGHTS (separated as in PATH), which are the user's: read, never written;
2. the bundled weights that came with the package;
3. the cache folder, which is ours: downloads go there;
4. folders that the user has added, and those of other programs (`added_folders`, `other_programs`): there only the
   official file counts, and what else bears its name is ignored.

The first folder that holds a usable file wins; within a folder the official file goes before its fallback.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upscale_cli.events import Say
from upscale_cli.files.names import is_file
from upscale_cli.models import settings
from upscale_cli.models.added_folders import added_folders
from upscale_cli.models.other_programs import below, program_folders
from upscale_cli.models.registry import KERNELS, MODELS, Spec, model_names
from upscale_cli.models.settings import write_cached as write_cached

SEARCH_PATH_VARIABLE: Final = "UPSCALE_WEIGHTS"
OFFLINE_VARIABLE: Final = "UPSCALE_OFFLINE"

CHECKPOINT_ENDINGS: Final = (".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".param")
"""Of files that are checkpoints whatever lies next to them; a .bin may be anything."""

Progress = Callable[[int, int | None], None]
"""Takes the bytes that are there, and how many there will be where that is known."""


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint file on this machine.

    Attributes:
        path: the file.
        pinned: its sha256 is the registry's. False for a fallback file in safetensors, which is known by its name only.
    """

    path: Path
    pinned: bool


def quiet(*_: object) -> None:
    """A `Say` and a `Progress` that report nothing."""


def weights_folders() -> list[Path]:
    """The search path, in order; folders that do not exist are among them."""
    return [*given_folders(), bundled_folder(), cache_folder()]


def given_folders() -> list[Path]:
    """Those in UPSCALE_WEIGHTS."""
    given = os.environ.get(SEARCH_PATH_VARIABLE, "").split(os.pathsep)
    return [Path(folder).expanduser() for folder in given if folder.strip()]


def bundled_folder() -> Path:
    """`upscale_cli/weights` in an installed package, `weights` next to the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "weights"
    return installed if installed.is_dir() else package.parent / "weights"


def cache_folder() -> Path:
    """Where downloads go.

    The user's cache folder rather than the data folder: backups leave it out, and what a cleaner takes from it
    can be had again. Files that should stay belong into a folder of UPSCALE_WEIGHTS.
    """
    return settings.user_cache()


def zoo_folder() -> Path:
    """Where models of OpenModelDB go (`zoo_fetch`)."""
    return cache_folder() / "openmodeldb"


def is_offline() -> bool:
    """Whether the user forbids the network: UPSCALE_OFFLINE is set to something other than 0, no, false or off."""
    return os.environ.get(OFFLINE_VARIABLE, "").strip().lower() not in ("", "0", "no", "false", "off")


def candidates(spec: Spec) -> Iterator[Path]:
    """Files on the search path that bear the name of a registry row's checkpoint, or of its fallback, in order."""
    for folder in weights_folders():
        for name in dict.fromkeys((spec.file, f"{spec.stem}.safetensors")):
            if is_file(folder / name):
                yield folder / name


def locate(spec: Spec, *, say: Say = quiet) -> Found | None:
    """The checkpoint of a registry row on the search path, or None.

    An official file must have its pinned sha256. One that has not is ignored and reported; a user's folder keeps it
    as it is, in the cache folder it is set aside as NAME.bad. A fallback file in safetensors is known by its name only:
    its keys and shapes are checked when it is loaded.
    """
    for path in candidates(spec):
        if path.name != spec.file:
            return Found(path, pinned=False)
        if _is_pinned(path, spec, ours=path.parent == cache_folder(), say=say):
            return Found(path, pinned=True)
    for path in _elsewhere(spec):
        if has_sha256(path, spec.size, spec.sha256):
            return Found(path, pinned=True)
    return None


def _elsewhere(spec: Spec) -> Iterator[Path]:
    """Files of that name in folders that were added, and in those of other programs."""
    if not spec.bundled:
        for added in added_folders():
            yield from (folder / spec.file for folder in (added, *(one.path for one in below(added))))
        yield from (folder.path / spec.file for folder in program_folders().folders)


def models_here() -> list[str]:
    """The models that can be used without the network, the best first; those that need no checkpoint come last."""
    found = {spec.model for spec in MODELS if locate(spec)} | set[str](KERNELS)
    return [name for name in model_names() if name in found]


def sha256_of(path: Path) -> str:
    """Of a file's contents, as lower-case hex.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_sha256(path: Path, size: int | None, sha256: str) -> bool:
    """Whether there is a file of that size (None: any) and sum."""
    try:
        stat = path.stat()
        return size in (None, stat.st_size) and _known_sha256(path, stat.st_size, stat.st_mtime_ns) == sha256
    except (OSError, ValueError):
        return False


@functools.lru_cache(maxsize=64)
def _known_sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    """Remembered for this process only: a stamp on disk would save 40 ms, and could be wrong."""
    return sha256_of(path)


def _is_pinned(path: Path, spec: Spec, *, ours: bool, say: Say) -> bool:
    """Whether a file of the right name is the right one; reports why not, and in our own folder makes room for it."""
    try:
        stat = path.stat()
        right_size = spec.size in (None, stat.st_size)
        if right_size and _known_sha256(path, stat.st_size, stat.st_mtime_ns) == spec.sha256:
            return True
        fault = f"{path}: is not the official file (its sha256 is not {spec.sha256})"
        if ours:
            aside = path.with_name(f"{path.name}.bad")
            path.replace(aside)
            say(f"{fault}; set aside as {aside.name}")
        else:
            say(f"{fault}; not used")
    except OSError as error:
        say(f"{path}: cannot be read or set aside ({error.strerror}); not used")
    return False
