"""Pictures, metadata and files for the tests of `media`, made here so that no test needs a download."""

import functools
import io
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from upscale_cli.frames.image import Frame, Layout
from upscale_cli.media.image.exif import EXIF_IFD, GPS_IFD, Field, block_of
from upscale_cli.media.image.metadata import Metadata, PhotoInfo
from upscale_cli.media.image.reader_writer import ImageReader, ImageWriter

CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "LAB": 3}
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" tiff:Orientation="6" exif:PixelXDimension="640" '
    b'exif:PixelYDimension="480" xmp:CreatorTool="upscale test"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def frame_of(
    layout: Layout = "RGB", dtype: Any = np.uint8, height: int = 24, width: int = 37, seed: int = 0, **more: Any
) -> Frame:
    """A smooth picture with a little noise, every value of the dtype's range likely, asymmetric in both axes."""
    rng = np.random.default_rng(seed)
    channels = CHANNELS[layout]
    rows, columns = np.mgrid[0 : 1 : 1j * height, 0 : 1 : 1j * width][..., None]
    phase = np.arange(channels) / channels
    values = 0.5 + 0.45 * np.sin(3 * rows + 2 * columns * (1 + phase) + 6 * phase + seed)
    values = np.clip(values + 0.02 * rng.standard_normal(values.shape), 0, 1)
    if dtype is np.float32:
        return Frame(values.astype(np.float32), layout, **more)
    top = np.iinfo(dtype).max
    return Frame((values * top).round().astype(dtype), layout, **more)


def info_of(frame: Frame, format: str = "PNG", frames: int = 1, animated: bool = False, **more: Any) -> PhotoInfo:
    """What a reader would tell of a source of such frames."""
    return PhotoInfo(
        name="source",
        format=format,
        width=frame.width,
        height=frame.height,
        layout=frame.layout,
        bits={1: 8, 2: 16, 4: 32}[frame.pixels.dtype.itemsize],  # type: ignore[arg-type]
        frames=frames,
        animated=animated,
        lossless=more.pop("lossless", True),
        total_pixels=frames * frame.width * frame.height,
        **more,
    )


