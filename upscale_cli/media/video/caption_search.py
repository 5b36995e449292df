"""Whether a clip has closed captions that begin after the frames which the probe decodes, by their mark in packets.

Nothing is decoded. Broadcasts carry captions, or padding in their place, with every frame; edited clips may begin with
a title that has none.
"""

import sys
from typing import Final

import av

from upscale_cli.media.video.opening import open_clip
from upscale_cli.media.video.streams import Clip, VideoStream

MARK: Final = b"GA94\x03"
"""Identifier and type of caption data in user data (ATSC A/53 part 4, table 6.9): in H.264, HEVC, MPEG-2, AV1 alike."""

_CODECS: Final = ("h264", "hevc", "mpeg2video", "mpeg1video", "av1")
_FIRST_PACKETS: Final = 300
_PLACES: Final = (0.25, 0.5, 0.75)
_PACKETS_EACH: Final = 60
_MOST_BYTES: Final = 16 * 2**20
"""Of a file that is looked through, and of packets in one place of a larger one."""


def has_captions(clip: Clip, stream: VideoStream) -> bool:
    """Looks through a small file; of a large one at the beginning and at three places on the way. Never raises."""
    if stream.captions or stream.codec not in _CODECS or clip.path is None:
        return stream.captions
    try:
        is_small = clip.path.stat().st_size <= _MOST_BYTES
    except OSError:
        return False
    if is_small or stream.seconds is None or stream.untimed:
        return _is_marked(clip, stream, None, sys.maxsize)
    if _is_marked(clip, stream, None, _FIRST_PACKETS):
        return True
    return any(_is_marked(clip, stream, place * stream.seconds, _PACKETS_EACH) for place in _PLACES)


def _is_marked(clip: Clip, stream: VideoStream, seconds: float | None, most: int) -> bool:
    """Whether one of so many packets from there on has the mark."""
    seen = 0
    try:
        with open_clip(clip.source) as container:
            for other in container.streams:
                other.discard = av.stream.Discard.default if other.index == stream.index else av.stream.Discard.all
            if seconds is not None:
                offset = round((clip.start_seconds + seconds) / stream.time_base)
                container.seek(offset, stream=container.streams[stream.index])
            for count, packet in enumerate(container.demux(container.streams[stream.index])):
                seen += packet.size
                if count >= most or seen > _MOST_BYTES:
                    return False
                if packet.size and MARK in bytes(packet):
                    return True
    except (av.FFmpegError, OSError, ValueError, IndexError):
        pass
    return False
