"""AVIF stills of more than 8 bits: pixels by imagecodecs; Pillow, which reads all else of them, has 8."""

from collections.abc import Iterator

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame, Transfer, channels_of
from upscale_cli.frames.pixels import stretched, upright_pixels
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.media.image.source import Source, decoding


def deep_frame(source: Source, info: PhotoInfo, orientation: int) -> Iterator[Frame]:
    """The only frame, with 10 or 12 bits stretched to 16: white is white.

    Args:
        orientation: EXIF orientation 1..8 that the pixels still need.
    """
    import imagecodecs

    transfer: Transfer = "linear" if info.metadata.is_linear else "display"
    with decoding(source):
        stored = imagecodecs.avif_decode(source.read_all(), index=0)
        stored = stored if stored.ndim == 3 else stored[..., None]
        channels = channels_of(info.layout)
        if stored.shape[2] < channels:  # gray, which an older Pillow says is colour
            stored = np.concatenate([stored[..., :1]] * 3 + [stored[..., 1:]], axis=2)
        if stored.dtype != np.uint16 or stored.shape[2] < channels:
            raise InputError(
                f"pixels of shape {stored.shape} and type {stored.dtype} are not what the header announced"
            )
        pixels = stretched(stored[..., :channels], 2**info.sample_bits - 1, info.sample_bits)
        pixels = upright_pixels(pixels, orientation)
        if pixels.shape[:2] != (info.height, info.width):
            raise InputError(f"pixels of shape {pixels.shape} are not what the header announced")
        frame = Frame(pixels, info.layout, transfer)
    yield frame
