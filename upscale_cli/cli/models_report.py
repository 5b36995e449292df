"""`upscale models ...`: the registry and the files on this machine, shown. Imports no torch unless a file is opened."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from upscale_cli.cli.tables import print_table
from upscale_cli.errors import CheckpointError, OptionError, UpscaleError, printable
from upscale_cli.events import Failed, Listener, Note
from upscale_cli.models import modelspec
from upscale_cli.models.added_folders import add_folder, added_folders, forget_folder
from upscale_cli.models.interface import SCALE_INPUT, Descriptor, InputSpec, scales_named
from upscale_cli.models.registry import KERNELS, MODELS, Spec, kernel_named, rows_of
from upscale_cli.models.resolve import checkpoint_path, checkpoint_path_reporting, obtain_reporting
from upscale_cli.models.seen import SeenFacts, remember, seen
from upscale_cli.models.store import Found, candidates, locate, sha256_of, weights_folders
from upscale_cli.models.user_files import UserFile, model_folders, user_files
from upscale_cli.models.zoo import zoo_id
from upscale_cli.text import amount

LONGEST_LICENCE: Final = 24
"""Cells of a licence in the list."""


def show_list(listener: Listener, *, as_json: bool) -> None:
    """One line per checkpoint: those of the registry, then the user's own.

    Args:
        listener: gets notes on what is in the way of finding the user's.
    """
    notes: list[str] = []
    rows = [(spec, locate(spec)) for spec in MODELS]
    files = [(file, seen(file.path)) for file in user_files(say=notes.append)]
    if as_json:
        for spec, found in rows:
            print(json.dumps(_record(spec, found)))
        for file, facts in files:
            print(json.dumps(_user_record(file, facts)))
        return
    lines = [_registry_line(spec, found) for spec, found in rows]
    lines += [(kernel, "any", "yes", "", "", about) for kernel, about in KERNELS.items()]
    lines += [_user_line(file, facts) for file, facts in files]
    print_table(
        ("model", "scale", "here", "size", "licence", "good for"), lines, right=("scale", "size")
    )  # fmt: skip
    for file, _ in files:
        if file.others:
            notes.append(f"{file.stem}: {file.path} is taken, and not {', '.join(map(str, file.others))}")
    for note in notes:
        listener(Note(note))


def _registry_line(spec: Spec, found: Found | None) -> tuple[str, ...]:
    here = "no" if found is None else "bundled" if spec.bundled else "yes" if found.pinned else "unpinned"
    licence = _short(spec.licence)
    size = amount(spec.size) if spec.size is not None else ""
    facts = None if found is None else seen(found.path)
    return spec.model, f"x{spec.scale}", here, size, licence, f"{spec.about}{_needs(facts)}"


def _short(licence: str) -> str:
    """Its name, without what is said about it.

    >>> _short("MIT (weights trained here)"), _short("BSD-3-Clause, (c) 2021 somebody")
    ('MIT', 'BSD-3-Clause')
    """
    name = printable(licence.split(",")[0].split(" (")[0])
    return name if len(name) <= LONGEST_LICENCE else f"{name[: LONGEST_LICENCE - 3]}..."


def _user_line(file: UserFile, facts: SeenFacts | None) -> tuple[str, ...]:
    kind = f", {facts.arch}{f' of {facts.depth}' if facts.depth else ''}" if facts else ""
    return (
        printable(file.stem), facts.scales if facts else "", "yes", amount(file.size),
        _short(facts.licence) if facts else "", f"from {file.origin}{kind}{_needs(facts)}",
    )  # fmt: skip


def _needs(facts: SeenFacts | None) -> str:
    """What a net wants beside the picture, for people."""
    if facts is None:
        return ""
    needed = f"; needs {', '.join(facts.inputs)}" if facts.inputs else ""
    return f"{needed}; takes {', '.join(facts.takes)}" if facts.takes else needed


def _user_record(file: UserFile, facts: SeenFacts | None) -> dict[str, Any]:
    return {
        "model": file.stem, "here": True, "pinned": False, "path": str(file.path), "size": file.size,
        "origin": file.origin, "also": [str(other) for other in file.others],
        **({"arch": facts.arch, "scale": facts.scales, "inputs": list(facts.inputs), "takes": list(facts.takes),
            "licence": facts.licence}
           if facts else {}),
    }  # fmt: skip


def show_archs(listener: Listener, *, as_json: bool) -> None:
    """One line per architecture: its name and year, the package it comes from ("" for ours), how many models have it,
    what its nets need beside the picture, the paper.

    Args:
        listener: gets a note on each plugin that does not work.
    """
    from upscale_cli.models.plugins import architecture, architectures, origin

    known = [*architectures(lambda text: listener(Note(text))), architecture("spandrel")]
    records = [
        {
            "name": arch.name,
            "year": arch.year,
            "from": origin(arch.name),
            "models": len({spec.model for spec in MODELS if spec.arch == arch.name}),
            "needs": list(arch.inputs),
            "about": arch.about,
        }
        for arch in known
    ]
    if as_json:
        for record in records:
            print(json.dumps(record))
        return
    columns = ("name", "year", "from", "models", "needs", "about")
    lines = (
        tuple(", ".join(value) if isinstance(value, list) else str(value) for value in map(record.get, columns))
        for record in records
    )
    print_table(("architecture", *columns[1:]), lines, right=("models",))


def show_info(name: str, listener: Listener, *, as_json: bool) -> None:
    """Everything about a model, a checkpoint file, a mix or a chain; or what OpenModelDB says of one of its models.

    Raises:
        UnknownModelError: no such model. CheckpointError: the file is no checkpoint.
    """
    from upscale_cli.cli import model_card
    from upscale_cli.cli.composed_report import is_composed, show_composed

    if is_composed(name):
        show_composed(name, listener, as_json=as_json)
        return
    if kernel := kernel_named(name):
        if as_json:
            print(json.dumps({"model": kernel, "about": KERNELS[kernel]}))
        else:
            model_card.show_kernel(kernel)
        return
    id = zoo_id(name)
    if id is not None:
        from upscale_cli.cli.zoo_report import show_zoo_model
        from upscale_cli.models.zoo_fetch import zoo_model

        show_zoo_model(zoo_model(id, say=lambda text: listener(Note(text))), as_json=as_json)
        return
    path = checkpoint_path_reporting(name, listener)
    if path is not None:
        facts = _file_record(path)
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
    names = list(dict.fromkeys(names))
    wanted: list[Spec | str] = []
    for name in names:
        wanted += rows_of(name) if zoo_id(name) is None else [name]
    failures = 0
    for one in wanted:
        try:
            if isinstance(one, str):
                listener(Note(f"{one}: {checkpoint_path_reporting(one, listener)}"))
            else:
                listener(Note(f"{one.model} x{one.scale}: {obtain_reporting(one, listener).path}"))
        except UpscaleError as error:
            failures += 1
            listener(Failed(one if isinstance(one, str) else one.file, error.message))
    if failures:
        raise CheckpointError(f"{failures} of {len(wanted)} checkpoints could not be had (see above).")


def verify(names: Sequence[str], *, as_json: bool) -> bool:
    """Compares what is on this machine with the pinned sha256; False if anything is not what it should be.

    What is absent is no failure, unless it was named. A fallback file in safetensors has no pinned hash; it is
    shown as unpinned and is no failure.
    """
    good = True
    for model, scale, path, state in _compared(names):
        good = good and state != "wrong" and not (names and state == "absent")
        if as_json:
            print(json.dumps({"model": model, "scale": scale, "path": str(path), "state": state}))
        else:
            print(f"{state:<10}{model}{'' if scale is None else f' x{scale}'}  {printable(str(path))}")
    return good


def _compared(names: Sequence[str]) -> Iterator[tuple[str, int | None, Path, str]]:
    """(model, scale, file, state) of every file; a file of the user's has no pinned sum, so its scale is not known."""
    for name in names or dict.fromkeys(spec.model for spec in MODELS):
        id = zoo_id(name)
        if id is not None:
            from upscale_cli.models.zoo_fetch import located, zoo_model

            model = zoo_model(id)
            found = located(model)
            yield name, model.scale, found or Path(id), "absent" if found is None else "ok"
        elif (file := checkpoint_path(name)) is not None:
            yield name, None, file, "unpinned"
        else:
            for spec in rows_of(name):
                for path, state in _states(spec):
                    yield spec.model, spec.scale, path, state


