"""SR frames of a clip into pictures: an animation, or a picture each. One frame is held at a time.

planes  ->  RGB (`FramePictures`)  ->  `ImageWriter`
"""

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from upscale_cli.errors import OutputError
from upscale_cli.events import Say
from upscale_cli.files.atomic_file import move_into_place
from upscale_cli.files.work_folder import FRAME
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.image import Frame, Layout
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.yuv import Resampler, chroma_grid, luma_levels, pixel_grid, planes_in, to_rgb
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.jobs.video_plan import StreamPlan
from upscale_cli.media.image.metadata import Metadata, PhotoInfo
from upscale_cli.media.image.reader_writer import ImageWriter
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.numbered import Numbered, numbered
from upscale_cli.media.video.picture_container import format_in
from upscale_cli.media.video.streams import Orientation
from upscale_cli.messages import option
from upscale_cli.text import counted

_MANY: Final = 2**31 - 1
"""More frames than will come: how many there are is known at the end only."""


class FramePictures:
    """Turns planes into upright RGB or gray pictures: 8 bits as such, all above as 16.

    Args:
        width, height: of the frames.
    """

    def __init__(
        self, format: PixelFormat, tags: ColourTags, width: int, height: int, orientation: Orientation | None
    ) -> None:
        self._format, self._tags, self._size = format, tags, (width, height)
        self._turns = round((orientation.rotation if orientation else 0) / 90) % 4
        self._flips = (orientation.hflip, orientation.vflip) if orientation else (False, False)
        grid = chroma_grid(format, height, width, tags.chroma_location)
        self._chroma = Resampler(grid, pixel_grid(height, width), "bicubic", torch.device("cpu"))

    def __call__(self, samples: NDArray[Any]) -> NDArray[Any]:
        """(n,) samples as (H, W, 1 to 4), uint8 or uint16."""
        dtype: Any = np.uint8 if self._format.bits == 8 else np.uint16
        white = int(np.iinfo(dtype).max)
        planes = planes_in(torch.from_numpy(samples.astype(np.int32)), self._format, *self._size)
        alpha = planes.pop() if self._format.alpha else None
        if self._format.model == "gray":
            unit = luma_levels(self._format.bits, self._tags.range).values(planes[0])[None]
        else:
            if self._format.model == "yuv":
                planes = [planes[0], *self._chroma(torch.stack(planes[1:]))]
            unit = to_rgb(self._format, self._tags).rgb(torch.stack([plane.to(torch.float32) for plane in planes]))
        if alpha is not None:
            unit = torch.cat((unit, (alpha.to(torch.float32) / self._format.white)[None]))
        levels = (unit * white).round().clamp(0, white).to(torch.int32).permute(1, 2, 0)
        return self._upright(levels.numpy().astype(dtype))

    def _upright(self, pixels: NDArray[Any]) -> NDArray[Any]:
        pixels = np.rot90(pixels, self._turns)
        hflip, vflip = self._flips
        return np.ascontiguousarray(pixels[:: -1 if vflip else 1, :: -1 if hflip else 1])


