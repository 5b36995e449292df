#!/usr/bin/env bash
# rich: Text.wrap(..., overflow="ignore") does not wrap at all, although wrapping and overflow are two parameters.
#
# Seen with rich 15.0.0 (PyPI). "overflow" is documented as what happens to a word that is longer than the line: "fold",
# "crop", "ellipsis" or "ignore". One would think that "ignore" breaks lines at words and lets a long word (an address,
# a path) stick out. It implies no_wrap, so that a text of any length stays one line. There is no combination that breaks
# at words only and leaves long words whole.
#
# Output when it was seen:
#   fold: 3 lines, ignore: 1 line, ignore with no_wrap=False: 1 line
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet rich==15.0.0
"$folder/venv/bin/python" - <<'PYTHON'
from rich.console import Console
from rich.text import Text

console = Console(width=30)
text = Text("a few plain words that fill about two lines and a half of thirty cells")
lines = {
    "fold": len(text.wrap(console, 30, overflow="fold")),
    "ignore": len(text.wrap(console, 30, overflow="ignore")),
    "ignore with no_wrap=False": len(text.wrap(console, 30, overflow="ignore", no_wrap=False)),
}
print(", ".join(f"{name}: {count} line{'s' if count > 1 else ''}" for name, count in lines.items()))
assert lines == {"fold": 3, "ignore": 1, "ignore with no_wrap=False": 1}, lines
PYTHON
echo "as it was seen"
