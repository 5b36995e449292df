"""Folders in which other programs keep checkpoints of upscalers, so that nobody has to copy theirs. Imports no torch.

Looked at are a few well-known places of the user's home and what those programs have written down about theirs; no disk
is searched. What their files say is read, and never written:

- ComfyUI: `models/upscale_models` and the `upscale_models` of `extra_model_paths.yaml` below its folder
  (https://docs.comfy.org/development/core-concepts/models); the desktop's `extra_models_config.yaml` and `basePath`;
  the workspaces of comfy-cli; COMFYUI_PATH;
- stable-diffusion-webui and its kin: `models/ESRGAN`, `models/RealESRGAN`, ... below their folder; SD_MODELSDIR;
- Stability Matrix: `Models/ESRGAN`, ...;
- chaiNNer: the folders that its nodes last loaded a model from.
"""

import configparser
import functools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LARGEST_SETTING: Final = 1 << 20
"""Bytes of a file of another program's settings; they have some kB."""

COMFY_FOLDER: Final = "upscale_models"

WEBUI_FOLDERS: Final = ("ESRGAN", "RealESRGAN", "BSRGAN", "SwinIR", "ScuNET", "DAT", "HAT", "GRL", "SRFormer", "PLKSR")
"""Below `models`, by architecture, where stable-diffusion-webui and those that came after it have upscalers."""

EXTRA_PATHS: Final = "extra_model_paths.yaml"

VARIABLES: Final = ("COMFYUI_PATH", "SD_MODELSDIR")
"""Of other programs."""

