"""A checkpoint file, safely into memory: file -> state_dict -> recognised -> net. Runs nothing that a file brings.

A file is known by its first bytes, not by its name. Only two kinds are opened: safetensors, and what torch.save
writes, through `torch.load(weights_only=True)`. What a hostile file can do short of running code, which is to claim
sizes that it does not have, is checked before memory is taken for it.
"""

import hashlib
import io
import json
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from upscale_cli.errors import CheckpointError
from upscale_cli.events import Say
from upscale_cli.messages import command, option
from upscale_cli.models.adapted import adapted
from upscale_cli.models.archs import ARCHS, spandrel_adapter
from upscale_cli.models.interface import LoadedNet, Recognised, SidecarMetadata, scales_named
from upscale_cli.models.ncnn.files import ncnn_pair
from upscale_cli.models.ncnn.reading import read_ncnn
from upscale_cli.models.plugins import architecture, architectures
from upscale_cli.models.registry import Spec, model_names, named
from upscale_cli.models.store import Found, quiet
from upscale_cli.models.watch import looks_at_the_whole

Container = Literal["safetensors", "zip", "pickle"]

WRAPPERS: Final = (
    "params_ema", "params-ema", "params", "g_ema", "ema", "state_dict", "model_state_dict", "generator",
    "generator_state_dict", "g_state_dict", "netG_state_dict", "net_g", "netG", "model_g", "gen", "G", "model",
    "model_state", "net", "weights",
)  # fmt: skip
"""Under which key trainers keep the weights; where there are two, the earlier one is taken (averaged ones first)."""

PREFIXES: Final = ("module.", "_orig_mod.", "generator.", "netG.", "net_g.")
"""What DataParallel, torch.compile and GAN trainers put before every key."""

DEEPEST_WRAPPING: Final = 4
"""Wrappers inside wrappers. A pickle can hold itself, so there has to be an end."""

TIED: Final = 4
"""How often a file's bytes may count, on average: weights that layers share count once for each of them."""

LONGEST_KEY: Final = 256
"""Characters; ours have up to 30."""

LARGEST_SIDECAR: Final = 1 << 20
"""Bytes of a NAME.json; model cards have some kB."""


LEGACY_MAGIC: Final = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""0x1950a86a20f9469cfc6c as a pickle writes it: what torch.save began with before it wrote zip archives."""

ASK_THE_MAKER: Final = "Ask its maker for a .safetensors file, or for the state_dict alone"


def load_net(path: Path, *, card: SidecarMetadata | None = None, say: Say = quiet) -> LoadedNet:
    """The net in any checkpoint file. What had to be assumed about it is reported.

    Args:
        card: what is known of it and stands neither in the file nor next to it; it counts most.

    Raises:
        CheckpointError: not a checkpoint, damaged, unsafe, incomplete, or of no known architecture.
    """
    pair = ncnn_pair(path)
    state_dict, metadata = ({}, _read_sidecar(pair[0].with_suffix(".json"))) if pair else load_state_dict(path)
    if card is not None:
        metadata = _completed(card, metadata)
    recognised = read_ncnn(*pair, metadata) if pair else recognise(state_dict, metadata, say=say)
    if recognised is None:
        _refuse_fragment(path, state_dict)
        return LoadedNet(spandrel_adapter.describe(path, state_dict), state_dict)
    if recognised.assumed:
        say(f"{path}: assumed, not shown by its keys: {', '.join(recognised.assumed)} ({path.stem}.json can state it)")
    return _checked(recognised, path)


def _refuse_fragment(path: Path, state_dict: Mapping[str, Tensor]) -> None:
    """Names what is missing of a net that one of the architectures knows as its own but for the gap.

    Raises:
        CheckpointError: there is such a gap.
    """
    for arch in architectures():
        missing = arch.lacks(state_dict) if arch.lacks else None
        if missing:
            raise CheckpointError(f"{path}: looks like {arch.name}, but lacks {missing}. Get a whole copy of the file")


def load_spec(spec: Spec, found: Found) -> LoadedNet:
    """The net of a registry row, from the file that `store` found for it.

    Raises:
        CheckpointError: as `load_net`; or the file holds another architecture, scale or channels than the row.
    """
    state_dict, metadata = load_state_dict(found.path)
    recognised = recognise(state_dict, metadata)
    holds = "a net of no known architecture"
    if recognised is not None:
        loaded = _checked(recognised, found.path)
        net = loaded.descriptor
        if spec.is_of(net):
            return loaded
        holds = f"{net.arch} {scales_named(net.scales)} for {net.colour}"
    raise CheckpointError(
        f"{found.path}: holds {holds}, but {spec.model} x{spec.scale} is {spec.arch} x{spec.scale} for "
        f"{spec.channels}. Rename or remove the file"
    )


def net_digest(net: LoadedNet) -> str:
    """sha256 of a net's weights, in the order of their keys; of the file, where it came as ONNX."""
    if net.graph is not None:
        return net.graph.sha256
    digest = hashlib.sha256()
    for key, tensor in sorted(bare_net(net).state_dict().items()):  # under the keys that former versions used
        digest.update(key.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata, *, say: Say = quiet) -> Recognised | None:
    """Asks every architecture, in the order of their table, whether it knows these keys and shapes; None: none does.

    Args:
        say: takes what is wrong with a plugin.
    """
    if any(tensor.numel() == 0 or len(key) > LONGEST_KEY for key, tensor in state_dict.items()):
        return None  # no net of ours has either, and their arithmetic and patterns may rely on it
    for arch in architectures(say):
        recognised = arch.recognise(state_dict, metadata)
        if recognised is not None:
            return recognised
    return None


