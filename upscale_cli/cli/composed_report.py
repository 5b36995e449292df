"""`upscale models info` of a mix or a chain: what its nets are together, and each of them. Imports no torch."""

import json
import math
import shlex
import sys
from typing import TYPE_CHECKING, Any

from upscale_cli.cli.lines import put_on
from upscale_cli.cli.model_card import show_fact, show_head, show_net
from upscale_cli.errors import CheckpointError
from upscale_cli.events import Listener
from upscale_cli.models.asked import asked
from upscale_cli.models.registry import rows_of
from upscale_cli.models.resolve import checkpoint_path
from upscale_cli.models.store import locate
from upscale_cli.models.zoo import zoo_id

if TYPE_CHECKING:
    from upscale_cli.export.composed import Composed
    from upscale_cli.inference.model import Model
    from upscale_cli.models.interface import LoadedNet, Scale

USUAL_SCALE = 4
"""As for photos."""


def is_composed(name: str) -> bool:
    """Whether it names more than one checkpoint."""
    return sum(len(part.names) for part in asked(name)) > 1


def show_composed(given: str, listener: Listener, *, as_json: bool) -> None:
    """What `-m` makes of several names.

    Raises:
        CheckpointError: one of them is not on this machine, or they do not fit together.
        OptionError, UnknownModelError: as `-m` would.
    """
    from upscale_cli.export.composed import composed

    for part in asked(given):
        for name in part.names:
            _check_here(name)
    found = composed(given, None, USUAL_SCALE, listener, only_here=True)
    facts = _facts(given, found)
    if as_json:
        print(json.dumps(facts))
    else:
        _show(facts)


def _check_here(name: str) -> None:
    """To be told about a model is no reason to fetch it."""
    id = zoo_id(name)
    if id is not None:
        from upscale_cli.models.zoo_fetch import located, zoo_model

        is_here = located(zoo_model(id)) is not None
    else:
        is_here = checkpoint_path(name) is not None or any(locate(spec) for spec in rows_of(name))
    if not is_here:
        raise CheckpointError(f"{name}: is not on this machine. Get it with `upscale models fetch {name}`.")


def _facts(given: str, found: "Composed") -> dict[str, Any]:
    net = found.net.descriptor
    weights = getattr(found.model, "weights", ())
    parts = [_part(model, scale) for model, scale in found.parts]
    if not found.is_chain:
        parts = [{**part, "weight": weight} for part, weight in zip(parts, weights, strict=True)]
    return {
        "model": given, "kind": "chain" if found.is_chain else "mix", "arch": net.name, "scale": float(found.scale),
        "colour": net.colour, "luma_range": net.luma_range, "halo": net.halo, "halo_is_exact": net.exact,
        "sees_whole": net.sees_whole, "multiple_of": net.multiple_of, "least_side": net.least_side,
        "parameters": _parameters(found.net), "inputs": [spec.name for spec in net.inputs], "parts": parts,
    }  # fmt: skip


def _part(model: "Model", scale: "Scale") -> dict[str, Any]:
    from upscale_cli.export.choice import UNKNOWN, known_of

    row, licence = model.row(scale), known_of(model, scale)["licence"]
    file = model.file if row is None else None
    return {
        "model": model.name, "net": model.pass_name(scale), "scale": float(scale),
        "path": str(file) if file is not None else row and row.file,
        **({"licence": licence} if licence != UNKNOWN else {}),
    }  # fmt: skip


def _parameters(net: "LoadedNet") -> int:
    if net.parts:
        return sum(_parameters(part) for part, _ in net.parts)
    if net.graph is not None:
        return net.graph.parameters
    return sum(math.prod(tensor.shape) for tensor in net.state_dict.values())


def _show(facts: dict[str, Any]) -> None:
    scale, parts = f"x{facts['scale']:g}", facts["parts"]
    is_chain = facts["kind"] == "chain"
    how = "one after the other" if is_chain else "their weights mixed"
    show_head(facts["model"], f"{'a chain' if is_chain else 'a mix'} of {len(parts)} nets, {how}: {scale}")
    show_fact("use", f"upscale photo.jpg -m {shlex.quote(facts['model'])}")
    show_net(facts, "a net of it looks")
    if facts["inputs"]:
        show_fact("takes", ", ".join(facts["inputs"]))
    for number, part in enumerate(parts, start=1):
        put_on(sys.stdout, "")
        weight = f", weight {part['weight']:g}" if "weight" in part else ""
        licence = f", {part['licence']}" if "licence" in part else ""
        show_fact(str(number), f"{part['net']}{weight}{licence}")
        show_fact("file", str(part["path"]))
