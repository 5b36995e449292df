"""`upscale models info`, for people: a model, or a checkpoint file, as a card. Imports no torch."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from upscale_cli.cli.lines import put_on
from upscale_cli.models.registry import KERNELS, Kernel, Spec, other_names
from upscale_cli.models.store import Found
from upscale_cli.text import amount

LABEL_CELLS = 12
"""Of what stands before a fact."""


def show_kernel(kernel: Kernel) -> None:
    """A model that is no net."""
    show_head(kernel, KERNELS[kernel])
    show_fact("use", f"upscale photo.jpg -m {kernel}")


def show_model(rows: Sequence[tuple[Spec, Found | None]]) -> None:
    """A model of the registry, and each of its checkpoints.

    Args:
        rows: of one model, with what is on this machine.
    """
    first = rows[-1][0]
    abouts = list(dict.fromkeys(spec.about for spec, _ in reversed(rows)))
    show_head(first.model, "; ".join(abouts))
    show_fact("use", f"upscale photo.jpg -m {first.model}")
    show_fact("scales", f"{', '.join(f'x{spec.scale}' for spec, _ in rows)}; others by passes and one resampling")
    works_on = {"rgb": "red, green and blue", "luma": "brightness alone; colour goes by bicubic"}[first.channels]
    show_fact("net", f"{first.arch}, works on {works_on}")
    costs = dict.fromkeys(f"x{spec.scale} {spec.macs / 1e6:,.2f} million" for spec, _ in rows)
    show_fact("cost", f"{', '.join(costs)} multiply-adds for each input pixel")
    if first.crisp:
        show_fact("strength", f"--strength 0 (faithful) to 1, by mixing with {first.crisp}")
    if first.weak_denoise:
        show_fact("denoise", f"--denoise 0 (keeps grain) to 1, by blending with {first.weak_denoise}")
    show_fact("licence", first.licence)
    show_fact("also called", ", ".join(other_names(first.model)))
    for spec, found in rows:
        _checkpoint(spec, found)
    if not all(found for _, found in rows):
        print()
        show_fact("get it", f"upscale models fetch {first.model}, or by its first use")


def _checkpoint(spec: Spec, found: Found | None) -> None:
    print()
    size = f", {amount(spec.size)}" if spec.size is not None else ""
    comes = ", comes with upscale-cli" if spec.bundled else ""
    show_fact(f"x{spec.scale}", f"{spec.file}{size}{comes}")
    if found is None:
        show_fact("here", "no")
    else:
        show_fact("here", f"{found.path}{'' if found.pinned else ' (known by its name only, not by its sum)'}")
    if spec.int8 is not None:
        show_fact(
            "int8",
            f"{spec.int8.file}, {amount(spec.int8.size)}: {spec.int8.loss:.2f} dB less on B100 (--precision int8)",
        )
    if spec.url is not None:
        show_fact("from", spec.url)
    show_fact("sha256", f"{spec.sha256}{' (from one source only)' if spec.unconfirmed else ''}")


def show_file(facts: Mapping[str, Any]) -> None:
    """A checkpoint file.

    Args:
        facts: as `models info FILE --json` prints them.
    """
    scale = facts["scale"] if isinstance(facts["scale"], str) else f"x{facts['scale']:g}"
    of_size = f", {facts['depth']}" if facts["depth"] else ""
    is_onnx = facts.get("kind") == "onnx"
    of = "," if is_onnx and facts["arch"] == "onnx" else f" of {facts['arch']}"
    show_head(facts["path"], f"{'an ONNX file' if is_onnx else 'a checkpoint'}{of} {scale}{of_size}")
    show_fact("use", f"upscale photo.jpg -m {shlex.quote(facts['path'])}")
    show_net(facts, "it looks")
    for needed in facts.get("given_by", ()):
        show_fact("takes", needed)
    for word, text in facts.get("stated", {}).items():
        show_fact(word, text)
    if facts["notes"]:
        show_fact("note", facts["notes"])


def show_net(facts: Mapping[str, Any], who_looks: str) -> None:
    """What a net is and sees.

    Args:
        facts: "arch", "parameters", "colour" and so on, as `models info --json` prints them.
        who_looks: at all of a picture, where it does.
    """
    show_fact("net", f"{facts['arch']}, {facts['parameters']:,} parameters")
    luma = f", {facts['luma_range']} range" if facts["colour"] != "rgb" else ""
    show_fact("works on", f"{facts['colour']}{luma}")
    sides = f"; sides are made multiples of {facts['multiple_of']}" if facts["multiple_of"] > 1 else ""
    if "fixed_sides" in facts:
        height, width = facts["fixed_sides"]
        sides = f"; windows of {width} x {height} pixels only"
    show_fact("tiles", f"see {facts['halo']} input pixels around them{sides}")
    if facts["sees_whole"]:
        show_fact("memory", f"gets the picture as a whole where that fits, for {who_looks} at all of it")


def show_head(name: str, about: str) -> None:
    """Its name, and a sentence about it."""
    put_on(sys.stdout, name)
    put_on(sys.stdout, f"{about[0].upper()}{about[1:]}.")
    print()


def show_fact(label: str, text: str) -> None:
    """One line of a card."""
    put_on(sys.stdout, f"  {label:<{LABEL_CELLS}}{text}", indent=LABEL_CELLS + 2)
