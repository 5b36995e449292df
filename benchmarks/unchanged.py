"""Do two checkouts make the same of everything: one command line, two outputs, byte for byte or frame for frame.

    python -m benchmarks.unchanged --before COMMIT_OR_CHECKOUT [--after CHECKOUT] [--quick] [--only PATTERN]

Run in one environment, on one machine, with inputs that are drawn here and the shared samples where there are any.
Wording is exempt; exit codes, names and contents of outputs are not. Exit code 1 if anything differs.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.report import REPOSITORY, machine
from benchmarks.unchanged_cases import cases
from benchmarks.unchanged_equal import Places, difference, equality, events, files_in, first_lines_apart, rows
from benchmarks.unchanged_inputs import INPUTS, SAMPLES, Inputs, named_in
from benchmarks.unchanged_services import serving, why_not
from benchmarks.unchanged_steps import Case, Step

PARALLEL: Final = 2
TIMEOUT_SECONDS: Final = 3600
POLL_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two checkouts.

    Attributes:
        name: "before" or "after".
        checkout: folder that holds `upscale_cli`.
        commit: of it, short.
    """

    name: str
    checkout: Path
    commit: str


@dataclass(frozen=True, slots=True)
class Ran:
    """What one process left: exit code (None: it took too long), standard output and error."""

    code: int | None
    out: bytes
    err: bytes

    @property
    def last_words(self) -> str:
        """The last lines on standard error; where there are none, the failures among the events."""
        lines = self.err.decode(errors="replace").strip().splitlines()[-3:]
        failures = [line for line in self.out.decode(errors="replace").splitlines() if '"failed"' in line]
        return " / ".join(lines or failures[:3])[:600]


@dataclass(slots=True)
class Verdict:
    """What came of a case.

    Attributes:
        equal: files by the kind of their equality.
        differences: what differs; empty where all is well.
        notes: what is worth knowing and no failure.
    """

    case: Case
    exit_codes: list[int | None] = field(default_factory=list)
    equal: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def row(self) -> dict[str, Any]:
        """For the report."""
        return {
            "case": self.case.name, "equal": not self.differences,
            "commands": [written(step) for step in self.case.steps], "exit_codes": self.exit_codes,
            "files": sum(self.equal.values()), "equal_by": dict(sorted(self.equal.items())),
            "differences": self.differences, "notes": self.notes,
        }  # fmt: skip


