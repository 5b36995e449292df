"""The reference outputs in ../shared, and how a net of ours is held against one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.conftest import SHARED
from upscale_cli import load_model
from upscale_cli.models.bare import BareModel

FACTOR = 20
"""How many times what float32 costs the reference itself a net of ours may differ by."""

SHARE = 1e-4
"""Of the output's spread, in addition."""

UNKNOWN_COST = 2e-4
"""Of the output's spread, where a card does not say what float32 costs."""


@dataclass(frozen=True)
class Pair:
    """Inputs and output of a reference.

    Attributes:
        weights: the checkpoint.
        file: tensors by name, with `sr`.
        card: what is known of both.
        name: of the pair in the card.
    """

    weights: Path
    file: Path
    card: Path
    name: str

    def facts(self) -> Mapping[str, Any]:
        facts: Mapping[str, Any] = json.loads(self.card.read_text(encoding="utf-8"))
        return facts

    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.file)


def golden(arch: str, pair: str = "pair1") -> Pair:
    """A pair of ../shared/goldens, with the weights that its card names."""
    folder = SHARED / "goldens" / arch
    card = folder / "card.json"
    weights = folder / "weights.safetensors"
    if card.is_file():
        stated = str(json.loads(card.read_text(encoding="utf-8"))["pairs"][pair].get("weights", ""))
        if stated.startswith("shared/"):
            weights = SHARED / stated.removeprefix("shared/")
    return Pair(weights, folder / f"{pair}.safetensors", card, pair)


def further(stem: str) -> Pair:
    """A pair of ../shared/weights-more."""
    folder = SHARED / "weights-more"
    return Pair(folder / f"{stem}.safetensors", folder / "pairs" / f"{stem}.safetensors", folder / f"{stem}.json", "")


def bound(pair: Pair, sr: Tensor) -> float:
    """The largest difference that a net of ours may show."""
    spread = float(sr.max() - sr.min())
    cost = pair.facts().get("pairs", {}).get(pair.name, {}).get("float32_vs_float64_max_abs")
    return FACTOR * (UNKNOWN_COST / FACTOR * spread if cost is None else float(cost)) + SHARE * spread


def difference(pair: Pair) -> tuple[float, float, BareModel]:
    """The largest difference to the reference, what is allowed, and the model that gave it."""
    tensors = pair.tensors()
    sr = tensors.pop("sr")
    model = load_model(pair.weights, card=pair.card)
    with torch.inference_mode():
        ours = model.net(**{name: tensors[name] for name in inputs_of(model, tensors)})
    assert ours.shape == sr.shape
    return float((ours - sr).abs().max()), bound(pair, sr), model


def inputs_of(model: BareModel, tensors: Mapping[str, Tensor]) -> list[str]:
    """The names in a pair's file that are inputs: the picture, and what the descriptor lists."""
    known = {"lr", *(spec.name for spec in model.descriptor.inputs)}
    return [name for name in tensors if name in known]
