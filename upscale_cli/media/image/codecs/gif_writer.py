"""GIF: one palette per frame, every frame whole, so that none is merged with its neighbour.

Source: CompuServe, Graphics Interchange Format 89a (1990); Netscape's looping extension.
"""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.image import Frame
from upscale_cli.media.image.encoder import Encoder, Encoding
from upscale_cli.media.image.metadata import Metadata

_COLOURS = 256
_HEADER_BYTES = 13
_KEEP, _CLEAR = 1, 2


class Gif(Encoder):
    """A GIF of one frame or many.

    A frame is held back, encoded, until it is known whether the next one is transparent: if so, this one has to be
    cleared away first.
    """

    def __init__(self, job: Encoding) -> None:
        super().__init__(job)
        self._pending: tuple[bytes, int, int | None] | None = None
        self._size = (0, 0)
        self._holes = False
        self._shown_ms = 0.0
        self._written_cs = 0

    def add(self, frame: Frame, metadata: Metadata) -> None:
        if self._size == (0, 0):
            self._size = (frame.width, frame.height)
            self._begin(metadata)
        indices, palette, transparent = indexed(frame, self.job)
        self._flush(_CLEAR if frame.has_alpha else _KEEP)
        self._holes = frame.has_alpha
        self._shown_ms += frame.duration_ms or 0
        delay = max(round(self._shown_ms / 10) - self._written_cs, 0)
        self._written_cs += delay
        descriptor = struct.pack("<BHHHHB", 0x2C, 0, 0, frame.width, frame.height, 0x87)
        self._pending = (descriptor + palette + _compressed(indices), min(delay, 65_535), transparent)

    def finish(self) -> None:
        self._flush(_CLEAR if self._holes else _KEEP)
        self.job.stream.write(b";")

    def _begin(self, metadata: Metadata) -> None:
        self.job.stream.write(b"GIF89a" + struct.pack("<HHBBB", *self._size, 0x70, 0, _aspect(metadata)))
        if self.job.frames > 1 and metadata.plays != 1:
            repeats = min((metadata.plays or 1) - 1, 65_535)
            self.job.stream.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", repeats) + b"\0")

        if metadata.comment:
            parts = (metadata.comment[at : at + 255] for at in range(0, len(metadata.comment), 255))
            self.job.stream.write(b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0")

    def _flush(self, disposal: int) -> None:
        if self._pending is None:
            return
        data, delay, transparent = self._pending
        # Clearing leaves the transparent colour, where there is one, else the background's.
        flags = disposal << 2 | (transparent is not None)
        self.job.stream.write(b"!\xf9\x04" + struct.pack("<BHBB", flags, delay, transparent or 0, 0) + data)


def _aspect(metadata: Metadata) -> int:
    """The byte for pixels that are not square: 64 times their width over their height, less 15; 0 for none."""
    if metadata.aspect is None:
        return 0
    across, down = metadata.aspect
    return min(max(round(64 * down / across) - 15, 1), 255)


def indexed(frame: Frame, job: Encoding) -> tuple[NDArray[Any], bytes, int | None]:
    """(H, W) palette indices, 256 palette entries, and the transparent index, which all but a full palette has.

    Up to 256 colours are kept exactly; more are reduced by median cut, with error diffusion.
    """
    color, holes = frame.pixels, None
    if frame.has_alpha:
        alpha = frame.pixels[..., -1]
        color = frame.pixels[..., :-1]
        if ((alpha > 0) & (alpha < 255)).any():
            job.notes("GIF holds no partial transparency: cut at one half")
        holes = alpha < 128
        holes = holes if holes.any() else None
    color = np.ascontiguousarray(np.broadcast_to(color, (*color.shape[:2], 3)))
    if holes is not None:
        color = np.where(holes[..., None], color[~holes][:1] if (~holes).any() else 0, color)
    last = _COLOURS - 1
    exact = _exact(color, _COLOURS if holes is None else last)
    if exact is None:
        exact = *_reduced(color, last if job.frames > 1 or holes is not None else _COLOURS, job), last
    indices, palette, used = exact
    if holes is not None:
        return np.where(holes, np.uint8(last), indices), palette, last
    return indices, palette, last if used <= last and job.frames > 1 else None


def _exact(color: NDArray[Any], room: int) -> tuple[NDArray[Any], bytes, int] | None:
    from PIL import Image

    if Image.fromarray(color).getcolors(room) is None:
        return None
    packed = color.astype(np.uint32) @ np.array([65_536, 256, 1], np.uint32)
    found, indices = np.unique(packed, return_inverse=True)
    entries = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
    return indices.reshape(packed.shape).astype(np.uint8), entries.tobytes().ljust(3 * _COLOURS, b"\0"), len(found)


def _reduced(color: NDArray[Any], room: int, job: Encoding) -> tuple[NDArray[Any], bytes]:
    from PIL import Image

    job.notes("GIF holds 256 colours per frame: reduced")
    image = Image.fromarray(color)
    chosen = image.quantize(room, method=Image.Quantize.MEDIANCUT)
    dithered = image.quantize(palette=chosen, dither=Image.Dither.FLOYDSTEINBERG)
    palette = bytes(dithered.getpalette("RGB") or [])[: 3 * room]
    return np.asarray(dithered), palette.ljust(3 * _COLOURS, b"\0")


def _compressed(indices: NDArray[Any]) -> bytes:
    """LZW data of 8-bit indices: what Pillow writes for a gray picture of the same values."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(indices)).save(buffer, format="GIF", optimize=False, interlace=False)
    data = buffer.getvalue()
    at = _HEADER_BYTES + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while data[at] == 0x21:
        at += 2
        while data[at]:
            at += data[at] + 1
        at += 1
    local = data[at + 9]
    start = at + 10 + (3 << (local & 7) + 1 if local & 0x80 else 0)
    return data[start:-1]
