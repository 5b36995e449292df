"""Subtitles that are not UTF-8 and are to be converted: ffmpeg drops each such line, or ends, unless it is told.

Matroska asks for UTF-8, and old files hold what the machine wrote on which their subtitles were typed. What is copied
keeps its bytes. What is converted is read as Windows-1252 where that makes Western text, as tags are; else its bytes
are kept, too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import av

from upscale_cli.media.video.carried_streams import Slot, TextEncoding
from upscale_cli.media.video.opening import FAILURES, open_clip, packets_of
from upscale_cli.media.video.streams import Clip
from upscale_cli.media.video.text_tags import guess

_PLAIN: Final = ("subrip", "ass", "ssa", "webvtt", "text", "microdvd", "jacosub", "sami", "realtext", "mpl2", "vplayer")
"""Codings whose packets are text from the first byte on."""

_PACKETS_LOOKED_AT: Final = 1000
_BYTES_LOOKED_AT: Final = 64 * 2**20


def with_encodings(clip: Clip, slots: Iterable[Slot]) -> tuple[Slot, ...]:
    """The streams of the output; subtitles that are converted with how their text is encoded, as far as their first
    packets show.

    Never raises; a source that can be read once only is not looked at, and its text counts as unknown.
    """
    slots = tuple(slots)
    converted = {slot.index for slot in slots if slot.action not in ("upscale", "copy", "attach")}
    wanted = [stream.index for stream in clip.others if stream.index in converted and stream.codec in _PLAIN]
    if not wanted:
        return slots
    found: dict[int, TextEncoding] = dict.fromkeys(wanted, "unknown")
    if clip.path is not None:
        found = {index: _encoding(texts) for index, texts in _texts(clip, wanted).items()}
    return tuple(replace(slot, encoding=found.get(slot.index)) for slot in slots)


def _texts(clip: Clip, wanted: list[int]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {index: [] for index in wanted}
    try:
        with open_clip(clip.source) as container:
            for other in container.streams:
                other.discard = av.stream.Discard.default if other.index in wanted else av.stream.Discard.all
            streams = [container.streams[index] for index in wanted]
            for count, packet in enumerate(packets_of(container, streams)):
                if count >= _PACKETS_LOOKED_AT or (packet.pos or 0) > _BYTES_LOOKED_AT:
                    break
                if packet.size and packet.stream_index in found:
                    found[packet.stream_index].append(bytes(packet))
    except FAILURES:
        pass
    return found


def _encoding(texts: list[bytes]) -> TextEncoding:
    """Of lines that are all of one encoding.

    >>> _encoding([b"Caf\\xe9", b"plain"]), _encoding([b"Caf\\xe9", "Café".encode()]), _encoding([b"plain"])
    ('windows-1252', 'unknown', 'utf-8')
    """
    beyond = [text for text in texts if not text.isascii()]
    decoded = [text.decode("utf-8", "surrogateescape") for text in beyond]
    foreign = [text for text in decoded if any("\udc80" <= char <= "\udcff" for char in text)]
    if not foreign:
        return "utf-8"
    is_western = len(foreign) == len(decoded) and all(guess(text) is not None for text in foreign)
    return "windows-1252" if is_western else "unknown"


def text_notes(clip: Clip, slots: Iterable[Slot]) -> Iterator[str]:
    """A line for each stream whose text is known not to be UTF-8."""
    for slot in slots:
        if slot.encoding == "windows-1252":
            yield f"stream {slot.index} (subtitle) is not UTF-8: read as Windows-1252 and written as UTF-8"
        elif slot.encoding == "unknown" and clip.path is not None:
            yield f"stream {slot.index} (subtitle) is not UTF-8: its bytes are kept"


def text_arguments(slots: Iterable[Slot]) -> list[str]:
    """ffmpeg's options for the input that the subtitles come from. Lines that no look has found keep their bytes."""
    arguments = []
    for slot in slots:
        if slot.encoding == "windows-1252":
            arguments += [f"-sub_charenc:{slot.index}", "WINDOWS-1252"]
        elif slot.encoding is not None:
            arguments += [f"-sub_charenc_mode:{slot.index}", "ignore"]
    return arguments
