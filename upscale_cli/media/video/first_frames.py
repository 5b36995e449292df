"""What the first frames of a clip show that its container lacks, or has wrong: size, colours, HDR."""

import math
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame

from upscale_cli.frames.colour_tags import ColourTags, ContentLight, MasteringDisplay, Range
from upscale_cli.media.video.lossless_coding import is_lossless
from upscale_cli.media.video.spatial import Spatial, spatial_of
from upscale_cli.media.video.streams import Orientation
from upscale_cli.media.video.x264_build import x264_build

_FRAMES_LOOKED_AT: Final = 8
_PACKETS_LOOKED_AT: Final = 4096
"""A picture must appear within so many packets of the file; a broadcast that begins between key frames has hundreds."""


def _numbered(names: str) -> dict[int, str]:
    """Code points of ITU-T H.273 by number; "-" is reserved or unspecified."""
    return {number: name for number, name in enumerate(names.split()) if name != "-"}


# ITU-T H.273, tables 2 to 4, as the setparams filter calls them (the encoders' own options know some by other names).
_PRIMARIES: Final = _numbered(
    "- bt709 - - bt470m bt470bg smpte170m smpte240m film bt2020 smpte428 smpte431 smpte432 - - - - - - - - - ebu3213"
)
_TRANSFERS: Final = _numbered(
    "- bt709 - - bt470m bt470bg smpte170m smpte240m linear log100 log316 iec61966-2-4 bt1361e iec61966-2-1 "
    "bt2020-10 bt2020-12 smpte2084 smpte428 arib-std-b67"
)
_MATRICES: Final = _numbered(
    "gbr bt709 - - fcc bt470bg smpte170m smpte240m ycgco bt2020nc bt2020c smpte2085 chroma-derived-nc "
    "chroma-derived-c ictcp"
)
_RANGES: Final[dict[int, Range]] = {1: "tv", 2: "pc"}
_CHROMA_LOCATIONS: Final = ("left", "center", "topleft", "top", "bottomleft", "bottom")


@dataclass(slots=True)
class Seen:
    """What the first packets and frames of one video stream showed."""

    frames: int = 0
    width: int = 0
    height: int = 0
    pixel_format: str = ""
    interlaced: bool = False
    range: int = 0
    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    orientation: Orientation | None = None
    spatial: Spatial | None = None
    mastering: MasteringDisplay | None = None
    light: ContentLight | None = None
    dynamic_hdr: set[str] = field(default_factory=set)
    captions: bool = False
    alpha: bool = False
    encrypted: bool = False
    lossless: bool = False
    x264_build: int | None = None


def first_frames_of(container: InputContainer, videos: list[Any]) -> dict[int, Seen]:
    """Decode the first frames of each video stream, past what is damaged."""
    seen = {stream.index: Seen() for stream in videos}
    videos_by_index = {stream.index: stream for stream in videos}
    for packet in _first_packets(container, videos):
        mine = seen[packet.stream_index]
        if mine.frames >= _FRAMES_LOOKED_AT:
            if all(other.frames >= _FRAMES_LOOKED_AT for other in seen.values()):
                break
            continue
        if not mine.frames and not mine.lossless:
            context = videos_by_index[packet.stream_index].codec_context
            mine.lossless = is_lossless(context.codec.canonical_name, context.extradata or b"", bytes(packet))
        if mine.x264_build is None and videos_by_index[packet.stream_index].codec_context.name == "h264":
            mine.x264_build = x264_build(bytes(packet))
        mine.encrypted |= packet.has_sidedata("encryption_info")
        mine.alpha |= packet.has_sidedata("matroska_block_additional")
        try:
            for frame in packet.decode():
                _note(mine, frame)
        except (av.FFmpegError, ValueError):
            continue
    return seen


def _first_packets(container: InputContainer, videos: list[Any]) -> "Iterator[Packet[Any]]":
    """Packets of these streams from the start of the file; ends at damage, where demuxing cannot go on."""
    try:
        for count, packet in enumerate(container.demux(videos)):
            if count >= _PACKETS_LOOKED_AT:
                return
            yield packet
    except (av.FFmpegError, ValueError):
        return


