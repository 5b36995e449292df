"""Marks each line of the package that runs, in every process that is started meanwhile.

Before Python 3.12 `coverage` has to follow every line of every library that runs, which makes the tests half as long
again; SlipCover writes the code anew in each process, seconds at every start of a program. Here a file is compiled
once for all, with a mark before each statement: a byte of a file that all processes have mapped, so that those that
are forked or killed count, too. What a statement is, `coverage` knows (rooms.py).

Every Python of the environment imports this file, which does nothing where LINES_RUN names no folder (.ci/test).
"""

import ast
import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parents[1] / "upscale_cli"
FOLDER = os.environ.get("LINES_RUN", "")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def lines_run(file: Path) -> list[int]:
    """The lines of a file at which statements have begun."""
    path = shared(str(file))
    return [line for line, mark in enumerate(path.read_bytes()) if mark] if path.exists() else []


def marks(file: str) -> mmap.mmap:
    """A byte for each line of a file, the first being line 1: 0 until a statement there has run."""
    length = Path(file).read_bytes().count(b"\n") + 2
    with shared(file).open("ab") as made:
        made.truncate(length)
    with shared(file).open("r+b") as made:
        return mmap.mmap(made.fileno(), length)


def shared(file: str, ending: str = ".lines") -> Path:
    """Where the processes have what is known of a file of the package."""
    return Path(FOLDER, os.path.relpath(file, PACKAGE).replace(os.sep, ".") + ending)


def marked(source: bytes) -> ast.Module:
    """A module that marks each statement just before it runs; an `except` or `case` is marked when it is taken."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block:
                setattr(node, name, list(with_marks(node, block)))
    start = ast.parse(f"__ran__ = __import__({__name__!r}).marks(__file__)").body
    after_docstring = int(ast.get_docstring(tree) is not None)
    tree.body[after_docstring:after_docstring] = start
    return ast.fix_missing_locations(tree)


def with_marks(node: ast.AST, block: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block of a node, docstring first, and the marks between them."""
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
        yield block[0]
        block = block[1:]
    if isinstance(node, ast.ExceptHandler):
        yield mark(node.lineno)
    if isinstance(node, ast.match_case):
        yield mark(node.pattern.lineno)
    for statement in block:
        for decorator in getattr(statement, "decorator_list", ()):
            yield mark(decorator.lineno)
        yield mark(statement.lineno)
        yield statement


def mark(line: int) -> ast.stmt:
    of_line = ast.Subscript(ast.Name("__ran__", ast.Load()), ast.Constant(line), ast.Store())
    return ast.Assign([of_line], ast.Constant(1), lineno=line, end_lineno=line, col_offset=0, end_col_offset=0)


class Loader(SourceFileLoader):
    """Compiles with marks. The byte code lies with the marks, for all processes; what else there is stays unused."""

    def source_to_code(self, data, path, *, _optimization=-1):  # type: ignore[no-untyped-def,override]
        return compile(marked(data), path, "exec", dont_inherit=True, optimize=_optimization)

    def get_data(self, path: str) -> bytes:
        return super().get_data(self.place(path))

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:  # type: ignore[override]
        super().set_data(self.place(path), data, _mode=_mode)

    def place(self, path: str) -> str:
        return str(shared(self.path, ".pyc")) if path.endswith(".pyc") else path


class Finder:
    """Finds the package, and nothing else."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] != PACKAGE.name:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader) and spec.loader.path.startswith(f"{PACKAGE}{os.sep}"):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


if FOLDER:
    sys.meta_path.insert(0, Finder())