def main() -> None:
    """Writes benchmarks/unchanged.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="CHECKOUT_OR_COMMIT")
    parser.add_argument("--after", default=str(REPOSITORY), metavar="CHECKOUT_OR_COMMIT", help="default: this one")
    parser.add_argument("-o", "--output", type=Path, default=REPOSITORY / "benchmarks" / "unchanged.json")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="cases, such as 'clips/*'; repeatable")
    parser.add_argument("--quick", action="store_true", help="a few cases of each kind")
    parser.add_argument("--ray", action="store_true", help="also the cases on a cluster, which is started here")
    parser.add_argument("--list", action="store_true", help="show the cases and do nothing")
    parser.add_argument("--update", action="store_true", help="keep the rows of other cases that the output has")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and keep what differs")
    arguments = parser.parse_args()
    chosen = [case for case in cases() if wanted(case, arguments.only, quick=arguments.quick)]
    if arguments.list:
        print("\n".join(case.name for case in chosen))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        sides = tuple(checked(name, given, folder) for name, given in vars(arguments).items() if name in SIDES)
        skipped = {case.name: why_not(case.needs, ray=arguments.ray) for case in chosen}
        skipped = {name: reason for name, reason in skipped.items() if reason}
        report = compared([case for case in chosen if case.name not in skipped], sides, folder)
    if not SAMPLES.is_dir():
        skipped["samples/*"] = "the shared folder with samples is not here"
    report["skipped"] = skipped
    if arguments.update and arguments.output.exists():
        report = with_rows_of(json.loads(arguments.output.read_text(encoding="utf-8")), report)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["totals"], indent=2))
    for name, reason in skipped.items():
        print(f"SKIPPED {name}: {reason}")
    for row in report["cases"]:
        for text in row["differences"]:
            print(f"DIFFERS {row['case']}: {text}")
    sys.exit(0 if report["totals"]["different"] == 0 else 1)


SIDES: Final = ("before", "after")
PARTS: Final = ("upscale_cli", "weights")
"""Of a checkout: what the command line needs."""

TEMPORARY: Final = re.compile(r"(^|/)\.upscale-[0-9a-f]{12}[^/]*$")
Pair = tuple[Places, Places]
Files = dict[str, Path]


def with_rows_of(old: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """A report with the rows of an older one, made of the same two checkouts, for the cases that it lacks."""
    rows = {row["case"]: row for row in (*old["cases"], *report["cases"])}
    kinds: Counter[str] = Counter()
    for row in rows.values():
        kinds.update(row["equal_by"])
    differing = [name for name, row in rows.items() if row["differences"]]
    totals = {
        "cases": len(rows), "equal": len(rows) - len(differing), "different": len(differing),
        "files": sum(kinds.values()), "equal_by": dict(sorted(kinds.items())),
        "seconds": old["totals"]["seconds"] + report["totals"]["seconds"],
    }  # fmt: skip
    return {**report, "totals": totals, "differing_cases": differing, "cases": list(rows.values())}


def wanted(case: Case, only: Sequence[str] | None, *, quick: bool) -> bool:
    """Whether the command line asks for a case."""
    if only is not None:
        return any(fnmatch.fnmatch(case.name, pattern) for pattern in only)
    return case.quick or not quick


# The two sides


def checked(name: str, given: str, folder: Path) -> Side:
    """A copy of a folder with `upscale_cli`, so that it may change meanwhile, or of a commit of this repository.

    Raises:
        SystemExit: neither, or Python would import another `upscale_cli`.
    """
    source, checkout = Path(given).resolve(), folder / f"checkout-{name}"
    shutil.rmtree(checkout, ignore_errors=True)
    if (source / "upscale_cli").is_dir():
        commit = git(source, "rev-parse", "--short", "HEAD") or "unknown"
        if git(source, "status", "--porcelain", "--", *PARTS):
            commit += " with changes"
        for part in PARTS:
            shutil.copytree(source / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        commit = git(REPOSITORY, "rev-parse", "--short", "--verify", f"{given}^{{commit}}")
        if not commit:
            sys.exit(f"{given}: neither a checkout nor a commit.")
        packed = folder / f"checkout-{name}.tar"
        subprocess.run(["git", "archive", "-o", str(packed), commit, "--", *PARTS], cwd=REPOSITORY, check=True)
        with tarfile.open(packed) as archive:
            archive.extractall(checkout, filter="data")
        packed.unlink()
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(checkout)], check=False)
    side = Side(name, checkout, commit)
    command = [sys.executable, "-P", "-c", "import upscale_cli; print(upscale_cli.__file__)"]
    found = subprocess.run(
        command, env=environment(side, folder), cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()  # fmt: skip
    if not Path(found).resolve().is_relative_to(checkout):
        sys.exit(f"{checkout}: Python imports {found} instead.")
    return side


def git(folder: Path, *arguments: str) -> str:
    """What git says; "" where it fails."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def environment(side: Side, private: Path) -> dict[str, str]:
    """The same for both but for the place of the code: no settings of the user, no network, a cache of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UPSCALE_", "PYTHON", "RAY_"))}
    return kept | {
        "PYTHONPATH": str(side.checkout), "PYTHONDONTWRITEBYTECODE": "1", "UPSCALE_OFFLINE": "1", "COLUMNS": "100",
        "XDG_CACHE_HOME": str(private / "cache"), "TZ": "UTC",
    }  # fmt: skip


# Running


class Running:
    """The processes that are running, each the first of a group of its own."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock, self.is_stopped = threading.Lock(), False

    def add(self, process: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            self._processes.add(process)
            if self.is_stopped:
                self._kill(process)

    def remove(self, process: "subprocess.Popen[bytes]") -> None:
        """Whatever it has left behind ends, too."""
        self._kill(process)
        process.wait()
        with self._lock:
            self._processes.discard(process)

    def stop(self) -> None:
        """Ends all that run, and all that begin later."""
        with self._lock:
            self.is_stopped = True
            for process in self._processes:
                self._kill(process)

    @staticmethod
    def _kill(process: "subprocess.Popen[bytes]") -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


RUNNING: Final = Running()


def compared(chosen: Sequence[Case], sides: Sequence[Side], folder: Path) -> dict[str, Any]:
    """Runs the cases, some at a time, and returns the report."""
    inputs = Inputs(folder / "inputs")
    begin, lock, verdicts = time.perf_counter(), threading.Lock(), dict[str, Verdict]()

    def one(case: Case) -> None:
        with lock:  # makers are not made for threads
            names = [*case.also, *(argument for step in case.steps for argument in (*step.arguments, step.stdin))]
            sources = {name: inputs.made(name) for name in named_in(names)}
        verdict = run_case(case, {name: path for name, path in sources.items() if path}, sides, folder)
        if RUNNING.is_stopped:
            return  # what was killed differs
        with lock:
            verdicts[case.name] = verdict
            state = "differs" if verdict.differences else "equal"
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(verdict.equal.items()))
            print(
                f"{len(verdicts):3}/{len(chosen)} {state:8}{case.name}: {kinds} ({verdict.seconds:.1f} s)", flush=True
            )

    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            for _ in pool.map(one, chosen):
                pass
        except BaseException:  # Ctrl-C and SIGTERM too: no process of ours may outlive us
            RUNNING.stop()
            pool.shutdown(cancel_futures=True)
            raise
    ordered = [verdicts[case.name] for case in chosen]
    kinds = sum((verdict.equal for verdict in ordered), Counter[str]())
    facts = machine()
    return {
        "question": "Do two checkouts make the same of everything, byte for byte or frame for frame?",
        **{side.name: side.commit for side in sides},
        "machine": {key: value for key, value in facts.items() if key != "commit"} | {"ffmpeg": ffmpeg_version()},
        "totals": {
            "cases": len(ordered), "equal": sum(not verdict.differences for verdict in ordered),
            "different": sum(bool(verdict.differences) for verdict in ordered), "files": sum(kinds.values()),
            "equal_by": dict(sorted(kinds.items())), "seconds": round(time.perf_counter() - begin),
        },
        "differing_cases": [verdict.case.name for verdict in ordered if verdict.differences],
        "inputs_left_out": inputs.left_out,
        "cases": [verdict.row() for verdict in ordered],
    }  # fmt: skip


