"""What becomes of the metadata that single frames carry: closed captions, HDR10+, Dolby Vision. Pure.

Raw frames, in which the pictures travel, have no place for it. So it is read from the source apart from them
(`frame_metadata`) and put into the encoded packets (`access_unit`), where the coding has a place.
"""

from typing import Final, Literal

from upscale_cli.errors import InputError
from upscale_cli.media.video.codecs import CODECS, Kind
from upscale_cli.media.video.encoding import Encoder
from upscale_cli.media.video.streams import Clip, VideoStream
from upscale_cli.messages import option

FrameMetadataKind = Literal["captions", "HDR10+"]

IPT_PROFILE: Final = 5
"""The profile of Dolby Vision whose samples are IPT-PQ-c2, which no colour tag of H.264 or HEVC can say."""

_NAMES: Final[dict[FrameMetadataKind, str]] = {"captions": "closed captions", "HDR10+": "HDR10+ dynamic metadata"}

_PLACES: Final[dict[FrameMetadataKind, tuple[Kind, ...]]] = {
    "captions": ("h264", "hevc", "av1"),
    "HDR10+": ("hevc", "av1"),
}
"""Codings whose packets have a place for it."""

_ENCODERS: Final[dict[FrameMetadataKind, str]] = {"captions": "libx264", "HDR10+": "libx265"}
"""What to advise."""


def metadata_of(stream: VideoStream, *, captions: bool) -> tuple[FrameMetadataKind, ...]:
    """What of it a stream has.

    Args:
        captions: whether it has closed captions, which may begin behind the frames that the probe has seen.
    """
    has: dict[FrameMetadataKind, bool] = {"captions": captions, "HDR10+": "HDR10+" in stream.dynamic_hdr}
    return tuple(kind for kind, is_there in has.items() if is_there)


def carried(
    stream: VideoStream,
    kinds: tuple[FrameMetadataKind, ...],
    encoder: Encoder,
    *,
    is_alone: bool = True,
) -> tuple[tuple[FrameMetadataKind, ...], tuple[str, ...]]:
    """What of it goes into the output.

    Args:
        kinds: of `metadata_of`.
        is_alone: it is the only stream that is upscaled.

    Returns:
        Those kinds, and a line for each that is left out.
    """
    kept: list[FrameMetadataKind] = []
    notes: list[str] = []
    for kind in kinds:
        why = _hindrance(kind, encoder)
        if not why and not is_alone:
            why = "of several streams at once none keeps them"
        if why:
            notes.append(f"{_NAMES[kind]} {'are' if kind == 'captions' else 'is'} left out: {why}.")
        else:
            kept.append(kind)
    if "Dolby Vision" in stream.dynamic_hdr:
        notes.append("Dolby Vision dynamic metadata is left out; the base layer, which other players show, stays.")
    return tuple(kept), tuple(notes)


def _hindrance(kind: FrameMetadataKind, encoder: Encoder) -> str:
    """Why packets of that encoder have no place for it; "" where they have."""
    coding = CODECS[encoder.name].kind
    if coding not in _PLACES[kind]:
        return f"{encoder.name} has no place for that, {option('codec', _ENCODERS[kind])} has"
    return ""


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