def build_net(net: LoadedNet) -> nn.Module:
    """The module as sessions run it: [0, 1] in, [0, 1] out, and its weights, which it shares with `net`."""
    return adapted(bare_net(net), net.descriptor, architecture(net.descriptor.arch))


def bare_net(net: LoadedNet) -> nn.Module:
    """The module as its reference has it, in its own range of values: in eval mode, without gradients.

    It is built on the meta device, which takes no memory: weights that are replaced anyway need no random values.
    """
    arch = architecture(net.descriptor.arch)
    if arch.load is not None:
        module = arch.load(net.descriptor, net.state_dict)
    else:
        config = dict(net.descriptor.config)  # it may be loaded by this, and not on the meta device
        with torch.device("meta"):
            module = arch.net(**config)
        module.load_state_dict(net.state_dict, assign=True)
    return module.eval().requires_grad_(False)


def _checked(recognised: Recognised, path: Path) -> LoadedNet:
    """The net, if every tensor has its place and every place its tensor.

    Raises:
        CheckpointError: one is missing, too many, or of another shape.
    """
    descriptor = recognised.descriptor
    complete = architecture(descriptor.arch).complete
    recognised = recognised if complete is None else complete(recognised, path)
    with torch.device("meta"):  # a lying shape costs nothing before it is found out
        module = architecture(descriptor.arch).net(**descriptor.config)
    needed, given = _shapes(module.state_dict()), _shapes(recognised.state_dict)
    faults = (
        ("lacks", sorted(needed.keys() - given.keys())),
        ("has no place for", sorted(given.keys() - needed.keys())),
        ("has the wrong shape of", sorted(key for key in needed.keys() & given.keys() if needed[key] != given[key])),
    )
    for fault, keys in faults:
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise CheckpointError(
                f"{path}: looks like {descriptor.arch}, but {fault} {keys[0]}{more}. Get a whole copy of the file"
            )
    return _as_seen(LoadedNet(descriptor, recognised.state_dict))


def _as_seen(net: LoadedNet) -> LoadedNet:
    """A plugin's net with `sees_whole`, where it does and its descriptor does not say so."""
    facts = net.descriptor
    if facts.arch in ARCHS or facts.sees_whole:
        return net
    try:
        sees_whole = looks_at_the_whole(build_net(net), facts, facts.only_scale or facts.steps(2)[0])
    except Exception:  # code of a third party, on a picture that nobody asked it for: what it says has to do
        return net
    return replace(net, descriptor=replace(facts, sees_whole=sees_whole, exact=facts.exact and not sees_whole))


def _shapes(state_dict: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state_dict.items()}


