"""A model of OpenModelDB as a file on this machine: found where the user has it, or fetched. Imports no torch."""

import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from upscale_cli.errors import CheckpointError, FetchError
from upscale_cli.events import Say
from upscale_cli.files.names import is_file
from upscale_cli.messages import command
from upscale_cli.models import agreements, store
from upscale_cli.models.archs import ARCHS
from upscale_cli.models.download import Patience, RefusedError, download
from upscale_cli.models.fetch import on_mirror
from upscale_cli.models.registry import MODELS
from upscale_cli.models.store import OFFLINE_VARIABLE, Progress, has_sha256, quiet
from upscale_cli.models.user_files import UserFile, every_checkpoint
from upscale_cli.models.zoo import PREFIX, Resource, ZooModel, model_of
from upscale_cli.models.zoo_index import current_index
from upscale_cli.models.zoo_kept import cached_index

OURS: Final = {"esrgan": "rrdbnet", "compact": "srvgg", "cugan": "realcugan"}
"""OpenModelDB's names of architectures, plain, and ours, where they are not the same."""

FEW: Final = 2
"""Failures in a row after which another address is tried, where there is one."""


def zoo_model(id: str, *, say: Say = quiet) -> ZooModel:
    """What OpenModelDB says of a model. The site is not asked where its file is here, as the index had it that is here.

    Raises:
        FetchError: the index cannot be had. UnknownModelError: it has no such model.
    """
    kept = cached_index()
    if kept is not None:
        known = next((model for each, model in kept.models.items() if each.lower() == id.lower()), None)
        if known is not None and located(known) is not None:
            return known
    return model_of(current_index(say=say).models, id)


def located(model: ZooModel) -> Path | None:
    """A file of the model that is on this machine: of any name, in any folder that is looked into."""
    named = [store.zoo_folder() / resource.file for resource in model.resources]
    for path, resource in zip(named, model.resources, strict=True):
        if has_sha256(path, resource.size, resource.sha256):
            return path
    for file in (*_fetched(), *every_checkpoint()):
        for resource in model.resources:
            if resource.size == file.size and has_sha256(file.path, resource.size, resource.sha256):
                return file.path
    return None


def _fetched() -> Iterator[UserFile]:
    """Official files of the registry: some of OpenModelDB's models are the same."""
    for spec in MODELS:
        path = store.cache_folder() / spec.file
        if spec.size is not None and is_file(path):
            yield UserFile(path, "", spec.size)


def has_to_agree(model: ZooModel) -> bool:
    """Whether the user has yet to say that its licence will be kept to, before it is fetched."""
    if not model.is_non_commercial or agreements.has_agreed(PREFIX + model.id, model.licence):
        return False
    with suppress(ValueError):
        return any(True for _ in _addresses(model))
    return False


def agree(model: ZooModel) -> None:
    """Says it, for this time and all others."""
    agreements.agree(PREFIX + model.id, model.licence)


def obtain_zoo(id: str, *, say: Say = quiet, progress: Progress = quiet, patience: Patience | None = None) -> Path:
    """The file of a model: from this machine, else downloaded. What it is is reported where it is downloaded.

    Raises:
        UnknownModelError: there is no such model.
        CheckpointError: it has no file that could be used here.
        FetchError: it cannot be had; nobody has agreed to its licence yet; a browser is needed.
    """
    model = zoo_model(id, say=say)
    found = located(model)
    if found is not None:
        return found
    if not model.resources:
        raise CheckpointError(f"{PREFIX}{model.id}: has no checkpoint that can be used here. Look at {model.page}")
    if has_to_agree(model):
        agreed = command("models fetch", python="upscale_cli.models.zoo_fetch.agree()")
        raise FetchError(
            f"{PREFIX}{model.id}: is under {model.licence_named}, which has to be agreed to once, with {agreed}"
        )
    say(f"{PREFIX}{model.id}: {model.name} by {model.by}, {model.arch} x{model.scale}, {model.licence_named}")
    return _downloaded(model, say=say, progress=progress, patience=patience or Patience())


def _downloaded(model: ZooModel, *, say: Say, progress: Progress, patience: Patience) -> Path:
    """From the first address that has it.

    Raises:
        FetchError: none has.
    """
    folder, reasons = store.zoo_folder(), list[str]()
    if store.is_offline():
        raise _given_up(model, [f"{OFFLINE_VARIABLE} forbids to download it"])
    try:
        addresses = list(_addresses(model))
    except ValueError as error:
        raise _given_up(model, [str(error)]) from error
    for number, (resource, address) in enumerate(addresses, 1):
        is_last = number == len(addresses)
        allowed = patience if is_last else replace(patience, failures=min(FEW, patience.failures))
        try:
            return download(resource, address, folder, progress=progress, say=say, patience=allowed)
        except RefusedError as error:
            reasons.append(str(error))
            if not is_last:
                say(f"{PREFIX}{model.id}: {error}; trying another address")
    raise _given_up(model, reasons)


def _addresses(model: ZooModel) -> Iterator[tuple[Resource, str]]:
    """Of its files, the best first; of one, in the index's order.

    Raises:
        ValueError: the user's mirror is no address.
    """
    for resource in sorted(model.resources, key=lambda resource: _is_onnx(resource) != _needs_onnx(model)):
        mirrored = on_mirror(resource.file)
        for address in resource.direct if mirrored is None else (mirrored,):
            yield resource, address


def _is_onnx(resource: Resource) -> bool:
    return resource.file.endswith(".onnx")


def _needs_onnx(model: ZooModel) -> bool:
    """Whether its checkpoints cannot be read here, so that a graph is better: a net that only spandrel knows."""
    name = _plain(model.arch)
    is_ours = OURS.get(name, name) in set(map(_plain, ARCHS))
    return not is_ours and importlib.util.find_spec("spandrel") is None


def _plain(arch: str) -> str:
    """Without what is written in different ways: "sr-res-net", "SRResNet"."""
    return "".join(filter(str.isalnum, arch.lower()))


def _given_up(model: ZooModel, reasons: list[str]) -> FetchError:
    """Why there is no file, and how to get it by hand."""
    best = next((resource for resource in model.resources if resource.by_browser), model.resources[0])
    pages = (*best.by_browser, *best.direct) if reasons else best.by_browser
    why = "; ".join(reasons) or "can be had by a browser only"
    size = "" if best.size is None else f"{best.size:,} bytes, "
    return FetchError(
        f"{PREFIX}{model.id}: {why}. Get it by hand from {' or '.join(pages)} ({size}sha256 {best.sha256}), and put it "
        f"into {store.zoo_folder()}; its name does not matter"
    )
