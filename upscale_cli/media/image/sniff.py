"""What a file is, by its first bytes; and the message when it is no picture."""

from pathlib import Path

from upscale_cli.errors import InputError
from upscale_cli.media.image.foreign import named
from upscale_cli.media.image.formats import RAW_EXTENSIONS, RAW_REMEDY, known_extensions

HEAD_BYTES = 64 * 1024

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"PF\n", "PFM"),
    (b"Pf\n", "PFM"),
    (b"PF\r\n", "PFM"),
    (b"Pf\r\n", "PFM"),
    (b"P7\n", "PAM"),
    (b"\x76\x2f\x31\x01", "EXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"SDPX", "DPX"),
    (b"XPDS", "DPX"),
    (b"DDS \x7c\0\0\0", "DDS"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif"}
_AVIF_BRANDS = {b"avif", b"avis"}


def format_of_content(head: bytes, name: str) -> str:
    """Key of `formats.FORMATS` for a file that begins with `head` (up to `HEAD_BYTES`).

    Raises:
        InputError: empty, text, a web page, camera RAW, a clip, or unknown.
    """
    extension = Path(name).suffix.lower()
    if not head:
        raise InputError(f"{name}: the file is empty. Check where it was copied or downloaded from.")
    if extension in RAW_EXTENSIONS or head[8:10] == b"CR" or head[:8] == b"FUJIFILM" or head[:4] == b"IIRO":
        raise InputError(f"{name}: {RAW_REMEDY}.")
    if head[128:132] == b"DICM":  # before it may stand what makes a TIFF of it, too
        return "DICOM"
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and len(head) > 18 and head[14] in (12, 16, 40, 52, 56, 64, 108, 124):
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n#":
        return "PNM"
    if head[4:8] == b"ftyp":
        return _format_of_brands(head, name)
    # A few bytes of junk before a JPEG's first marker: cut-and-paste downloads, some web cameras.
    if b"\xff\xd8\xff" in head[:1024] and extension in (".jpg", ".jpeg"):
        return "JPEG"
    if by_fields := _by_fields(head):
        return by_fields
    raise _refusal(name, head, extension)


def _format_of_brands(head: bytes, name: str) -> str:
    """AVIF or HEIC by the brands of an ISO media file: the major one, then the compatible ones."""
    end = min(int.from_bytes(head[:4], "big"), len(head), 512)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return "AVIF"
    if any(brand in _HEIF_BRANDS for brand in brands):
        return "HEIC"
    if brands[0] == b"crx ":
        raise InputError(f"{name}: {RAW_REMEDY}.")
    if name.lower().endswith((".mp4", ".mov", ".m4v", ".3gp")):
        raise InputError(f"{name}: this is a clip, and a picture is wanted. Give one, such as a frame of it.")
    raise InputError(f"{name}: this is a clip under a picture's name. Give it a clip's, such as .mp4.")


def _by_fields(head: bytes) -> str | None:
    """A format whose magic number is short, or that has none: its header must make sense in every field."""
    if len(head) < 18:
        return None
    if head[:4] == b"\0\0\1\0" and head[4] > 0 and head[5] == 0 and head[9] == 0:
        return "ICO"
    if head[:2] == b"\x01\xda" and head[2] < 2 and head[3] in (1, 2) and head[4:6] in (b"\0\1", b"\0\2", b"\0\3"):
        return "SGI"
    if head[0] == 10 and head[1] in (0, 2, 3, 4, 5) and head[2] == 1 and head[3] in (1, 2, 4, 8):
        return "PCX"
    return "TGA" if _looks_like_tga(head) else None


def _looks_like_tga(head: bytes) -> bool:
    """TGA has no magic number; its 18-byte header must make sense in every field."""
    if len(head) < 18:
        return False
    palette, kind, entry_bits, depth, flags = head[1], head[2], head[7], head[16], head[17]
    if kind not in (1, 2, 3, 9, 10, 11) or flags & 0xC0:
        return False
    if palette not in (0, 1) or (palette == 1 and entry_bits not in (15, 16, 24, 32)):
        return False
    return depth in {1: (8, 16), 2: (15, 16, 24, 32), 3: (8, 16)}[kind & 7] and (kind & 7 != 1 or palette == 1)


def _refusal(name: str, head: bytes, extension: str) -> InputError:
    """One line for something that is no picture of ours."""
    if foreign := named(head, extension):
        return InputError(f"{name}: this is {foreign[0]}, which is not read. {foreign[1]}.")
    what = "its first bytes belong to no known picture format"
    if all(byte in b"\t\n\r\x0c" or byte >= 32 for byte in head[:1024]) and _is_text(head):
        what = "this is text, not a picture"
    return InputError(f"{name}: {what}. Pictures are read as {known_extensions()}.")


def _is_text(head: bytes) -> bool:
    try:
        head[:1024].decode()
    except UnicodeDecodeError as error:
        return error.start >= min(len(head), 1024) - 4
    return True
