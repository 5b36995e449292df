"""`upscale models ...`: the registry and the files on this machine, shown. Imports no torch unless a file is opened."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from upscale_cli.errors import CheckpointError, UpscaleError, printable
from upscale_cli.events import Failed, Listener, Note
from upscale_cli.models.interface import Descriptor, InputSpec, scales_named
from upscale_cli.models.registry import KERNELS, MODELS, Spec, kernel_named, rows_of
from upscale_cli.models.resolve import is_checkpoint_path, obtain_reporting
from upscale_cli.models.store import Found, candidates, locate, sha256_of, weights_folders
from upscale_cli.text import amount


def show_list(*, as_json: bool) -> None:
    """One line per checkpoint."""
    rows = [(spec, locate(spec)) for spec in MODELS]
    if as_json:
        for spec, found in rows:
            print(json.dumps(_record(spec, found)))
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("model", "scale", "here", "size", "licence", "good for"):
        least = max(len(spec.model) for spec in MODELS) if heading == "model" else None
        table.add_column(heading, justify="right" if heading in ("scale", "size") else "left", min_width=least)
    for spec, found in rows:
        here = "no" if found is None else "bundled" if spec.bundled else "yes" if found.pinned else "unpinned"
        licence = spec.licence.split(",")[0].split(" (")[0]
        table.add_row(
            spec.model, f"x{spec.scale}", here, amount(spec.size) if spec.size is not None else "", licence, spec.about
        )
    for kernel, about in KERNELS.items():
        table.add_row(kernel, "any", "yes", "", "", about)
    _print(table)


def show_archs(listener: Listener, *, as_json: bool) -> None:
    """One line per architecture: its name, the package it comes from ("" for ours), how many models have it, the paper.

    Args:
        listener: gets a note on each plugin that does not work.
    """
    from upscale_cli.models.plugins import architecture, architectures, origin

    known = [*architectures(lambda text: listener(Note(text))), architecture("spandrel")]
    records = [
        {
            "name": arch.name,
            "from": origin(arch.name),
            "models": len({spec.model for spec in MODELS if spec.arch == arch.name}),
            "about": arch.about,
        }
        for arch in known
    ]
    if as_json:
        for record in records:
            print(json.dumps(record))
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("architecture", "from", "models", "about"):
        table.add_column(heading, justify="right" if heading == "models" else "left")
    for record in records:
        table.add_row(*(str(record[key]) for key in ("name", "from", "models", "about")))
    _print(table)


def show_info(name: str, *, as_json: bool) -> None:
    """Everything about a model, or about a checkpoint file.

    Raises:
        UnknownModelError: no such model. CheckpointError: the file is no checkpoint.
    """
    from upscale_cli.cli import model_card

    if kernel := kernel_named(name):
        if as_json:
            print(json.dumps({"model": kernel, "about": KERNELS[kernel]}))
        else:
            model_card.show_kernel(kernel)
        return
    if is_checkpoint_path(name):
        facts = _file_record(Path(name).expanduser())
        if as_json:
            print(json.dumps(facts))
        else:
            model_card.show_file(facts)
        return
    rows = [(spec, locate(spec)) for spec in rows_of(name)]
    if not as_json:
        model_card.show_model(rows)
    for spec, found in rows if as_json else ():
        print(json.dumps(_record(spec, found)))


def fetch_all(names: Sequence[str], listener: Listener) -> None:
    """Makes sure that every checkpoint of these models is on this machine.

    Raises:
        UpscaleError: one of them cannot be had; the others are fetched all the same.
    """
    failures: list[UpscaleError] = []
    for spec in _rows(names):
        try:
            found = obtain_reporting(spec, listener)
            listener(Note(f"{spec.model} x{spec.scale}: {found.path}"))
        except UpscaleError as error:
            failures.append(error)
            listener(Failed(spec.file, error.message))
    if failures:
        raise CheckpointError(f"{len(failures)} of {len(_rows(names))} checkpoints could not be had (see above).")


def verify(names: Sequence[str], *, as_json: bool) -> bool:
    """Compares what is on this machine with the pinned sha256; False if anything is not what it should be.

    What is absent is no failure, unless it was named. A fallback file in safetensors has no pinned hash; it is
    shown as unpinned and is no failure.
    """
    good = True
    for spec in _rows(names):
        for path, state in _states(spec):
            good = good and state != "wrong" and not (names and state == "absent")
            if as_json:
                print(json.dumps({"model": spec.model, "scale": spec.scale, "path": str(path), "state": state}))
            else:
                print(f"{state:<10}{spec.model} x{spec.scale}  {printable(str(path))}")
    return good


def _states(spec: Spec) -> list[tuple[Path, str]]:
    """Every file of that row on the search path, and whether it is "ok", "unpinned" or "wrong"."""
    states = []
    for path in candidates(spec):
        is_pinned = path.name == spec.file
        states.append((path, "unpinned" if not is_pinned else "ok" if sha256_of(path) == spec.sha256 else "wrong"))
    return states or [(Path(spec.file), "absent")]


def paths(names: Sequence[str]) -> list[Path]:
    """The search path; with names, the files of these models that would be used.

    Raises:
        CheckpointError: one of them is not on this machine.
    """
    if not names:
        return weights_folders()
    found = []
    for spec in _rows(names):
        place = locate(spec)
        if place is None:
            raise CheckpointError(
                f"{spec.file}: is not on this machine. Get it with `upscale models fetch {spec.model}`."
            )
        found.append(place.path)
    return found


def _rows(names: Sequence[str]) -> list[Spec]:
    return [spec for name in names for spec in rows_of(name)] if names else list(MODELS)


def _record(spec: Spec, found: Found | None) -> dict[str, Any]:
    here = {
        "here": found is not None,
        "pinned": bool(found and found.pinned),
        "path": str(found.path) if found else None,
    }
    facts = asdict(spec)
    del facts["config"]  # for code, not for people
    return {**facts, **here}


def _file_record(path: Path) -> dict[str, Any]:
    from upscale_cli.inference.net_file import load_net_file

    notes: list[str] = []
    loaded = load_net_file(path, say=notes.append)
    net = loaded.descriptor
    parameters = (
        sum(tensor.numel() for tensor in loaded.state_dict.values()) if loaded.graph is None
        else loaded.graph.parameters
    )  # fmt: skip
    return {
        "path": str(path), "arch": net.name, "depth": net.depth, "scale": _scale(net), "colour": net.colour,
        "luma_range": net.luma_range, "halo": net.halo, "sees_whole": net.sees_whole, "multiple_of": net.multiple_of,
        **({"inputs": [_input(spec) for spec in net.inputs]} if net.inputs else {}),
        **({"fixed_sides": list(net.fixed_sides)} if net.fixed_sides else {}),
        **({"kind": "onnx"} if loaded.graph is not None else {}),
        "parameters": parameters, "notes": "; ".join(notes),
    }  # fmt: skip


def _scale(net: Descriptor) -> float | str:
    """A number where there is one."""
    if net.only_scale is None:
        return scales_named(net.scales)
    return net.only_scale if isinstance(net.only_scale, int) else float(net.only_scale)


def _input(spec: InputSpec) -> str:
    return f"{spec.name}: {spec.about}" if spec.about else spec.name


def _print(renderable: object) -> None:
    from rich.console import Console

    Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty()).print(renderable)
