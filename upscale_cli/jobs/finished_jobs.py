"""Which jobs with `--resume` were finished: the same command again has nothing left to do, and that is no failure."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from upscale_cli.models import store
from upscale_cli.models.settings import write_cached


def was_finished(output: Path, record: Mapping[str, Any]) -> bool:
    """Whether this very file was made by this very job.

    Args:
        record: what makes it this job; what JSON can hold.
    """
    try:
        remembered = json.loads(_memory(output).read_text(encoding="utf-8"))
        status = output.stat()
    except (OSError, ValueError):
        return False
    return bool(remembered == {"job": record, "size": status.st_size, "changed": status.st_mtime_ns})


def finished_job(output: Path) -> dict[str, Any] | None:
    """The job that this file was made by, as far as is known."""
    try:
        return dict(json.loads(_memory(output).read_text(encoding="utf-8"))["job"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remember(output: Path, made: Path, record: Mapping[str, Any]) -> None:
    """Outside of the output's folder, where nothing but the output is left.

    Args:
        made: the file that is the output, or is about to become it; it keeps size and time.
    """
    status = made.stat()
    text = json.dumps({"job": record, "size": status.st_size, "changed": status.st_mtime_ns})
    with contextlib.suppress(OSError):  # a cache that cannot be written costs one answer, not the work
        write_cached(_memory(output), text.encode())


def forget(output: Path) -> None:
    """Of an output that is taken away with all that belongs to it."""
    with contextlib.suppress(OSError):
        _memory(output).unlink(missing_ok=True)


def _memory(output: Path) -> Path:
    name = hashlib.sha256(str(output.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return store.cache_folder() / "finished" / f"{name}.json"
