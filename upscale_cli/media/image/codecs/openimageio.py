"""JPEG XL through OpenImageIO, whose libjxl also knows ICC profiles.

From Python it reads and writes files only, and decodes all of a picture when it opens it; so it is asked for what
imagecodecs cannot give, and pixels are read without it.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from upscale_cli.files.atomic_file import scratch_file
from upscale_cli.frames.image import Pixels

_SMALLEST = 128
"""Bytes of a file below which OpenImageIO sees no JPEG XL in it (3.2); further ones are ignored."""

_PROBE_BYTES = 2**20
_DEPTHS = {"uint8": "uint8", "uint16": "uint16", "float32": "float"}


def profile_of(data: bytes) -> bytes | None:
    """The ICC profile of the pixels that libjxl decodes from a JPEG XL file; None where it decodes none.

    The picture has to be one that may be decoded: its size is not checked here.
    """
    import OpenImageIO

    OpenImageIO.attribute("try_all_readers", 0)  # or what is no JPEG XL is given to the readers of all other formats
    with tempfile.TemporaryDirectory(prefix="upscale-") as folder:
        path = Path(folder) / "picture.jxl"
        path.write_bytes(data.ljust(_SMALLEST, b"\0"))
        picture = OpenImageIO.ImageInput.open(str(path))
        if picture is None:
            OpenImageIO.geterror()  # or it is printed when Python ends
            return None
        found = picture.spec().getattribute("ICCProfile")
        picture.close()
    return None if found is None else np.asarray(found, np.uint8).tobytes()


def encode(
    pixels: Pixels,
    profile: bytes | None,
    attributes: Mapping[str, int | float],
    codes: tuple[int, int],
    folder: Path | None,
) -> bytes | None:
    """Pixels (H, W, C), of 1, 3 or 4 channels, as JPEG XL; None where it cannot be encoded or there is no room for it.

    Args:
        profile: None declares `codes` instead: primaries and transfer characteristics of ITU-T H.273.
        attributes: of the encoder, without their prefix.
        folder: where the file lies for a moment; None: the system's own folder.
    """
    import OpenImageIO

    height, width, channels = pixels.shape
    spec = OpenImageIO.ImageSpec(width, height, channels, _DEPTHS[pixels.dtype.name])
    spec.attribute("oiio:UnassociatedAlpha", 1)
    for name, value in attributes.items():
        spec.attribute(f"jpegxl:{name}", value)
    if profile is not None:
        spec.attribute("ICCProfile", f"uint8[{len(profile)}]", np.frombuffer(profile, np.uint8))
    else:
        spec.attribute("CICP", "int[4]", (*codes, 0, 1))
    with scratch_file(folder) as (path, file):
        output = OpenImageIO.ImageOutput.create("jpegxl")
        if output is None:
            OpenImageIO.geterror()
            return None
        written = output.open(str(path), spec) and output.write_image(pixels)
        closed = output.close()  # encodes
        # A profile for gray makes gray of a picture in colour, and only this declares them.
        refused = output.geterror()
        if written and closed and not refused:
            return file.read()
        file.seek(0, 2)
        file.write(bytes(_PROBE_BYTES))  # a full disk raises its own error
        file.flush()
    return None