def _states(spec: Spec) -> list[tuple[Path, str]]:
    """Every file of that row on the search path, and whether it is "ok", "unpinned" or "wrong"."""
    states = []
    for path in candidates(spec):
        is_pinned = path.name == spec.file
        states.append((path, "unpinned" if not is_pinned else "ok" if sha256_of(path) == spec.sha256 else "wrong"))
    return states or [(Path(spec.file), "absent")]


def paths(names: Sequence[str]) -> list[Path]:
    """The folders that are looked into; with names, the files of these models that would be used.

    Raises:
        CheckpointError: one of them is not on this machine.
    """
    if not names:
        own = weights_folders()
        return [*own, *(folder.path for folder in model_folders() if folder.path not in own)]
    found = []
    for name in names:
        file = checkpoint_path_here(name)
        if file is not None:
            found.append(file)
            continue
        for spec in rows_of(name):
            place = locate(spec)
            if place is None:
                raise CheckpointError(
                    f"{spec.file}: is not on this machine. Get it with `upscale models fetch {spec.model}`."
                )
            found.append(place.path)
    return found


def change_folders(add: Path | None, forget: Path | None) -> None:
    """Adds a folder to those that are looked into, or takes one off again.

    Raises:
        OptionError: it is no folder, or was never added.
        OutputError: the setting cannot be written.
    """
    if add is not None and not add_folder(add) and not add.expanduser().is_dir():
        raise OptionError(f"--add {printable(str(add))} is no folder. Give one with checkpoints, or ComfyUI's own.")
    if forget is not None and not forget_folder(forget):
        there = ", ".join(printable(str(folder)) for folder in added_folders())
        remedy = f"Those that were are {there}." if there else "None was."
        raise OptionError(f"--forget {printable(str(forget))} was never added. {remedy}")


