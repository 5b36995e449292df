"""Which file formats there are, and what each can hold: one frozen row per format.

Pure: imports neither Pillow nor numpy, so that `upscale --help` and the naming of outputs stay instant.
Reading goes by content (`media.sniff`); extensions matter only for what is written.

Sources of the limits: JPEG libjpeg-turbo's JPEG_MAX_DIMENSION (65,500); WebP container specification (14 bits);
GIF89a, TGA, SGI and PCX (16 bits, all unsigned); ICO (a byte, in which 0 is 256); AVIF libavif's (65,536);
HEIF libheif's default (32,768); PNG specification (31 bits), Pillow and BMP (31 bits); JPEG XL level 10 (30 bits);
JPEG 2000 (32 bits).
"""

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from upscale_cli.errors import InputError, OutputError
from upscale_cli.messages import option

Layouts = tuple[str, ...]
Frames = Literal["one", "animation", "pages"]

_GRAY_AND_RGB: Layouts = ("L", "RGB")
_RGB_AND_RGBA: Layouts = ("RGB", "RGBA")
_WITH_ALPHA: Layouts = ("L", "LA", "RGB", "RGBA")
_ANY_SIDE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Format:
    """What a file format can hold.

    Attributes:
        name: key of `FORMATS`, as shown to the user.
        extensions: lower case, with the dot; the first is the one written by default.
        layouts: `Frame.layout` values that can be stored without conversion.
        depths: bits per channel that can be stored: 8, 16 (of which AVIF and HEIC keep 10 or 12), 32 (float32).
        max_side: largest width and height in pixels.
        frames: whether a file holds one picture, an animation or pages.
        icc, exif, xmp, dpi: whether the metadata of that kind can be stored.
        codes: whether it can be declared by numbers of ITU-T H.273 what the colours are: PQ and HLG, above all.
        aspect: whether it can be stored that pixels are not square, without saying how large they are.
        parts: kinds of `parts.Part` that can be stored.
        copies: of the picture that the encoder holds in addition to it (measured); a sequence counts each frame.
        quality: default of --quality (0..100, 100 is best) where the encoder is lossy; None where it never is.
        extra: the extra of upscale-cli that must be installed, for formats outside the core dependencies.
        bands: whether it is written band by band, so that a picture larger than memory can be made.
        light: whether its values are proportional to light, with 1.0 for white, by definition.
        only_own: whether it is written only for sources of the same format.
        written: whether it is written; a format that is only read becomes PNG where no other is asked for.
        extra_channels: whether it holds channels beside those of a layout.
    """

    name: str
    extensions: tuple[str, ...]
    layouts: Layouts
    depths: tuple[int, ...] = (8,)
    max_side: int = _ANY_SIDE
    frames: Frames = "one"
    icc: bool = False
    exif: bool = False
    xmp: bool = False
    dpi: bool = False
    codes: bool = False
    aspect: bool = False
    parts: tuple[str, ...] = ()
    copies: float = 0.0
    quality: int | None = None
    extra: str | None = None
    bands: bool = False
    light: bool = False
    written: bool = True
    only_own: bool = False
    extra_channels: bool = False


