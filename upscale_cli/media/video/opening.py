"""A clip is opened as safely as a file of unknown origin must be, by PyAV and by ffmpeg.

libavformat follows what it reads: a concat script or a playlist named holiday.mp4 would open any other file or address
(with a protocol whitelist alone that was seen to work). So both libraries get two whitelists, of protocols and of
demuxers, and only demuxers of real containers and raw streams are on the second. External references inside mov
(`enable_drefs`) are off in libavformat unless asked for, and never asked for here.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, cast

import av
from av.container import InputContainer

from upscale_cli.errors import InputError
from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.media.video.addresses import DEVICES
from upscale_cli.media.video.streams import Clip
from upscale_cli.messages import option

STDIN: Final = "pipe:0"

EXACT_CROP: Final = "+unaligned"
"""libavcodec's flags for decoders: else libavcodec, and ffmpeg before 7.1, move the left border of what H.264 and HEVC
crop to where it is aligned in memory, and the picture gets wider."""

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

FAILURES: Final = (av.FFmpegError, OSError, ValueError, IndexError)
"""What PyAV raises on the way through a damaged clip; the last where a stream appears late."""


class Readable(Protocol):
    """What can be read forwards; it need not seek."""

    def read(self, length: int, /) -> bytes:
        """At most so many bytes; b"" at the end."""


def input_arguments(clip: Clip) -> list[str]:
    """ffmpeg's options for reading a clip, to stand before its `-i clip.source`."""
    formats, protocols = whitelists(clip.source)
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
    formats, protocols = whitelists(source)
    return ["-protocol_whitelist", protocols, "-format_whitelist", formats], source


def open_clip(source: str | Readable, *, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a clip with PyAV, under the same whitelists as ffmpeg. Its tags are to be read by `text_tags`.

    Args:
        source: `Clip.source` ("file:PATH"), or an open binary file.
        max_pixels: no decoder allocates a much larger frame, whatever size the stream changes to.

    Raises:
        av.FFmpegError, OSError, ValueError: not a clip, or none that the whitelists let in.
    """
    formats, protocols = whitelists(source if isinstance(source, str) else STDIN)
    options = {"protocol_whitelist": protocols, "format_whitelist": formats}
    container: InputContainer = av.open(cast(Any, source), mode="r", options=options, metadata_errors="surrogateescape")
    for stream in container.streams.video:
        if stream.codec_context is not None:
            limit = decoder_limit(max_pixels, stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.options = {"max_pixels": str(limit), "flags": EXACT_CROP}
    return container


def lost_source(clip: Clip) -> InputError | None:
    """The message about a source that is gone since it was probed, or no longer whole; None where it is there, or no
    file."""
    if clip.path is None or os.path.exists(clip.path):
        return cut_source(clip)
    return InputError(
        f"{clip.name}: is no longer there; it was moved or removed while it was read. Bring it back, and try again."
    )


def cut_source(clip: Clip) -> InputError | None:
    """The message about a source that has become shorter since it was probed; None for all others. (One that grows is a
    recording that goes on, and one that is removed can be read to its end where it is open.)"""
    if clip.file_bytes is None or clip.path is None:
        return None
    try:
        size = clip.path.stat().st_size
    except OSError:
        return None
    if size >= clip.file_bytes:
        return None
    return InputError(
        f"{clip.name}: was cut from {clip.file_bytes:,} to {size:,} bytes while it was read. "
        "Bring the whole file back, and try again."
    )


def plays(file: Path) -> bool:
    """Whether a file is a clip with a frame in it, at least."""
    try:
        with open_clip(f"file:{file}") as container:
            return any(packet.size for packet in container.demux(container.streams.video[0]))
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return False


def decoder_limit(max_pixels: int, width: int, height: int) -> int:
    """libavcodec's `max_pixels` for a stream of that size: decoders count whole strides, which are a little more."""
    return min(max_pixels + 64 * (width + height + 64), 2**31 - 1)


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


def packets_of(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The packets of a stream, as stored; ends where demuxing does, be it at damage."""
    try:
        yield from container.demux(stream)
    except FAILURES:
        return


def whitelists(source: str) -> tuple[str, str]:
    """Demuxers and protocols that may serve a source, as comma-separated lists."""
    scheme, colon, _ = source.partition(":")
    if scheme in ("file", "pipe") or not colon:
        return ",".join(WHITELIST_FORMATS), "file,pipe"
    return ",".join(_LIVE_FORMATS), _LIVE_PROTOCOLS.get(scheme, scheme)


def _live_source(given: str) -> str:
    """A live source as ffmpeg takes it; a device file without a scheme is a camera of Linux.

    Raises:
        InputError: an address of a scheme that is no stream, such as file: or concat:.
    """
    if given.startswith("/dev/"):
        given = f"v4l2:{given}"
    scheme, colon, _ = given.partition(":")
    if not colon or scheme not in {*_LIVE_PROTOCOLS, *DEVICES}:
        known = ", ".join(f"{scheme}:" for scheme in _LIVE_PROTOCOLS)
        raise InputError(
            f"{given}: this is no live source. Name an address ({known}), or leave out {option('live', True)} "
            "for a file."
        )
    return given


def is_untimed(container: InputContainer) -> bool:
    """Whether it is a raw stream, without timestamps of its own."""
    return container.format.name in UNTIMED_FORMATS
