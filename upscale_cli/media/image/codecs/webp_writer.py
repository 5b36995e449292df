"""Animated WebP: stills put into one container, so that every frame and duration stays.

libwebp's own animation encoder merges frames that look alike. Here each frame is whole and replaces the one before.

Source: Google, WebP Container Specification (RFC 9649, 2024), sections 2.5 to 2.7.
"""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from upscale_cli.frames.image import Frame
from upscale_cli.media.image.codecs.pillow_writer import save_still
from upscale_cli.media.image.encoder import Encoder, Encoding
from upscale_cli.media.image.metadata import Metadata

_XMP, _EXIF, _ALPHA, _ICC, _ANIMATED = 0x04, 0x08, 0x10, 0x20, 0x02
_NO_BLENDING = 0x02
_MAX_24_BITS = 2**24 - 1
_FLAGS_AT = 20


class AnimatedWebp(Encoder):
    """Frames as ANMF chunks; sizes and flags of the file are filled in at the end."""

    def __init__(self, job: Encoding) -> None:
        super().__init__(job)
        self._metadata: Metadata | None = None
        self._alpha = False
        self._shown_ms = 0.0
        self._written_ms = 0

    def add(self, frame: Frame, metadata: Metadata) -> None:
        stream = self.job.stream
        if self._metadata is None:
            self._metadata = metadata
            size = _24_bits(frame.width - 1) + _24_bits(frame.height - 1)
            stream.write(b"RIFF\0\0\0\0WEBP" + _chunk(b"VP8X", bytes(4) + size))
            if metadata.icc:
                stream.write(_chunk(b"ICCP", metadata.icc))
            stream.write(_chunk(b"ANIM", struct.pack("<IH", 0, min(metadata.plays or 0, 65_535))))
        self._alpha = self._alpha or frame.has_alpha
        self._shown_ms += frame.duration_ms or 0
        duration = min(max(round(self._shown_ms) - self._written_ms, 0), _MAX_24_BITS)
        self._written_ms += duration
        buffer = io.BytesIO()
        save_still(self.job, frame, Metadata(), buffer)
        pixels = b"".join(_chunk(kind, data) for kind, data in chunks_of(buffer) if kind in (b"ALPH", b"VP8 ", b"VP8L"))
        place = bytes(6) + _24_bits(frame.width - 1) + _24_bits(frame.height - 1)
        stream.write(_chunk(b"ANMF", place + _24_bits(duration) + bytes([_NO_BLENDING]) + pixels))

    def finish(self) -> None:
        stream, metadata = self.job.stream, self._metadata
        assert metadata is not None
        flags = _ANIMATED | (_ALPHA if self._alpha else 0) | (_ICC if metadata.icc else 0)
        if metadata.exif:
            stream.write(_chunk(b"EXIF", metadata.exif))
            flags |= _EXIF
        if metadata.xmp:
            stream.write(_chunk(b"XMP ", metadata.xmp))
            flags |= _XMP
        end = stream.tell()
        stream.seek(4)
        stream.write(struct.pack("<I", end - 8))
        stream.seek(_FLAGS_AT)
        stream.write(bytes([flags]))
        stream.seek(end)


def chunks_of(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(type, data) of each chunk of a WebP file; ends where the file does."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        kind, length = struct.unpack("<4sI", head)
        data = file.read(length)
        yield kind, data
        file.read(length % 2)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _24_bits(value: int) -> bytes:
    return value.to_bytes(3, "little")
