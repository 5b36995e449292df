"""Tags whose bytes are not UTF-8: old AVI and Matroska files have titles in the encoding of the machine they came from.

libavformat hands bytes through as they are. PyAV is asked to keep what is not UTF-8 as surrogates (PEP 383), so the
bytes can be had again. Where they read as Windows-1252 (of which Latin-1's printable half is a part), the output gets
that text as UTF-8, which all containers that are written ask for; else ffmpeg copies the bytes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from upscale_cli.media.video.streams import TagRepair

_PUNCTUATION: Final = "€‚„…‘’“”•–—™¡£§©«°»¿·®ª\u00a0"
_ACCENTED: Final = "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ffŠšŽžŒœŸ"
_WESTERN: Final = re.compile(f"[\x09\x0a\x0d\x20-\x7e{_ACCENTED}{_PUNCTUATION}]*")
_FOREIGN: Final = re.compile(f"[{_ACCENTED}]{{3}}")
"""Three accented letters in a row: letters of another alphabet, read as Western ones."""


def bytes_of(text: str) -> bytes:
    """What stands in the file."""
    return text.encode("utf-8", "surrogateescape")


def is_utf8(text: str) -> bool:
    """Whether a tag that was read with surrogates has none."""
    return text.isascii() or not any("\udc80" <= char <= "\udcff" for char in text)


def guess(text: str) -> str | None:
    """A tag that is not UTF-8, as Windows-1252; None where that makes no Western text.

    >>> guess("Z\\udcfcrich"), guess("\\udccf\\udcf0\\udce8\\udce2\\udce5\\udcf2")
    ('Zürich', None)
    """
    try:
        western = bytes_of(text).decode("cp1252")
    except UnicodeDecodeError:
        return None
    return western if _WESTERN.fullmatch(western) and not _FOREIGN.search(western) else None


def readable(text: str) -> str:
    """A tag that can be shown: by the guess, else with a replacement character for each byte that is no character."""
    return text if is_utf8(text) else guess(text) or bytes_of(text).decode("utf-8", "replace")


def tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Tags that can be shown, by names that can be shown."""
    return {readable(key): readable(value) for key, value in metadata.items()}


def repairs(container: Any) -> Iterator[TagRepair]:
    """What is to be done about each tag of a clip that is not UTF-8.

    Args:
        container: PyAV's, opened with `metadata_errors="surrogateescape"`.
    """
    yield from _repairs("file", 0, container.metadata)
    for stream in container.streams:
        yield from _repairs("stream", stream.index, stream.metadata)
    for number, chapter in enumerate(container.chapters()):
        yield from _repairs("chapter", number, chapter["metadata"])


def _repairs(place: Any, index: int, metadata: Mapping[str, str]) -> Iterator[TagRepair]:
    for key, value in metadata.items():
        if not is_utf8(key):
            yield TagRepair(place, index, readable(key), None)
        elif not is_utf8(value):
            yield TagRepair(place, index, key, guess(value))