def load_state_dict(path: Path) -> tuple[dict[str, Tensor], SidecarMetadata]:
    """The weights in a file, without what trainers wrap around them, and what is written about them.

    Floating tensors come as float32, all of them in the CPU's memory: the file may go afterwards. The sidecar
    metadata are NAME.json, completed from the safetensors metadata; so a NAME.json can correct a file.

    Raises:
        CheckpointError: missing, unreadable, not a checkpoint, damaged, carrying code, or with weights that are NaN.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {why_unreadable(path, error)}") from error
    try:
        container = _container(data)
        contents = _read_safetensors(data) if container == "safetensors" else _read_torch(data, container)
        state_dict = _tensors(_unwrapped(contents), len(data))
    except _DamagedError as error:
        raise CheckpointError(f"{path}: {error}") from error
    metadata = _safetensors_metadata(data) if container == "safetensors" else {}
    return state_dict, _completed(_read_sidecar(path.with_suffix(".json")), SidecarMetadata.read(metadata))


class _DamagedError(Exception):
    """What is wrong with a file's contents; the caller adds the file's name."""


def why_unreadable(path: Path, error: OSError | ValueError) -> str:
    """The end of an error line about a checkpoint that could not be read, without a full stop: cause and remedy."""
    match error:
        case FileNotFoundError():
            names = command("models list", python="upscale_cli.models.registry.model_names()")
            known = named(path.stem)[0]
            if known in model_names():
                return f"no such file. {option('model', known)} has it, and fetches it where it is not here"
            return f"no such file. Check the path; {names} shows the models that have a name"
        case IsADirectoryError() | PermissionError() if path.is_dir():  # Windows raises the latter for folders
            return "is a folder; a checkpoint is a file. Give the file inside it"
        case OSError():
            return f"cannot be read ({error.strerror})"
        case _:
            return "no file can have this name"  # a NUL in it


def _container(data: bytes) -> Container:
    """How the bytes are packed, by their beginning. What is certainly no checkpoint gets named for what it is."""
    start = data[:512].lstrip().lower()
    if not data:
        raise _DamagedError("is empty. Get the file again")
    if data.startswith(b"PK\x03\x04"):
        return "zip"
    # The header's length comes first and may be any number: one in 256 begins with the byte that a pickle begins with.
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data):
        return "safetensors"
    if data.startswith(b"\x80"):  # the opcode before the protocol of a pickle
        return "pickle"
    if data[8:9] == b"{":
        return "safetensors"  # cut short
    if start.startswith(b"<?xml") and b"<net " in start:
        raise _DamagedError("is a graph for OpenVINO, made for other programs. Give the checkpoint or an ONNX file")
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise _DamagedError("is a web page, no checkpoint: most likely an error page was saved. Get the file again")
    if start.startswith(b"version https://git-lfs"):
        raise _DamagedError("is a Git LFS pointer, no checkpoint. Get the file itself with `git lfs pull`")
    raise _DamagedError("is no checkpoint: neither safetensors nor what torch.save writes")


def _read_safetensors(data: bytes) -> dict[str, Tensor]:
    """The library checks that the header's shapes and offsets cover the file exactly."""
    try:
        return safetensors.torch.load(data)
    except Exception as error:  # SafetensorError, but KeyError for a dtype that this torch lacks
        raise _DamagedError(
            "is a damaged safetensors file: its header does not fit its data. Get the file again"
        ) from error


def _safetensors_metadata(data: bytes) -> Mapping[str, str]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata: Mapping[str, str] = header.get("__metadata__", {})
    return metadata


