"""OpenModelDB's models as facts: what its index says of each, and which of them a search means. Imports no torch.

https://openmodeldb.info/api/v1/models.json is an object of models by id; what is described there is
https://github.com/OpenModelDB/open-model-database/blob/main/src/lib/schema.ts. The index comes from the network: what
does not look as it should is left out, and nothing of it is used as a path.
"""

import difflib
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from upscale_cli.errors import UnknownModelError
from upscale_cli.models.addresses import is_web_address
from upscale_cli.models.store import CHECKPOINT_ENDINGS

PREFIX: Final = "omdb:"
"""What stands before an id where `-m` takes it."""

BY_BROWSER: Final = (
    "drive.google.com", "mega.nz", "1drv.ms", "onedrive.live.com", "mediafire.com", "pcloud.link", "drive.proton.me",
    "icedrive.net", "1fichier.com", "dropbox.com", "zippyshare.com", "lbry.tv", "gofile.io",
)  # fmt: skip
"""Hosts, with all below them, that give out files through a page: a person has to press something there."""

FREE: Final = "free"
NON_COMMERCIAL: Final = "non-commercial"
"""What a search calls licences that allow commercial use, and those that do not."""

RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows gives to devices."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A file of a model.

    Attributes:
        file: the name that it gets here: the model's id with an ending.
        sha256: of it, lower-case hex.
        size: bytes; None where unknown.
        direct: addresses that give the file itself.
        by_browser: addresses of pages.
    """

    file: str
    sha256: str
    size: int | None
    direct: tuple[str, ...]
    by_browser: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A model of OpenModelDB.

    Attributes:
        id: of the index; fit for a file's name.
        licence: an SPDX id; "" where none is stated, which allows nothing.
        arch: by OpenModelDB's name for it.
        size: of the net, in its authors' words: ("64nf", "23nb").
        date: of publication, YYYY-MM-DD.
        resources: the files that can be used here, the best first: safetensors, what torch.save writes, ONNX.
    """

    id: str
    name: str
    authors: tuple[str, ...]
    licence: str
    tags: tuple[str, ...]
    date: str
    arch: str
    size: tuple[str, ...]
    scale: int
    channels: tuple[int, int]
    resources: tuple[Resource, ...]

    @property
    def is_non_commercial(self) -> bool:
        return "NC" in re.split(r"[^A-Z]+", self.licence.upper())

    @property
    def is_free(self) -> bool:
        """Whether its licence is stated and allows commercial use."""
        return bool(self.licence) and not self.is_non_commercial

    @property
    def licence_named(self) -> str:
        """For people."""
        if not self.licence:
            return "no licence stated"
        return f"{self.licence} (not for commercial use)" if self.is_non_commercial else self.licence

    @property
    def by(self) -> str:
        """Its authors, for people."""
        return ", ".join(self.authors) or "unknown"

    @property
    def page(self) -> str:
        """The address about it, for a browser."""
        return f"https://openmodeldb.info/models/{urllib.parse.quote(self.id)}"


def zoo_id(name: str) -> str | None:
    """The id that a model's name gives, where it is one of OpenModelDB's.

    >>> zoo_id("omdb:4x-Foo"), zoo_id("realesrgan")
    ('4x-Foo', None)
    """
    is_of_zoo = name[: len(PREFIX)].lower() == PREFIX
    return name[len(PREFIX) :].strip() if is_of_zoo else None


def read_models(index: object) -> dict[str, ZooModel]:
    """The models in an index; entries that are not as they should be are left out.

    Raises:
        ValueError: it is no such index.
    """
    if not isinstance(index, Mapping):
        raise ValueError("it is no object of models by id")
    models = {model.id: model for id, facts in index.items() if (model := _model(id, facts)) is not None}
    if index and not models:
        raise ValueError("none of its entries is a model")
    return models


def _model(id: object, facts: object) -> ZooModel | None:
    if not (isinstance(id, str) and is_safe_name(id) and isinstance(facts, Mapping)):
        return None
    scale, resources = facts.get("scale"), facts.get("resources")
    if not (isinstance(scale, int) and 0 < scale <= 64 and isinstance(resources, list)):
        return None
    author = facts.get("author")
    channels = tuple(
        facts[key] if isinstance(facts.get(key), int) else 3 for key in ("inputChannels", "outputChannels")
    )
    return ZooModel(
        id=id, name=_line(facts.get("name")) or id, authors=_lines([author] if isinstance(author, str) else author),
        licence=_line(facts.get("license")), tags=_lines(facts.get("tags")), date=_line(facts.get("date")),
        arch=_line(facts.get("architecture")), size=_lines(facts.get("size")), scale=scale,
        channels=(channels[0], channels[1]), resources=_resources(id, resources),
    )  # fmt: skip