_ROWS = (
    Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        layouts=("L", "RGB", "CMYK"),
        max_side=65_500,
        icc=True,
        exif=True,
        xmp=True,
        dpi=True,
        aspect=True,
        parts=("clip", "gain map", "trailer"),
        quality=95,
        bands=True,
    ),
    Format(
        "PNG",
        (".png", ".apng"),
        layouts=_WITH_ALPHA,
        depths=(8, 16),
        frames="animation",
        icc=True,
        exif=True,
        xmp=True,
        dpi=True,
        codes=True,
        aspect=True,
        copies=1.0,
        bands=True,
    ),
    Format(
        "WebP",
        (".webp",),
        layouts=_RGB_AND_RGBA,
        max_side=16_383,
        frames="animation",
        icc=True,
        exif=True,
        xmp=True,
        quality=90,
        copies=3.0,
    ),
    Format(
        "TIFF",
        (".tif", ".tiff"),
        layouts=("L", "LA", "RGB", "RGBA", "CMYK", "LAB"),
        depths=(8, 16, 32),
        frames="pages",
        icc=True,
        exif=True,
        xmp=True,
        dpi=True,
        aspect=True,
        bands=True,
        extra_channels=True,
    ),
    Format("BMP", (".bmp", ".dib"), layouts=_GRAY_AND_RGB, dpi=True),
    Format("GIF", (".gif",), layouts=_WITH_ALPHA, max_side=65_535, frames="animation", aspect=True),
    Format(
        "AVIF",
        (".avif", ".avifs"),
        layouts=_RGB_AND_RGBA,
        depths=(8, 16),
        max_side=65_536,
        frames="animation",
        icc=True,
        exif=True,
        xmp=True,
        codes=True,
        parts=("clip",),
        quality=90,
        copies=4.0,
    ),
    Format(
        "HEIC",
        (".heic", ".heif", ".hif"),
        layouts=_RGB_AND_RGBA,
        depths=(8, 16),
        max_side=32_768,
        icc=True,
        exif=True,
        xmp=True,
        codes=True,
        aspect=True,
        parts=("clip",),
        quality=90,
        extra="heif",
        copies=3.0,
    ),
    Format(
        "JPEG XL",
        (".jxl",),
        layouts=_WITH_ALPHA,
        depths=(8, 16, 32),
        max_side=2**30,
        codes=True,
        icc=True,
        exif=True,
        xmp=True,
        quality=90,
        copies=3.0,
    ),
    Format(
        "JPEG 2000",
        (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
        layouts=_WITH_ALPHA,
        depths=(8, 16),
        icc=True,
        exif=True,
        xmp=True,
        dpi=True,
        copies=2.0,
    ),
    Format("PNM", (".ppm", ".pgm", ".pnm", ".pbm"), layouts=_GRAY_AND_RGB, depths=(8, 16), bands=True),
    Format("PAM", (".pam",), layouts=_WITH_ALPHA, depths=(8, 16), bands=True),
    Format("PFM", (".pfm",), layouts=_GRAY_AND_RGB, depths=(32,)),
    Format("TGA", (".tga", ".icb", ".vda", ".vst"), layouts=_WITH_ALPHA, max_side=65_535),
    Format("EXR", (".exr",), layouts=_WITH_ALPHA, depths=(32,), light=True, copies=1.0),
    Format("Radiance HDR", (".hdr",), layouts=("RGB",), depths=(32,), light=True, copies=1.0),
    Format("DPX", (".dpx",), layouts=("L", "RGB", "RGBA"), depths=(8, 16), copies=1.0),
    Format("SGI", (".sgi", ".rgb", ".rgba", ".bw"), layouts=_WITH_ALPHA, depths=(8, 16), max_side=65_535, copies=1.0),
    Format("PCX", (".pcx",), layouts=_GRAY_AND_RGB, max_side=65_535, dpi=True, copies=1.0),
    Format("ICO", (".ico",), layouts=_RGB_AND_RGBA, max_side=256),
    Format(
        "DICOM",
        (".dcm", ".dicom"),
        layouts=_GRAY_AND_RGB,
        depths=(8, 16),
        max_side=65_535,
        frames="pages",
        copies=1.0,
        extra="dicom",
        only_own=True,
    ),
    Format("DDS", (".dds",), layouts=_WITH_ALPHA, depths=(8, 16, 32), written=False),
)

ANIMATION_EXTENSIONS = frozenset(ending for row in _ROWS if row.frames == "animation" for ending in row.extensions)
"""Of files that may hold frames which follow each other in time."""

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}
"""Every format that is read and written, by name."""

MAX_PIXELS = 10**9
"""How many pixels a frame of an input may have, unless the user allows more: one gigapixel."""

