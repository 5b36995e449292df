"""Every reference output that is at hand, whatever net it is of: none is forgotten."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.conftest import SHARED
from tests.family import Pair, bound, further, golden
from upscale_cli import load_model
from upscale_cli.models.loading import load_net

NO_NETS = ("kernelgan",)
"""Pairs of functions: tests/test_kernelgan.py."""


def pairs() -> Iterator[Any]:
    for file in sorted((SHARED / "goldens").glob("*/pair*.safetensors")):
        if file.parent.name not in NO_NETS:
            yield pytest.param(golden(file.parent.name, file.stem), id=f"{file.parent.name}-{file.stem}")
    for file in sorted((SHARED / "weights-more/pairs").glob("*.safetensors")):
        yield pytest.param(further(file.stem), id=file.stem)


FOUND = list(pairs())


@pytest.mark.slow
@pytest.mark.skipif(not FOUND, reason="the shared folder with the references' outputs is not here")
@pytest.mark.parametrize("pair", FOUND)
def test_every_net_is_its_reference(pair: Pair) -> None:
    tensors = pair.tensors()
    sr = tensors.pop("sr")
    weights = pair.weights
    if not weights.is_file():  # RAISR's card names it in its text only
        weights = SHARED / "weights" / f"{weights.parent.name}-movehand-x2.safetensors"
    model = load_model(weights, card=pair.card)
    takes = inspect.signature(model.net.forward).parameters
    given = {name: value for name, value in tensors.items() if name in takes}
    with torch.inference_mode():
        made = model.net(**given)
        again = model.net(given.pop(next(iter(takes))), **given)
    assert float((made - sr).abs().max()) <= bound(pair, sr)
    assert torch.equal(made, again)


@pytest.mark.slow
@pytest.mark.skipif(not FOUND, reason="the shared folder with the checkpoints is not here")
def test_every_checkpoint_is_known() -> None:
    """By its keys and shapes, and what lies next to it; the matrix for kernels is no net."""
    files = [*(SHARED / "weights").glob("*.safetensors"), *(SHARED / "weights-more").glob("*.safetensors")]
    known = {file.stem: load_net(file).descriptor.arch for file in sorted(files) if file.stem != "srmd-pca"}
    assert len(known) > 50
    assert "spandrel" not in known.values()
