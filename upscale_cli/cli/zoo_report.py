"""`upscale models search` and what else is shown of OpenModelDB's models. Imports no torch."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from upscale_cli.cli.lines import put_on
from upscale_cli.cli.model_card import LABEL_CELLS
from upscale_cli.cli.tables import print_table
from upscale_cli.errors import OptionError, printable
from upscale_cli.events import Listener, Note
from upscale_cli.models.zoo import FREE, NON_COMMERCIAL, PREFIX, ZooModel, is_under, search
from upscale_cli.models.zoo_fetch import located
from upscale_cli.models.zoo_index import current_index
from upscale_cli.text import amount


def show_search(
    words: Sequence[str], scale: int | None, licence: str | None, listener: Listener, *, as_json: bool
) -> None:
    """One line per model of OpenModelDB's that is meant, the newest first.

    Raises:
        FetchError: the index cannot be had. OptionError: no model has such a licence.
    """
    models = list(current_index(say=lambda text: listener(Note(text))).models.values())
    _check_licence(licence, models)
    found = search(models, words, scale=scale, licence=licence)
    if as_json:
        for model in found:
            print(json.dumps(record(model)))
        return
    if found:
        rows = (
            (PREFIX + model.id, f"x{model.scale}", model.arch, _size(model), model.licence or "none stated",
             _way(model), model.by)
            for model in found
        )  # fmt: skip
        print_table(("-m", "scale", "net", "size", "licence", "get", "author"), rows, right=("scale", "size"))
    listener(Note(f"{len(found)} of {len(models)} models of OpenModelDB; `upscale models info` tells all of one"))


def _check_licence(licence: str | None, models: Sequence[ZooModel]) -> None:
    wanted = (licence or "").lower()
    if wanted in ("", FREE, NON_COMMERCIAL) or any(is_under(model, wanted) for model in models):
        return
    there = ", ".join(sorted({model.licence for model in models if model.licence}))
    raise OptionError(
        f"--licence {printable(wanted)} is none that a model has. Choose {FREE}, {NON_COMMERCIAL}, or one of {there}."
    )


def record(model: ZooModel) -> dict[str, Any]:
    """For `--json`."""
    return {"model": PREFIX + model.id, **asdict(model), "page": model.page, "get": _way(model)}


def show_zoo_model(model: ZooModel, *, as_json: bool) -> None:
    """All that OpenModelDB says of a model, and where its file is."""
    here = located(model)
    if as_json:
        print(json.dumps({**record(model), "here": here is not None, "path": str(here) if here else None}))
        return
    put_on(sys.stdout, PREFIX + model.id)
    put_on(sys.stdout, f"{model.name}, by {model.by}.")
    print()
    facts = [
        ("use", f"upscale photo.jpg -m {PREFIX}{model.id}"),
        ("net", f"{' '.join((model.arch, *model.size))}, x{model.scale}"),
        ("licence", model.licence_named),
        ("made for", ", ".join(model.tags)),
        ("published", model.date),
        ("here", str(here) if here else "no"),
        ("page", model.page),
    ]
    for resource in model.resources:
        size = "" if resource.size is None else f"{amount(resource.size)}, "
        facts += [("file", f"{resource.file}, {size}sha256 {resource.sha256}")]
        facts += [("from", address) for address in resource.direct]
        facts += [("by browser", address) for address in resource.by_browser]
    for label, text in facts:
        if text:
            put_on(sys.stdout, f"  {label:<{LABEL_CELLS}}{text}", indent=LABEL_CELLS + 2)


def _size(model: ZooModel) -> str:
    size = model.resources[0].size if model.resources else None
    return "" if size is None else amount(size)


def _way(model: ZooModel) -> str:
    """How its file comes here."""
    if any(resource.direct for resource in model.resources):
        return "fetch"
    return "browser" if model.resources else "not usable"