class PictureWriter(Closing):
    """Takes the place of a `VideoWriter` where a clip becomes pictures.

    Args:
        target: the file of an animation; or the folder in which numbered pictures lie until all are whole.
        say: gets what the format cannot hold.

    Attributes:
        frames: how many were taken.
        seconds: how long encoding has taken.
    """

    def __init__(self, job: VideoFacts, planned: StreamPlan, target: Path, say: Say) -> None:
        self.frames, self.seconds, self.held_seconds = 0, 0.0, 0.0
        self._job, self._planned, self._target, self._say = job, planned, target, say
        track, stream = planned.track, planned.stream
        self._row = format_in(job.container)
        tags = planned.tags
        self._pictures = FramePictures(
            track.format, tags, track.encoder.width, track.encoder.height, stream.orientation
        )
        sar = track.encoder.sar if not _is_turned(stream.orientation) else 1 / track.encoder.sar
        self._metadata = Metadata(
            aspect=None if sar == 1 else (sar.denominator, sar.numerator),
            plays=0 if job.container.frames == "animation" else None,
        )
        self._first = job.clip.pictures.first if job.clip.pictures is not None else 1
        self._animation: ImageWriter | None = None
        self._pending: tuple[NDArray[Any], int] | None = None
        self._finished = False

    @property
    def is_sequence(self) -> bool:
        """Whether each frame is a file."""
        return self._job.container.frames == "sequence"

    def write(self, track: int, samples: NDArray[Any], pts: int) -> None:  # noqa: ARG002  # there is one
        """Takes one frame, at a time in ticks of the track."""
        begin = time.perf_counter()
        if self._job.container.frames == "sequence":
            self._write_file(samples)
        else:
            if self._pending is not None:
                self._add(self._pending[0], pts - self._pending[1])
            self._pending = (samples, pts)
        self.frames += 1
        self.seconds += time.perf_counter() - begin

    def finish(self) -> None:
        """Writes what is held back; all is whole then."""
        if self._finished:
            return
        self._finished = True
        if self._pending is not None:
            samples, pts = self._pending
            self._add(samples, self._last_duration(pts))
        if self._animation is not None:
            self._animation.__exit__(None, None, None)
            self._animation = None

    def cut_short(self, patience: float = 0.0) -> bool:  # noqa: ARG002  # nothing is waited for
        """After an interruption: closes the file with the frames that came; whether that went well."""
        try:
            self.finish()
        except OutputError:
            return False
        return True

    def abandon(self) -> None:
        """Nothing waits for anybody here."""

    def close(self) -> None:
        """Leaves nothing of an animation that is not whole."""
        if self._animation is not None:
            failure = OutputError("the animation was not finished.")
            self._animation.__exit__(OutputError, failure, None)
            self._animation = None

    def deliver(self) -> None:
        """Gives the numbered pictures, all of which are whole, the names they are made for.

        Raises:
            OutputError: one of them is taken.
        """
        pattern, overwrite = self._pattern(), self._job.options.overwrite
        older = [number for number in pattern.found() if number >= self._first + self.frames]
        for number in range(self._first, self._first + self.frames):
            path = pattern.path(number)
            try:
                move_into_place(self._file(number), path, overwrite=overwrite)
            except FileExistsError as error:
                raise OutputError(
                    f"{path}: exists already. Give {option('overwrite', True)} to replace it, or another "
                    f"{option('output')}."
                ) from error
            except OSError as error:
                raise OutputError(f"{path}: cannot be written ({error.strerror}). Free space.") from error
        if older:
            self._say(f"{pattern.folder}: {counted(len(older), 'picture')} of greater numbers were there and stay.")

    # Pictures

    def _write_file(self, samples: NDArray[Any]) -> None:
        frame = self._frame(samples)
        with self._writer(self._file(self._first + self.frames), frame, frames=1) as writer:
            writer.write(frame)

    def _add(self, samples: NDArray[Any], ticks: int) -> None:
        duration = float(max(ticks, 0) * self._planned.track.time_base * 1000)
        frame = self._frame(samples, duration)
        if self._animation is None:
            self._animation = self._writer(self._target, frame, frames=_MANY).__enter__()
        self._animation.write(frame)

    def _frame(self, samples: NDArray[Any], duration_ms: float | None = None) -> Frame:
        pixels = self._pictures(samples)
        layouts: dict[int, Layout] = {1: "L", 3: "RGB", 4: "RGBA"}
        return Frame(pixels, layouts[pixels.shape[2]], duration_ms=duration_ms)

    def _writer(self, path: Path, frame: Frame, frames: int) -> ImageWriter:
        info = PhotoInfo(
            name=self._job.name, format=self._row.name, width=frame.width, height=frame.height, layout=frame.layout,
            bits=8 if frame.pixels.dtype == np.uint8 else 16, frames=frames, animated=frames > 1,
            metadata=self._metadata, lossless=self._planned.stream.lossless,
        )  # fmt: skip

        def say(text: str) -> None:  # of every picture the same
            self._say(f"{self._job.output_name}: {text.removeprefix(f'{path}: ')}")

        return ImageWriter(path, format=self._row.name, info=info, overwrite=True, say=say)

    def _last_duration(self, pts: int) -> int:
        track = self._planned.track
        if track.last is not None and track.last[0] == pts:
            return track.last[1]
        return round(1 / (track.rate * track.time_base))

    def _file(self, number: int) -> Path:
        return self._target / f"{FRAME}{number}{self._pattern().after}"

    def _pattern(self) -> Numbered:
        pattern = numbered(self._job.output) if isinstance(self._job.output, Path) else None
        assert pattern is not None
        return pattern


def _is_turned(orientation: Orientation | None) -> bool:
    return orientation is not None and round(orientation.rotation / 90) % 2 == 1
