"""EXR, Radiance HDR, DPX, SGI and DDS, read by OpenImageIO.

It opens files by name, reads the header first, and takes the name's ending for the format; so what lies elsewhere, or
under another ending, is copied for it. Alpha comes as the file has it: OpenEXR's is multiplied into the colours, which
is undone.

Sources: OpenEXR's technical introduction; SMPTE ST 268-1 (DPX); G. Ward, Real Pixels (1991); P. Haeberli, The SGI Image
File Format, 1.0; Microsoft's programming guide for DDS.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame, Layout, Pixels, Transfer, channels_of
from upscale_cli.frames.pixels import unpremultiplied, upright_pixels
from upscale_cli.media.image.formats import FORMATS
from upscale_cli.media.image.header import Header, Window
from upscale_cli.media.image.metadata import Bits, Metadata, PhotoInfo
from upscale_cli.media.image.source import Picture, Source, decoding
from upscale_cli.text import counted

_DEPTHS: Final[dict[str, tuple[Bits, str]]] = {
    "uint8": (8, "uint8"), "uint16": (16, "uint16"), "half": (32, "float"), "float": (32, "float"),
}  # fmt: skip
_LAYOUTS: Final[dict[int, Layout]] = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

_ABOUT_STORAGE: Final = (
    *("Orientation", "textureformat", "oiio:subimages", "oiio:subimagename", "oiio:RowsPerChunk"),
    *("openexr:chunkCount", "openexr:lineOrder", "openexr:levelmode", "openexr:roundingmode"),
    *("dpx:EndOfLinePadding", "dpx:EndOfImagePadding", "dpx:Packing", "dpx:ImageDescriptor", "dpx:TimeCode"),
)
"""Fields that speak of how this file is stored, or that repeat another."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The picture of a file that is taken.

    Attributes:
        number: of the part.
        channels: which of its channels, in the order of `layout`.
        samples: how they are stored, as OpenImageIO names it.
    """

    number: int
    channels: tuple[int, ...]
    layout: Layout
    samples: str
    spec: Any


def open_with_openimageio(source: Source, format: str) -> Picture:
    """A picture of one of these formats.

    Raises:
        InputError: damaged, too large, or with data that is no picture.
    """
    lines = _lines_of_radiance(source) if format == "Radiance HDR" else ()
    with decoding(source), _named(source, format) as path, _opened(source, path) as file:
        part = _part_of(source, file, format)
        spec = part.spec
        source.check_size(spec.width, spec.height)
        turned = _orientation(spec) >= 5
        width, height = (spec.height, spec.width) if turned else (spec.width, spec.height)
        info = PhotoInfo(
            name=source.name,
            format=format,
            width=width,
            height=height,
            layout=part.layout,
            bits=_DEPTHS[part.samples][0],
            metadata=Metadata(header=Header(format, lines) if lines else _header(part, format)),
            lossless=True,
            total_pixels=width * height,
        )
    return Picture(info, lambda: _frames(source, format, part))


def _frames(source: Source, format: str, part: _Part) -> Iterator[Frame]:
    with decoding(source), _named(source, format) as path, _opened(source, path) as file:
        first, last = min(part.channels), max(part.channels) + 1
        pixels = file.read_image(part.number, 0, first, last, _DEPTHS[part.samples][1])
        if pixels is None:
            file.geterror()
            raise InputError(f"{source.name}: its pixels cannot be decoded. The file is damaged.")
        pixels = _ordered(pixels, [number - first for number in part.channels], channels_of(part.layout))
        if format == "EXR" and part.layout in ("LA", "RGBA"):
            pixels = _unassociated(source, pixels)
        pixels = upright_pixels(pixels, _orientation(part.spec))
    transfer: Transfer = "linear" if FORMATS[format].light else "display"
    yield Frame(pixels, part.layout, transfer)


# The file


@contextmanager
def _named(source: Source, format: str) -> Iterator[Path]:
    """The source as a file whose name ends as the format's do."""
    name, ending = getattr(source.file, "name", None), FORMATS[format].extensions[0]
    if isinstance(name, str) and Path(name).suffix.lower() == ending and Path(name).is_file():
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="upscale-") as folder:
        path = Path(folder) / f"picture{ending}"
        source.file.seek(0)
        with path.open("wb") as copy:
            shutil.copyfileobj(source.file, copy)
        yield path


@contextmanager
def _opened(source: Source, path: Path) -> Iterator[Any]:
    """The file, opened by OpenImageIO with alpha as it is stored."""
    import OpenImageIO

    OpenImageIO.attribute("try_all_readers", 0)  # or a damaged file is given to the readers of all other formats
    config = OpenImageIO.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    file = OpenImageIO.ImageInput.open(str(path), config)
    if file is None:
        reason = OpenImageIO.geterror()
        if "ubsampled" in reason:
            raise InputError(
                f"{source.name}: its colour has fewer samples than its brightness (Y, RY, BY), which is not read. "
                "Export it as RGB."
            )
        raise InputError(
            f"{source.name}: its header cannot be read. The file is damaged, or of a kind that is not read."
        )
    try:
        yield file
    finally:
        file.close()


