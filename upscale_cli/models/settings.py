"""The user's folders for this program, and what the user has decided once, in small JSON files. Imports no torch."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from upscale_cli.errors import OutputError


def user_cache() -> Path:
    """For what can be had again."""
    return platformdirs.user_cache_path("upscale-cli", appauthor=False)


def user_settings() -> Path:
    """For what the user has decided."""
    return platformdirs.user_config_path("upscale-cli", appauthor=False)


def user_data() -> Path:
    """For what cannot be had again, such as the queue of a service."""
    return platformdirs.user_data_path("upscale-cli", appauthor=False)


def setting(file: str) -> Any:
    """What is kept in a file of settings; None where there is none, or it is damaged."""
    with suppress(OSError, ValueError, RecursionError):
        return json.loads((user_settings() / file).read_text(encoding="utf-8"))
    return None


def keep_setting(file: str, value: object) -> None:
    """Keeps it for all runs.

    Raises:
        OutputError: it cannot be written.
    """
    path = user_settings() / file
    try:
        write_cached(path, json.dumps(value, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_cached(path: Path, data: bytes) -> None:
    """Writes a file of the program's own, such as one of the cache folder or of the settings, whole or not at all.

    Raises:
        OSError: it cannot be written; then there is none.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
