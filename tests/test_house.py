"""How the code is laid out: rooms in one order, imports that point down, files and functions of a size to read at once.

The package is read as text and parsed; nothing of it is imported. docs/architecture.md says what each room is for.
"""

import ast
import functools
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = "upscale_cli"

ROOMS: Final = (
    *("__main__", "cli", "assistant", "tuning", "service", "__init__", "api", "batch", "executors", "compare"),
    *("evaluation", "export", "jobs", "inference", "models", "media", "files", "frames", "text", "events"),
    *("errors", "messages", "_version"),
)
"""Faces first, values last. A room is a folder or a file at the top of the package, and imports from itself and from
those that come later."""

OFFENDERS: Final[tuple[tuple[str, str], ...]] = ()
"""Imports, (from, to), that point up all the same. This list may only shrink, and it is empty."""

MOST_LINES: Final = 450
"""Of a file."""

MOST_FUNCTION_LINES: Final = 80
"""Of a function with its docstring, without its parameter list: it has fewer."""

OPTIONAL: Final = (
    *("ray", "fsspec", "s3fs", "gcsfs", "spandrel", "pillow_heif", "pyvips", "torchmetrics", "torchvision", "mcp"),
    *("imageio_ffmpeg", "platformdirs", "openvino", "onnxruntime"),
)
"""Libraries that may be missing, and some that are better hidden behind one file."""


@dataclass(frozen=True, slots=True)
class Import:
    """One module of the package imports another.

    Attributes:
        line: where, for messages.
    """

    source: str
    target: str
    line: int


@functools.cache
def modules() -> dict[str, Path]:
    """Every file of the package, by the name it is imported by."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def texts() -> dict[str, str]:
    return {module: path.read_text(encoding="utf-8") for module, path in modules().items()}


@functools.cache
def trees() -> dict[str, ast.Module]:
    return {module: ast.parse(text) for module, text in texts().items()}


@functools.cache
def nodes() -> dict[type[ast.AST], list[tuple[str, Any]]]:
    """Every node of the package with its module, by kind."""
    found: dict[type[ast.AST], list[tuple[str, Any]]] = defaultdict(list)
    for module, tree in trees().items():
        for node in ast.walk(tree):
            found[type(node)].append((module, node))
    return found


def called(node: ast.Call) -> str:
    """The name of what is called, without what stands before its last dot."""
    return str(getattr(node.func, "id", getattr(node.func, "attr", "")))


def targets(node: ast.Import | ast.ImportFrom | ast.Call) -> Iterator[str]:
    """The modules of the package that are imported."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == PACKAGE)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "imports name their module in full"
        if node.module and node.module.partition(".")[0] == PACKAGE:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules() else node.module
    elif isinstance(node, ast.Call) and called(node) == "import_module":
        yield from _named_by(node.args[0])


def _named_by(name: ast.expr) -> Iterator[str]:
    """The modules that `import_module` may load, by the constant beginning of their name."""
    first = name.values[0] if isinstance(name, ast.JoinedStr) else name
    if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.startswith(f"{PACKAGE}."):
        is_whole = first is name
        yield from (one for one in modules() if one == first.value or (not is_whole and one.startswith(first.value)))


@functools.cache
def imports() -> tuple[Import, ...]:
    """All of them: those inside functions and those for types only, too."""
    return tuple(
        Import(source, target, node.lineno)
        for kind in (ast.Import, ast.ImportFrom, ast.Call)
        for source, node in nodes()[kind]
        for target in targets(node)
        if target != source
    )


