"""What a clip carries beside its pictures: streams, tags, side data, chapters, programs; see `media.inventory`."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import av

from upscale_cli.media.inventory import Inventory, short
from upscale_cli.media.video.carried_streams import STALE_TAGS
from upscale_cli.media.video.described import description_of
from upscale_cli.media.video.opening import open_clip
from upscale_cli.media.video.text_tags import tags

_OF_THE_FILE: Final = frozenset(
    ("MAJOR_BRAND", "MINOR_VERSION", "COMPATIBLE_BRANDS", "ENCODER", "HANDLER_NAME", "VENDOR_ID", "DURATION")
)
"""Tags that say how a file is stored, by which program, and how long it lasts."""

_NO_LANGUAGE: Final = ("LANGUAGE", "und")
"""What MP4 says of every stream without a language."""

_SIDE_DATA: Final = re.compile(r"^    Side data:\n((?:      .*\n?)+)", re.MULTILINE)
_RENEWED: Final = ("cpb", "CPB properties", "displaymatrix", "Frame Cropping", "DOVI configuration record")
"""Side data of streams that the encoder writes anew; a display matrix is held by the orientation of the output, a crop
is applied, and of Dolby Vision the plan has spoken."""

_STEREO: Final = "STEREO_MODE"
"""Matroska's way to say what is side data too, in every container."""

_CREATION: Final = "creation_time"
_TIME_CODE: Final = "timecode"
"""Of QuickTime's track of time code."""

_OF_FRAMES: Final = {
    "A53_CC": "closed captions", "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision dynamic metadata", "DOVI_METADATA": "Dolby Vision dynamic metadata",
    "AFD": "active format description (AFD)", "S12M_TIMECODE": "time code of frames",
    "GOP_TIMECODE": "time code of frames", "ICC_PROFILE": "colour profile",
    "STEREO3D": "stereo 3D", "SPHERICAL": "spherical mapping", "REGIONS_OF_INTEREST": "regions of interest",
    "FILM_GRAIN_PARAMS": "film grain parameters",
}  # fmt: skip
_FRAMES_LOOKED_AT: Final = 3


def inventory_of_clip(path: Path) -> Inventory | None:
    """What a clip carries beside its pictures, by name; None for one that cannot be opened.

    Decodes the first frames of its first video stream.
    """
    try:
        with open_clip(f"file:{path}") as container:
            return dict(_items(container))
    except (av.FFmpegError, OSError, ValueError, LookupError):
        return None


def _items(container: Any) -> Iterator[tuple[str, str]]:
    of_file = tags(container.metadata)
    for key, value in of_file.items():
        if key.upper() not in _OF_THE_FILE:
            yield f"tag: {key.lower()}", short(value)
    if chapters := container.chapters():
        yield "chapters", str(len(chapters))
    described = description_of(container)
    if len(described.programs) > 1:
        yield "programs", ", ".join(f"{program.number} {program.name}" for program in described.programs)
    counts: Counter[str] = Counter()
    times = {tags(stream.metadata).get(_TIME_CODE) for stream in container.streams.video}
    for stream in container.streams:
        if described.tag(stream.index) == "tmcd" and tags(stream.metadata).get(_TIME_CODE, "") in times:
            continue  # libavformat gives its value to the video stream, where other containers keep it
        kind = _kind(stream)
        counts[kind] += 1
        for name, value in _of_stream(f"{kind} stream {counts[kind]}", kind, stream, described.of(stream.index)):
            # MP4 writes the file's for each track too.
            if not (name.endswith(f": {_CREATION}") and value == short(of_file.get(_CREATION, ""))):
                yield name, value
    if container.streams.video:
        yield from ((name, "") for name in _of_frames(container))


def _kind(stream: Any) -> str:
    if stream.type == "video" and stream.disposition & av.stream.Disposition.attached_pic:
        return "cover art"
    return str(stream.type or "unknown")


def _of_stream(name: str, kind: str, stream: Any, dump: str) -> Iterator[tuple[str, str]]:
    codec = getattr(stream.codec_context, "name", "") if kind not in ("video", "attachment") else ""
    yield name, codec or ""
    for key, value in tags(stream.metadata).items():
        plain = key.upper().split("-")[0]
        if plain == _STEREO and "Stereo 3D: " in dump:
            continue
        if plain not in _OF_THE_FILE and plain not in STALE_TAGS and (plain, value) != _NO_LANGUAGE:
            yield f"{name}: {key.lower()}", short(value)
    for flag in av.stream.Disposition:
        if flag & stream.disposition and flag.name not in (None, "default", "attached_pic"):
            yield f"{name}: {flag.name}", ""
    for block in _SIDE_DATA.findall(dump):
        for line in block.splitlines():
            what = line.strip().split(":", 1)[0]
            if line.startswith("      ") and not line.startswith("       ") and not what.startswith(_RENEWED):
                yield f"{name}: {what}", short(line)


def _of_frames(container: Any) -> set[str]:
    """Kinds of side data of the first frames that a user would miss."""
    found: set[str] = set()
    frames = 0
    try:
        for frame in container.decode(container.streams.video[0]):
            for index in range(len(frame.side_data)):
                try:
                    found.add(_OF_FRAMES.get(frame.side_data[index].type.name, ""))
                except ValueError:  # a kind that PyAV has no name for
                    continue
            frames += 1
            if frames == _FRAMES_LOOKED_AT:
                break
    except (av.FFmpegError, ValueError):
        pass
    return found - {""}
