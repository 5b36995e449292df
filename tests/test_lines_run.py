"""The marks by which CI counts the lines that have run: what they say, and that they change nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parents[1] / ".ci"
PACKAGE = '''"""A docstring."""

import enum  # runs
from dataclasses import dataclass  # runs


@dataclass(frozen=True)  # runs
class Row:  # runs
    """Another."""

    number: int = 1  # runs


class Kind(enum.Enum):  # runs
    A = enum.auto()  # runs


def kind(value: object) -> str:  # runs
    """What it is."""
    match value:  # runs
        case int():
            return "int"
        case str():  # runs
            return "str"  # runs
    return "other"


def tried(divisor: int) -> list[str]:  # runs
    steps = []  # runs
    try:  # runs
        steps.append(str(1 // divisor))  # runs
    except TypeError:
        steps.append("type")
    except ZeroDivisionError:  # runs
        steps.append("zero")  # runs
    else:
        steps.append("else")
    finally:
        steps.append("finally")  # runs
    for _ in steps:  # runs
        if divisor:  # runs
            steps.append("if")
        elif steps:  # runs
            break  # runs
    else:
        steps.append("all")
    return steps  # runs


def never() -> None:  # runs
    raise RuntimeError


RESULT = (  # runs
    kind("a"),
    tried(0),
    [one.name for one in Kind],
    Row(),
)
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that is looked at as ours is, and a folder for the marks."""
    for folder in (".ci", "upscale_cli", "marks"):
        (tmp_path / folder).mkdir()
    (tmp_path / ".ci/lines_run.py").write_bytes((CI / "lines_run.py").read_bytes())
    (tmp_path / "upscale_cli/__init__.py").write_text(PACKAGE, encoding="utf-8")
    return tmp_path


def python(folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
    """A process with that copy alone (-S), also while this suite itself is looked at."""
    environment = {**os.environ, "LINES_RUN": str(folder / "marks"), "PYTHONPATH": f"{folder}{os.pathsep}{folder}/.ci"}
    command = [sys.executable, "-S", "-c", f"import lines_run; {code}"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def run_of(folder: Path) -> list[int]:
    file = folder / "upscale_cli/__init__.py"
    return [int(line) for line in python(folder, f"print(*lines_run.lines_run({str(file)!r}))").stdout.split()]


def test_what_has_run_is_marked(package: Path) -> None:
    assert run_of(package) == []
    for _ in range(2):  # compiled here, and from what was compiled
        done = python(package, "import upscale_cli as p; print(p.RESULT, p.__doc__, p.kind.__doc__, p.Row.__doc__)")
        said = "('str', ['zero', 'finally'], ['A'], Row(number=1)) A docstring. What it is. Another.\n"
        assert (done.stdout, done.stderr) == (said, "")
        lines = [number for number, text in enumerate(PACKAGE.splitlines(), 1) if text.endswith("# runs")]
        assert run_of(package) == lines
    assert not (package / "upscale_cli/__pycache__").exists()


def test_processes_that_are_killed_count(package: Path) -> None:
    done = python(package, "import upscale_cli as p, os; p.kind(1); os.kill(os.getpid(), 9) if os.name != 'nt' else 0")
    assert done.stdout == ""
    assert PACKAGE.splitlines().index('            return "int"') + 1 in run_of(package)


def test_lines_of_errors_are_the_file_s(package: Path) -> None:
    done = python(package, "import upscale_cli as p; p.never()")
    number = PACKAGE.splitlines().index("    raise RuntimeError") + 1
    assert f"line {number}, in never\n    raise RuntimeError" in done.stderr