COMFY_PLACES: Final = (
    "ComfyUI", "comfy/ComfyUI", "Documents/ComfyUI", "Documents/comfy/ComfyUI", "ComfyUI_windows_portable/ComfyUI",
    "Documents/ComfyUI_windows_portable/ComfyUI", "Downloads/ComfyUI_windows_portable/ComfyUI",
    "Desktop/ComfyUI_windows_portable/ComfyUI",
)  # fmt: skip
WEBUI_PLACES: Final = (
    "stable-diffusion-webui", "stable-diffusion-webui-forge", "stable-diffusion-webui-reForge", "automatic", "sdnext",
    "Documents/stable-diffusion-webui", "Documents/stable-diffusion-webui-forge",
)  # fmt: skip
MATRIX_PLACES: Final = ("StabilityMatrix", "StabilityMatrix/Data", "Documents/StabilityMatrix/Data")
"""Below the user's home; on Windows below C:\\ as well."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder with checkpoints.

    Attributes:
        path: of the folder, which exists.
        origin: whose it is, for people: "ComfyUI".
        is_deep: folders in it are looked into as well.
    """

    path: Path
    origin: str
    is_deep: bool = True


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What was found.

    Attributes:
        folders: each once, in the order in which they count.
        faults: what is wrong with settings of theirs that could not be read, a line each.
    """

    folders: tuple[ModelFolder, ...]
    faults: tuple[str, ...]


def home() -> Path:
    """Of the user."""
    return Path("~").expanduser()


def program_folders() -> Surveyed:
    """The folders of other programs; looked for once in a process, for as long as the environment stays as it is."""
    names = (*VARIABLES, "APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME")
    return _surveyed(home(), tuple((name, os.environ[name]) for name in names if os.environ.get(name)), sys.platform)


@functools.lru_cache(maxsize=8)
def _surveyed(home: Path, environment: tuple[tuple[str, str], ...], system: str) -> Surveyed:
    faults: list[str] = []
    return Surveyed(tuple(_once(_places(home, dict(environment), system, faults))), tuple(faults))


def below(root: Path, faults: list[str] | None = None) -> list[ModelFolder]:
    """The folders with upscalers below the folder of a program, if it is that of one that is known; else none."""
    return list(_once([*_of_comfy(root, faults if faults is not None else []), *_of_webui(root / "models", "webui")]))


def _places(home: Path, environment: Mapping[str, str], system: str, faults: list[str]) -> Iterator[ModelFolder]:
    data = _application_data(home, environment, system)
    homes = (home, Path("C:/")) if system == "win32" else (home,)
    for root in (
        *_comfy_roots(home, environment, system, data),
        *(top / name for top in homes for name in COMFY_PLACES),
    ):
        yield from _of_comfy(root, faults)
    yield from _of_extra_paths(data / "ComfyUI" / "extra_models_config.yaml", faults)
    if given := environment.get("SD_MODELSDIR"):
        yield from _of_webui(Path(given).expanduser(), "SD_MODELSDIR")
    for top in homes:
        for name in WEBUI_PLACES:
            yield from _of_webui(top / name / "models", name.rpartition("/")[2])
    for root in (data / "StabilityMatrix", *(top / name for top in homes for name in MATRIX_PLACES)):
        yield from _of_webui(root / "Models", "Stability Matrix")
    yield from _of_chainner(data / "chaiNNer" / "settings.json")


def _application_data(home: Path, environment: Mapping[str, str], system: str) -> Path:
    """Where programs of Electron and the like keep their settings."""
    if system == "win32":
        return Path(environment.get("APPDATA") or home / "AppData" / "Roaming")
    if system == "darwin":
        return home / "Library" / "Application Support"
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config")


def _comfy_roots(home: Path, environment: Mapping[str, str], system: str, data: Path) -> Iterator[Path]:
    """Folders of ComfyUI that somebody has written down."""
    if given := environment.get("COMFYUI_PATH"):
        yield Path(given).expanduser()
    local = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") if system == "win32" else data
    with suppress(configparser.Error, KeyError):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(_text(local / "comfy-cli" / "config.ini"))
        for key in ("default_workspace", "recent_workspace"):
            if place := parser["DEFAULT"].get(key):
                yield Path(place).expanduser()
    base = _json(data / "ComfyUI" / "config.json").get("basePath")
    if isinstance(base, str) and base:
        yield Path(base).expanduser()


def _of_comfy(root: Path, faults: list[str]) -> Iterator[ModelFolder]:
    yield from _existing(root / "models" / COMFY_FOLDER, "ComfyUI")
    yield from _of_extra_paths(root / EXTRA_PATHS, faults)


def _of_webui(models: Path, origin: str) -> Iterator[ModelFolder]:
    for name in WEBUI_FOLDERS:
        yield from _existing(models / name, origin)


def _of_extra_paths(path: Path, faults: list[str]) -> Iterator[ModelFolder]:
    """The `upscale_models` of a file that tells ComfyUI of further folders; those of default sections come first."""
    text = _text(path)
    if not text:
        return
    import yaml

    try:
        sections = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date that is none
        mark = getattr(error, "problem_mark", None)
        faults.append(f"{path}: is not YAML{f' from line {mark.line + 1} on' if mark else ''}; not used")
        return
    listed = [section for section in (sections.values() if isinstance(sections, dict) else ()) if _names_any(section)]
    for section in sorted(listed, key=lambda section: str(section.get("is_default", "")).lower() != "true"):
        given = section.get("base_path")
        base = path.parent / _expanded(given) if isinstance(given, str) else path.parent
        for line in section[COMFY_FOLDER].splitlines():
            if line.strip():
                yield from _existing(base / _expanded(line.strip()), "ComfyUI")


def _names_any(section: object) -> bool:
    return isinstance(section, dict) and isinstance(section.get(COMFY_FOLDER), str)


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111  # of a piece of a path, too


def _of_chainner(settings: Path) -> Iterator[ModelFolder]:
    """The folders that chaiNNer remembers for the nodes that load models: it has none of its own."""
    storage = _json(settings).get("storage")
    remembered = storage.get("lastDirectories") if isinstance(storage, dict) else None
    for node, place in remembered.items() if isinstance(remembered, dict) else ():
        if "load_model" in node and isinstance(place, str) and place:
            yield from _existing(Path(place), "chaiNNer", is_deep=False)


def _existing(folder: Path, origin: str, *, is_deep: bool = True) -> Iterator[ModelFolder]:
    with suppress(OSError, ValueError):  # a name that cannot be; a folder that may not be entered
        if folder.is_dir():
            yield ModelFolder(Path(os.path.normpath(folder)), origin, is_deep)


def _once(folders: "Iterator[ModelFolder] | list[ModelFolder]") -> Iterator[ModelFolder]:
    seen = set()
    for folder in folders:
        place = os.path.normcase(os.path.realpath(folder.path))
        if place not in seen:
            seen.add(place)
            yield folder


def _text(path: Path) -> str:
    """Of a file of settings; "" where there is none, or it is something else."""
    with suppress(OSError, ValueError):
        if path.is_file() and path.stat().st_size <= LARGEST_SETTING:
            return path.read_text(encoding="utf-8-sig", errors="replace")
    return ""


def _json(path: Path) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        facts = json.loads(_text(path) or "{}")
        if isinstance(facts, dict):
            return facts
    return {}
