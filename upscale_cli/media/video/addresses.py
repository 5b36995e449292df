"""Which names are addresses of streams or devices. Opens nothing, and imports no PyAV."""

import os
from typing import Final

from upscale_cli.files.object_names import is_object

DEVICES: Final = ("v4l2", "avfoundation", "dshow", "x11grab", "gdigrab")
"""ffmpeg's names of what captures, as schemes."""


def is_address(text: str) -> bool:
    """Whether it names a stream or a device, not a file or an object.

    >>> is_address("udp://127.0.0.1:1234"), is_address("v4l2:/dev/video0"), is_address("C:\\\\clip.mp4")
    (True, True, False)
    """
    scheme, colon, rest = text.partition(":")
    if not colon or is_object(text) or os.path.exists(text):
        return text.startswith("/dev/video")
    return scheme in DEVICES or (rest.startswith("//") and len(scheme) > 1)
