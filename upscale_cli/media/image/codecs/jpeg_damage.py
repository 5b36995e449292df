"""Damage in the coded data of a JPEG that its decoder passes over: libjpeg warns, fills the rest with gray and goes on,
and Pillow keeps the warning to itself.

OpenImageIO hands libjpeg's first warning on, but has to decode the picture once more for it. So it is asked only where
damage may be: the markers are not those of a whole scan, or the last block of a stretch between restarts is the gray of
missing data; and always of a progressive JPEG, in which missing data leave no such trace.

Source: ITU-T T.81, annex B; libjpeg's jdhuff.c and jerror.h (JWRN_HIT_MARKER and its neighbours).
"""

import re
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from upscale_cli.errors import InputError
from upscale_cli.media.image.source import Source
from upscale_cli.messages import option

if TYPE_CHECKING:
    from PIL import Image

_MISSING: Final = 128
"""The gray of blocks whose data are missing: all coefficients 0."""

_BAND: Final = 256
_SEQUENTIAL: Final = (0xC0, 0xC1)
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
_END_OF_SCAN: Final = re.compile(rb"\xff(?=[^\x00\xff\xd0-\xd7])")
_RESTART: Final = re.compile(rb"\xff([\xd0-\xd7])")
_HARMLESS: Final = ("extraneous bytes",)
"""Warnings about files that decode to what they should: some cameras fill up the end of a scan."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A JPEG of one scan: units of coding (MCU) from left to right and top to bottom.

    Attributes:
        width, height: pixels.
        unit: (width, height) of a unit in pixels.
        interval: units between two restarts; 0 for none.
        start: first byte of its data.
    """

    width: int
    height: int
    unit: tuple[int, int]
    interval: int
    start: int

    @property
    def across(self) -> int:
        return -(-self.width // self.unit[0])

    @property
    def count(self) -> int:
        return self.across * -(-self.height // self.unit[1])

    def ends(self) -> Iterator[tuple[int, int]]:
        """(x, y) of the last unit before each restart, and of the last one of all, in pixels."""
        step = self.interval or self.count
        for index in (*range(step - 1, self.count - 1, step), self.count - 1):
            yield index % self.across * self.unit[0], index // self.across * self.unit[1]


def damage_of(file: BinaryIO, image: "Image.Image") -> str:
    """What is wrong with the data of a JPEG, in libjpeg's words; "" for nothing.

    Args:
        file: of the JPEG, which begins with it.
        image: as Pillow has decoded it, not turned.
    """
    file.seek(0)
    data = file.read()
    scan = single_scan(data)
    if scan is not None and not _has_strange_markers(data, scan) and not _has_gaps(image, scan):
        return ""
    return warning_of(file)


def refuse_damage(source: Source, wrong: str) -> None:
    """
    Args:
        wrong: what is wrong with the data; "" for nothing.

    Raises:
        InputError: something is.
    """
    if wrong:
        raise InputError(
            f"{source.name}: its data are damaged ({wrong}), and a part of the picture would be gray. "
            f"{option('salvage', True)} takes what decodes."
        )


def single_scan(data: bytes) -> Scan | None:
    """The scan of a sequential JPEG of one scan in gray or three colours; None for any other."""
    interval, frame = 0, None
    for marker, at, size in _segments(data):
        if marker in _FRAMES:
            if marker not in _SEQUENTIAL or size < 6:
                return None
            frame = at
        elif marker == 0xDD and size == 2:
            (interval,) = struct.unpack_from(">H", data, at)
        elif marker == 0xDA:
            if frame is None or data[at] != data[frame + 5] or data[at] not in (1, 3):
                return None
            height, width = struct.unpack_from(">HH", data, frame + 1)
            factors = [data[frame + 7 + 3 * index] for index in range(data[at])]
            across, down = (max(f >> 4 for f in factors), max(f & 15 for f in factors)) if data[at] == 3 else (1, 1)
            if not (width and height and across and down):
                return None
            return Scan(width, height, (8 * across, 8 * down), interval, at + size)
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, first byte, size) of the segments up to the first scan's header; ends where they make no sense."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        (size,) = struct.unpack_from(">H", data, at + 2)
        if size < 2 or at + 2 + size > len(data):
            return
        yield marker, at + 4, size - 2
        if marker == 0xDA:
            return
        at += 2 + size


def _has_strange_markers(data: bytes, scan: Scan) -> bool:
    """Whether the scan does not end with the picture, or has other restarts than it should have."""
    found = _END_OF_SCAN.search(data, scan.start)
    if found is None or data[found.end() : found.end() + 1] != b"\xd9":
        return True
    restarts = _RESTART.findall(data, scan.start, found.start())
    expected = -(-scan.count // scan.interval) - 1 if scan.interval else 0
    return len(restarts) != expected or any(kind[0] != 0xD0 + index % 8 for index, kind in enumerate(restarts))


def _has_gaps(image: "Image.Image", scan: Scan) -> bool:
    """Whether a unit before a restart, or the last one, may be one whose data are missing."""
    if image.mode not in ("L", "RGB") or image.size != (scan.width, scan.height):
        return True
    return any(_is_blank(image, x, y) for x, y in scan.ends())


def _is_blank(image: "Image.Image", left: int, top: int) -> bool:
    """Whether a unit is gray throughout, as far as can be seen by some pixels that no neighbour has a part in."""
    for x, y in ((3, 3), (5, 5), (2, 6), (6, 2), (4, 3)):
        place = min(left + x, image.width - 1), min(top + y, image.height - 1)
        found = image.getpixel(place)
        values = found if isinstance(found, tuple) else (found,)
        if any(value is None or abs(value - _MISSING) > 2 for value in values):
            return False
    return True


def warning_of(file: BinaryIO) -> str:
    """The first warning that counts while all of a JPEG is decoded; "" for none."""
    name = getattr(file, "name", None)
    if isinstance(name, str | Path) and name_is_plain(Path(name)):
        return _warning(Path(name))
    with tempfile.TemporaryDirectory(prefix="upscale-") as folder:
        path = Path(folder) / "picture.jpg"
        file.seek(0)
        path.write_bytes(file.read())
        return _warning(path)


def name_is_plain(path: Path) -> bool:
    """Whether OpenImageIO finds a JPEG under that name: it goes by the extension, and by UTF-8."""
    return path.suffix.lower() in (".jpg", ".jpeg") and str(path).isprintable() and path.is_file()


def _warning(path: Path) -> str:
    import OpenImageIO

    picture = OpenImageIO.ImageInput.open(str(path))
    if picture is None:
        OpenImageIO.geterror()  # or it is printed when Python ends; what cannot be opened is reported elsewhere
        return ""
    spec = picture.spec()
    for top in range(0, spec.height, _BAND):
        picture.read_scanlines(0, 0, top, min(top + _BAND, spec.height), 0, 0, spec.nchannels, "uint8")
        if picture.has_error:
            break
    found = picture.geterror()
    picture.close()
    if not found or any(words in found for words in _HARMLESS):
        return ""
    reason = found.splitlines()[0].removeprefix("JPEG error: ").removeprefix("Corrupt JPEG data: ")
    return " ".join(reason.split(' ("')[0].split())
