"""What comes of damaged pictures, clips and checkpoints: how many are refused, taken with a line, or not to be told.

    python -m benchmarks.damaged [--pictures 300] [--clips 60] [--checkpoints 60] [--seed 0]

Every kind of damage falls on every format, from a seed. Outcomes: `tests/damaged.py`.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.report import write
from tests.damaged import (
    OUTCOMES,
    Verdict,
    cases,
    of_checkpoints,
    of_clips,
    of_pictures,
    whole_checkpoints,
    whole_clips,
    whole_pictures,
)


def main() -> None:
    """Writes benchmarks/damaged.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--checkpoints", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = whole_pictures(folder / "pictures")
        clips, checkpoints = whole_clips(folder / "clips"), whole_checkpoints(folder / "checkpoints")
        work = folder / "work"
        made = {
            kind: cases(wholes, folder / f"damaged_{kind}", count, given.seed)
            for kind, wholes, count in (
                ("pictures", pictures, given.pictures),
                ("clips", clips, given.clips),
                ("checkpoints", checkpoints, given.checkpoints),
            )
        }
        verdicts = {
            "pictures": list(of_pictures(made["pictures"], pictures, work)),
            "clips": list(of_clips(made["clips"], work)),
            "checkpoints": list(of_checkpoints(made["checkpoints"], work)),
        }
    write(
        "damaged",
        f"What comes of {given.pictures} damaged pictures, {given.clips} clips and {given.checkpoints} checkpoints, "
        f"from seed {given.seed}; a picture counts as silent where it differs from that of the whole file and no line "
        "says so.",
        {kind: table(found) for kind, found in verdicts.items()},
    )


def table(verdicts: list[Verdict]) -> dict[str, Any]:
    """Outcomes in all, by the file that was damaged, and by the damage; and every bug in words."""
    return {
        "all": _counts(verdicts),
        "by_file": {
            name: _counts([verdict for verdict in verdicts if verdict.case.whole.name == name])
            for name in sorted({verdict.case.whole.name for verdict in verdicts})
        },
        "by_damage": {
            kind: _counts([verdict for verdict in verdicts if verdict.case.damage == kind])
            for kind in sorted({verdict.case.damage for verdict in verdicts})
        },
        "bugs": [f"{verdict.case.path.name}: {verdict.detail}" for verdict in verdicts if verdict.outcome == "bug"],
    }


def _counts(verdicts: list[Verdict]) -> dict[str, int]:
    counts = Counter(verdict.outcome for verdict in verdicts)
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


if __name__ == "__main__":
    main()
