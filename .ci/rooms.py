"""Prints how many lines of each room have run, and the files with the most left.

Which lines a file has is what `coverage` says, and the exceptions to it; which have run, lines_run.py.
"""

from collections import defaultdict

from coverage import Coverage
from lines_run import PACKAGE, lines_run

WORST = 15


def main() -> None:
    """Two tables."""
    paths = sorted(PACKAGE.rglob("*.py"))
    coverage = Coverage(data_file=None)
    coverage.get_data().add_lines({str(path): lines_run(path) for path in paths})
    lines: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    files = []
    for path in paths:
        _, all_lines, _, missing, _ = coverage.analysis2(str(path))
        name = path.relative_to(PACKAGE)
        room = name.parts[0] if len(name.parts) > 1 else "(top)"
        for place in (room, "in all"):
            lines[place][0] += len(all_lines)
            lines[place][1] += len(missing)
        files.append((len(missing), len(all_lines), name.as_posix()))
    print(f"\n{'room':<24}{'lines':>8}{'not run':>9}{'run':>8}")
    for room in sorted(lines, key=lambda room: (room == "in all", room)):
        print(f"{room:<24}{lines[room][0]:>8,}{lines[room][1]:>9,}{share(*lines[room]):>8}")
    print(f"\nmost lines left, of {len(files)} files:")
    for missing_lines, count, file in sorted(files, reverse=True)[:WORST]:
        print(f"{file:<48}{missing_lines:>5} of {count:>4}")


def share(count: int, missing: int) -> str:
    return f"{(count - missing) / count:.1%}" if count else "-"


if __name__ == "__main__":
    main()
