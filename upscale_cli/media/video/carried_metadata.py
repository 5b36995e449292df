"""What becomes of the metadata that single frames carry: closed captions, HDR10+, Dolby Vision. Pure.

Raw frames, in which the pictures travel, have no place for it. So it is read from the source apart from them
(`frame_metadata`) and put into the encoded packets (`access_unit`), where the coding has a place.
"""

from collections.abc import Iterator
from typing import Final, Literal

from upscale_cli.errors import InputError
from upscale_cli.media.video.codecs import CODECS, Kind
from upscale_cli.media.video.encoding import Encoder
from upscale_cli.media.video.streams import Clip, VideoStream
from upscale_cli.messages import option

FrameMetadataKind = Literal["captions", "HDR10+"]

IPT_PROFILE: Final = 5
"""The profile of Dolby Vision whose samples are IPT-PQ-c2, which no colour tag of H.264 or HEVC can say."""

_NAMES: Final[dict[FrameMetadataKind, str]] = {"captions": "closed captions", "HDR10+": "HDR10+ metadata"}

_PLACES: Final[dict[FrameMetadataKind, tuple[Kind, ...]]] = {"captions": (), "HDR10+": ()}
"""Codings whose packets have a place for it."""


def metadata_of(stream: VideoStream, *, captions: bool) -> tuple[FrameMetadataKind, ...]:
    """What of it a stream has.

    Args:
        captions: whether it has closed captions, which may begin behind the frames that the probe has seen.
    """
    has: dict[FrameMetadataKind, bool] = {"captions": captions, "HDR10+": "HDR10+" in stream.dynamic_hdr}
    return tuple(kind for kind, is_there in has.items() if is_there)


def is_carried(kind: FrameMetadataKind, encoder: Encoder) -> bool:
    """Whether the packets that an encoder makes have a place for it."""
    return CODECS[encoder.name].kind in _PLACES[kind]


def metadata_notes(stream: VideoStream, kinds: tuple[FrameMetadataKind, ...], encoder: Encoder) -> Iterator[str]:
    """A line for each that is lost."""
    for kind in kinds:
        if not is_carried(kind, encoder):
            yield f"its {_NAMES[kind]} {'are' if kind == 'captions' else 'is'} left out."
    if "Dolby Vision" in stream.dynamic_hdr:
        yield "its Dolby Vision metadata is left out; the base layer, which other players show, stays."


def check_colours(clip: Clip, stream: VideoStream) -> None:
    """Refuses samples that would be taken for other colours than they are.

    Raises:
        InputError: Dolby Vision profile 5.
    """
    if stream.dolby_vision_profile == IPT_PROFILE:
        raise InputError(
            f"{clip.name}: its colours are Dolby Vision's own (profile {IPT_PROFILE}, IPT), which come out green and "
            f"purple without its metadata. Convert it to HDR10 first, for instance by ffmpeg's filter libplacebo, "
            f"or take another {option('video_stream')}."
        )