def checkpoint_path_here(name: str) -> Path | None:
    """The file that a name means, which is not fetched; None for one of the registry.

    Raises:
        CheckpointError: it is OpenModelDB's, and not on this machine.
    """
    id = zoo_id(name)
    if id is None:
        return checkpoint_path(name)
    from upscale_cli.models.zoo_fetch import located, zoo_model

    place = located(zoo_model(id))
    if place is None:
        raise CheckpointError(f"{name}: is not on this machine. Get it with `upscale models fetch {name}`.")
    return place


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
    from upscale_cli.models.loading import stated_facts

    notes: list[str] = []
    loaded = load_net_file(path, say=notes.append)
    net = loaded.descriptor
    facts = {**(loaded.graph.stated if loaded.graph is not None else {}), **stated_facts(path)}
    stated = modelspec.stated(facts)
    if path.suffix == ".safetensors" and not modelspec.fits(facts, path.read_bytes()):
        notes.append("its tensors are not those that its modelspec.hash_sha256 is of")
    remember(path, net, stated)
    parameters = (
        sum(tensor.numel() for tensor in loaded.state_dict.values()) if loaded.graph is None
        else loaded.graph.parameters
    )  # fmt: skip
    return {
        "path": str(path), "arch": net.name, "depth": net.depth, "scale": _scale(net), "colour": net.colour,
        "luma_range": net.luma_range, "halo": net.halo, "sees_whole": net.sees_whole, "multiple_of": net.multiple_of,
        **({"inputs": [_input(spec) for spec in net.inputs]} if net.inputs else {}),
        **({"given_by": [_option(spec) for spec in net.inputs if spec.name != SCALE_INPUT]} if net.inputs else {}),
        **({"fixed_sides": list(net.fixed_sides)} if net.fixed_sides else {}),
        **({"kind": "onnx"} if loaded.graph is not None else {}),
        "parameters": parameters, "notes": "; ".join(notes), **({"stated": stated} if stated else {}),
    }  # fmt: skip


def _scale(net: Descriptor) -> float | str:
    """A number where there is one."""
    if net.only_scale is None:
        return scales_named(net.scales)
    return net.only_scale if isinstance(net.only_scale, int) else float(net.only_scale)


def _option(spec: InputSpec) -> str:
    """How a user gives it."""
    flags = {"kernel": "--kernel", "kernel_codes": "--kernel", "noise": "--noise"}
    return f"{flags[spec.kind]}: {spec.about}" if spec.kind in flags else f"--condition {_input(spec)}"


def _input(spec: InputSpec) -> str:
    return f"{spec.name}: {spec.about}" if spec.about else spec.name
