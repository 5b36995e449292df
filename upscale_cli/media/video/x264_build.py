"""Which x264 has made a stream: what it notes of itself before the first frame, where a decoder that seeks never looks.

x264 before build 151 chose the contexts of CABAC wrongly in 4:4:4 with transforms of 8 x 8. libavcodec decodes such a
stream by the build that the note names, and by the standard where it has not seen the note: then to garbage, without a
complaint. Source: libavcodec/h264_sei.c and h264_cabac.c (`x264_build`), the decoder's option of that name.
"""

import re
from typing import Final

_NOTE: Final = re.compile(rb"\xdc\x45\xe9\xbd\xe6\xd9\x48\xb7\x96\x2c\xd8\x20\xd9\x23\xee\xefx264 - core (\d{1,6})")
"""Of user data that is not registered, ITU-T H.264, D.1.7: x264's UUID, then text."""


def x264_build(packet: bytes) -> int | None:
    """The build that a packet's note names; None where there is none.

    >>> x264_build(bytes.fromhex("0605ffdc45e9bde6d948b7962cd820d923eeef") + b"x264 - core 142 r2")
    142
    """
    found = _NOTE.search(packet)
    return int(found[1]) if found else None
