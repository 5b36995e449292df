"""A motion photo's clip in HEIC and AVIF: in a box of its own, behind the picture.

Source: Google, Motion Photo format 1.0, "ISOBMFF image specific behavior".
"""

from typing import BinaryIO, Final

from upscale_cli.media.image import xmp_parts
from upscale_cli.media.image.codecs.boxes import box, boxes_in
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.media.image.parts import Part

_CLIP: Final = b"mpvd"


def parts_of(file: BinaryIO) -> tuple[Part, ...]:
    """The clip of a HEIC or AVIF file, where it has one."""
    for kind, start, stop in boxes_in(file):
        if kind == _CLIP:
            file.seek(start)
            return (Part("clip", file.read(stop - start)),)
    return ()


def appended(metadata: Metadata, mime: str) -> tuple[bytes | None, bytes]:
    """The XMP of a file with these parts, and what is written behind the picture.

    Args:
        mime: of the picture.
    """
    clip = next((part.data[part.lead :] for part in metadata.parts if part.kind == "clip"), None)
    if clip is None:
        return metadata.xmp, b""
    data = box(_CLIP, clip)
    held = xmp_parts.Held(mime, len(data) - len(clip), ((xmp_parts.CLIP_SEMANTIC, len(clip)),))
    return metadata.xmp and xmp_parts.described(metadata.xmp, held), data
