"""Metadata of a frame put into its encoded packet."""

from typing import Any

import av

from upscale_cli.media.video.access_unit import with_messages
from upscale_cli.media.video.codecs import CODECS
from upscale_cli.media.video.encoding import Encoder
from upscale_cli.media.video.frame_metadata import FrameMetadata


def with_metadata(packet: "av.Packet[Any]", metadata: FrameMetadata, encoder: Encoder) -> "av.Packet[Any]":
    """The same packet, or another one with what its frame carries.

    Args:
        encoder: what made it; `carried_metadata.carried` says what of it has a place there.

    Raises:
        ValueError: the packet is not what its coding says.
    """
    if not metadata:
        return packet
    coding = CODECS[encoder.name].kind
    assert coding in ("h264", "hevc", "av1"), coding
    annotated: av.Packet[Any] = av.Packet(with_messages(bytes(packet), coding, metadata.messages()))
    annotated.is_keyframe = packet.is_keyframe
    for side in packet.iter_sidedata():
        annotated.set_sidedata(side)
    return annotated
