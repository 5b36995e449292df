"""How long until something happens: `upscale --help`, `import torch`, and a 64 x 64 picture from end to end; this build
beside that of commit 1a123c1, in turn in one run.

python -m benchmarks.startup [--quick]

A picture is measured warm (its net ran on this machine before) and cold (with an empty cache folder, so that engines
are tried first). The former build is checked out into a temporary folder, and run by the same Python.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from benchmarks.engines import FORMER, former_build
from benchmarks.report import REPOSITORY, alternating, photo, ratio, summary, write

REPEATS: Final = 9
HELP_LIMIT_S: Final = 0.4
PICTURE_LIMIT: Final = 0.5
"""Of the former build's time."""


def main() -> None:
    """Measures in turn, in one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three repetitions")
    repeats = 3 if parser.parse_args().quick else REPEATS
    with tempfile.TemporaryDirectory() as folder, former_build(Path(folder)) as before:
        picture, cache = Path(folder, "small.png"), Path(folder, "cache")
        Image.fromarray(photo(64, 64)).save(picture)
        output = picture.with_name("small_4x.png")
        line = ("-m", "upscale_cli", str(picture), "-m", "espcn", "-o", str(output), "--overwrite", "-q")

        def cold() -> None:
            with tempfile.TemporaryDirectory() as empty:
                run(*line, cache=Path(empty))

        seconds = alternating(
            {
                "help": lambda: run("-m", "upscale_cli", "--help", cache=cache),
                "import_torch": lambda: run("-c", "import torch", cache=cache),
                "picture_64x64": lambda: run(*line, cache=cache),
                "picture_64x64_cold": cold,
                "picture_64x64_former": lambda: run(*line, cache=cache, package=before),
            },
            repeats=repeats,
        )
        assert np.asarray(Image.open(output)).shape == (256, 256, 3)
        picture_imports_torch = imports_torch(*line[2:], cache=cache)
        help_imports_torch = imports_torch("--help", cache=cache)
    share = ratio(seconds["picture_64x64"], seconds["picture_64x64_former"])
    helps = summary(seconds["help"])
    write(
        "startup",
        f"Wall time of whole processes, in turn with the build of commit {FORMER}, files in the page cache.",
        {
            "repeats": repeats,
            **{name: summary(values) for name, values in seconds.items()},
            "picture_to_former": share,
            "picture_cold_to_former": ratio(seconds["picture_64x64_cold"], seconds["picture_64x64_former"]),
            "help_imports_torch": help_imports_torch,
            "picture_imports_torch": picture_imports_torch,
            "requirement": {
                "help_at_most_s": HELP_LIMIT_S,
                "picture_to_former_at_most": PICTURE_LIMIT,
                "met": helps["median_s"] <= HELP_LIMIT_S and share <= PICTURE_LIMIT,
            },
        },
    )


def run(*arguments: str, cache: Path, package: Path = REPOSITORY) -> str:
    """One Python process from start to end, offline.

    Args:
        cache: the user's cache folder, for platformdirs on Linux.
        package: where the package is.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UPSCALE_")}
    environment |= {"UPSCALE_OFFLINE": "1", "PYTHONPATH": str(package), "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment, cwd=cache.parent, check=True, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    return done.stderr


def imports_torch(*arguments: str, cache: Path) -> bool:
    """Whether the command line loads torch for these arguments."""
    log = run("-X", "importtime", "-m", "upscale_cli", *arguments, cache=cache)
    return any(line.rpartition("|")[2].strip() == "torch" for line in log.splitlines())


if __name__ == "__main__":
    main()
