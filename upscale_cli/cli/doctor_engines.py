"""For `upscale doctor`: which engines run nets here, what each reaches, and what was chosen so far."""

from collections.abc import Iterator
from typing import Final

MOST_CHOICES: Final = 12
"""That are shown, the latest first."""

UNTRIED: Final = frozenset({"cuda", "tensorrt", "directml", "coreml", "migraphx", "openvino"})
"""Of ONNX Runtime's providers those that the makers of this program had no device for."""


def engine_lines() -> Iterator[tuple[str, str, bool]]:
    """(what, what was found, whether it is as it should be)."""
    from upscale_cli.inference import engines_here

    for engine in (engines_here.OPENVINO, engines_here.ONNXRUNTIME):
        if not engines_here.is_installed(engine):
            yield engine, f"not installed (optional: pip install {engines_here.package(engine)})", False
            continue
        try:
            reached = engines_here.devices(engine)
            number = engines_here.version(engine)
        except Exception as error:  # of a library, its drivers, its files: anything can be wrong with them
            yield engine, f"is installed, but does not start ({str(error).partition(chr(10))[0]})", False
            continue
        shown = ", ".join(f"{name} (untried)" if name in UNTRIED else name for name in reached)
        yield engine, f"{number}: {shown}", True
    yield from _choices()


def _choices() -> Iterator[tuple[str, str, bool]]:
    from upscale_cli.inference.engines import remembered

    # What new versions of net, engine or package have overtaken is kept in the folder, too.
    latest: dict[tuple[str, str, str], str] = {}
    for net, scale, choice in remembered():
        many = f", {choice.requests} windows at a time" if choice.requests > 1 else ""
        how = " ".join(filter(None, (choice.engine, choice.version, choice.precision)))
        latest.setdefault((net, scale, choice.precision), f"{net} x{scale}: {how}{many}")
    lines = list(latest.values())
    yield from (("chosen so far", line, True) for line in lines[:MOST_CHOICES])
    if len(lines) > MOST_CHOICES:
        yield "chosen so far", f"and {len(lines) - MOST_CHOICES} more", True