def room(module: str) -> str:
    """The folder or the file at the top of the package that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def place(module: str, line: int) -> str:
    return f"{modules()[module].relative_to(ROOT)}:{line}"


# Imports


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(module) for module in modules()} <= set(ROOMS)


def test_imports_point_down() -> None:
    rank = {name: number for number, name in enumerate(ROOMS)}
    up = [one for one in imports() if rank[room(one.target)] < rank[room(one.source)]]
    lines = [f"{place(one.source, one.line)} imports {one.target}" for one in up]
    found = {(one.source, one.target) for one in up}
    assert not found - set(OFFENDERS), "imports point up:\n" + "\n".join(lines)
    assert not set(OFFENDERS) - found, "they offend no more: take them off the list"


def test_no_import_leads_back_to_where_it_began() -> None:
    assert not [sorted(circle) for circle in circles()]


def circles() -> Iterator[set[str]]:
    """Modules that reach each other by imports; each circle once, as large as it is."""
    arrows: dict[str, set[str]] = {module: set() for module in modules()}
    for one in imports():
        arrows[one.source].add(one.target)
    while arrows:
        start = next(iter(arrows))
        there, back = _reached(start, arrows), _reached(start, _turned(arrows))
        circle = there & back | {start}
        if len(circle) > 1:
            yield circle
        arrows = {source: onward - circle for source, onward in arrows.items() if source not in circle}


def _reached(start: str, arrows: dict[str, set[str]]) -> set[str]:
    reached, new = set[str](), {start}
    while new:
        new = set().union(*(arrows[module] for module in new)) - reached
        reached |= new
    return reached


def _turned(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    turned: dict[str, set[str]] = {module: set() for module in arrows}
    for source, onward in arrows.items():
        for target in onward:
            turned[target].add(source)
    return turned


@pytest.mark.parametrize("library", OPTIONAL)
def test_a_library_that_may_be_missing_is_imported_by_one_file(library: str) -> None:
    by_name = [(module, alias.name) for module, node in nodes()[ast.Import] for alias in node.names]
    of_name = [(module, node.module or "") for module, node in nodes()[ast.ImportFrom]]
    places = {module for module, name in (*by_name, *of_name) if name.partition(".")[0] == library}
    assert len(places) <= 1


def test_help_loads_neither_torch_nor_numpy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", PACKAGE, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, encoding="utf-8")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert f"{PACKAGE}.cli" in loaded
    assert not loaded & {"torch", "numpy", "av", "PIL", "mcp", "anyio"}


# Sizes


def test_a_file_is_read_at_once() -> None:
    lengths = {module: len(text.splitlines()) for module, text in texts().items()}
    assert not {module: length for module, length in lengths.items() if length > MOST_LINES}


def test_a_function_fits_on_a_screen() -> None:
    long = [
        f"{place(module, node.lineno)} {node.name}: {length}"
        for module, node in (*nodes()[ast.FunctionDef], *nodes()[ast.AsyncFunctionDef])
        if (length := node.end_lineno - node.body[0].lineno + 1) >= MOST_FUNCTION_LINES
    ]
    assert not long


# Seams


def test_only_the_command_line_prints() -> None:
    printing = [(module, node) for module, node in nodes()[ast.Call] if getattr(node.func, "id", "") == "print"]
    assert not [place(module, node.lineno) for module, node in printing if room(module) != "cli"]


def test_public_functions_name_their_options() -> None:
    """A misspelt option is found by a type checker, and named by a TypeError."""
    functions = [*trees()[f"{PACKAGE}.api"].body]
    for node in trees()[f"{PACKAGE}.inference.upscaler"].body:
        if isinstance(node, ast.ClassDef) and node.name == "Upscaler":
            functions += node.body
    swallowing = [
        node.name
        for node in functions
        if isinstance(node, ast.FunctionDef)
        and (not node.name.startswith("_") or node.name == "__init__")
        and (rest := node.args.kwarg)
        and (rest.annotation is None or ast.unparse(rest.annotation) in ("Any", "object"))
    ]
    assert not swallowing


def test_jobs_are_not_told_apart() -> None:
    """A job knows how it is run; no code asks which class it is of, but the file that defines it."""
    homes = {node.name: module for module, node in nodes()[ast.ClassDef] if node.name.endswith("Job")}
    calls = [(module, node) for module, node in nodes()[ast.Call] if called(node) == "isinstance"]
    asked = [(module, node.lineno, node.args[1]) for module, node in calls]
    asked += [(module, node.lineno, node.cls) for module, node in nodes()[ast.MatchClass]]
    assert not [
        f"{place(module, line)}: {name}"
        for module, line, kinds in asked
        for name in {getattr(one, "id", getattr(one, "attr", "")) for one in ast.walk(kinds)}
        if homes.get(name, module) != module
    ]


# What docs/architecture.md says


@functools.cache
def architecture() -> str:
    return (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_its_rooms_stand_in_their_order() -> None:
    rows = [line.split("|")[1] for line in architecture().splitlines() if line.startswith("| `")]
    named = [name.strip("`/ ").removesuffix(".py").partition("/")[0] for row in rows for name in row.split(",")]
    order = list(dict.fromkeys(named))
    assert [ROOMS.index(room) for room in order] == sorted(ROOMS.index(room) for room in order)
    assert set(ROOMS) - set(order) <= {"__main__", "__init__", "_version"}


def test_what_it_names_is_there() -> None:
    """Every function, class, method and constant between backticks; files are looked for elsewhere."""
    known = {"--resume", "--help"}
    for module, tree in trees().items():
        known |= {module.removeprefix(f"{PACKAGE}."), module.rpartition(".")[2]}
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                known.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                known |= {target.id for target in targets if isinstance(target, ast.Name)}
    spans = [
        span for span in re.findall(r"`([^`]+)`", architecture()) if not re.search(r"[/ ]|\.(py|md)$", span)
    ]  # fmt: skip
    missing = [span for span in spans if not {part for part in span.split(".") if part} <= known and span not in known]
    assert len(spans) > 40
    assert missing == []
