"""TIFF and BigTIFF: pages of any layout and depth, losslessly compressed, with profile, EXIF, XMP and resolution.

tifffile writes the pages. The fields of EXIF belong into a page's own directory, so that directory is then read,
completed, and written again at the end of the file; the few bytes of the old one stay unused.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from upscale_cli.frames.image import Frame, Layout, channels_of
from upscale_cli.frames.rows import BAND_BYTES, Held, Rows
from upscale_cli.media.image import exif
from upscale_cli.media.image.codecs.pyramid import halving, level_count
from upscale_cli.media.image.codecs.tiff_directory import DESCRIPTIVE
from upscale_cli.media.image.codecs.tiff_tags import rationals, tags_of
from upscale_cli.media.image.encoder import Encoder, Encoding
from upscale_cli.media.image.exif import Field
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.media.image.tiff_facts import TiffFacts

TILE: Final = 256
"""Side of a tile, in pixels, where a picture is written band by band."""

REDUCED: Final = 1
"""The kind of page that is a smaller version of another."""

_PHOTOMETRIC = {"L": "minisblack", "RGB": "rgb", "CMYK": "separated", "LAB": "cielab"}
_BIG = 4 * 2**30 - 2**26
"""Bytes of samples above which offsets of 32 bits may not reach; some room is left for tags."""


class Tiff(Encoder):
    """One page per frame; BigTIFF where the pages together, uncompressed, would pass 4 GiB."""

    def __init__(self, job: Encoding) -> None:
        super().__init__(job)
        self._writer: Any = None
        self._order = "<"
        self._big = False
        self._metadata: list[Metadata] = []

    def add(self, frame: Frame, metadata: Metadata) -> None:
        if self.job.pyramid and self.job.frames == 1:
            self.add_rows(Held(frame.pixels), frame.layout, metadata)
            return
        if self._writer is None:
            self._begin(frame.pixels.nbytes, metadata)
        self._metadata.append(metadata)
        self._write(_stored(frame, metadata), frame.layout, metadata, extra=frame.extra)

    def add_rows(self, picture: Rows, layout: Layout, metadata: Metadata) -> None:
        dtype = _dtype(picture.dtype, metadata)
        size = picture.height * picture.width * picture.channels * dtype.itemsize
        self._begin(size * 4 // 3 if self.job.pyramid else size, metadata)
        self._metadata.append(metadata)
        levels = level_count(picture.width, picture.height) if self.job.pyramid else 0
        self._add_level(picture, layout, metadata, levels, subifds=levels or None)

    def _add_level(self, picture: Rows, layout: Layout, metadata: Metadata, further: int, **how: Any) -> None:
        """A page of tiles, and as many smaller versions of it as shall follow, each half as large as the one before."""
        if not further:
            self._add_tiles(picture, layout, metadata, **how)
            return
        with halving(picture, self.job.folder) as source:
            self._add_tiles(source, layout, metadata, **how)
            self._add_level(source.halved(), layout, metadata, further - 1, subfiletype=REDUCED)

    def _add_tiles(self, picture: Rows, layout: Layout, metadata: Metadata, **how: Any) -> None:
        extra = picture.channels - channels_of(layout)

        def tiles() -> Iterator[Any]:
            for top in range(0, picture.height, TILE):
                band = picture.read(top, min(top + TILE, picture.height))
                stored = _stored(Frame(band, layout, extra=extra), metadata).reshape(band.shape)
                yield from (stored[:, left : left + TILE] for left in range(0, picture.width, TILE))

        self._write(
            tiles(),
            layout,
            metadata,
            extra=extra,
            shape=(picture.height, picture.width, picture.channels)[: 2 if picture.channels == 1 else 3],
            dtype=_dtype(picture.dtype, metadata),
            tile=(TILE, TILE),
            buffersize=BAND_BYTES,
            **how,
        )

    def _write(self, samples: Any, layout: Layout, metadata: Metadata, *, extra: int, **how: Any) -> None:
        """A page, of an array or of tiles."""
        facts = metadata.tiff or TiffFacts(0, 0)
        options: dict[str, Any] = {"subfiletype": 2 if self.job.frames > 1 else 0}
        kinds = [2] if layout in ("LA", "RGBA") else []
        kinds += facts.extra_kinds[:extra] or (0,) * extra
        if kinds:
            options["extrasamples"] = kinds
        if facts.resolution:
            *sides, unit = facts.resolution
            options |= {"resolution": rationals(sides), "resolutionunit": unit}
        elif metadata.dpi:
            options |= {"resolution": metadata.dpi, "resolutionunit": "INCH"}
        elif metadata.aspect:
            options |= {"resolution": metadata.aspect, "resolutionunit": "NONE"}
        if metadata.icc:
            options["iccprofile"] = metadata.icc
        if metadata.xmp:
            options["extratags"] = [(700, 1, len(metadata.xmp), metadata.xmp, True)]
        if metadata.tiff:
            reduced = how.get("subfiletype") == REDUCED
            options["extratags"] = options.get("extratags", []) + tags_of(facts, self._order, reduced=reduced)
        dtype = how.get("dtype", getattr(samples, "dtype", None))  # tiles come one after the other, and have none
        photometric = _PHOTOMETRIC[layout.removesuffix("A") if layout in ("LA", "RGBA") else layout]
        self._writer.write(
            samples,
            photometric="miniswhite" if facts.samples and facts.samples.inverted else photometric,
            planarconfig="contig" if channels_of(layout) + extra > 1 else None,
            compression="adobe_deflate",
            predictor=dtype not in (np.int64, np.uint64),  # for which there is none
            metadata=None,
            software=False,
            contiguous=False,
            **options | how,
        )

    def _begin(self, size: int, metadata: Metadata) -> None:
        """Opens the file for a first page of `size` bytes."""
        import tifffile

        info = self.job.info
        pages = info.total_pixels / (info.width * info.height) if info.total_pixels and self.job.frames > 1 else 1.0
        self._big = size * pages > _BIG
        # EXIF values are copied as bytes, so the file takes their order.
        self._order = (exif.byte_order(metadata.exif) if metadata.exif else None) or "<"
        self._writer = tifffile.TiffWriter(self.job.stream, bigtiff=self._big, byteorder=self._order)

    def finish(self) -> None:
        self._writer.close()
        stream: Any = self.job.stream
        link_at, link = (8, "Q") if self._big else (4, "I")
        for metadata in self._metadata:
            stream.seek(link_at)
            (offset,) = struct.unpack(self._order + link, stream.read(struct.calcsize(link)))
            fields, following = exif.read_ifd(stream, offset, self._order, self._big)
            added = _described(metadata, {field.tag for field in fields}, self._order)
            if added:
                offset = _end(stream)
                stream.write(exif.pack(fields + added, offset, self._order, self._big, following))
                stream.seek(link_at)
                stream.write(struct.pack(self._order + link, offset))
                fields += added
            head, entry = (8, 20) if self._big else (2, 12)
            link_at = offset + head + entry * len(fields)
        stream.seek(0, 2)


def _end(stream: Any) -> int:
    """The end of the file, made even: where an IFD may begin."""
    end: int = stream.seek(0, 2)
    if end % 2:
        stream.write(b"\0")
    return end + end % 2


def _described(metadata: Metadata, present: set[int], order: str) -> list[Field]:
    """The fields of an EXIF block that a TIFF directory holds itself."""
    if not metadata.exif:
        return []
    fields, found_order = exif.fields(metadata.exif)
    if found_order != order:  # pragma: no cover -- pages of one file share its byte order
        return []
    return [field for field in fields if field.tag in DESCRIPTIVE and field.tag not in present]


def _dtype(dtype: Any, metadata: Metadata) -> Any:
    """Of the samples that are stored for pixels of that dtype."""
    facts = metadata.tiff
    return np.dtype(facts.samples.dtype if facts is not None and facts.samples is not None else dtype)


def _stored(frame: Frame, metadata: Metadata) -> Any:
    """Samples as TIFF counts them: a and b of LAB signed, float in the source's own range."""
    pixels = frame.pixels
    if metadata.tiff is not None and metadata.tiff.samples is not None:
        pixels = metadata.tiff.samples.stored(pixels, metadata.white)
        return pixels[..., 0] if pixels.shape[2] == 1 else pixels
    if frame.layout == "LAB" and pixels.dtype != np.float32:
        pixels = pixels.copy()
        pixels[..., 1:3] ^= 2 ** (8 * pixels.dtype.itemsize - 1)
    if pixels.dtype == np.float32 and metadata.white != 1:
        pixels = pixels * np.float32(metadata.white)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels
