"""A net as a checkpoint in safetensors: its weights under its reference's keys, and what the file says of itself.

What keys and shapes do not show (an activation, the range of luma) goes into the metadata, in the words in which it is
read (`SidecarMetadata`); before the file gets its name it is read back, and has to be the same net.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import safetensors.torch
import torch
from torch import Tensor

from upscale_cli.errors import OutputError
from upscale_cli.messages import option
from upscale_cli.models import modelspec
from upscale_cli.models.interface import Descriptor, LoadedNet, SidecarMetadata
from upscale_cli.models.loading import recognise
from upscale_cli.models.plugins import SPANDREL

ALIGNED: Final = 8
"""Bytes that the format wants its tensors aligned to."""


def checkpoint_bytes(net: LoadedNet, facts: Mapping[str, str], *, title: str, fp16: bool = False) -> bytes:
    """The file.

    Args:
        facts: `licence`, `source`, `author` and what else is known; "unknown" counts as nothing.
        fp16: weights in half precision.

    Raises:
        OutputError: it would not be the same net when it is read.
    """
    descriptor, known = net.descriptor, {key: text for key, text in facts.items() if text and text != "unknown"}
    if net.parts:
        raise OutputError(
            f"{title}: is a chain, and a checkpoint holds one net. Choose {option('format', 'onnx')}, or write its "
            "nets one by one"
        )
    if net.graph is not None or not net.state_dict:
        raise OutputError(f"{title}: has no weights of its own to be written. Choose {option('format', 'onnx')}")
    dtype = torch.float16 if fp16 else torch.float32
    tensors = {
        key: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().clone()
        for key, tensor in net.state_dict.items()
    }
    metadata = {**known, **_unseen(descriptor), "arch": descriptor.arch}
    data = safetensors_bytes(tensors, metadata, title=title)
    read = recognise({key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()},
                     SidecarMetadata.read(metadata))  # fmt: skip
    if descriptor.arch != SPANDREL and (read is None or not _same(read.descriptor, descriptor)):
        raise OutputError(
            f"{title}: what it is stands neither in its keys nor in words that a file can have. Keep it as it is, with "
            f"its card"
        )
    return data


def _unseen(net: Descriptor) -> dict[str, str]:
    """What sidecar metadata can say of a net."""
    facts = {"colour": net.colour} | ({"luma_range": net.luma_range} if net.colour != "rgb" else {})
    stated = {name: net.config[name] for name in ("activation", "final_activation") if name in net.config}
    return {**facts, **{name: value for name, value in stated.items() if isinstance(value, str)}}


def _same(read: Descriptor, given: Descriptor) -> bool:
    return replace(read, config=dict(read.config)) == replace(given, config=dict(given.config))


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, title: str) -> bytes:
    """A safetensors file with metadata, and with what the modelspec standard wants of it. Equal content, equal bytes.

    The header's keys are sorted, for the library writes the metadata in a new order each time: two files that agree in
    every weight would still differ in their sha256.

    Args:
        metadata: `arch`, `licence`, `author` and `about` go into the standard's keys, too.
    """
    content = safetensors.torch.save(dict(tensors))
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    spec = modelspec.written(
        title, metadata.get("arch", ""), body, licence=metadata.get("licence", ""), author=metadata.get("author", ""),
        about=metadata.get("about", ""),
    )  # fmt: skip
    text = json.dumps({**header, "__metadata__": {**metadata, **spec}}, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNED)
    return len(text).to_bytes(8, "little") + text + body
