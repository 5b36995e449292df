"""OpenModelDB's index as it was kept on this machine. Imports no torch, and nothing of the network."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from upscale_cli.models import store
from upscale_cli.models.zoo import ZooModel, read_models

FILE: Final = "index.json"
"""In `store.zoo_folder()`: the index as it came, and what it is asked about again by."""


@dataclass(frozen=True, slots=True)
class Index:
    """What OpenModelDB has.

    Attributes:
        models: by id.
        checked: when the site last said that it is so, in seconds since the epoch.
        marks: its ETag and date, as headers to ask with whether it has changed.
    """

    models: Mapping[str, ZooModel]
    checked: float
    marks: Mapping[str, str]

    @property
    def age(self) -> str:
        """For people."""
        seconds = max(0.0, time.time() - self.checked)
        for name, length in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
            if seconds >= length:
                count = int(seconds / length)
                return f"{count} {name}{'s' if count > 1 else ''} old"
        return "less than a minute old"


def cached_index() -> Index | None:
    """The index that was kept; None where there is none."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        kept = json.loads((store.zoo_folder() / FILE).read_bytes())
        marks = {str(name): str(value) for name, value in kept["marks"].items()}
        return Index(read_models(kept["models"]), float(kept["checked"]), marks)
    return None


def keep_index(index: Any, marks: Mapping[str, str]) -> Index:
    """Keeps an index that has just come, if the disk lets it.

    Args:
        index: as the site sends it.

    Raises:
        ValueError: it is no such index.
    """
    kept = Index(read_models(index), time.time(), marks)
    with suppress(OSError):
        contents = {"marks": dict(marks), "checked": kept.checked, "models": index}
        store.write_cached(store.zoo_folder() / FILE, json.dumps(contents).encode())
    return kept


def keep_anew(marks: Mapping[str, str]) -> Index | None:
    """What was kept, as checked now; None where it has gone meanwhile."""
    with suppress(OSError, ValueError, KeyError):
        return keep_index(json.loads((store.zoo_folder() / FILE).read_bytes())["models"], marks)
    return None