def write(
    path: Path,
    frames: Frame | Sequence[Frame],
    format: str,
    *,
    metadata: Metadata | None = None,
    animated: bool | None = None,
    lossless: bool = True,
    reported: list[str] | None = None,
    **options: Any,
) -> Path:
    """A file with these frames, through ImageWriter."""
    frames = [frames] if isinstance(frames, Frame) else list(frames)
    info = info_of(
        frames[0],
        frames=len(frames),
        animated=len(frames) > 1 if animated is None else animated,
        metadata=metadata or Metadata(),
        lossless=lossless,
    )
    say = reported.append if reported is not None else (lambda _: None)
    with ImageWriter(path, format=format, info=info, say=say, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def read(source: Path | bytes, **options: Any) -> tuple[PhotoInfo, list[Frame]]:
    """Header and all frames of a file, through ImageReader."""
    with ImageReader(source, **options) as reader:
        return reader.info, list(reader)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file, by hand: what our own writer makes is not what tests compare it with."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def psnr(a: Frame, b: Frame) -> float:
    """Of two frames of the same shape, with each one's white as 1."""
    scale = [1.0 if f.pixels.dtype == np.float32 else float(np.iinfo(f.pixels.dtype).max) for f in (a, b)]
    error = np.mean((a.pixels / scale[0] - b.pixels / scale[1]) ** 2)
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def exif_block(orientation: int = 1, order: str = "<", thumbnail: bool = True) -> bytes:
    """A camera's EXIF: make, date, exposure, sizes, a maker note, a place, and a thumbnail in IFD1."""

    def short(value: int) -> bytes:
        return struct.pack(order + "H", value)

    def long(value: int) -> bytes:
        return struct.pack(order + "I", value)

    inner = (
        Field(0x829A, 5, 1, struct.pack(order + "II", 1, 125)),
        Field(0x9003, 2, 20, b"2024:05:06 07:08:09\0"),
        Field(0x927C, 7, 64, bytes(range(64))),
        Field(0xA002, 4, 1, long(640)),
        Field(0xA003, 3, 1, short(480)),
    )
    place = (Field(1, 2, 2, b"N\0"), Field(2, 5, 3, struct.pack(order + "6I", 52, 1, 30, 1, 0, 1)))
    fields = [
        Field(0x010F, 2, 5, b"Acme\0"),
        Field(0x0110, 2, 12, b"Camera 3000\0"),
        Field(0x0112, 3, 1, short(orientation)),
        Field(0x0132, 2, 20, b"2024:05:06 07:08:09\0"),
        Field(EXIF_IFD, 4, 1, b"", children=inner),
        Field(GPS_IFD, 4, 1, b"", children=place),
    ]
    block = block_of(fields, order) or b""
    if not thumbnail:
        return block
    link = 8 + 2 + 12 * len(fields)
    jpeg = encoded(frame_of(height=8, width=8), "JPEG")
    directory = struct.pack(order + "H", 2)
    data_at = len(block) + 2 + 2 * 12 + 4
    directory += struct.pack(order + "HHII", 0x0201, 4, 1, data_at) + struct.pack(
        order + "HHII", 0x0202, 4, 1, len(jpeg)
    )
    return block[:link] + long(len(block)) + block[link + 4 :] + directory + bytes(4) + jpeg


def encoded(frame: Frame, format: str, **options: Any) -> bytes:
    """An 8-bit frame as a file made by Pillow alone."""
    buffer = io.BytesIO()
    pixels = frame.pixels[..., 0] if frame.layout == "L" else frame.pixels
    image = (
        Image.fromarray(pixels)
        if frame.layout != "CMYK"
        else Image.frombytes("CMYK", pixels.shape[1::-1], pixels.tobytes())
    )
    image.save(buffer, format, **options)
    return buffer.getvalue()


def icc_profile(space: bytes = b"RGB ", gamma: float = 2.2) -> bytes:
    """A small matrix or gray profile: Rec. 2020 primaries, one exponent. Valid enough for lcms."""

    def s15(value: float) -> bytes:
        return struct.pack(">i", round(value * 65_536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(s15, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"Test wide\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(12 + 67 + 2),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": xyz(0.6734, 0.2790, -0.0019), b"gXYZ": xyz(0.1656, 0.6753, 0.0299)}
        tags |= {b"bXYZ": xyz(0.1251, 0.0456, 0.7968), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data
    total = start + len(body)
    head = struct.pack(">I4sI4s4s4s", total, b"none", 0x02400000, b"mntr", space, b"XYZ ") + struct.pack(
        ">6H", 2024, 1, 1, 0, 0, 0
    )
    head += b"acsp" + bytes(28) + s15(0.9642) + s15(1.0) + s15(0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


PIXEL = (0x1234, 0x5678, 0x9ABC)


@functools.cache
def _is_imagemagick(program: str, name: str) -> bool:
    """Whether a program of one of its names does what ImageMagick does, and with 16 bits; of some, only the name is."""
    from tifffile import imwrite

    with tempfile.TemporaryDirectory() as folder:
        picture, raw = Path(folder, "pixel.tif"), Path(folder, "pixel.rgb")
        imwrite(picture, np.array([[PIXEL]], np.uint16), photometric="rgb")
        if name == "identify":
            return _output(program, "-format", "%w %h %z", picture) == "1 1 16"
        _output(program, picture, "-depth", "16", "-endian", "LSB", f"rgb:{raw}")
        return raw.exists() and raw.read_bytes() == np.array(PIXEL, "<u2").tobytes()


def _output(*command: object) -> str:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False).stdout


def tool(name: str) -> Callable[..., str]:
    """A program to check with, as a function from arguments to its output.

    Skips where it is not installed, and where what goes by its name is something else.
    """
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    if name in ("convert", "identify") and not _is_imagemagick(program, name):
        pytest.skip(f"{program} is not ImageMagick with 16 bits")
    return functools.partial(_output, program)
