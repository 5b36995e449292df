"""Names that stand for many files by a number, as ffmpeg writes them: `frames/%06d.png`. Pure, but for looking."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

_NUMBER = re.compile(r"%(?P<zero>0?)(?P<digits>\d{0,2})d")


@dataclass(frozen=True, slots=True)
class Numbered:
    """A name with one number in its last part.

    Attributes:
        folder: that the files lie in.
        before, after: the number.
        digits: least digits of the number, filled up with zeros; 0 where it is written as it is.
    """

    folder: Path
    before: str
    after: str
    digits: int

    def path(self, number: int) -> Path:
        """The file of a number.

        >>> Numbered(Path("frames"), "f", ".png", 4).path(7).name
        'f0007.png'
        """
        return self.folder / f"{self.before}{number:0{self.digits}d}{self.after}"

    def found(self) -> list[int]:
        """The numbers of the files that are there, in order."""
        names = [path.name for path in self.folder.iterdir()] if os.path.isdir(self.folder) else []
        middle = re.compile(re.escape(self.before) + r"(\d{1,18})" + re.escape(self.after))
        matches = ((name, middle.fullmatch(name)) for name in names)
        numbers = ((name, int(match[1])) for name, match in matches if match)
        return sorted(number for name, number in numbers if self.path(number).name == name)


def numbered(name: str | PurePath) -> Numbered | None:
    """What a name with a number in it stands for; None where it has none, or is that of a file which is there.

    >>> numbered("frames/%06d.png").digits, numbered("frames/a.png")
    (6, None)
    """
    path = Path(name)
    matches = list(_NUMBER.finditer(path.name))
    if len(matches) != 1 or os.path.lexists(path):
        return None
    (match,) = matches
    digits = int(match["digits"] or 0)
    before, after = path.name[: match.start()], path.name[match.end() :]
    return Numbered(path.parent, before, after, digits)
