"""What is in a clip: opens it as safely as a file of unknown origin must be, and answers with a `facts.Clip`.

libavformat follows what it reads: a concat script or a playlist named holiday.mp4 would open any other file or address
(with a protocol whitelist alone that was seen to work). So both libraries get two whitelists, of protocols and of
demuxers, and only demuxers of real containers and raw streams are on the second. External references inside mov
(`enable_drefs`) are off in libavformat unless asked for, and nobody asks.
"""

import math
import os
import re
import stat
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame

from upscale_cli.errors import InputError
from upscale_cli.frames.colour_tags import ColourTags, ContentLight, MasteringDisplay, Range
from upscale_cli.frames.pixel_format import FORMATS, PixelFormat
from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.media.video.streams import Clip, Orientation, OtherStream, VideoStream

STDIN: Final = "pipe:0"

UNTIMED_FORMATS: Final = (
    *("h261", "h263", "h264", "hevc", "vvc", "evc", "av1", "obu", "m4v", "mpegvideo", "vc1", "dirac", "dnxhd"),
    *("cavsvideo", "avs2", "avs3", "mjpeg"),
)
"""Demuxers of raw streams, which carry pictures but no clock. (libavformat's own flag for them came only lately.)"""

WHITELIST_FORMATS: Final[tuple[str, ...]] = (
    *("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "live_flv", "asf", "asf_o", "ogg", "mxf", "gxf"),
    *("nut", "ivf", "yuv4mpegpipe", "dv", "rm", "wtv", "nsv", "nuv", "vc1test", "lxf", "dhav"),
    *UNTIMED_FORMATS,
)
"""Demuxers that read one file and nothing else. No concat, hls, dash, image2, sdp, lavfi, playlists or scripts."""

_LIVE_PROTOCOLS: Final = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,srtp,udp,tcp,tls",
    "rtp": "rtp,udp",
    "srtp": "srtp,rtp,udp",
    "udp": "udp",
    "tcp": "tcp",
    "tls": "tls,tcp",
    "srt": "srt",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "http": "http,httpproxy,tcp",
    "https": "https,http,httpproxy,tls,tcp",
    "pipe": "pipe",
}
"""What a live source of each scheme needs. None may open a file, whatever a server answers."""

_LIVE_FORMATS: Final = ("rtsp", "rtp", "sdp", "hls", "mpjpeg", *WHITELIST_FORMATS)
DEVICES: Final = ("v4l2", "avfoundation", "dshow", "x11grab", "gdigrab")

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
_TOP_FIRST: Final = (2, 4)  # AVFieldOrder: TT, TB. ffmpeg writes TB and BT for what is shown in the order it is coded.
_BOTTOM_FIRST: Final = (3, 5)