def _orientation(spec: Any) -> int:
    found = spec.getattribute("Orientation")
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


# Which part of it


def _part_of(source: Source, file: Any, format: str) -> _Part:
    """The first part that is a picture; what else there is is reported."""
    specs: list[Any] = []
    while (spec := file.spec(len(specs))).width:
        specs.append(spec)
    file.geterror()  # of the one behind the last
    found = next(
        (part for part in (_picture_in(number, spec, format) for number, spec in enumerate(specs)) if part is not None),
        None,
    )
    if any(spec.deep for spec in specs[: found.number + 1 if found else None]):
        raise InputError(
            f"{source.name}: has several samples a pixel (deep data), which is not read. Flatten it first."
        )
    if found is None:
        raise InputError(
            f"{source.name}: none of its channels is a picture of 8 or 16 bits or float. Export it as PNG."
        )
    if len(specs) > 1:
        source.say(f"{source.name}: {counted(len(specs) - 1, 'further part')} left out")
    further = [name for at, name in enumerate(found.spec.channelnames) if at not in found.channels]
    if further:
        source.say(
            f"{source.name}: further channels are left out: {', '.join(further[:8])}{' ...' * (len(further) > 8)}"
        )
    if format == "DDS" and found.layout == "RGB" and len(found.channels) == 2:
        source.say(f"{source.name}: has red and green alone (a normal map, perhaps); blue is taken as 0")
    return found


def _picture_in(number: int, spec: Any, format: str) -> _Part | None:
    """The channels of a part that make a picture: at its root, else of its first layer, else its first channel."""
    kinds = spec.channelformats or [spec.format] * spec.nchannels
    usable = {at: str(kind) for at, kind in enumerate(kinds) if str(kind) in _DEPTHS}
    names = {name.lower(): at for at, name in enumerate(spec.channelnames) if at in usable}
    layers = dict.fromkeys(["", *(name.rpartition(".")[0] + "." for name in names if "." in name)])
    channels: list[int] = []
    for layer in layers:
        for wanted in (("r", "g", "b", "a"), ("r", "g", "b"), ("y", "a"), ("y",), ("r", "g")):
            if all(layer + name in names for name in wanted):
                channels = [names[layer + name] for name in wanted]
                break
        if channels:
            break
    channels = channels or list(usable)[:1]
    if not channels:
        return None
    kinds_taken = {usable[at] for at in channels}
    samples = next(kind for kind in ("float", "half", "uint16", "uint8") if kind in kinds_taken)
    # OpenImageIO calls both channels of an SGI file of gray with alpha, and of a DDS of two, red and green.
    red_and_green = len(channels) == 2 and "y" not in names and format != "SGI"
    return _Part(number, tuple(channels), "RGB" if red_and_green else _LAYOUTS[len(channels)], samples, spec)


def _header(part: _Part, format: str) -> Header | None:
    """What only this format has; None for those that have nothing."""
    if format in ("SGI", "DDS", "Radiance HDR"):
        return None
    spec = part.spec
    fields = [(field.name, str(field.type), field.value) for field in spec.extra_attribs]
    names = tuple(spec.channelnames[at] for at in part.channels)
    window = Window(
        spec.x, spec.y, spec.width, spec.height, spec.full_x, spec.full_y, spec.full_width, spec.full_height
    )
    return Header(
        format,
        fields=tuple(field for field in fields if field[0] not in _ABOUT_STORAGE),
        channels=names if format == "EXR" else (),
        samples=part.samples if format == "EXR" else "",
        window=window if format == "EXR" else None,
    )


def _lines_of_radiance(source: Source) -> tuple[tuple[str, str, Any], ...]:
    """The header's lines but for the first and the coding.

    Raises:
        InputError: CIE XYZ.
    """
    source.file.seek(0)
    head = source.file.read(16_384).partition(b"\n\n")[0]
    lines = [line.strip() for line in head.split(b"\n")[1:]]
    if any(line.startswith(b"FORMAT=") and b"xyze" in line for line in lines):
        raise InputError(
            f"{source.name}: its colours are CIE XYZ, which is not read. Convert it to RGB with Radiance first."
        )
    kept = [line.decode("latin-1") for line in lines if b"=" in line and not line.startswith((b"FORMAT=", b"#"))]
    return tuple((line.partition("=")[0].strip(), "line", line) for line in kept)


# Its pixels


def _ordered(pixels: Pixels, channels: list[int], count: int) -> Pixels:
    """The channels in the layout's order; a third one that is missing is 0."""
    if channels != list(range(pixels.shape[2])):
        pixels = pixels[..., channels]
    if len(channels) < count:
        missing = np.zeros((*pixels.shape[:2], count - len(channels)), pixels.dtype)
        pixels = np.concatenate((pixels, missing), axis=2)
    return np.ascontiguousarray(pixels)


def _unassociated(source: Source, pixels: Pixels) -> Pixels:
    """Colours that are multiplied by alpha, without."""
    if bool(((pixels[..., -1:] <= 0) & (pixels[..., :-1] != 0)).any()):
        source.say(f"{source.name}: light where nothing covers (alpha 0), such as a glow, is left out")
    return unpremultiplied(pixels)
