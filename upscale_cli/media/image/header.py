"""What a file's header says that no other format has a place for: kept where the format stays, else named. Pure."""

from dataclasses import dataclass, replace
from typing import Any, Final

from upscale_cli.media.image.shades import Shades


@dataclass(frozen=True, slots=True)
class Window:
    """Where the stored pixels lie in the picture that is to be seen: OpenEXR's data window and display window.

    Attributes:
        x, y: of the first stored pixel.
        width, height: of the stored pixels.
        full_x, full_y, full_width, full_height: of the picture to be seen, in the same coordinates.
    """

    x: int
    y: int
    width: int
    height: int
    full_x: int
    full_y: int
    full_width: int
    full_height: int

    @property
    def is_whole(self) -> bool:
        """Whether just the picture is stored, neither less of it nor more."""
        return (self.x, self.y, self.width, self.height) == (
            self.full_x, self.full_y, self.full_width, self.full_height
        )  # fmt: skip

    def resized(self, width: int, height: int) -> "Window":
        """The same for stored pixels of another size."""
        across, down = width / self.width, height / self.height
        return Window(
            round(self.x * across), round(self.y * down), width, height, round(self.full_x * across),
            round(self.full_y * down), max(1, round(self.full_width * across)), max(1, round(self.full_height * down)),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """What only one format has.

    Attributes:
        format: key of `formats.FORMATS`.
        fields: (name, type as the library that read it calls it, value).
        channels: what the file calls its channels, in the order of the pixels; () for the usual names.
        samples: how the file stores a value, such as "half"; "" for the usual way.
        window: of the pixels.
        shades: how its values become shades of gray, where they are others.
    """

    format: str
    fields: tuple[tuple[str, str, Any], ...] = ()
    channels: tuple[str, ...] = ()
    samples: str = ""
    window: Window | None = None
    shades: Shades | None = None

    def resized(self, width: int, height: int) -> "Header":
        """The same for pixels of another size."""
        return replace(self, window=self.window.resized(width, height)) if self.window else self

    @property
    def worth_telling(self) -> tuple[str, ...]:
        """Names of the fields that tell more than how the file is stored."""
        return tuple(name for name, _, value in self.fields if not _is_usual(name, value))


_USUAL: Final = {
    *("compression", "datetime", "software", "screenwindowcenter", "screenwindowwidth", "orientation", "line"),
    *("dpx:version", "dpx:packing", "dpx:imagedescriptor", "dpx:dittokey", "dpx:signal", "dpx:userbits"),
}
_EMPTY: Final = ("", "Undefined", "User defined", None)


def _is_usual(name: str, value: Any) -> bool:
    key = name.lower()
    if key in _USUAL or key.startswith(("oiio:", "openexr:")) or value in _EMPTY:
        return True
    return key == "pixelaspectratio" and value == 1.0