def is_safe_name(name: str) -> bool:
    """Whether a name is fit to be that of a file, on every system.

    >>> is_safe_name("4x-Foo_v1.2"), is_safe_name("../x"), is_safe_name("nul"), is_safe_name("a:b")
    (True, False, False, False)
    """
    is_plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,119}", name) is not None
    return is_plain and not name.endswith(".") and not RESERVED.fullmatch(name)


def _resources(id: str, given: Sequence[object]) -> tuple[Resource, ...]:
    """Those that can be used here, the best first; further ones of the same ending get a number."""
    ranked = sorted((facts for facts in given if isinstance(facts, Mapping)), key=_rank)
    found: list[Resource] = []
    for facts in ranked:
        ending, sha256, size = (
            f".{_line(facts.get('type')).lower()}",
            _line(facts.get("sha256")).lower(),
            facts.get("size"),
        )
        addresses = [each for each in _lines(facts.get("urls")) if is_web_address(each)]
        if ending not in CHECKPOINT_ENDINGS or not re.fullmatch(r"[0-9a-f]{64}", sha256) or not addresses:
            continue
        number = sum(other.file.endswith(ending) for other in found) + 1
        found.append(
            Resource(
                file=f"{id}{f'-{number}' if number > 1 else ''}{ending}", sha256=sha256,
                size=size if isinstance(size, int) and size > 0 else None,
                direct=tuple(filter(None, map(_direct, addresses))),
                by_browser=tuple(each for each in addresses if _direct(each) is None),
            )
        )  # fmt: skip
    return tuple(found)


def _rank(facts: Mapping[str, Any]) -> int:
    order = ("safetensors", "pth", "pt", "ckpt", "onnx")
    kind = facts.get("type")
    return order.index(kind) if kind in order else len(order)


def _direct(address: str) -> str | None:
    """The address that gives the file itself; None where there is none but a page.

    >>> _direct("https://drive.google.com/open?id=1"), _direct("https://github.com/a/b/releases/tag/v1")
    (None, None)
    >>> _direct("https://github.com/a/b/blob/main/net.pth")
    'https://github.com/a/b/raw/main/net.pth'
    """
    parts = urllib.parse.urlsplit(address)
    host = (parts.hostname or "").removeprefix("www.")
    if any(host == each or host.endswith(f".{each}") for each in BY_BROWSER):
        return None
    if host in ("github.com", "huggingface.co"):
        _, _, _, kind, *rest = [*parts.path.split("/"), "", "", ""]
        if kind == "blob":
            raw = "raw" if host == "github.com" else "resolve"
            return urllib.parse.urlunsplit(parts._replace(path=parts.path.replace("/blob/", f"/{raw}/", 1)))
        return address if kind in ("raw", "resolve") or (kind, *rest[:1]) == ("releases", "download") else None
    return address


def _line(value: object) -> str:
    """One line of text; "" for anything else."""
    return " ".join(value.split())[:300] if isinstance(value, str) else ""


def _lines(values: object) -> tuple[str, ...]:
    return tuple(filter(None, map(_line, values))) if isinstance(values, list) else ()


def search(
    models: Iterable[ZooModel], words: Sequence[str] = (), *, scale: int | None = None, licence: str | None = None
) -> list[ZooModel]:
    """The models that a user means, the newest first.

    Args:
        words: each has to stand in the id, the name, the authors, the tags or the architecture.
        licence: "free" (stated, and for commercial use, too), "non-commercial", or the beginning of an SPDX id.
    """
    wanted = (licence or "").lower()
    found = [
        model
        for model in models
        if scale in (None, model.scale)
        and (not wanted or is_under(model, wanted))
        and all(word.lower() in _searched(model) for word in words)
    ]
    return sorted(found, key=lambda model: (model.date, model.id), reverse=True)


def is_under(model: ZooModel, licence: str) -> bool:
    """Whether its licence is of that kind; as `search` takes it, in small letters."""
    if licence == FREE:
        return model.is_free
    return model.is_non_commercial if licence == NON_COMMERCIAL else model.licence.lower().startswith(licence)


def _searched(model: ZooModel) -> str:
    return " ".join((model.id, model.name, *model.authors, *model.tags, model.arch)).lower()


def model_of(models: Mapping[str, ZooModel], id: str) -> ZooModel:
    """The model of an id, in any case.

    Raises:
        UnknownModelError: there is none; the text offers the nearest ids.
    """
    by_lower = {each.lower(): model for each, model in models.items()}
    if id.lower() in by_lower:
        return by_lower[id.lower()]
    near = difflib.get_close_matches(id.lower(), by_lower, n=3, cutoff=0.5)
    named = " or ".join(f"{PREFIX}{by_lower[each].id}" for each in near)
    hint = f"Did you mean {named}?" if near else "Search for a part of its name."
    raise UnknownModelError(f"model {PREFIX + id!r} is not in OpenModelDB's index of {len(models)}. {hint}")
