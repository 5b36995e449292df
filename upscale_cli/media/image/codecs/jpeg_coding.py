"""JPEG files that are whole, and coded in a way that no common decoder reads: told by their name, not as damage.

Sources: ITU-T T.81 (1992), table B.1; ITU-T T.87 (1998), C.1.1 (JPEG-LS).
"""

from typing import Final

from upscale_cli.errors import InputError
from upscale_cli.media.image.codecs.jpeg_segments import content_of, segments_of
from upscale_cli.media.image.source import Source

_LOSSLESS: Final = (0xC3, 0xC7, 0xCB, 0xCF)
_HIERARCHICAL: Final = (0xC5, 0xC6, 0xCD, 0xCE)
_JPEG_LS: Final = 0xF7
_COMMON: Final = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)


def refuse_rare_codings(source: Source) -> None:
    """Looks at the frame header.

    Raises:
        InputError: it is lossless, JPEG-LS, hierarchical, or of more than 8 bits.
    """
    for segment in segments_of(source.file):
        what = ""
        if segment.kind == _JPEG_LS:
            what = "JPEG-LS"
        elif segment.kind in _LOSSLESS:
            what = "a lossless JPEG"
        elif segment.kind in _HIERARCHICAL:
            what = "a hierarchical JPEG"
        elif segment.kind in _COMMON:
            bits = (content_of(source.file, segment, 1) or b"\x08")[0]
            if bits == 8:
                return
            what = f"a JPEG of {bits} bits" if bits == 12 else ""
        if what:
            raise InputError(f"{source.name}: this is {what}, which is not read. Convert it to 16-bit PNG or TIFF.")
