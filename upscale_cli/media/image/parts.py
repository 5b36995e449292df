"""What a file holds beside its picture and its metadata: the clip of a motion photo, a gain map."""

from dataclasses import dataclass
from typing import Literal

PartKind = Literal["clip", "gain map", "trailer"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file that a viewer of the picture does not need.

    Attributes:
        kind: a motion photo's clip; a map from standard to high dynamic range; what Samsung's cameras append.
        data: a clip (MP4 or QuickTime) or a trailer byte for byte; of a gain map, the JPEG file that it is.
        lead: bytes before the clip itself, which a trailer around it needs.
        orientation: EXIF orientation 1..8 that a gain map's pixels still need.
        segments: what a JPEG says of its gain map beside its XMP: whole segments.
    """

    kind: PartKind
    data: bytes
    lead: int = 0
    orientation: int = 1
    segments: bytes = b""
