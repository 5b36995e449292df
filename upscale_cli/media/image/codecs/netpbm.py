"""PBM, PGM, PPM, PAM and PFM: a line of text, then the samples as they are.

Sources: the Netpbm manual pages pbm(5), pgm(5), ppm(5), pam(5), pfm(5); Paul Debevec's PFM page.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame, Layout
from upscale_cli.frames.pixels import stretched
from upscale_cli.frames.rows import Held, Rows
from upscale_cli.media.image.encoder import Encoder
from upscale_cli.media.image.metadata import Metadata, PhotoInfo
from upscale_cli.media.image.source import Picture, Source, decoding
from upscale_cli.messages import option

_HEAD_BYTES = 4096
_LAYOUTS: dict[int, Layout] = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_LETTERS = {b"P1": 1, b"P2": 1, b"P3": 3, b"P4": 1, b"P5": 1, b"P6": 3, b"Pf": 1, b"PF": 3}


@dataclass(frozen=True, slots=True)
class Header:
    """First lines of the file. `top` is the value of white; 0 in PFM, whose samples are float in `order`."""

    magic: bytes
    width: int
    height: int
    channels: int
    top: int
    order: str
    data_at: int


def open_netpbm(source: Source, format: str) -> Picture:
    """A picture of the Netpbm family, or a PFM.

    Raises:
        InputError: a header that makes no sense, too few samples, or too large.
    """
    with decoding(source):
        source.file.seek(0)
        header = _header(source, source.file.read(_HEAD_BYTES))
        source.check_size(header.width, header.height)
        white = float_white(_samples(source, header)) if not header.top else 1.0
        info = PhotoInfo(
            name=source.name,
            format=format,
            width=header.width,
            height=header.height,
            layout=_LAYOUTS[header.channels],
            bits=32 if not header.top else 8 if header.top < 256 else 16,
            metadata=Metadata(white=white),
            lossless=True,
            total_pixels=header.width * header.height,
        )
        if white != 1:
            source.say(f"{source.name}: float values go beyond 1, {white:,.0f} is taken as white")
    return Picture(info, lambda: _frames(source, header, white))


def _frames(source: Source, header: Header, white: float) -> Iterator[Frame]:
    with decoding(source):
        pixels = _samples(source, header)
        if header.top:
            pixels = _full_range(pixels, header.top)
        else:
            pixels = np.ascontiguousarray(pixels[::-1], np.float32)  # PFM counts rows from the bottom
            if white != 1:
                with np.errstate(invalid="ignore", over="ignore"):
                    pixels /= np.float32(white)
        frame = Frame(pixels, _LAYOUTS[header.channels])
    yield frame


def float_white(samples: NDArray[Any]) -> float:
    """Which float value is white: 1, unless most values are so large that they must be 8- or 16-bit levels.

    (Light may exceed 1 in a float picture, a lamp or the sun by far; but not half of the picture.)
    """
    finite = samples[np.isfinite(samples)]
    if not finite.size or not 16 < finite.max() <= 65_535 or np.median(finite) <= 4:
        return 1.0
    return 255.0 if finite.max() <= 255 else 65_535.0


def _header(source: Source, head: bytes) -> Header:
    magic = head[:2]
    if magic == b"P7":
        return _pam_header(source, head)
    count = {b"P1": 2, b"P4": 2}.get(magic, 3)
    words, at = _words(head, 2, count)
    try:
        width, height = int(words[0]), int(words[1])
        scale = float(words[2]) if magic in (b"Pf", b"PF") else 0.0
        top = 0 if scale else 1 if count == 2 else int(words[2])
    except (ValueError, IndexError) as error:
        raise InputError(f"{source.name}: the header is no Netpbm header. The file is damaged.") from error
    if not scale and not 0 < top < 65_536:
        raise InputError(f"{source.name}: white is {top}, allowed are 1 to 65,535. The file is damaged.")
    return Header(magic, width, height, _LETTERS[magic], top, ">" if scale > 0 or not scale else "<", at)


def _words(head: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """The first words of a header, comments left out; and where the samples begin, one space behind the last."""
    words: list[bytes] = []
    while len(words) < count and at < len(head):
        if head[at : at + 1].isspace():
            at += 1
        elif head[at : at + 1] == b"#":
            end = head.find(b"\n", at)
            at = end + 1 if end >= 0 else len(head)
        else:
            start = at
            while at < len(head) and not head[at : at + 1].isspace():
                at += 1
            words.append(head[start:at])
    return words, at + 1


def _pam_header(source: Source, head: bytes) -> Header:
    text, end, _ = head.partition(b"ENDHDR\n")
    fields = dict(line.split(None, 1) for line in text.splitlines()[1:] if len(line.split(None, 1)) == 2)
    try:
        width, height, channels, top = (int(fields[key]) for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except (KeyError, ValueError) as error:
        raise InputError(f"{source.name}: the header is no PAM header. The file is damaged.") from error
    if not end or channels not in _LAYOUTS or not 0 < top < 65_536:
        raise InputError(f"{source.name}: PAM with {channels} channels up to {top} is not read. Convert it to PNG.")
    return Header(b"P7", width, height, channels, top, ">", len(text) + len(end))


def _samples(source: Source, header: Header) -> NDArray[Any]:
    """(H, W, C) as stored."""
    source.file.seek(header.data_at)
    shape = header.height, header.width, header.channels
    if header.magic in (b"P1", b"P2", b"P3"):
        return _plain_samples(source, header).reshape(shape)
    packed = header.magic == b"P4"
    dtype = np.dtype(np.uint8 if header.top < 256 else ">u2") if header.top else np.dtype(header.order + "f4")
    row_bytes = (header.width + 7) // 8 if packed else header.width * header.channels * dtype.itemsize
    data = source.file.read(header.height * row_bytes)
    if len(data) < header.height * row_bytes:
        if not source.salvage:
            raise InputError(
                f"{source.name}: the picture is truncated. {option('salvage', True)} takes the rows that are there."
            )
        source.say(f"{source.name}: truncated; {len(data) // row_bytes} of {header.height} rows are there")
        data = data.ljust(header.height * row_bytes, b"\0")
    if packed:
        bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(header.height, row_bytes), axis=1)
        return 1 - bits[:, : header.width].reshape(shape)  # 1 is black in PBM
    return np.frombuffer(data, dtype).reshape(shape)


def _plain_samples(source: Source, header: Header) -> NDArray[Any]:
    """Numbers in words; PBM may leave out the spaces between its digits."""
    text = source.file.read()
    if header.magic == b"P1":
        digits = np.frombuffer(text, np.uint8)
        values = 1 - (digits[(digits == 48) | (digits == 49)] - 48)
    else:
        values = np.array(text.split(), np.int64)
    needed = header.height * header.width * header.channels
    if len(values) < needed:
        raise InputError(f"{source.name}: the picture is truncated: {len(values)} of {needed} values are there.")
    return cast("NDArray[Any]", values[:needed].clip(0, header.top).astype(np.uint16 if header.top > 255 else np.uint8))


def _full_range(samples: NDArray[Any], top: int) -> NDArray[Any]:
    """0..top stretched to the full range of the dtype."""
    if top in (255, 65_535):
        return np.require(samples, samples.dtype.newbyteorder("="), ["C", "W"])
    return stretched(samples, top, top.bit_length())


class Netpbm(Encoder):
    """PGM or PPM by the layout; PAM; or PFM, little-endian. 16-bit samples are big-endian, as the format wants."""

    def add(self, frame: Frame, metadata: Metadata) -> None:
        if self.job.row.name == "PFM":
            header = f"{'Pf' if frame.layout == 'L' else 'PF'}\n{frame.width} {frame.height}\n-1.0\n"
            self.job.stream.write(header.encode("ascii"))
            self.job.stream.write((frame.pixels[::-1].astype("<f4") * np.float32(metadata.white)).data)
        else:
            self.add_rows(Held(frame.pixels), frame.layout, metadata)

    def add_rows(self, picture: Rows, layout: Layout, metadata: Metadata) -> None:  # noqa: ARG002  # it holds none
        top = np.iinfo(picture.dtype).max
        if self.job.row.name == "PAM":
            kind = {"L": "GRAYSCALE", "LA": "GRAYSCALE_ALPHA", "RGB": "RGB", "RGBA": "RGB_ALPHA"}[layout]
            header = (
                f"P7\nWIDTH {picture.width}\nHEIGHT {picture.height}\nDEPTH {picture.channels}\nMAXVAL {top}\n"
                f"TUPLTYPE {kind}\nENDHDR\n"
            )
        else:
            header = f"{'P5' if layout == 'L' else 'P6'}\n{picture.width} {picture.height}\n{top}\n"
        self.job.stream.write(header.encode("ascii"))
        for _, band in picture.bands():
            self.job.stream.write(np.ascontiguousarray(band.astype(">u2") if top > 255 else band).data)
