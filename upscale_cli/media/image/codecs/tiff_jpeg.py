"""JPEG data within a TIFF that end early: libjpeg fills up with gray, and tifffile does not hear its warning.

Every strip or tile is a JPEG of its own, whose tables may stand apart. One is decoded once more, for the warnings, only
where it does not end as it should, or where its last block is the gray of missing data: that costs next to nothing.

Source: Adobe, TIFF Technical Note 2 (1995); ITU-T T.81, annex B.
"""

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.media.image.codecs.jpeg_damage import refuse_damage, warning_of
from upscale_cli.media.image.source import Source, stream_of

JPEG: Final = 7
"""Compression."""

_MISSING: Final = 128
_MARKER: Final = re.compile(rb"\xff(?=[^\x00\xff\xd0-\xd7])")
_START_OF_SCAN: Final = b"\xff\xda"
_END: Final = 0xD9


def check_page(source: Source, found: Any, samples: NDArray[Any]) -> None:
    """Refuses a page whose data end early; with salvage, says so.

    Args:
        found: a page of tifffile.
        samples: (H, W, S) or (H, W), as decoded.

    Raises:
        InputError: its data end early.
    """
    if found.compression != JPEG or (found.planarconfig != 1 and found.samplesperpixel > 1):
        return
    height = found.tilelength if found.is_tiled else found.rowsperstrip
    width = found.tilewidth if found.is_tiled else found.imagewidth
    across = -(-found.imagewidth // width)
    for index in range(len(found.dataoffsets)):
        row, column = divmod(index, across)
        part = samples[row * height : (row + 1) * height, column * width : (column + 1) * width]
        is_whole = not found.is_tiled or part.shape[:2] == (height, width)  # else its last block is not seen
        found.parent.filehandle.seek(found.dataoffsets[index])
        data = found.parent.filehandle.read(found.databytecounts[index])
        if check_segment(source, found, data, part if is_whole else None):
            return


def check_segment(source: Source, found: Any, data: bytes, samples: NDArray[Any] | None) -> bool:
    """Whether the data of one strip or tile end early, which is said then.

    Args:
        samples: that it was decoded to; None where its last block is not among them.

    Raises:
        InputError: they do, and that is not to be salvaged.
    """
    if found.compression != JPEG or not data or not (_ends_strangely(data) or _ends_in_gray(samples)):
        return False
    tables = found.jpegtables or b""
    wrong = warning_of(stream_of(tables[:-2] + data[2:] if tables else data))
    if wrong and source.salvage:
        source.say(f"{source.name}: damaged ({wrong}); what could be decoded is taken, the rest is left gray")
        return True
    refuse_damage(source, wrong)
    return False


def _ends_strangely(data: bytes) -> bool:
    """Whether the scans do not end with an end marker, with at most padding after it.

    >>> _ends_strangely(b"\\xff\\xda scan \\xff\\xd9\\0"), _ends_strangely(b"\\xff\\xda sc\\xff\\xd9n")
    (False, True)
    """
    at = data.find(_START_OF_SCAN)
    for found in _MARKER.finditer(data, at + 2):
        if data[found.end()] == _END:
            return bool(data[found.end() + 1 :].strip(b"\0\xff"))
    return True


def _ends_in_gray(samples: NDArray[Any] | None) -> bool:
    if samples is None or samples.size == 0:
        return False
    last = samples[-4:, -4:].astype(np.int32)
    return bool((np.abs(last - (_MISSING << (8 * samples.itemsize - 8))) <= 2 << (8 * samples.itemsize - 8)).all())
