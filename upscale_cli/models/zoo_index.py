"""OpenModelDB's index on this machine: fetched when somebody asks for it, kept, and asked about again by its ETag.

Where it cannot be had, what was kept is used, and how old that is is said. UPSCALE_OFFLINE keeps off the network;
UPSCALE_MIRROR serves the index as `openmodeldb.json`. Imports no torch.
"""

import json
import math
import time
from http import HTTPStatus
from typing import Final

from upscale_cli.errors import FetchError
from upscale_cli.events import Say
from upscale_cli.models import store
from upscale_cli.models.addresses import host_of
from upscale_cli.models.download import CHUNK, LostError, OfflineError, Patience, RefusedError, answer
from upscale_cli.models.fetch import on_mirror
from upscale_cli.models.store import OFFLINE_VARIABLE, quiet
from upscale_cli.models.zoo_kept import Index, cached_index, keep_anew, keep_index

ADDRESS: Final = "https://openmodeldb.info/api/v1/models.json"

ON_MIRROR: Final = "openmodeldb.json"

LARGEST: Final = 64 << 20
"""Bytes; it has some 2 MB."""

FRESH_SECONDS: Final = 60.0
"""For which it is not asked about again."""

_UNREACHABLE: Final[dict[str, float]] = {}
"""When this process last asked an address in vain, by `time.monotonic`: it neither waits nor says so anew each time."""

PATIENCE: Final = Patience(timeout_seconds=15.0)


def current_index(*, say: Say = quiet, patience: Patience = PATIENCE) -> Index:
    """The index as the site has it; the one that was kept where that cannot be had, which is reported with its age.

    Raises:
        FetchError: it cannot be had, and none was kept.
    """
    kept = cached_index()
    if kept is not None and 0 <= time.time() - kept.checked < FRESH_SECONDS:
        return kept
    if kept is not None and time.monotonic() - _UNREACHABLE.get(ADDRESS, -math.inf) < FRESH_SECONDS:
        return kept
    try:
        if store.is_offline():
            raise RefusedError(f"{OFFLINE_VARIABLE} forbids to ask for it")
        return _asked(kept, patience)
    except OfflineError:
        reason = "there is no network to ask for it"
    except (LostError, RefusedError) as error:
        reason = str(error)
    if kept is None:
        raise FetchError(f"OpenModelDB's index is not on this machine: {reason}. Try again later, or give a file")
    _UNREACHABLE[ADDRESS] = time.monotonic()
    say(f"OpenModelDB's index: {reason}; going on with the one that is here, {kept.age}")
    return kept


def _asked(kept: Index | None, patience: Patience) -> Index:
    """The index from the site, which is kept; `kept` itself, where the site says that it has not changed.

    Raises:
        LostError, RefusedError
    """
    try:
        address = on_mirror(ON_MIRROR) or ADDRESS
    except ValueError as error:
        raise RefusedError(str(error)) from error
    marks = {} if kept is None else kept.marks
    with answer(address, marks, patience, HTTPStatus.NOT_MODIFIED) as response:
        if response is None:
            anew = keep_anew(marks)
            if anew is None:
                raise LostError("the index that was kept is gone")
            return anew
        data = b""
        try:
            while chunk := response.read(CHUNK):
                data += chunk
                if len(data) > LARGEST:
                    raise RefusedError(f"what {host_of(address)} sends is too large for an index")
        except (OSError, ValueError) as error:
            raise LostError(f"the connection to {host_of(address)} broke") from error
        names = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
        marks = {names[name]: response.headers[name] for name in names if response.headers[name]}
    try:
        return keep_index(json.loads(data), marks)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"what {host_of(address)} sends is no index of models") from error