def ffmpeg_version() -> str:
    """Of the one that imageio-ffmpeg brings."""
    from imageio_ffmpeg import get_ffmpeg_version

    return str(get_ffmpeg_version())


def run_case(case: Case, sources: dict[str, Path], sides: Sequence[Side], folder: Path) -> Verdict:
    """One case with both checkouts, and how what they left compares."""
    verdict, begin = Verdict(case), time.perf_counter()
    root = folder / "cases" / case.name.replace("/", "_")
    shutil.rmtree(root, ignore_errors=True)
    ran: list[list[Ran]] = []
    for side in sides:
        work = root / side.name / "work"
        for name, path in sources.items():
            target = work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(path, target, symlinks=True) if path.is_dir() else shutil.copy2(path, target)
        work.mkdir(parents=True, exist_ok=True)
        with serving(case.needs, work, sources, environment(side, root / side.name)) as more:
            ran.append(
                [
                    run_step(step, work, environment(sides[0] if step.by_before else side, root / side.name) | more)
                    for step in case.steps
                ]
            )
    verdict.exit_codes = [one.code for one in ran[0]]
    before, after = (
        {str(root / side.name): "FOLDER", **{str(one.checkout): "CHECKOUT" for one in sides}} for side in sides
    )
    compare_runs(verdict, ran, (before, after))
    ours, theirs = (files_in(root / side.name / "work") for side in sides)
    compare_files(verdict, ours, theirs, (before, after), sources)
    verdict.seconds = time.perf_counter() - begin
    if not verdict.differences:
        shutil.rmtree(root)
    return verdict