def _read_torch(data: bytes, container: Container) -> object:
    """What torch.save wrote, in its zip or its older form, as long as it is made of tensors and plain values."""
    if container == "zip":
        _check_zip(data)
    elif LEGACY_MAGIC not in data[:32]:
        raise _DamagedError(f"is no checkpoint but a plain pickle, which could run code: refused. {ASK_THE_MAKER}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols and typed storages: nothing a user could act on
            contents: object = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            return contents
    except Exception as error:  # bytes of unknown origin: anything can fail
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        if name:
            raise _DamagedError(
                f"carries more than weights ({name[1]}), which could run code: refused, nothing of it was run. "
                f"{ASK_THE_MAKER}"
            ) from error
        raise _DamagedError(
            "is damaged, or cannot be read without running code. Get the file again, or as .safetensors"
        ) from error


def _check_zip(data: bytes) -> None:
    """Refuses what would fail later with a worse message, or unpack to more than it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise _DamagedError("is cut off or damaged (an archive without its end). Get the file again") from error
    names = {PurePosixPath(entry.filename).name for entry in entries}
    if "constants.pkl" in names:
        raise _DamagedError("is a TorchScript archive, a program with weights: refused. Use the .pth it was made of")
    if "data.pkl" not in names:
        raise _DamagedError("is a zip archive, but no checkpoint. If there is one inside, unpack it first")
    if sum(entry.file_size for entry in entries) > len(data):
        raise _DamagedError("claims to hold more than the file has: torch.save never compresses. Get the file again")


def _unwrapped(contents: object) -> Mapping[object, object]:
    """The innermost mapping, by the names that trainers give to the wrappers, or the only mapping there is."""
    for _ in range(DEEPEST_WRAPPING):
        if not isinstance(contents, Mapping):
            break
        mappings = {key: value for key, value in contents.items() if isinstance(value, Mapping) and value}
        named = [mappings[name] for name in WRAPPERS if name in mappings]
        if named:
            contents = named[0]
        elif len(mappings) == 1 and not any(isinstance(value, Tensor) for value in contents.values()):
            (contents,) = mappings.values()
        else:
            break
    if not isinstance(contents, Mapping):
        raise _DamagedError(f"holds a {type(contents).__name__}, where a checkpoint holds named tensors")
    return contents


def _tensors(contents: Mapping[object, object], file_bytes: int) -> dict[str, Tensor]:
    """The tensors under their own names, as float32; refuses those that no net could run with."""
    named = {str(key): value for key, value in contents.items() if isinstance(value, Tensor)}
    if not named:
        raise _DamagedError("holds no weights")
    for key, tensor in named.items():
        if tensor.is_complex() or (not tensor.is_floating_point() and key.endswith((".weight", ".bias"))):
            raise _DamagedError(f"holds {key} as {str(tensor.dtype).removeprefix('torch.')}, where weights are floats")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise _DamagedError(f"holds {key} in a form that is not supported (sparse, quantised or without values)")
    if sum(tensor.numel() * tensor.element_size() for tensor in named.values()) > TIED * file_bytes:
        raise _DamagedError("claims more weights than the file has bytes for. Get the file again")  # a stride of 0 can
    plain = {key: _plain(tensor) for key, tensor in _without_prefix(named).items()}
    for key, tensor in plain.items():
        # By numpy, on one core: on a busy machine torch waits for its threads longer than this takes (6 s, measured).
        if tensor.is_floating_point() and not np.isfinite(tensor.numpy()).all():
            raise _DamagedError(f"holds weights that are NaN or infinite ({key}): pictures would come out black")
    return plain


def _plain(tensor: Tensor) -> Tensor:
    """Contiguous and without history; floating as float32, counters and indices as they are."""
    return tensor.detach().to(torch.float32 if tensor.is_floating_point() else tensor.dtype).contiguous()


def _without_prefix(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes off what all keys begin with; where only some do, as in a whole GAN, the others belong to no generator."""
    plain = {key: tensor for key, tensor in named.items() if key != "n_averaged"}  # a counter of torch's AveragedModel
    for prefix in (*PREFIXES, *PREFIXES):  # one may stand behind the other, in either order
        stripped = {key.removeprefix(prefix): tensor for key, tensor in plain.items() if key.startswith(prefix)}
        plain = stripped or plain
    return plain


def _read_sidecar(path: Path) -> SidecarMetadata:
    """What NAME.json holds of it; see `_sidecar_facts`."""
    return SidecarMetadata.read(_sidecar_facts(path))


def _sidecar_facts(path: Path) -> Mapping[str, Any]:
    """What NAME.json holds; nothing when there is none, or when it is about something else.

    Raises:
        CheckpointError: it is no JSON. To go on would be to guess what is written there.
    """
    try:
        with path.open("rb") as file:
            facts = json.loads(file.read(LARGEST_SIDECAR).decode("utf-8-sig"))
    except OSError:
        return {}
    except (ValueError, RecursionError) as error:
        place = f" from line {error.lineno} on" if isinstance(error, json.JSONDecodeError) else ""
        raise CheckpointError(f"{path}: is not JSON{place}. Correct it, or remove it") from error
    return facts if isinstance(facts, Mapping) else {}


def stated_facts(path: Path) -> dict[str, Any]:
    """All that a checkpoint file's NAME.json and its safetensors metadata say, as they say it; NAME.json first.

    Raises:
        CheckpointError: it cannot be read, or the JSON is none.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
            length = int.from_bytes(head[:8], "little")
            is_safetensors = head[8:] == b"{" and length <= LARGEST_SIDECAR
            metadata = _safetensors_metadata(head + file.read(length - 1)) if is_safetensors else {}
    except OSError as error:
        raise CheckpointError(f"{path}: {why_unreadable(path, error)}") from error
    return {**metadata, **_sidecar_facts(path.with_suffix(".json"))}


def _completed(metadata: SidecarMetadata, other: SidecarMetadata) -> SidecarMetadata:
    """Sidecar metadata whose gaps are filled from another."""
    gaps = [field.name for field in fields(metadata) if getattr(metadata, field.name) is None]
    stated = {**other.stated, **metadata.stated}
    return replace(metadata, stated=stated, **{name: getattr(other, name) for name in gaps})
