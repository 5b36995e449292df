"""The frames of pictures as those of a clip: each is decoded when its turn comes, and brought to planes."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.events import Say
from upscale_cli.frames.image import Frame, Pixels
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.frames.pixels import on_white, to_8_bits
from upscale_cli.frames.video import VideoFrame
from upscale_cli.media.image.convert import Notes, fitted
from upscale_cli.media.image.formats import Format
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.media.image.reader_writer import ImageReader
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.reader_arguments import DecodeOptions, time_limits
from upscale_cli.media.video.streams import Clip, VideoStream
from upscale_cli.text import counted

_AS_FRAMES: Final = Format("a clip", (), layouts=("L", "LA", "RGB", "RGBA"), depths=(8, 16))
"""What a picture is brought to first: sRGB, of whole numbers."""


class PictureReader(Closing):
    """The frames of pictures; see `VideoReader`, whose place it takes.

    A picture that is missing or damaged is the one before it again, counted in `repeated`.

    Raises:
        InputError: the first one is damaged; one has another size.
    """

    def __init__(self, clip: Clip, stream: VideoStream, format: PixelFormat, options: DecodeOptions, say: Say) -> None:
        assert clip.pictures is not None
        self._clip, self.stream, self.format, self._options, self._say = clip, stream, format, options, say
        self._pictures = clip.pictures
        self.rate = (options.fps or stream.rate) if stream.untimed else stream.rate
        self.time_base = 1 / self.rate if stream.untimed else stream.time_base
        self.width, self.height = stream.width, stream.height
        self.seconds = 0.0
        self.repeated = self.errors = 0
        self.is_clean_start = True
        self._is_stopped = False
        self._notes = Notes(say, clip.name)

    def __iter__(self) -> Iterator[VideoFrame]:
        begin, end = time_limits(self._clip, self.time_base, self._options, untimed=self.stream.untimed)
        given = 0
        for frame in self._animation() if self._pictures.times else self._files(begin or 0):
            if self._is_stopped or (end is not None and frame.pts >= end):
                return
            if begin is not None and frame.pts < begin:
                continue
            self.repeated += frame.is_repeat
            yield frame
            given += 1
            if given == self._options.frames:
                return

    def stop(self) -> None:
        """The next frame is the last."""
        self._is_stopped = True

    def close(self) -> None:
        """There is nothing to release: a file is open only while it is read."""

    def damage(self) -> str:
        """What is wrong with the pictures, in words; "" for nothing."""
        if not self.repeated:
            return ""
        stand = "stands" if self.repeated == 1 else "stand"
        return f"{counted(self.repeated, 'repeat')} of the picture before {stand} for missing or damaged ones"

    def _animation(self) -> Iterator[VideoFrame]:
        with ImageReader(Path(self._pictures.paths[0]), max_pixels=self._options.max_pixels) as reader:
            frames = iter(reader)
            for pts in self._pictures.times:
                begin = time.perf_counter()
                frame = next(frames, None)
                if frame is None:
                    return
                samples = self._samples(frame, Metadata(icc=reader.info.metadata.icc), self._clip.name)
                self.seconds += time.perf_counter() - begin
                yield VideoFrame(samples, pts, self.stream.index)

    def _files(self, first: int) -> Iterator[VideoFrame]:
        last: NDArray[Any] | None = None
        for pts, path in enumerate(self._pictures.paths):
            if pts < first:
                continue
            begin = time.perf_counter()
            samples = self._of_file(path, last)
            self.seconds += time.perf_counter() - begin
            is_repeat = samples is None
            if samples is None:
                assert last is not None
                samples = last
            last = samples
            yield VideoFrame(samples, pts, self.stream.index, is_repeat=is_repeat)

    def _of_file(self, path: str, last: NDArray[Any] | None) -> NDArray[Any] | None:
        """The samples of a picture; None where the one before stands for it."""
        if not path:
            if last is None:
                raise InputError(f"{self._clip.name}: the picture to begin with is missing. Begin earlier or later.")
            return None
        try:
            with ImageReader(Path(path), max_pixels=self._options.max_pixels, say=self._say) as reader:
                metadata, frame = reader.info.metadata, next(iter(reader))
        except InputError as error:
            if last is None:
                raise
            self._say(f"{error.marked} The picture before stands for it.")
            return None
        return self._samples(frame, metadata, Path(path).name)

    def _samples(self, frame: Frame, metadata: Metadata, name: str) -> NDArray[Any]:
        """A picture as planes, one after the other."""
        if (frame.width, frame.height) != (self.width, self.height):
            raise InputError(
                f"{name}: has {frame.width} x {frame.height} pixels, the first picture {self.width} x {self.height}. "
                "All pictures of a clip need the same size."
            )
        frame, _ = fitted(frame, replace(metadata, exif=None, xmp=None), _AS_FRAMES, self._notes)
        if frame.has_alpha and not self.format.alpha:
            pixels = on_white(frame.pixels)
            frame = Frame(pixels, "L" if frame.layout == "LA" else "RGB")
        pixels = self._in_depth(frame.pixels)
        if self.format.model == "gray":
            if not frame.layout.startswith("L"):
                raise InputError(f"{name}: is in colour, and the first picture is gray. Make them alike.")
            return np.ascontiguousarray(pixels[..., 0]).reshape(-1)
        colour = pixels[..., [1, 2, 0]] if frame.layout.startswith("RGB") else pixels[..., [0, 0, 0]]  # G, B, R
        planes = [np.moveaxis(colour, 2, 0).reshape(-1)]
        if self.format.alpha:
            opaque = np.full(pixels.shape[:2], self.format.white, pixels.dtype)
            planes.append((pixels[..., -1] if frame.has_alpha else opaque).reshape(-1))
        return np.concatenate(planes)

    def _in_depth(self, pixels: Pixels) -> Pixels:
        if self.format.bits == 8:
            return to_8_bits(pixels) if pixels.dtype == np.uint16 else pixels
        wide: Pixels = pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)
        return wide
