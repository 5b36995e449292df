"""What only a TIFF knows of its picture, and what becomes of it when the picture is enlarged or written as another
format."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixels import by_strips, white_of
from upscale_cli.media.image.geotiff import GeoReference, Tag
from upscale_cli.media.image.stack_description import StackDescription


@dataclass(frozen=True, slots=True)
class Samples:
    """How a file counts, where not as a frame does.

    Attributes:
        dtype: of the stored samples, by numpy's name.
        factor, shift: stored = frame * factor + shift, for integers of up to 16 bits; float frames are multiplied by
            `Metadata.white` alone.
        nodata: the stored value that stands for no measurement; None for none.
        inverted: 0 is white.
        largest: MaxSampleValue of the file, to be kept.
    """

    dtype: str
    factor: float = 1.0
    shift: float = 0.0
    nodata: float | int | None = None
    inverted: bool = False
    largest: int | None = None

    def stored(self, pixels: Pixels, white: float) -> Pixels:
        """A frame's pixels as the file counts them.

        Args:
            pixels: (H, W, C); what is not finite becomes `nodata`, and nothing else does.
            white: the stored value of a float frame's 1.0.
        """
        return by_strips(lambda strip: self._stored(strip, white), pixels)

    def _stored(self, pixels: Pixels, white: float) -> Pixels:
        dtype = np.dtype(self.dtype)
        if self.inverted:
            pixels = white_of(pixels) - pixels
        values = pixels.astype(np.float64)
        values = values * white if pixels.dtype == np.float32 else values * self.factor + self.shift
        holes = ~np.isfinite(values)
        if dtype.kind != "f":
            limits = np.iinfo(dtype)
            values = np.rint(np.where(holes, 0, values)).clip(limits.min, limits.max)
        with np.errstate(over="ignore"):  # of float16, beyond 65,504
            out = values.astype(dtype)
        if dtype.kind != "f" and dtype.itemsize == 8:  # float64 does not reach the last of them
            out[values >= 2.0**63] = np.iinfo(dtype).max
        if self.nodata is not None and pixels.dtype == np.float32:
            nodata = dtype.type(self.nodata)
            out[(out == nodata) & ~holes] = _next_to(nodata)
            out[holes] = nodata
        return out


def _next_to(value: Any) -> Any:
    """The next value of the same type, towards 0 where there is one."""
    if value.dtype.kind == "f":
        return np.nextafter(value, value.dtype.type(0 if value else 1))
    return value.dtype.type(int(value) + (1 if int(value) <= 0 else -1))


@dataclass(frozen=True, slots=True)
class TiffFacts:
    """Of one page.

    Attributes:
        width, height: upright, of the page that all this is about.
        samples: None where they are those of a frame.
        extra_kinds: ExtraSamples of the channels that follow those of the layout.
        geo: place on the Earth.
        nodata: GDAL_NODATA as written.
        gdal: GDAL_METADATA.
        description: by ImageJ or OME; text for people is among the EXIF fields.
        resolution: pixels per unit, across and down, and TIFF's ResolutionUnit, where `Metadata.dpi` cannot say it: of
            no unit, or of a calibrated stack.
        calibrated: a unit is one of what is seen, so that more pixels make a higher resolution; not one of paper.
        imagej: ImageJ's own metadata but for regions: labels, look-up tables, ranges.
        colorimetry: its tags for white point, primaries and transfer function.
        lost: what is not carried, for people.
    """

    width: int
    height: int
    samples: Samples | None = None
    extra_kinds: tuple[int, ...] = ()
    geo: GeoReference | None = None
    nodata: str | None = None
    gdal: bytes | None = None
    description: StackDescription | None = None
    resolution: tuple[Fraction, Fraction, int] | None = None
    calibrated: bool = False
    imagej: dict[str, Any] = field(default_factory=dict)
    colorimetry: tuple[Tag, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def says_anything(self) -> bool:
        """Whether it differs from that of an ordinary picture."""
        return self != TiffFacts(self.width, self.height)

    def resized(self, width: int, height: int) -> "TiffFacts":
        """For the picture in its new size."""
        if (width, height) == (self.width, self.height):
            return self
        old, new = (self.width, self.height), (width, height)
        resolution = self.resolution
        if resolution is not None and self.calibrated:
            across, down, unit = resolution
            resolution = across * width / self.width, down * height / self.height, unit
        return replace(
            self,
            width=width,
            height=height,
            geo=self.geo.scaled(old, new) if self.geo else None,
            description=self.description.scaled(old, new) if self.description else None,
            resolution=resolution,
        )

    def beyond_tiff(self) -> list[str]:
        """What another format loses of it, for people."""
        lost = []
        if self.geo:
            lost.append("place on the map (GeoTIFF)")
        if self.nodata is not None:
            lost.append(f"no-data value (GDAL): {self.nodata}")
        if self.gdal:
            lost.append("GDAL metadata")
        if self.description or self.imagej:
            lost.append(f"the description of the stack by {self.description.kind if self.description else 'ImageJ'}")
        if self.samples is not None and np.dtype(self.samples.dtype).name not in ("uint8", "uint16", "float32"):
            lost.append(f"samples of {self.samples.dtype}")
        return lost
