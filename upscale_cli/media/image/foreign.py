"""What is no picture that is read here: its name, and the way out, by its first bytes. Pure.

Sources: the formats' own specifications, as the IANA, the Library of Congress (https://www.loc.gov/preservation/digital)
and the `file` program's magic list them.
"""

from typing import Final

from upscale_cli.media.image.formats import CLIP_EXTENSIONS

AS_PNG: Final = "Export it as PNG or 16-bit TIFF, and upscale that"
AS_PAGES: Final = "Export its pages as PNG, and upscale those"
UNPACK: Final = "Unpack it, and upscale the pictures in it"
_COMICS: Final = "Repack its pages as a ZIP that ends in .cbz; that is read"
_ARRAY: Final = "Load it in Python, and give the array to upscale_cli.upscale"

_BY_MAGIC: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    (0, b"%PDF", "a PDF", AS_PAGES),
    (0, b"%!PS", "PostScript", AS_PAGES),
    (0, b"\xc5\xd0\xd3\xc6", "Encapsulated PostScript", AS_PNG),
    (0, b"AT&TFORM", "a DjVu document", AS_PAGES),
    (30, b"mimetypeapplication/epub", "an EPUB book", UNPACK),
    (30, b"mimetypeapplication/x-krita", "a Krita document", AS_PNG),
    (30, b"mimetypeimage/openraster", "an OpenRaster document", AS_PNG),
    (0, b"PK\x03\x04", "a ZIP archive", UNPACK),
    (0, b"PK\x05\x06", "an empty ZIP archive", "Check where it was copied or downloaded from"),
    (0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (0, b"\x1f\x8b", "a gzip archive", "Unpack it first"),
    (0, b"8BPS", "a Photoshop document", AS_PNG),
    (0, b"gimp xcf", "a GIMP document", AS_PNG),
    (0, b"icns", "an Apple icon", AS_PNG),
    (0, b"\0\0\x02\0", "a Windows cursor", AS_PNG),
    (0, b"SIMPLE  =", "a FITS picture", f"Its values have no common white. {_ARRAY}"),
    (0, b"qoif", "a QOI picture", AS_PNG),
    (0, b"BPG\xfb", "a BPG picture", AS_PNG),
    (0, b"FLIF", "a FLIF picture", AS_PNG),
    (0, b"\x8aMNG\r\n\x1a\n", "an MNG animation", "Export it as APNG, and upscale that"),
    (0, b"\x8bJNG\r\n\x1a\n", "a JNG picture", AS_PNG),
    (8, b"ILBM", "an Amiga picture (IFF)", AS_PNG),
    (8, b"PBM ", "an Amiga picture (IFF)", AS_PNG),
    (0, b"II\xbc", "a JPEG XR picture", AS_PNG),
    (0, b"\x80\x2a\x5f\xd7", "a Cineon picture", "Convert it to DPX, and upscale that"),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster picture", AS_PNG),
    (0, b"\xb1\x68\xde\x3a", "a DCX file (pages of PCX)", AS_PAGES),
    (0, b"\xabKTX ", "a KTX texture", AS_PNG),
    (0, b"VTF\0", "a Valve texture (VTF)", AS_PNG),
    (0, b"BLP1", "a Blizzard texture (BLP)", AS_PNG),
    (0, b"BLP2", "a Blizzard texture (BLP)", AS_PNG),
    (0, b"\x53\x80\xf6\x34", "a Softimage picture", AS_PNG),
    (0, b"\x93NUMPY", "a NumPy array", _ARRAY),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", _ARRAY),
    (0, b"CDF\x01", "a NetCDF file", _ARRAY),
    (0, b"CDF\x02", "a NetCDF file", _ARRAY),
    (0, b"MATLAB 5.0", "a MATLAB file", _ARRAY),
    (344, b"n+1\0", "a NIfTI volume", _ARRAY),
    (344, b"ni1\0", "a NIfTI volume", _ARRAY),
    (40, b" EMF", "a Windows metafile", AS_PNG),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile", AS_PNG),
    (0, b"/* XPM */", "an XPM picture", AS_PNG),
    (0, b"#define ", "an XBM picture, or C", AS_PNG),
)
"""(where, bytes, what it is, what to do); the first that fits counts."""

_COMIC_ARCHIVES: Final = {
    ".cbr": "a comic book in a RAR archive",
    ".cb7": "a comic book in a 7-Zip archive",
    ".cbt": "a comic book in a TAR archive",
    ".cba": "a comic book in an ACE archive",
}
_VECTORS: Final = "Render it as PNG at the size that it is wanted in, which loses nothing"


def named(head: bytes, extension: str) -> tuple[str, str] | None:
    """What a file is that begins so, and what to do about it; None where nobody knows.

    Args:
        head: its first kilobytes.
        extension: of its name, lower case, with the dot.

    >>> named(b"%PDF-1.7", ".png")[0]
    'a PDF'
    """
    if extension in _COMIC_ARCHIVES:
        return _COMIC_ARCHIVES[extension], _COMICS
    for at, magic, what, remedy in _BY_MAGIC:
        if head[at : at + len(magic)] == magic:
            return what, remedy
    if extension in CLIP_EXTENSIONS or head[:4] in (b"RIFF", b"\x1aE\xdf\xa3", b"OggS"):
        return "a clip or a sound, or a damaged one", "Check it in a player; a clip needs a clip's ending, such as .mp4"
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return "a web page saved under a picture's name", "Download the picture itself"
    if start.startswith((b"<?xml", b"<svg")):
        return "XML or SVG", _VECTORS
    return None
