"""What safetensors files say of themselves by Stability AI's metadata standard, read and written. Imports no torch.

Keys `modelspec.*` of a file's `__metadata__`; https://github.com/Stability-AI/ModelSpec, version 1.0.0.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

PREFIX: Final = "modelspec."

VERSION: Final = "1.0.0"

IMPLEMENTATION: Final = "upscale_cli"
"""Whose names the keys of tensors are."""

SHOWN: Final = {
    "title": ("title",), "author": ("author",), "licence": ("license", "licence"), "date": ("date",),
    "stated net": ("architecture",), "keys as in": ("implementation",), "usage": ("usage_hint",),
    "about": ("description",), "tags": ("tags",), "merged from": ("merged_from",),
}  # fmt: skip
"""What is shown of it, by our word for it, and the standard's keys."""

PLAIN: Final = ("title", "author", "licence", "license")
"""Taken without the prefix, too: cards and files of ours have them so."""

LONGEST: Final = 600
"""Characters of a fact; descriptions may be whole articles."""


def stated(facts: Mapping[str, Any]) -> dict[str, str]:
    """What is worth showing of a file's metadata, in one line each.

    >>> stated({"modelspec.license": "MIT", "modelspec.hash_sha256": "0x0", "author": "me"})
    {'author': 'me', 'licence': 'MIT'}
    """
    found = {}
    for word, keys in SHOWN.items():
        names = [PREFIX + key for key in keys] + [key for key in keys if key in PLAIN]
        text = next((_line(facts[name]) for name in names if name in facts and _line(facts[name])), "")
        if text:
            found[word] = text
    return found


def _line(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split())[:LONGEST]


def written(
    title: str, arch: str, tensors: bytes, *, licence: str = "", author: str = "", about: str = ""
) -> dict[str, str]:
    """The standard's keys for a file of ours. Equal content gives equal keys: no date is among them.

    Args:
        arch: by our name.
        tensors: the file's bytes after its header.
    """
    facts = {
        "sai_model_spec": VERSION, "architecture": arch, "implementation": IMPLEMENTATION, "title": title,
        "description": about, "author": author, "license": licence, "hash_sha256": digest(tensors),
    }  # fmt: skip
    return {PREFIX + key: text for key, text in facts.items() if text}


def digest(tensors: bytes) -> str:
    """Of a file's bytes after its header, as `hash_sha256` has it."""
    return f"0x{hashlib.sha256(tensors).hexdigest()}"


def fits(facts: Mapping[str, Any], data: bytes) -> bool:
    """Whether a file's tensors are those that its `hash_sha256` is of; True where it has none.

    Args:
        data: the whole file.
    """
    given = facts.get(f"{PREFIX}hash_sha256")
    start = 8 + int.from_bytes(data[:8], "little")
    return not isinstance(given, str) or given.lower() == digest(data[start:])
