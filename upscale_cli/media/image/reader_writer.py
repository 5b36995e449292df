"""The two ends of the photo pipeline: any picture file as upright frames, and frames as a picture file.

Reading goes by content. Nothing is decoded before the header's size has been checked, and no more than one frame is
held. Writing goes to a temporary file that gets its name when it is whole.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from upscale_cli.errors import InputError, OutputError, printable
from upscale_cli.events import Say, unreported
from upscale_cli.files.atomic_file import OutputFile
from upscale_cli.frames.image import Frame, Layout, Pixels, Transfer
from upscale_cli.frames.rows import RowReader, Rows
from upscale_cli.media.image.convert import Notes, fitted
from upscale_cli.media.image.encoder import Encoder, Encoding
from upscale_cli.media.image.formats import FORMATS, MAX_PIXELS, Format, check_size
from upscale_cli.media.image.metadata import Metadata, PhotoInfo
from upscale_cli.media.image.sniff import HEAD_BYTES, format_of_content
from upscale_cli.media.image.source import Picture, Source
from upscale_cli.messages import option

__all__ = ["MAX_PIXELS", "ImageReader", "ImageWriter", "Metadata", "PhotoInfo"]


class ImageReader:
    """A picture file, opened: its header in `info`, its upright frames by iteration.

    Args:
        source: a path, or the file's bytes (from stdin).
        max_pixels: most pixels per frame; checked from the header, before anything is decoded.
        salvage: take what decodes of a truncated or damaged JPEG or PNG.
        bands: of a TIFF, counted from 1 and in this order; () for all. Three are a colour picture, others gray ones.
        say: gets what the user should know, in one line each.

    Raises:
        InputError: missing, empty, no picture, damaged or too large; also while iterating.
    """

    info: PhotoInfo
    row_reader: RowReader | None
    """The picture, to be decoded band by band; None where the file, or its format, does not allow that."""

    def __init__(
        self,
        source: Path | bytes,
        *,
        max_pixels: int = MAX_PIXELS,
        salvage: bool = False,
        bands: tuple[int, ...] = (),
        say: Say = unreported,
    ) -> None:
        self._file = io.BytesIO(source) if isinstance(source, bytes) else _opened(source)
        try:
            name = "<stdin>" if isinstance(source, bytes) else printable(str(source))
            head = self._file.read(HEAD_BYTES)
            format = format_of_content(head, name)
            if bands and format != "TIFF":
                say(f"{name}: {option('bands')} has an effect on TIFF only")
            self._picture = _picture(Source(name, self._file, max_pixels, salvage, say, bands), format)
            self.info, self.row_reader = self._picture.info, self._picture.row_reader
        except BaseException:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        return self._picture.frames()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _opened(path: Path) -> BinaryIO:
    name = printable(str(path))
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{name}: there is no such file. Check the name and the folder.") from error
    except IsADirectoryError as error:
        raise InputError(f"{name}: is a folder, not a picture. Name the pictures in it.") from error
    except OSError as error:
        if os.path.isdir(path):
            raise InputError(f"{name}: is a folder, not a picture. Name the pictures in it.") from error
        raise InputError(f"{name}: cannot be opened ({error.strerror or error}). Check its permissions.") from error
    if file.seekable():
        return file
    with file:  # a pipe
        return io.BytesIO(file.read())


def _picture(source: Source, format: str) -> Picture:
    """Choose the decoder; each is imported when a file asks for it."""
    if format == "PNG":
        from upscale_cli.media.image.codecs.png import open_png

        return open_png(source)
    if format == "TIFF":
        from upscale_cli.media.image.codecs.tiff import open_tiff

        return open_tiff(source)
    if format in ("PNM", "PAM", "PFM"):
        from upscale_cli.media.image.codecs.netpbm import open_netpbm

        return open_netpbm(source, format)
    if format == "JPEG XL":
        from upscale_cli.media.image.codecs.jxl import open_jxl

        return open_jxl(source)
    if format == "JPEG 2000":
        from upscale_cli.media.image.codecs.jp2 import open_jp2

        return open_jp2(source)
    if format == "HEIC":
        from upscale_cli.media.image.codecs.heif import open_heif

        return open_heif(source)
    if format == "DICOM":
        from upscale_cli.media.image.codecs.dicom import open_dicom

        return open_dicom(source)
    if format == "DDS":
        from upscale_cli.media.image.codecs.dds import open_dds

        return open_dds(source)
    if format in ("EXR", "Radiance HDR", "DPX", "SGI"):
        from upscale_cli.media.image.codecs.openimageio_reader import open_with_openimageio

        return open_with_openimageio(source, format)
    from upscale_cli.media.image.codecs.pillow_reader import open_with_pillow

    return open_with_pillow(source, format)


class ImageWriter:
    """A picture file in the making: a sink for frames, owner of its temporary file.

    Args:
        target: a path, or a binary stream such as stdout.
        format: key of `formats.FORMATS`.
        info: what the reader found in the source: metadata, number of frames, depth.
        quality: 0..100 for lossy formats. Without it WebP and JPEG XL stay lossless where the source was (16 bits in
            JPEG XL always), and else each format has its own default. JPEG 2000 is always written losslessly.
        overwrite: replace an existing target.
        pyramid: add ever smaller versions of the picture, for viewers; TIFF of one page only.
        say: gets, once each, what the format cannot hold and what became of it.

    Raises:
        OutputError: the target exists or cannot be written; in any case no partial file is left.
    """

    def __init__(
        self,
        target: Path | BinaryIO,
        *,
        format: str,
        info: PhotoInfo,
        quality: int | None = None,
        overwrite: bool = False,
        pyramid: bool = False,
        say: Say = unreported,
    ) -> None:
        self._pyramid = pyramid
        self._row = FORMATS[format]
        self._info = info
        self._quality = quality
        self._target = OutputFile(target, overwrite=overwrite)
        self._notes = Notes(say, self._target.name)
        self._encoder: Encoder | None = None
        self._written = 0
        self.frames = frames_kept(self._row, info)
        """How many of the source's frames the file will hold; further ones are ignored by `write`."""

    def __enter__(self) -> Self:
        stream = self._target.__enter__()
        if self.frames < self._info.frames:
            kind = "animation" if self._info.animated else "pages"
            self._notes(
                f"{self._row.name} as written here holds no {kind}: only the first of {self._info.frames} is kept"
            )
        if self._quality is not None and self._row.quality is None:
            self._notes(f"{option('quality')} has no effect on {self._row.name} as written here")
        if self._pyramid and (self._row.name != "TIFF" or self.frames > 1):
            self._notes(f"{option('pyramid', True)} has an effect on TIFF of one page only")
        job = Encoding(
            stream, self._row, self._info, self.frames, self._quality, self._target.suffix, self._notes, self._pyramid,
            self._target.folder,
        )  # fmt: skip
        try:
            self._encoder = _encoder(job)
        except BaseException as failure:
            self._target.__exit__(type(failure), failure, failure.__traceback__)
            raise
        return self

    def write(self, frame: Frame) -> None:
        """Encode one frame, converted to what the format holds."""
        assert self._encoder is not None
        if self._written >= self.frames:
            return
        check_size(self._row, frame.width, frame.height)
        pages = self._info.pages
        metadata = pages[self._written] if self._written < len(pages) else self._info.metadata
        frame, metadata = fitted(frame, self._resized(metadata, frame.width, frame.height), self._row, self._notes)
        with self._failures():
            self._encoder.add(frame, metadata)
        self._written += 1

    def write_rows(self, picture: Rows, layout: Layout, transfer: Transfer, *, extra: int = 0) -> None:
        """Encode the only frame of a file band by band, in a format whose row has `bands`."""
        assert self._encoder is not None
        check_size(self._row, picture.width, picture.height)
        metadata = self._resized(self._info.metadata, picture.width, picture.height)
        rows = _Fitted(picture, layout, transfer, extra, metadata, self._row, self._notes)
        try:
            with self._failures():
                self._encoder.add_rows(rows, rows.layout, rows.metadata)
        except _NotOurs as failure:
            raise failure.error from failure.error.__cause__
        self._written += 1

    def _resized(self, metadata: Metadata, width: int, height: int) -> Metadata:
        before = (self._info.width, self._info.height)
        if self._written < len(self._info.page_sizes):
            before = self._info.page_sizes[self._written]
        return metadata.resized(width, height, (width / before[0], height / before[1]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                self._finish()
            except BaseException as failure:
                self._target.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._target.__exit__(kind, error, traceback)

    def _finish(self) -> None:
        assert self._encoder is not None
        if not self._written:
            raise OutputError(f"{self._target.name}: no frame came, so there is nothing to write.")
        with self._failures():
            self._encoder.finish()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """What an encoder cannot do, or the file system refuses, as one OutputError."""
        try:
            with self._target.failures():
                yield
        except MemoryError as error:
            raise OutputError(
                f"{self._target.name}: too large to encode as {self._row.name} in the free memory. "
                f"Choose a smaller {option('scale')}, or {option('format', 'tiff')}."
            ) from error
        except (RuntimeError, ValueError) as error:
            raise OutputError(
                f"{self._target.name}: cannot be encoded as {self._row.name}, whose encoder refuses it "
                f"({option('verbose')} shows how). Choose another {option('format')}."
            ) from error


class _NotOurs(Exception):  # noqa: N818  # carries another error past the encoder
    """The rows of a picture, which is computed while it is encoded, could not be computed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Fitted(Rows):
    """A picture as a format can hold it."""

    def __init__(
        self,
        picture: Rows,
        layout: Layout,
        transfer: Transfer,
        extra: int,
        metadata: Metadata,
        row: Format,
        notes: Notes,
    ) -> None:
        def fit(pixels: Pixels) -> tuple[Frame, Metadata]:
            return fitted(Frame(pixels, layout, transfer, extra=extra), metadata, row, notes)

        example, self.metadata = fit(np.zeros((1, 1, picture.channels), picture.dtype))
        super().__init__(picture.height, picture.width, example.pixels.shape[2], example.pixels.dtype)
        self.layout, self._picture, self._fit = example.layout, picture, fit

    def read(self, start: int, stop: int) -> Pixels:
        try:
            pixels = self._picture.read(start, stop)
        except Exception as error:
            raise _NotOurs(error) from error
        return self._fit(pixels)[0].pixels


def frames_kept(row: Format, info: PhotoInfo) -> int:
    """Animations go where animations can, pages where pages can; else only the first."""
    kind = "animation" if info.animated else "pages"
    return info.frames if row.frames == kind else 1


def _encoder(job: Encoding) -> Encoder:
    """Choose the encoder; each is imported when a file asks for it."""
    name = job.row.name
    animated = job.frames > 1
    if name == "PNG":
        from upscale_cli.media.image.codecs.png_writer import Apng, PngStill

        return Apng(job) if animated else PngStill(job)
    if name == "TIFF":
        from upscale_cli.media.image.codecs.tiff_writer import Tiff

        return Tiff(job)
    if name == "GIF":
        from upscale_cli.media.image.codecs.gif_writer import Gif

        return Gif(job)
    if name == "WebP" and animated:
        from upscale_cli.media.image.codecs.webp_writer import AnimatedWebp

        return AnimatedWebp(job)
    if name == "AVIF":
        from upscale_cli.media.image.codecs.avif_writer import AnimatedAvif, AvifStill

        return AnimatedAvif(job) if animated else AvifStill(job)
    if name in ("PNM", "PAM", "PFM"):
        from upscale_cli.media.image.codecs.netpbm import Netpbm

        return Netpbm(job)
    if name == "JPEG XL":
        from upscale_cli.media.image.codecs.jxl_writer import JpegXl

        return JpegXl(job)
    if name == "JPEG 2000":
        from upscale_cli.media.image.codecs.jp2 import Jpeg2000

        return Jpeg2000(job)
    if name == "HEIC":
        from upscale_cli.media.image.codecs.heif import Heic

        return Heic(job)
    if name == "JPEG":
        from upscale_cli.media.image.codecs.jpeg import Jpeg

        return Jpeg(job)
    if name == "DICOM":
        from upscale_cli.media.image.codecs.dicom import Dicom

        return Dicom(job)
    if name in ("EXR", "Radiance HDR", "DPX", "SGI"):
        from upscale_cli.media.image.codecs.openimageio_writer import ByOpenImageIO

        return ByOpenImageIO(job)
    from upscale_cli.media.image.codecs.pillow_writer import PillowStill

    return PillowStill(job)