_SIGNATURES: Final = (
    *((0, b"\x1a\x45\xdf\xa3"), (0, b"FLV\x01"), (0, b"OggS"), (0, b"DKIF"), (0, b"YUV4MPEG2 "), (0, b".RMF")),
    *((0, b"nut/multimedia container\0"), (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), (0, b"\0\0\x01\xba")),
    *((0, b"\0\0\x01\xb3"), (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02"), (0, b"\x1f\x07\x00")),
    *((0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11"), (0, b"\x12\x00\x0a"), (0, b"NSVf"), (0, b"NSVs"), (0, b"BBCD\0")),
    *((4, b"moov"), (4, b"mdat"), (4, b"wide"), (4, b"free"), (4, b"skip"), (4, b"pnot")),
)
_STILL_BRANDS: Final = (
    b"avif",
    b"avis",
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"mif1",
    b"msf1",
    b"jxl ",
    b"jp2 ",
    b"crx ",
)
_HEAD_BYTES: Final = 4096


class Readable(Protocol):
    """What can be read forwards; it need not seek."""

    def read(self, length: int, /) -> bytes:
        """At most so many bytes; b"" at the end."""


def input_arguments(clip: Clip) -> list[str]:
    """ffmpeg's options for reading a clip, to stand before its `-i clip.source`."""
    formats, protocols = _whitelists(clip.source)
    return ["-protocol_whitelist", protocols, "-format_whitelist", formats]


def live_arguments(address: str) -> tuple[list[str], str]:
    """ffmpeg's options for receiving a live source, and what to name after `-i`.

    Raises:
        InputError: an address of a scheme that is no stream, such as file: or concat:.
    """
    source = _live_source(address)
    scheme, _, rest = source.partition(":")
    if scheme in DEVICES:
        return ["-f", scheme], rest
    formats, protocols = _whitelists(source)
    return ["-protocol_whitelist", protocols, "-format_whitelist", formats], source


def open_clip(source: str | Readable, *, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a clip with PyAV, under the same whitelists as ffmpeg.

    Args:
        source: `Clip.source` ("file:PATH"), or an open binary file.
        max_pixels: no decoder allocates a much larger frame, whatever size the stream changes to.

    Raises:
        av.FFmpegError, OSError, ValueError: not a clip, or none that the whitelists let in.
    """
    formats, protocols = _whitelists(source if isinstance(source, str) else STDIN)
    options = {"protocol_whitelist": protocols, "format_whitelist": formats}
    container: InputContainer = av.open(cast(Any, source), mode="r", options=options, metadata_errors="replace")
    for stream in container.streams.video:
        if stream.codec_context is not None:
            limit = decoder_limit(max_pixels, stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.options = {"max_pixels": str(limit)}
    return container


def decoder_limit(max_pixels: int, width: int, height: int) -> int:
    """libavcodec's `max_pixels` for a stream of that size: decoders count whole strides, which are a little more."""
    return min(max_pixels + 64 * (width + height + 64), 2**31 - 1)


def probe(path: str | os.PathLike[str] | Readable, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Clip:
    """Find out what is in a clip; decodes at most its first few frames.

    Args:
        path: of the file; or what gives the first bytes of a source that can be read once only.
        max_pixels: how large a frame may be, in pixels; checked before one is decoded.
        name: for messages; None: the file's own.

    Raises:
        InputError: missing, empty, not a clip, without a video stream, without a picture that decodes, too large.
    """
    source, own_name = _source(path)
    name = name or own_name
    try:
        with open_clip(source, max_pixels=max_pixels) as container:
            return _clip(container, source if isinstance(source, str) else STDIN, name, max_pixels)
    except (av.FFmpegError, OSError, ValueError, OverflowError, IndexError) as error:
        raise InputError(_refusal(name, error)) from error


def looks_like_clip(path_or_head: str | os.PathLike[str] | bytes) -> bool:
    """Whether a file, or one that begins with these bytes (4 KiB are plenty), is a clip, by its signature.

    For files of unknown ending and for standard input. Pictures that come in a clip's container (AVIF, HEIC) are none.
    A raw stream has no signature but its start codes, which is less certain; the probe has the last word.
    """
    head = path_or_head if isinstance(path_or_head, bytes) else _head(Path(path_or_head))
    if head[4:8] == b"ftyp":
        return head[8:12] not in _STILL_BRANDS
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] in (b"AVI ", b"AVIX"):
        return True
    if any(head[at : at + len(magic)] == magic for at, magic in _SIGNATURES):
        return True
    return _is_transport_stream(head) or _is_raw_h26x(head)


def nearest_format(name: str) -> tuple[PixelFormat, bool]:
    """The entry of `pixel_format.FORMATS` that frames of any of ffmpeg's pixel formats are converted to.

    Returns:
        The format, and whether anything changes beyond the layout of the same code values: more than 12 bits are
        rounded, other depths and rarer chroma subsamplings are resampled, palettes are looked up.

    >>> nearest_format("nv12")[0].name, nearest_format("nv12")[1], nearest_format("rgb48le")[0].name
    ('yuv420p', False, 'gbrp12le')
    """
    if row := FORMATS.get(name):
        return row, False
    try:
        given = av.VideoFormat(name, 64, 64)
        components = given.components
    except ValueError:  # hardware surfaces, and names of another version
        components = ()
    if not components:
        return FORMATS["yuv420p"], True
    depth = max(component.bits for component in components)
    bits = 8 if depth <= 8 else 10 if depth <= 10 else 12
    alpha = any(component.is_alpha for component in components) or given.has_palette
    plain = min(component.bits for component in components) == depth == bits
    if given.is_rgb or given.has_palette or given.is_bayer or name.startswith("xyz"):
        exact = plain and not (given.has_palette or given.is_bayer or name.startswith("xyz"))
        return _row("rgb", bits, 0, 0, alpha), not exact
    if len(components) - alpha == 1:
        return (_row("yuv", bits, 0, 0, alpha), True) if alpha else (_row("gray", bits, 0, 0, False), not plain)
    shift_x, shift_y = _shift(given.chroma_width()), _shift(given.chroma_height())
    row = _nearest_subsampling(bits, min(shift_x, 1), min(shift_y, 1), alpha)
    return row, not (plain and (row.shift_x, row.shift_y) == (shift_x, shift_y))


def _row(model: Literal["gray", "yuv", "rgb"], bits: int, shift_x: int, shift_y: int, alpha: bool) -> PixelFormat:
    wanted = (model, bits, shift_x, shift_y, alpha)
    rows = FORMATS.values()
    return next(row for row in rows if (row.model, row.bits, row.shift_x, row.shift_y, row.alpha) == wanted)


def _nearest_subsampling(bits: int, shift_x: int, shift_y: int, alpha: bool) -> PixelFormat:
    """The YUV row that loses no chroma: subsampled as wanted, else less."""
    for x, y in ((shift_x, shift_y), (shift_x, 0), (0, 0)):
        try:
            return _row("yuv", bits, x, y, alpha)
        except StopIteration:
            continue
    raise AssertionError("every depth has 4:4:4")


def _shift(side: int) -> int:
    return round(math.log2(64 / side))


def pictures(clip: Clip, indices: Iterable[int], *, head: Readable | None = None) -> dict[int, bytes]:
    """The cover art of a clip, as the image files it is made of, by index of its stream; without what is damaged."""
    found: dict[int, bytes] = {}
    missing = set(indices)
    try:
        with open_clip(head or clip.source) as container:
            packets = container.demux([container.streams[index] for index in missing])
            while missing and (packet := next(packets, None)) is not None:
                if packet.size and packet.stream_index in missing:
                    found[packet.stream_index] = bytes(packet)
                    missing.remove(packet.stream_index)
    except (av.FFmpegError, OSError, ValueError, IndexError):
        pass
    return found


# Names and whitelists


def _whitelists(source: str) -> tuple[str, str]:
    """Demuxers and protocols that may serve a source, as comma-separated lists."""
    scheme, colon, _ = source.partition(":")
    if scheme in ("file", "pipe") or not colon:
        return ",".join(WHITELIST_FORMATS), "file,pipe"
    return ",".join(_LIVE_FORMATS), _LIVE_PROTOCOLS.get(scheme, scheme)


def _source(path: str | os.PathLike[str] | Readable) -> tuple[str | Readable, str]:
    """What to open, and what to call it in messages.

    Raises:
        InputError: there is no such file, or it is none.
    """
    if not isinstance(path, str | os.PathLike):
        return path, "standard input"
    given = os.fspath(path)
    name = Path(given).name or given
    if "\0" in given or not os.path.lexists(given):
        raise InputError(f"{name}: there is no such file. Check the path.")
    try:
        status = Path(given).stat()
    except OSError as error:
        raise InputError(f"{name}: the file cannot be read ({error.strerror}). Check the path.") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name}: this is a folder. Name a clip in it.")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name}: this is no regular file. Pass its bytes on standard input (-), or use --live.")
    if status.st_size == 0:
        raise InputError(f"{name}: the file is empty. Check where it was copied or downloaded from.")
    return f"file:{given}", name


def _live_source(given: str) -> str:
    """A live source as ffmpeg takes it; a bare device file is a camera of Linux.

    Raises:
        InputError: an address of a scheme that is no stream, such as file: or concat:.
    """
    if given.startswith("/dev/"):
        given = f"v4l2:{given}"
    scheme, colon, _ = given.partition(":")
    if not colon or scheme not in {*_LIVE_PROTOCOLS, *DEVICES}:
        known = ", ".join(f"{scheme}:" for scheme in _LIVE_PROTOCOLS)
        raise InputError(f"{given}: this is no live source. Name an address ({known}), or leave out --live for a file.")
    return given


def _refusal(name: str, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{name}: the file cannot be read ({_reason(error)}). Check its permissions."
    return (
        f"{name}: this is no clip that can be read ({_reason(error)}). "
        "Scripts and playlists are not followed; give the media file itself, or remux it with ffmpeg."
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).split("\n", 1)[0].rstrip(". ").lower() or "damaged"


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""


def _is_transport_stream(head: bytes) -> bool:
    """MPEG-TS: sync bytes 188 apart; 192 in M2TS (after 4 bytes of time), 204 with error correction."""
    return any(
        len(head) > start + 3 * step and all(head[start + n * step] == 0x47 for n in range(4))
        for start, step in ((0, 188), (4, 192), (0, 204))
    )


def _is_raw_h26x(head: bytes) -> bool:
    """H.264 or HEVC in Annex B: begins with a delimiter, a parameter set or SEI, and goes on with more of the kind."""
    units = [(head[found.end()], head[found.end() + 1]) for found in re.finditer(rb"\0\0\x01(?=..)", head, re.DOTALL)]
    if not units or not head.startswith((b"\0\0\x01", b"\0\0\0\x01")):
        return False
    h264 = [first & 0x1F for first, _ in units if first < 0x80]
    hevc = [first >> 1 & 0x3F for first, _ in units if first < 0x80]
    return (h264[:1] in ([7], [9], [6]) and 7 in h264) or (hevc[:1] in ([32], [35], [39]) and 33 in hevc)


# Facts


@dataclass(slots=True)
class _Seen:
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
    mastering: MasteringDisplay | None = None
    light: ContentLight | None = None
    dynamic_hdr: set[str] = field(default_factory=set)
    alpha: bool = False
    encrypted: bool = False


def _clip(container: InputContainer, source: str, name: str, max_pixels: int) -> Clip:
    videos = _video_streams(container, name)
    for stream in videos:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > max_pixels:
            raise InputError(
                f"{name}: frames of {width} x {height} pixels are larger than the {max_pixels:,} pixels allowed. "
                "Raise --max-pixels if you trust the file."
            )
    main = _main(container, videos)
    dumped = _dumped(container)
    seen = _look(container, videos)
    if not seen[main].frames:
        why = "it is encrypted" if seen[main].encrypted else "it is damaged, or of an unknown kind"
        raise InputError(
            f"{name}: no picture of its video stream ({videos[0].codec_context.codec.canonical_name}) decodes; {why}. "
            "Check the file in a player."
        )
    facts = tuple(_video(container, stream, seen[stream.index], dumped.get(stream.index, "")) for stream in videos)
    untimed = _is_untimed(container)
    seconds = [stream.seconds for stream in facts if stream.seconds is not None]
    if container.duration is not None and not untimed:
        seconds.append(container.duration / av.time_base)
    return Clip(
        source=source,
        name=name,
        format=container.format.name,
        video=facts,
        main=main,
        others=tuple(
            _other(stream, dumped.get(stream.index, "")) for stream in container.streams if stream not in videos
        ),
        seconds=max(seconds, default=None),
        start_seconds=(container.start_time or 0) / av.time_base,
        chapters=len(container.chapters()),
        metadata=dict(container.metadata),
        seekable=source.startswith("file:") and not untimed and _has_index(container, main),
    )


def _video_streams(container: InputContainer, name: str) -> list[Any]:
    """The video streams that can be upscaled.

    Raises:
        InputError: there is no video stream, or none that this ffmpeg has a decoder for.
    """
    videos = [stream for stream in container.streams if _is_moving(stream) and stream.codec_context is not None]
    if not videos:
        unknown = [getattr(stream, "name", None) or "unknown" for stream in container.streams if _is_moving(stream)]
        if unknown:
            raise InputError(f"{name}: there is no decoder for its video ({unknown[0]}). Convert the clip first.")
        kinds = sorted({str(stream.type) for stream in container.streams}) or ["nothing"]
        raise InputError(f"{name}: there is no video stream in it, only {', '.join(kinds)}. Name a clip with pictures.")
    return videos


def _is_moving(stream: Any) -> bool:
    return bool(stream.type == "video") and not stream.disposition & av.stream.Disposition.attached_pic


def _other(stream: Any, dump: str) -> OtherStream:
    kind: Literal["audio", "subtitle", "data", "attachment", "picture"] = "data"
    if stream.type in ("audio", "subtitle", "attachment"):
        kind = stream.type
    elif stream.type == "video" and stream.codec_context is not None:
        kind = "picture"
    return OtherStream(
        index=stream.index,
        kind=kind,
        codec=_codec_name(stream),
        tag=_tag_of(dump),
        disposition=_dispositions(stream),
        metadata=dict(stream.metadata),
    )


def _codec_name(stream: Any) -> str:
    """The name of the coding, not of the library that decodes it."""
    if stream.codec_context is not None:
        return str(stream.codec_context.codec.canonical_name)
    return str(stream.name or "unknown") if stream.type != "attachment" else "attachment"


def _tag_of(dump: str) -> str:
    """The container's own name of a coding: "Data: none (tmcd / 0x64636D74)"."""
    found = re.search(r"\((\w{4}) / 0x[0-9A-F]{8}\)", dump.split("\n", 1)[0])
    return found[1] if found else ""


def _dispositions(stream: Any) -> tuple[str, ...]:
    return tuple(flag.name for flag in av.stream.Disposition if flag & stream.disposition and flag.name)


def _main(container: InputContainer, videos: list[Any]) -> int:
    """The stream a player shows: the first that is flagged as default, else the one that libavformat thinks best."""
    for stream in videos:
        if stream.disposition & av.stream.Disposition.default:
            return int(stream.index)
    best = container.streams.best("video")
    return int(best.index) if best is not None and best in videos else int(videos[0].index)


def _is_untimed(container: InputContainer) -> bool:
    return container.format.name in UNTIMED_FORMATS


_dump_lock = threading.Lock()


def _dumped(container: Any) -> dict[int, str]:
    """libavformat's own description of each stream by index: PyAV gives the chroma location nowhere else.

    It is part of what is logged at the level "verbose" only, so the level of the whole process is raised meanwhile.
    """
    with _dump_lock:
        level = av.logging.get_level()
        try:
            av.logging.set_level(av.logging.VERBOSE)
            av.logging.set_libav_level(av.logging.VERBOSE)
            text = container.dumps_format()
        finally:
            av.logging.set_libav_level(av.logging.INFO)
            av.logging.set_level(level)
    parts = re.split(r"^  Stream #0:(\d+)", text, flags=re.MULTILINE)
    return {int(index): part for index, part in zip(parts[1::2], parts[2::2], strict=True)}


def _look(container: InputContainer, videos: list[Any]) -> dict[int, _Seen]:
    """Decode the first frames of each video stream, past what is damaged."""
    seen = {stream.index: _Seen() for stream in videos}
    for packet in _first_packets(container, videos):
        mine = seen[packet.stream_index]
        if mine.frames >= _FRAMES_LOOKED_AT:
            if all(other.frames >= _FRAMES_LOOKED_AT for other in seen.values()):
                break
            continue
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


def _note(seen: _Seen, frame: VideoFrame) -> None:
    seen.frames += 1
    seen.interlaced |= frame.interlaced_frame
    sides = dict(_sides(frame))
    seen.dynamic_hdr |= {name for kind, name in _DYNAMIC_HDR.items() if kind in sides}
    if seen.frames > 1:
        return
    seen.width, seen.height, seen.pixel_format = frame.width, frame.height, frame.format.name
    seen.range, seen.matrix = int(frame.color_range), int(frame.colorspace)
    seen.primaries, seen.transfer = int(frame.color_primaries), int(frame.color_trc)
    if matrix := sides.get("DISPLAYMATRIX"):
        seen.orientation = orientation_of(struct.unpack("=9i", matrix[:36]))
    if mastering := sides.get("MASTERING_DISPLAY_METADATA"):
        seen.mastering = _mastering(mastering)
    if light := sides.get("CONTENT_LIGHT_LEVEL"):
        seen.light = ContentLight(*struct.unpack("=2I", light[:8]))


_DYNAMIC_HDR: Final = {"DYNAMIC_HDR_PLUS": "HDR10+", "DOVI_RPU_BUFFER": "Dolby Vision", "DOVI_METADATA": "Dolby Vision"}


def _sides(frame: Any) -> Iterable[tuple[str, bytes]]:
    """Side data by name of its kind; kinds that PyAV has no name for are passed over."""
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


def _video(container: InputContainer, stream: Any, seen: _Seen, dump: str) -> VideoStream:
    context = stream.codec_context
    codec = _codec_name(stream)
    pixel_format = seen.pixel_format or context.pix_fmt or "yuv420p"
    alpha_decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(codec) if seen.alpha else None
    if alpha_decoder and pixel_format == "yuv420p":
        pixel_format = "yuva420p"
    else:
        alpha_decoder = None
    untimed = _is_untimed(container)
    metadata = dict(stream.metadata)
    dynamic = seen.dynamic_hdr | ({"Dolby Vision"} if "DOVI configuration record" in dump else set())
    return VideoStream(
        index=stream.index,
        codec=codec,
        width=seen.width or context.width,  # the context may have seen a later size already
        height=seen.height or context.height,
        pixel_format=pixel_format,
        time_base=stream.time_base or Fraction(1, av.time_base),
        start=stream.start_time,
        rate=_rate(stream, untimed),
        frames=_frames(stream, metadata, None if untimed else _seconds(stream, metadata)),
        seconds=None if untimed else _seconds(stream, metadata),
        sar=stream.sample_aspect_ratio or Fraction(1),
        tags=_tags(seen, context, pixel_format, dump),
        orientation=seen.orientation,
        mastering=seen.mastering,
        light=seen.light,
        dynamic_hdr=tuple(sorted(dynamic)),
        interlaced=seen.interlaced or context.field_order in (*_TOP_FIRST, *_BOTTOM_FIRST),
        top_first=context.field_order not in _BOTTOM_FIRST,
        alpha_decoder=alpha_decoder,
        untimed=untimed,
        disposition=_dispositions(stream),
        metadata=metadata,
    )


def _rate(stream: Any, untimed: bool) -> Fraction:
    """Frames per second. A raw stream's average is only the demuxer's default; its own guess reads the bitstream."""
    guesses = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return next((Fraction(rate) for rate in (guesses[1:] if untimed else guesses) if rate), Fraction(25))


def _tag(metadata: dict[str, str], name: str) -> str | None:
    """A Matroska statistics tag, whose name may end in a language ("DURATION-eng")."""
    return next((value for key, value in metadata.items() if key.upper().split("-")[0] == name), None)


def _count(metadata: dict[str, str]) -> int | None:
    count = _tag(metadata, "NUMBER_OF_FRAMES") or ""
    return int(count) if re.fullmatch(r"[0-9]{1,15}", count) and int(count) else None


def _frames(stream: Any, metadata: dict[str, str], seconds: float | None) -> int | None:
    """How many frames there are, by the container or a tag; None where that contradicts how long they last (DV)."""
    count: int | None = stream.frames or _count(metadata)
    if count and seconds and stream.average_rate and not 0.5 < count / (seconds * stream.average_rate) < 2:
        return None
    return count


def _seconds(stream: Any, metadata: dict[str, str]) -> float | None:
    """How long a stream lasts, by the container or by Matroska's DURATION ("00:00:02.043000000")."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", _tag(metadata, "DURATION") or "", re.ASCII)
    if not found:
        return None
    hours, minutes, seconds = found.groups()
    total = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    start = float((stream.start_time or 0) * (stream.time_base or 0))
    return (total - start if start > total / 2 else total) or None  # some muxers write when it ends instead


def _tags(seen: _Seen, context: Any, pixel_format: str, dump: str) -> ColourTags:
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


def _has_index(container: InputContainer, main: int) -> bool:
    """Whether seeking goes by an index. Matroska's is read when first sought, so that happens here."""
    stream: Any = container.streams[main]
    if "matroska" in container.format.name and container.duration:
        try:
            container.seek(container.duration // 2)
        except (av.FFmpegError, ValueError):
            return False
    return container.format.name not in ("mpegts", "mpeg") and len(stream.index_entries) > 0
