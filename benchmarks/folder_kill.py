"""A folder of everything, killed twice on the way: does the last run end with what an undisturbed one gives.

    python -m benchmarks.folder_kill [--files 1000] [--seed 0]

Odd names, three formats, nested folders, links, one file in twenty broken. Kills fall at random moments.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.report import REPOSITORY, write
from tests.albums import mixed_folder

OPTIONS: Final = ("-r", "-m", "espcn", "-s", "2", "--device", "cpu", "--json")
KILLS: Final = 2


def main() -> None:
    """Writes benchmarks/folder_kill.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    lot = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good, bad = mixed_folder(folder / "in", arguments.files)
        begin = time.perf_counter()
        finished(folder, "whole")
        seconds = time.perf_counter() - begin
        kills = [killed(folder, after=lot.randint(1, arguments.files // 3)) for _ in range(KILLS)]
        code, last = finished(folder, "out")
        wanted, found = content(folder / "whole"), content(folder / "out")
        begin = time.perf_counter()
        finished(folder, "out")
        again = time.perf_counter() - begin
    reasons = {failure["source"]: failure["message"] for failure in last["failures"]}
    write(
        "folder_kill",
        f"{arguments.files} photos of 64x48 in nested folders, one in twenty broken, espcn at scale 2; killed with -9 "
        "at two random moments, then run to the end; outputs compared with those of an undisturbed run.",
        {
            "undisturbed_s": round(seconds, 2),
            "outputs_after_each_kill": kills,
            "last_run": {name: last[name] for name in ("done", "skipped", "failed")},
            "nothing_left_to_do_s": round(again, 2),
            "verdicts": {
                "every_good_file_has_its_output": set(found) == set(good.values()),
                "outputs_equal": found == wanted,
                "every_bad_file_has_a_reason": set(reasons) == {f"in/{name}" for name in bad} and all(reasons.values()),
                "exit_code_1": code == 1,
            },
        },
    )


def start(folder: Path, output: str, stdout: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
    """The command line as a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1"}
    command = [sys.executable, "-m", "upscale_cli", "in", "-o", output, *OPTIONS]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=stdout, stderr=subprocess.DEVNULL)


def finished(folder: Path, output: str) -> tuple[int, dict[str, Any]]:
    """One run to its end: exit code and last event."""
    process = start(folder, output)
    out, _ = process.communicate()
    last: dict[str, Any] = json.loads(out.splitlines()[-1])
    return process.returncode, last


def killed(folder: Path, after: int) -> int:
    """One run, killed when so many outputs are there that were not before; how many there are then."""
    before = len(outputs(folder / "out"))
    process = start(folder, "out", stdout=subprocess.DEVNULL)
    while process.poll() is None and len(outputs(folder / "out")) < before + after:
        time.sleep(0.002)
    process.kill()
    process.wait()
    return len(outputs(folder / "out"))


def outputs(folder: Path) -> list[Path]:
    """All files but the manifest and what is in the making."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".upscale-")]


def content(folder: Path) -> dict[str, str]:
    """SHA-256 of every output by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in outputs(folder)
    }


if __name__ == "__main__":
    main()
