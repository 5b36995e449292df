"""What is written behind a JPEG: a gain map in the picture's new size, a clip, and the directory that finds them.

Sources: Google, Ultra HDR image format 1.1; CIPA DC-007-2021 (Multi-Picture Format), section 5; JFIF 1.02 (1992).
"""

import io
import struct
from typing import Final

from upscale_cli.files.atomic_file import Stream
from upscale_cli.frames.pixels import turned
from upscale_cli.media.image import exif
from upscale_cli.media.image.codecs.jpeg_segments import (
    APP1,
    APP2,
    ISO_GAIN_MAP_NAME,
    MPF_COUNT,
    MPF_ENTRIES,
    MPF_NAME,
    MPF_VERSION,
    XMP_NAME,
    Segment,
    content_of,
    segments_of,
)
from upscale_cli.media.image.convert import Notes
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.media.image.parts import Part
from upscale_cli.media.image.source import calm_pillow
from upscale_cli.media.image.xmp_parts import CLIP_SEMANTIC, GAIN_MAP_SEMANTIC, Held

_APP0: Final = 0xE0
_BASELINE_PRIMARY: Final = 0x030000
_ICC_NAME: Final = b"ICC_PROFILE\0"
_MAP_QUALITY: Final = 95
_JFIF_UNIT_AT: Final = 11
"""Of APP0: marker, length, "JFIF", 0, and two bytes of a version come before."""


class Appendix:
    """The parts that go behind one JPEG.

    Args:
        metadata: of the picture.
        scale: what the picture's width and height were multiplied by; a gain map's are, too.
        notes: reports to the user.
    """

    def __init__(self, metadata: Metadata, scale: tuple[float, float], notes: Notes) -> None:
        self._metadata = metadata
        self._maps = []
        self._others = [part for part in metadata.parts if part.kind != "gain map"]
        for part in metadata.parts:
            if part.kind == "gain map":
                try:
                    self._maps.append((part, _resized_map(part, scale)))
                except (OSError, ValueError):
                    notes("its gain map is damaged: left out")

    @property
    def held(self) -> Held:
        """For the XMP, which comes before all of it."""
        lengths = [(GAIN_MAP_SEMANTIC, len(data)) for _, data in self._maps]
        lengths += [(CLIP_SEMANTIC, len(part.data) - part.lead) for part in self._others if part.kind == "clip"]
        return Held(lengths=tuple(lengths))

    @property
    def segments(self) -> bytes:
        """What goes into the picture's own header; sizes and offsets are known only in the end."""
        if not self._maps:
            return b""
        return self._maps[0][0].segments + _segment(APP2, MPF_NAME + _directory(0, 0, 0))

    def write(self, stream: Stream) -> None:
        """Completes a JPEG that has been written from the stream's beginning on."""
        end = stream.tell()
        for segment in segments_of(stream):
            if segment.kind == _APP0 and self._metadata.aspect:
                _declare_aspect(stream, segment, self._metadata.aspect)
            elif segment.kind == APP2 and self._maps and content_of(stream, segment, 4) == MPF_NAME:
                base = segment.start + 4 + len(MPF_NAME)
                stream.seek(base)
                stream.write(_directory(end, len(self._maps[0][1]), end - base))
        stream.seek(end)
        for _, data in self._maps:
            stream.write(data)
        for part in self._others:
            stream.write(part.data)


def _declare_aspect(stream: Stream, segment: Segment, aspect: tuple[int, int]) -> None:
    """JFIF's density, with the unit that says that it is only an aspect."""
    if content_of(stream, segment, 5) == b"JFIF\0":
        stream.seek(segment.start + _JFIF_UNIT_AT)
        stream.write(struct.pack(">BHH", 0, *aspect))


def _directory(size: int, map_size: int, map_offset: int) -> bytes:
    """A multi-picture block with the picture and its gain map; the offset counts from the block's first byte."""
    entries = struct.pack(">III4x", _BASELINE_PRIMARY, size, 0) + struct.pack(">III4x", 0, map_size, map_offset)
    fields = [
        exif.Field(MPF_VERSION, 7, 4, b"0100"),
        exif.Field(MPF_COUNT, 4, 1, struct.pack(">I", 2)),
        exif.Field(MPF_ENTRIES, 7, len(entries), entries),
    ]
    return exif.block_of(fields, ">") or b""


def _segment(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content


def _resized_map(part: Part, scale: tuple[float, float]) -> bytes:
    """A gain map, upright and resized as its picture, with what it says of itself.

    It holds logarithms of ratios of light, smooth enough for bicubic interpolation.
    """
    import numpy as np
    from PIL import Image

    with calm_pillow(), Image.open(io.BytesIO(part.data), formats=("JPEG", "MPO")) as image:
        pixels = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    upright = Image.fromarray(np.ascontiguousarray(turned(pixels, part.orientation)))
    width, height = (max(round(side * factor), 1) for side, factor in zip(upright.size, scale, strict=True))
    buffer = io.BytesIO()
    upright.resize((width, height), Image.Resampling.BICUBIC).save(
        buffer, "JPEG", quality=_MAP_QUALITY, subsampling=0, extra=_own_words(part.data)
    )
    return buffer.getvalue()


def _own_words(data: bytes) -> bytes:
    """The segments in which a gain map says how it is applied, and its profile: whole."""
    file, kept = io.BytesIO(data), []
    for segment in segments_of(file):
        content = content_of(file, segment)
        if (segment.kind == APP1 and content.startswith(XMP_NAME)) or (
            segment.kind == APP2 and content.startswith((ISO_GAIN_MAP_NAME, _ICC_NAME))
        ):
            kept.append(data[segment.start : segment.stop])
    return b"".join(kept)
