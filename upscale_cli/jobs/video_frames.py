"""The upscaled frames of a clip as values, for programs that do something else with them than write a file."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upscale_cli.events import Listener, saying_once, unreported
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.inference.yuv import Resampler, chroma_grid, luma_levels, pixel_grid, planes_in, to_rgb
from upscale_cli.jobs.video_facts import ClipOptions, chosen_streams
from upscale_cli.jobs.video_range import may_use_little, use_range
from upscale_cli.media.video.colour import complete
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.media.video.nearest_format import nearest_format
from upscale_cli.media.video.reader import VideoReader
from upscale_cli.media.video.streams import Clip


@dataclass(frozen=True, slots=True)
class SRFrame:
    """One upscaled frame.

    Attributes:
        samples: (n,) uint8 or uint16: the planes one after the other, as `format.plane_sizes(width, height)` says.
        format: what the planes are.
        tags: how their values relate to colours.
        width, height: SR pixels.
        seconds: when it is shown, by the clip's own clock.
    """

    samples: NDArray[Any]
    format: PixelFormat
    tags: ColourTags
    width: int
    height: int
    seconds: Fraction

    @property
    def planes(self) -> tuple[NDArray[Any], ...]:
        """Each plane, (height, width)."""
        planes, start = [], 0
        for rows, columns in self.format.plane_sizes(self.width, self.height):
            planes.append(self.samples[start : start + rows * columns].reshape(rows, columns))
            start += rows * columns
        return tuple(planes)

    def to_rgb(self) -> NDArray[np.uint8]:
        """(height, width, 3) uint8, by the stream's own matrix and range; PQ and HLG stay coded."""
        codes = torch.from_numpy(self.samples.astype(np.int32))
        planes = planes_in(codes, self.format, self.width, self.height)
        full = pixel_grid(self.height, self.width)
        if self.format.model == "yuv":
            grid = chroma_grid(self.format, self.height, self.width, self.tags.chroma_location)
            chroma = Resampler(grid, full, "bicubic", torch.device("cpu"))(torch.stack(planes[1:3]))
            planes = [planes[0], *chroma]
        colour = planes[:3] if self.format.model != "gray" else planes[:1]
        stack = torch.stack([plane.to(torch.float32) for plane in colour])
        if self.format.model == "gray":
            rgb = luma_levels(self.format.bits, self.tags.range).values(stack).expand(3, -1, -1)
        else:
            rgb = to_rgb(self.format, self.tags).rgb(stack)
        pixels: NDArray[np.uint8] = (rgb * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        return pixels


def sr_frames(
    clip: Clip, upscaler: Upscaler, target: Target, options: ClipOptions, listener: Listener
) -> Generator[SRFrame, None, None]:
    """The upscaled frames of a clip's chosen stream as they come, in the order they are shown; damage is a note.

    Raises:
        UpscaleError: as `video.run_clip`.
    """
    say = saying_once(listener)
    stream = chosen_streams(clip, options.video_stream)[0]
    format, _ = nearest_format(stream.pixel_format)
    tags, _ = complete(stream.tags, stream.width, stream.height, format)
    pipeline = VideoUpscaler(upscaler, format, stream.width, stream.height, tags, target, reuse=options.reuse, say=say)
    steady = pipeline.steady() if options.steady else None
    decode = replace(options.decode, max_pixels=options.max_pixels)
    if may_use_little(stream, format, pipeline):
        opened = partial(VideoReader, clip, stream, format, find_ffmpeg(), options=decode, say=unreported)
        use_range(opened, format, pipeline, clip.name, say)
    with VideoReader(clip, stream, format, find_ffmpeg(), options=decode, say=say) as reader:
        for frame in reader:
            pending: Any = pipeline.submit(frame.samples)
            samples = pipeline.collect(pending)
            if steady is not None:
                samples = steady(frame.samples, samples)
            seconds = frame.pts * reader.time_base
            yield SRFrame(samples, format, tags, pipeline.sr_width, pipeline.sr_height, seconds)
        if damage := reader.damage():
            say(f"{clip.name}: {damage}")
