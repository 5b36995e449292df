"""A registry row's checkpoint from the network: from its official address, or from a mirror of the user's.

UPSCALE_MIRROR is an http or https address that holds the files by their names: https://host/folder serves
https://host/folder/RealESRGAN_x4plus.pth. It replaces the official address; the two are not mixed.
UPSCALE_OFFLINE=1 keeps off the network altogether.
"""

import os
import urllib.parse
from pathlib import Path
from typing import Final, NoReturn

from upscale_cli.errors import CheckpointError, FetchError
from upscale_cli.events import Say
from upscale_cli.messages import option
from upscale_cli.models.addresses import is_web_address
from upscale_cli.models.download import Patience, RefusedError, download
from upscale_cli.models.registry import Spec
from upscale_cli.models.store import OFFLINE_VARIABLE, Progress, is_offline, models_here, quiet

MIRROR_VARIABLE: Final = "UPSCALE_MIRROR"


def fetch(
    spec: Spec, folder: Path, *, progress: Progress = quiet, say: Say = quiet, patience: Patience | None = None
) -> Path:
    """Downloads a registry row's file into a folder; see `download`.

    Raises:
        FetchError: it cannot be had; the text has the reason, and how to get it by hand.
        CheckpointError: the row's file comes with upscale-cli and has no address.
    """
    url = source(spec, folder)
    try:
        return download(spec, url, folder, progress=progress, say=say, patience=patience)
    except RefusedError as error:
        _give_up(spec, folder, str(error), error)


def source(spec: Spec, folder: Path) -> str:
    """The address that a registry row's file would be fetched from.

    Raises:
        FetchError: there is to be no network, or the mirror is no address.
        CheckpointError: the file comes with upscale-cli and has no address.
    """
    if spec.url is None:
        raise CheckpointError(
            f"{spec.file}: comes with upscale-cli and cannot be downloaded (sha256 {spec.sha256}). "
            f"Install upscale-cli again"
        )
    if is_offline():
        _give_up(spec, folder, f"is not on this machine, and {OFFLINE_VARIABLE} forbids to download it")
    try:
        return on_mirror(spec.file) or spec.url
    except ValueError as error:
        _give_up(spec, folder, str(error))


def on_mirror(file: str) -> str | None:
    """The address of a file on the user's mirror; None where there is no mirror.

    Raises:
        ValueError: the mirror is no address; the text says so.
    """
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    if mirror and not is_web_address(mirror):
        raise ValueError(f"{MIRROR_VARIABLE} is {mirror!r}, which is no http or https address")
    return f"{mirror.rstrip('/')}/{urllib.parse.quote(file)}" if mirror else None


def _give_up(spec: Spec, folder: Path, reason: str, cause: BaseException | None = None) -> NoReturn:
    """The one message for all that can go wrong: what, why, what is here instead, and how to get the file by hand."""
    raise FetchError(
        f"{spec.file}: {reason}. Here are {', '.join(models_here())} ({option('model')}). To get it by hand, download "
        f"{spec.url} (sha256 {spec.sha256}) into {folder}"
    ) from cause