def compare_files(verdict: Verdict, ours: Files, theirs: Files, places: Pair, sources: Collection[str]) -> None:
    """Everything that lies in the two folders; inputs are no outputs, but must be as they were."""
    is_after_kill = any(step.kill for step in verdict.case.steps)
    for name in sorted(ours.keys() ^ theirs.keys()):
        if is_after_kill and TEMPORARY.search(name):
            verdict.notes.append(f"a temporary file is left by the kill, {'before' if name in ours else 'after'}")
        else:
            verdict.differences.append(f"{name}: only {'before' if name in ours else 'after'}")
    for name in sorted(ours.keys() & theirs.keys()):
        try:
            kind = equality(ours[name], theirs[name], places, is_after_kill=is_after_kill)
            words = "" if kind else difference(ours[name], theirs[name])
        except Exception as error:  # not to be decoded, on one side at least
            kind, words = None, f"cannot be compared: {error!r}"
        if kind is None:
            verdict.differences.append(f"{name}: {words}")
        elif not any(name == source or name.startswith(f"{source}/") for source in sources):
            verdict.equal[kind] += 1


def run_step(step: Step, work: Path, environment: Mapping[str, str]) -> Ran:
    """One process, to its end or until it is to be killed."""
    names = [name for name in named_in(step.arguments) if not (work / name).exists()]
    arguments = [argument for argument in step.arguments if argument not in names]
    program = ["-c", *step.arguments] if step.script else ["-m", "upscale_cli", *arguments]
    with contextlib.ExitStack() as stack:
        out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        if step.stdout:
            out = stack.enter_context((work / step.stdout).open("w+b"))
        stdin = stack.enter_context((work / step.stdin).open("rb")) if step.stdin else subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, "-P", *program], cwd=work, env=environment, stdin=stdin, stdout=out,
            stderr=err, start_new_session=True,
        )  # fmt: skip
        RUNNING.add(process)
        try:
            code = ended(process, step, work)
        finally:
            RUNNING.remove(process)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read())
        return Ran(code, *texts)


def ended(process: "subprocess.Popen[bytes]", step: Step, work: Path) -> int | None:
    """The exit code; None if it takes too long. Kills where that is the step's purpose."""
    if step.kill is None:
        try:
            return process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return None
    pattern, least = step.kill
    until = time.monotonic() + TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError):
            if sum(path.stat().st_size for path in work.glob(pattern) if path.is_file()) >= least:
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait()
        time.sleep(POLL_SECONDS)
    return process.poll()


def compare_runs(verdict: Verdict, ran: Sequence[Sequence[Ran]], places: Pair) -> None:
    """Exit codes and standard outputs of both sides, step by step."""
    for step, before, after in zip(verdict.case.steps, *ran, strict=True):
        what = f"`{written(step)[:100]}`"
        wrong = verdict.differences.append
        if before.code != after.code:
            wrong(f"{what}: exit codes {before.code} and {after.code}; {after.last_words}")
        elif step.exit_code is not None and before.code != step.exit_code:
            wrong(f"{what}: exit code {before.code} of both instead of {step.exit_code}; {before.last_words}")
        elif step.shows.encode() not in before.out + before.err:
            wrong(f'{what}: "{step.shows}" is not among the messages, so the case does not test what it is for')
        if b"Traceback" in after.err and b"Traceback" not in before.err:
            wrong(f"{what}: a traceback; {after.last_words}")
        elif b"Traceback" in before.err:
            verdict.notes.append(f"{what}: a traceback before; {before.last_words}")
        if step.output == "events" and step.kill is None:
            counts = [events(one.out) for one in (before, after)]
            if counts[0] != counts[1]:
                verdict.notes.append(f"{what}: events {counts[0]} before, {counts[1]} after")
        elif step.output == "rows":
            if rows(before.out, places[0]) == rows(after.out, places[1]):
                verdict.equal["rows"] += 1
            else:
                wrong(f"{what}: {first_lines_apart((before.out, after.out), places)}")


def written(step: Step) -> str:
    """A command line as one would type it; many inputs are given by their number."""
    if step.script:
        return f"python -c ({len(step.arguments[0].splitlines())} lines)"
    inputs = [argument for argument in step.arguments if argument in INPUTS]
    shown = [argument for argument in step.arguments if argument not in INPUTS or len(inputs) < 4]
    many = (f"({len(inputs)} inputs)",) if len(inputs) >= 4 else ()
    return " ".join(("upscale", *many, shlex.join(shown)))


if __name__ == "__main__":
    main()
