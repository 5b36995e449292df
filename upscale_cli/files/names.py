"""What a name stands for, whatever it is: names come from users, from other files, and from made-up endings."""

from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether there is a file; False, too, where the folder may not be entered or the name cannot exist."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
