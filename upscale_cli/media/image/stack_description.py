"""What programs write about a stack of pictures into ImageDescription: ImageJ, OME, tifffile's shape; and their upkeep.

These are no text for people: they count pixels and give their size in micrometres, and readers believe them.

Sources: ImageJ, ij.io.FileInfo.getDescriptionString; OME-TIFF specification and OME-XML schema 2016-06; tifffile,
"shaped" series; Aperio, Digital Slides and Third-Party Data Interchange (2012).
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Final, Literal

Kind = Literal["ImageJ", "OME"]

ROI: Final = "regions and overlays, which count the old pixels"

_NUMBER: Final = rb"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?"
_IMAGEJ_PIXELS: Final = {b"xorigin": 0, b"yorigin": 1}
_OME_TYPES: Final = {
    "uint8": b"uint8", "int8": b"int8", "uint16": b"uint16", "int16": b"int16", "uint32": b"uint32",
    "int32": b"int32", "float32": b"float", "float64": b"double",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StackDescription:
    """A description by a program whose stacks are calibrated.

    Attributes:
        kind: whose.
        text: as in the file.
        lost: what had to be left out of it, for people.
    """

    kind: Kind
    text: bytes
    lost: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """How many pictures ImageJ announces; 1 where it says nothing."""
        found = re.search(rb"^images=(\d{1,6})\s*$", self.text, re.MULTILINE) if self.kind == "ImageJ" else None
        return int(found[1]) if found else 1

    def scaled(self, old: tuple[int, int], new: tuple[int, int]) -> "StackDescription":
        """For a picture of another (width, height)."""
        if self.kind == "ImageJ":
            return replace(self, text=_scaled_imagej(self.text, (new[0] / old[0], new[1] / old[1])))
        return replace(self, text=_scaled_ome(self.text, old, new))

    def of_type(self, dtype: str) -> "StackDescription":
        """For samples of that numpy type."""
        if self.kind != "OME" or dtype not in _OME_TYPES:
            return self
        return replace(self, text=_attribute("Type").sub(rb"\g<1>" + _OME_TYPES[dtype] + rb"\g<3>", self.text))


def understood(text: bytes, pages: int) -> tuple[StackDescription | bytes | None, tuple[str, ...]]:
    """What becomes of a description: one to be kept up, text for people, or None; and what is left out, for people.

    Args:
        text: without the zero at its end.
        pages: of the file.
    """
    if text.startswith(b"ImageJ="):
        return StackDescription("ImageJ", text), ()
    if text.lstrip().startswith((b'{"shape":', b"{'shape':")):
        return _without_shape(text), ()
    if re.match(rb"shape=\([\d, L]*\)\s*$", text):
        return None, ()
    if b"<OME" in text[:2048] and text.rstrip().endswith(b"OME>"):
        return _ome(text, pages)
    if text.startswith(b"Aperio"):
        return None, ("Aperio's description, which counts the old pixels",)
    return text, ()


def _without_shape(text: bytes) -> bytes | None:
    """What tifffile's description holds beside the shape of an array; None for nothing."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    rest = {key: value for key, value in found.items() if key not in ("shape", "axes")}
    return json.dumps(rest).encode() if rest else None


def _scaled_imagej(text: bytes, factors: tuple[float, float]) -> bytes:
    lines = []
    for line in text.split(b"\n"):
        name, _, value = line.partition(b"=")
        if name in _IMAGEJ_PIXELS and re.fullmatch(_NUMBER, value.strip()):
            line = name + b"=" + repr(float(value) * factors[_IMAGEJ_PIXELS[name]]).encode()
        lines.append(line)
    return b"\n".join(lines)


def _attribute(name: str) -> re.Pattern[bytes]:
    """An attribute of the element Pixels; group 2 is its value."""
    return re.compile(rb"(<(?:\w+:)?Pixels\b[^>]*?\s" + name.encode() + rb"\s*=\s*[\"'])([^\"']*)([\"'])")


def _scaled_ome(text: bytes, old: tuple[int, int], new: tuple[int, int]) -> bytes:
    for axis, before, after in (("X", old[0], new[0]), ("Y", old[1], new[1])):
        text = _attribute(f"Size{axis}").sub(rb"\g<1>" + str(after).encode() + rb"\g<3>", text)

        def smaller(found: re.Match[bytes], before: int = before, after: int = after) -> bytes:
            if not re.fullmatch(_NUMBER, found[2].strip()):
                return found[0]
            return found[1] + repr(float(found[2]) * before / after).encode() + found[3]

        text = _attribute(f"PhysicalSize{axis}").sub(smaller, text)
    return text


def _ome(text: bytes, pages: int) -> tuple[StackDescription | None, tuple[str, ...]]:
    """OME-XML of this file alone: planes in other files cannot come with it."""
    names = set(re.findall(rb"<(?:\w+:)?UUID\b[^>]*>\s*([^<\s]*)\s*</(?:\w+:)?UUID>", text))
    if b"BinaryOnly" in text or len(names) > 1 or _planes(text) > pages:
        return None, ("the OME description, which speaks of further files",)
    text = re.sub(rb"<((?:\w+:)?)UUID\b[^>]*>[^<]*</\1UUID>", b"", text)  # an output is another file
    text = re.sub(rb"(<(?:\w+:)?OME\b[^>]*?)\s+UUID\s*=\s*[\"'][^\"']*[\"']", rb"\1", text)
    bare = re.sub(rb"<((?:\w+:)?ROI)\b.*?</\1>|<(?:\w+:)?ROIRef\b[^>]*/>", b"", text, flags=re.DOTALL)
    return StackDescription("OME", bare), (ROI,) if bare != text else ()


def _planes(text: bytes) -> int:
    """How many pictures the first Image has, at least."""
    sizes = [_attribute(f"Size{axis}").search(text) for axis in "ZT"]
    count = 1
    for size in sizes:
        count *= int(size[2]) if size and size[2].isdigit() else 1
    return count
