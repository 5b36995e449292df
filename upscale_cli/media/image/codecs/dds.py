"""DDS textures: what the header tells, before OpenImageIO or Pillow decodes the largest picture.

Source: Microsoft, Programming Guide for DDS (DDS_HEADER, DDS_HEADER_DXT10).
"""

import struct
from typing import Final

from upscale_cli.errors import InputError
from upscale_cli.media.image.codecs.openimageio_reader import open_with_openimageio
from upscale_cli.media.image.codecs.pillow_reader import open_with_pillow
from upscale_cli.media.image.source import Picture, Source

_HEADER_BYTES: Final = 148
_CUBE_MAP, _VOLUME, _IS_CUBE = 0x200, 0x200000, 0x4
_BC2_AND_BC3: Final = range(73, 79)
"""Numbers of DXGI whose codings OpenImageIO (3.2.2) knows under their older names only."""


def open_dds(source: Source) -> Picture:
    """The largest picture of a texture.

    Raises:
        InputError: a cube map, an array, a volume, or damaged.
    """
    source.file.seek(0)
    head = source.file.read(_HEADER_BYTES).ljust(_HEADER_BYTES, b"\0")
    (smaller,) = struct.unpack_from("<I", head, 28)
    (caps,) = struct.unpack_from("<I", head, 112)
    is_dx10 = head[84:88] == b"DX10"
    kind, _, flags, count = struct.unpack_from("<IIII", head, 128) if is_dx10 else (0, 0, 0, 1)
    what = "a volume" if caps & _VOLUME else "an array" if count > 1 else ""
    if caps & _CUBE_MAP or flags & _IS_CUBE:
        what = "a cube map"
    if what:
        raise InputError(f"{source.name}: is {what} of several pictures, which is not read. Export each as PNG.")
    if smaller > 1:
        source.say(f"{source.name}: its smaller versions (mipmaps) are left out. Make them anew from the output.")
    return open_with_pillow(source, "DDS") if kind in _BC2_AND_BC3 else open_with_openimageio(source, "DDS")
