"""What the README says, taken apart for the tests that hold it to its word."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
README: Final = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PROGRAM: Final = "upscale"


@dataclass(frozen=True)
class Line:
    """A command line of the README.

    Attributes:
        text: as it stands there, without its comment.
        says: the comment.
    """

    text: str
    says: str

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call of the program in it; the shell's own signs are left as they are."""
        words = shlex.split(self.text)
        starts = [at for at, word in enumerate(words) if word == PROGRAM]
        ends = [
            next((at for at in range(start, len(words)) if words[at] in ("|", ">", "&&")), None) for start in starts
        ]
        return [words[start + 1 : end] for start, end in zip(starts, ends, strict=True)]

    @property
    def is_plain(self) -> bool:
        """Whether it is one call and nothing else."""
        return self.text.startswith(f"{PROGRAM} ") and not re.search(r"[|>&]", re.sub(r"'[^']*'", "", self.text))

    @property
    def output(self) -> str | None:
        """The file that the comment says will be there."""
        found = re.search(r"-> (\S*\w)", self.says)
        return found and found[1]


def blocks(language: str, text: str = README) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines() -> list[Line]:
    """Every command line of the shell blocks; those in the text at the top, which stand in no block, too."""
    shown = [line for block in blocks("sh") for line in block.splitlines()]
    shown += re.findall(rf"^    ({PROGRAM} .*)$", README, re.MULTILINE)
    parts = [re.match(r"(.*?)(?:\s+# (.*))?$", line) for line in shown]
    return [Line(part[1], part[2] or "") for part in parts if part]


def spans(text: str = README) -> list[str]:
    """What stands between backticks outside of blocks."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first column is called that."""
    found = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-| ]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert found, f"no table of {heading}"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found[1].splitlines()]
