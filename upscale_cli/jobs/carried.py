"""What a source carried beside its samples, and what became of it: the last look at every job.

inventory(source), inventory(output)  ->  Differences  ->  Carried (event), and one line for what nobody spoke of
"""

from pathlib import Path
from typing import BinaryIO, Final

from upscale_cli.events import Carried, Listener, Say
from upscale_cli.media.inventory import SHAPE, Inventory, compare, told_in_one_line, untold

STALE: Final = frozenset(("thumbnail", "time of change", SHAPE))
"""What would no longer be true of the output, and is left out or made anew without a word."""


class Told:
    """A `Say` that remembers what it has passed on."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(text)
        self._say(text)


def report_carried(
    source: str, output: str, before: Inventory | None, after: Inventory | None, told: Told, listener: Listener
) -> None:
    """Reports what became of everything in the source; says in one line what is lost and was not spoken of.

    Args:
        source, output: names, for messages.
        before, after: what they carry; None where that is not known, and then nothing is said.
        told: what has been said in the course of the job.
    """
    if before is None or after is None:
        return
    found = compare(before, after)
    stale = tuple(name for name in found.lost if name in STALE)
    lost = tuple(name for name in found.lost if name not in STALE)
    if silent := untold(lost, told.lines):
        told(f"{output}: left out: {told_in_one_line(silent)}")
    listener(Carried(source, output, found.kept, found.changed, lost, stale))


def report_carried_of_picture(
    source: Path | bytes, name: str, output: Path | BinaryIO, output_name: str, told: Told, listener: Listener
) -> None:
    """The same for a picture and the file that was made of it; of a stream nothing can be read again."""
    if isinstance(output, Path):
        from upscale_cli.media.image.inventory import inventory_of_picture

        before, after = inventory_of_picture(source), inventory_of_picture(output)
        report_carried(name, output_name, before, after, told, listener)


def report_carried_of_clip(
    source: Path | None, name: str, output: Path, output_name: str, told: Told, listener: Listener
) -> None:
    """The same for a clip that is a file.

    Args:
        source: `Clip.path`; what can be read once only is not looked through again.
    """
    if source is not None:
        from upscale_cli.media.video.inventory import inventory_of_clip

        before, after = inventory_of_clip(source), inventory_of_clip(output)
        report_carried(name, output_name, before, after, told, listener)
