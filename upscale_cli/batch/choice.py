"""What of a folder or prefix is wanted, what was found in it, and the reasons for which files are ignored."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final

from upscale_cli.batch.globs import matches
from upscale_cli.jobs.inputs import Input
from upscale_cli.messages import Message, option

HIDDEN: Final = "hidden"
OTHER: Final = "neither photo nor clip"
RAW: Final = "camera RAW (to be developed first)"
OURS: Final = "an output of ours"
EXCLUDED: Final = Message(f"left out by {option('include')} or {option('exclude')}")
BELOW: Final = Message(f"a folder, without {option('recursive', True)}")
"""Why something was ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a folder is taken.

    Attributes:
        recursive: the folders in it, too.
        include, exclude: globs.
        output: the folder or prefix that outputs go to, which is never a source; None: next to the inputs.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    output: Path | str | None = None

    def takes(self, path: PurePath) -> bool:
        """Whether the globs let a file through; the path is that below the folder that was named."""
        if any(matches(path, glob) for glob in self.exclude):
            return False
        return not self.include or any(matches(path, glob) for glob in self.include)


@dataclass(slots=True)
class Sources:
    """What was found.

    Attributes:
        inputs: in natural order, each once.
        failed: (name, why) of what could not be looked into.
        ignored: how many files there are for each reason.
    """

    inputs: list[Input] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
