"""How long until something happens: `upscale --help`, `import torch`, and a 64 x 64 picture from end to end.

python -m benchmarks.startup
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.report import REPOSITORY, alternating, photo, summary, write

REPEATS = 9
HELP_LIMIT_S = 0.4
PICTURE_LIMIT_S = 1.0  # beyond `import torch`


def main() -> None:
    """Measures in turn, in one run."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "small.png")
        Image.fromarray(photo(64, 64)).save(picture)
        output = picture.with_name("small_4x.png")
        seconds = alternating(
            {
                "help": lambda: run("-m", "upscale_cli", "--help"),
                "import_torch": lambda: run("-c", "import torch"),
                "picture_64x64": lambda: run(
                    "-m", "upscale_cli", str(picture), "-m", "espcn", "-o", str(output), "--overwrite", "-q"
                ),
            },
            repeats=REPEATS,
        )
        assert np.asarray(Image.open(output)).shape == (256, 256, 3)
    beyond = [a - b for a, b in zip(seconds["picture_64x64"], seconds["import_torch"], strict=True)]
    helps, extra = summary(seconds["help"]), summary(beyond)
    write(
        "startup",
        "Wall time of whole processes, alternating, files in the page cache.",
        {
            "repeats": REPEATS,
            **{name: summary(values) for name, values in seconds.items()},
            "picture_beyond_import_torch": extra,
            "help_imports_torch": imports_torch("--help"),
            "requirement": {
                "help_at_most_s": HELP_LIMIT_S,
                "picture_beyond_import_torch_at_most_s": PICTURE_LIMIT_S,
                "met": helps["median_s"] <= HELP_LIMIT_S and extra["median_s"] <= PICTURE_LIMIT_S,
            },
        },
    )


def run(*arguments: str) -> str:
    """One Python process from start to end, offline."""
    environment = os.environ | {"UPSCALE_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, check=True, capture_output=True, text=True, encoding="utf-8"
    )
    return done.stderr


def imports_torch(*arguments: str) -> bool:
    """Whether the command line loads torch for these arguments."""
    log = run("-X", "importtime", "-m", "upscale_cli", *arguments)
    return any(line.rpartition("|")[2].strip() == "torch" for line in log.splitlines())


if __name__ == "__main__":
    main()