RAW_EXTENSIONS = frozenset(
    {".3fr", ".ari", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq"}
    | {".k25", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx", ".raf", ".raw", ".rw2", ".rwl"}
    | {".rwz", ".sr2", ".srf", ".srw", ".x3f"}
)
"""Camera RAW: sensor data that a developer must turn into a picture first."""

CLIP_EXTENSIONS = frozenset(
    {".264", ".265", ".3g2", ".3gp", ".asf", ".av1", ".avc", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gxf", ".h264"}
    | {".h265", ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mkv", ".mk3d"}
    | {".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm"}
    | {".rmvb", ".ts", ".vc1", ".vob", ".webm", ".wmv", ".wtv", ".y4m"}
)
"""Moving pictures with a time base and sound: the business of `media.video`."""

BOOK_EXTENSIONS = frozenset({".cbz"})
"""Comic books: many pictures in one file, the business of `media.book`."""

_BY_EXTENSION = {extension: row for row in _ROWS for extension in row.extensions}
_BY_NAME = {row.name.lower().replace(" ", ""): row for row in _ROWS}
_SYNONYMS = {"jpeg2000": "JPEG 2000", "heif": "HEIC", "jpegxl": "JPEG XL", "apng": "PNG", "netpbm": "PNM"}
_SYNONYMS |= {"openexr": "EXR", "radiance": "Radiance HDR"}

RAW_REMEDY = "camera RAW has to be developed first; export it as 16-bit TIFF from a RAW developer and upscale that"


def format_of(path: str | PurePath) -> Format:
    """The format that a file's extension asks for.

    Raises:
        InputError: camera RAW, which only a RAW developer makes a picture of.
        OutputError: an extension that no format has, or one that is read only.
    """
    extension = Path(path).suffix.lower()
    if row := _BY_EXTENSION.get(extension):
        _check_written(row, Path(path).name)
        return row
    if extension in RAW_EXTENSIONS:
        raise InputError(f"{Path(path).name}: {RAW_REMEDY}.")
    given = f'extension "{extension}"' if extension else "a name without extension"
    raise OutputError(
        f"{Path(path).name}: {given} names no picture format. Choose one of {known_extensions(written=True)}."
    )


def is_picture_ending(ending: str) -> bool:
    """Whether an ending (lower case, with the dot) is that of a picture, RAW ones included."""
    return ending in _BY_EXTENSION or ending in RAW_EXTENSIONS


def as_ending(format: str) -> str:
    """A format that is named by an ending, in any case, with or without the dot: as endings are compared.

    >>> as_ending("JPG"), as_ending(".jpg")
    ('.jpg', '.jpg')
    """
    return f".{format.lower().removeprefix('.')}"


def format_named(name: str) -> Format:
    """The picture format that the option `format` means: a name or an extension, in any case, with or without the dot.

    Raises:
        OutputError: there is no such format, it is for clips, or it is read only.

    >>> format_named("tif").name, format_named("JPEG").name, format_named(".Jxl").name
    ('TIFF', 'JPEG', 'JPEG XL')
    """
    key = name.strip().lower().replace(" ", "")
    row = _BY_EXTENSION.get(as_ending(key)) or _BY_NAME.get(key)
    if row is None and key in _SYNONYMS:
        row = FORMATS[_SYNONYMS[key]]
    if row is None and as_ending(key) in CLIP_EXTENSIONS:
        raise OutputError(
            f"{option('format', name)} is for clips. For photos choose one of {known_extensions(written=True)}."
        )
    if row is None:
        raise OutputError(
            f"{option('format', name)} is not known. For photos choose one of {known_extensions(written=True)}."
        )
    _check_written(row, option("format", name))
    return row


def _check_written(row: Format, name: str) -> None:
    """Refuses a format that is read only; `name` is what asked for it, for the message."""
    if not row.written:
        raise OutputError(
            f"{name}: {row.name} is read, but not written. Choose one of {known_extensions(written=True)}."
        )


def written_for(name: str) -> Format:
    """The format that a picture of a format is written in where no other is asked for: its own, or PNG."""
    return FORMATS[name] if FORMATS[name].written else FORMATS["PNG"]


def writable_ending(ending: str) -> str:
    """An ending (with the dot) as it is, but that of a format which is only read."""
    row = _BY_EXTENSION.get(ending.lower())
    return ending if row is None or row.written else written_for(row.name).extensions[0]


def known_extensions(*, written: bool = False) -> str:
    """The first extension of each format that is read, or written, for messages."""
    return ", ".join(row.extensions[0] for row in _ROWS if row.written or not written)


def check_source(row: Format, name: str, source: str, source_format: str) -> None:
    """Refuse, before anything is computed, a format that is written only for sources of its own, for others.

    Args:
        name, source: of the output and the input, for the message.

    Raises:
        OutputError: so it is.
    """
    if row.only_own and source_format != row.name:
        raise OutputError(f"{name}: a {row.name} file is about a patient, of whom {source} says nothing. Choose .tif.")


def check_size(row: Format, width: int, height: int) -> None:
    """Refuse, before anything is computed, a picture whose sides the format cannot count.

    Raises:
        OutputError: a side above `row.max_side`.
    """
    if max(width, height) > row.max_side:
        other = "" if row.max_side >= 2**30 else f", or {option('format', 'png')} or tiff"
        raise OutputError(
            f"{width} x {height} pixels are more than {row.name} holds ({row.max_side:,} per side). "
            f"Choose a smaller {option('scale')}{other}."
        )