def _note(seen: Seen, frame: VideoFrame) -> None:
    seen.frames += 1
    seen.interlaced |= frame.interlaced_frame
    sides = dict(_sides(frame))
    seen.captions |= "A53_CC" in sides
    seen.dynamic_hdr |= {name for kind, name in _DYNAMIC_HDR.items() if kind in sides}
    if seen.frames > 1:
        return
    seen.width, seen.height, seen.pixel_format = frame.width, frame.height, frame.format.name
    seen.range, seen.matrix = int(frame.color_range), int(frame.colorspace)
    seen.primaries, seen.transfer = int(frame.color_primaries), int(frame.color_trc)
    if matrix := sides.get("DISPLAYMATRIX"):
        seen.orientation = orientation_of(struct.unpack("=9i", matrix[:36]))
    seen.spatial = spatial_of(sides.get("SPHERICAL"), sides.get("STEREO3D"))
    if mastering := sides.get("MASTERING_DISPLAY_METADATA"):
        seen.mastering = _mastering(mastering)
    if light := sides.get("CONTENT_LIGHT_LEVEL"):
        seen.light = ContentLight(*struct.unpack("=2I", light[:8]))


_DYNAMIC_HDR: Final = {"DYNAMIC_HDR_PLUS": "HDR10+", "DOVI_RPU_BUFFER": "Dolby Vision", "DOVI_METADATA": "Dolby Vision"}


def _sides(frame: Any) -> Iterable[tuple[str, bytes]]:
    """Side data by name of its kind; kinds that PyAV has no name for are ignored."""
    for index in range(len(frame.side_data)):
        try:
            side = frame.side_data[index]
            yield side.type.name, bytes(side)
        except ValueError:
            continue


def orientation_of(matrix: Iterable[int]) -> Orientation | None:
    """A display matrix (nine numbers, row by row) as the rotation and flips that make ffmpeg write the same.

    ffmpeg's matrix of a rotation by r degrees counter-clockwise is (cos r, -sin r; sin r, cos r); -display_hflip
    negates its first column and -display_vflip its second. Stretching and shifting are left out: players do neither.

    Returns:
        None for the identity, and for a matrix that no player can use.
    """
    a, b, _, c, d, *_ = matrix
    if a * d == b * c:
        return None
    mirrored = a * d < b * c
    rotation = round(math.degrees(math.atan2(c, a)), 4) + 0.0
    if mirrored and abs(rotation) == 180:
        return Orientation(hflip=True)
    return Orientation(rotation, vflip=mirrored) if rotation or mirrored else None


def _mastering(data: bytes) -> MasteringDisplay | None:
    """AVMasteringDisplayMetadata: ten rationals, then whether primaries and luminance are set."""
    *numbers, has_primaries, has_luminance = struct.unpack("=20i2i", data[:88])
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if not (has_primaries and has_luminance) or any(below == 0 for _, below in pairs):
        return None
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y, low, high = (Fraction(*pair) for pair in pairs)
    return MasteringDisplay(
        red=(red_x, red_y),
        green=(green_x, green_y),
        blue=(blue_x, blue_y),
        white=(white_x, white_y),
        min_luminance=low,
        max_luminance=high,
    )


def tags_of(seen: Seen, context: Any, pixel_format: str, dump: str) -> ColourTags:
    """As the first frame says, else as the container does."""
    described = re.search(r", \w+\(([^()]*)\)", dump.split("\n", 1)[0])
    words = described[1].replace("/", ", ").split(", ") if described else []
    limits = _RANGES.get(seen.range) or _RANGES.get(int(context.color_range))
    return ColourTags(
        matrix=_MATRICES.get(seen.matrix) or _MATRICES.get(int(context.colorspace)),
        primaries=_PRIMARIES.get(seen.primaries) or _PRIMARIES.get(int(context.color_primaries)),
        transfer=_TRANSFERS.get(seen.transfer) or _TRANSFERS.get(int(context.color_trc)),
        range="pc" if pixel_format.startswith("yuvj") else limits,
        chroma_location=next((word for word in words if word in _CHROMA_LOCATIONS), None),
    )
