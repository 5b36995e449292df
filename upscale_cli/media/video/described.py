"""libavformat's own description of a file: what PyAV gives nowhere else is read from that text.

It is what `ffmpeg -i FILE` prints (libavformat/dump.c). A tag in it cannot look like one of the lines that are read
here: all of its lines begin with its key, or with a colon.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av

from upscale_cli.media.video.streams import UNKNOWN, Crop, Program


@dataclass(frozen=True, slots=True)
class Description:
    """A description, taken apart.

    Attributes:
        streams: the text about each stream, by its index.
        programs: of a transport stream.
    """

    streams: dict[int, str]
    programs: tuple[Program, ...] = ()

    def of(self, index: int) -> str:
        """The text about a stream; "" where there is none."""
        return self.streams.get(index, "")

    def heading(self, index: int) -> str:
        """Its first line: "[0x1](und): Video: h264 (High) (avc1 / 0x31637661), ..."."""
        return self.of(index).split("\n", 1)[0]

    def tag(self, index: int) -> str:
        """The container's own name of a coding: "tmcd" of "Data: none (tmcd / 0x64636D74)"; "" where it has none."""
        found = re.search(r"\((\w{4}) / 0x[0-9A-F]{8}\)", self.heading(index))
        return found[1] if found else ""

    def crop(self, index: int) -> Crop | None:
        """What the container cuts off the pictures of a stream."""
        found = re.search(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", self.of(index))
        crop = Crop(*map(int, found.groups())) if found else Crop()
        return crop if crop != Crop() else None


def coding_of(stream: Any, described: Description) -> str:
    """libavcodec's name of the coding, not of the library that decodes it; `UNKNOWN` where it has none.

    Args:
        stream: PyAV's. One that it has no decoder for has no codec context, and then most kinds have no name either.
    """
    if stream.codec_context is not None:
        return str(stream.codec_context.codec.canonical_name)
    if stream.type == "attachment":
        return "attachment"
    found = re.search(r": (?:Video|Audio|Subtitle|Data|Unknown): (\w+)", described.heading(stream.index))
    name = found[1] if found else "none"
    return UNKNOWN if name in ("none", "unknown_codec") else name


_lock = threading.Lock()


def description_of(container: Any) -> Description:
    """Reads the description of a file that PyAV has opened.

    It is part of what is logged at the level "verbose" only, so the level of the whole process is raised meanwhile.
    """
    with _lock:
        level = av.logging.get_level()
        try:
            av.logging.set_level(av.logging.VERBOSE)
            av.logging.set_libav_level(av.logging.VERBOSE)
            text = container.dumps_format()
        finally:
            av.logging.set_libav_level(av.logging.INFO)
            av.logging.set_level(level)
    parts = re.split(r"^ +Stream #0:(\d+)", text, flags=re.MULTILINE)
    streams = {int(index): part for index, part in zip(parts[1::2], parts[2::2], strict=True)}
    return Description(streams, tuple(_programs(text)))


def _programs(text: str) -> Iterator[Program]:
    for part in re.split(r"^  (?=Program \d+ |No Program)", text, flags=re.MULTILINE)[1:]:
        head, *_ = re.split(r"^ +Stream #", part, maxsplit=1, flags=re.MULTILINE)
        if found := re.match(r"Program (\d+) ", head):
            tags = dict(re.findall(r"^ +(service_name|service_provider) *: (.*)$", head, re.MULTILINE))
            indices = re.findall(r"^ +Stream #0:(\d+)", part, re.MULTILINE)
            name, provider = tags.get("service_name", ""), tags.get("service_provider", "")
            yield Program(int(found[1]), name, provider, tuple(map(int, indices)))
