"""4:4:4 of an old x264 behind a seek: decoded by the build that its first frame names, as from the beginning."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SHARED
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.media.video import reader
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.media.video.streams import Clip, VideoStream

OLD = Path(__file__).parent / "goldens/x264-core-144.mp4"
"""A Mandelbrot set of 24 frames, by ffmpeg 2.5.3 (npm: ffmpeg-static 1.0.0): `-pix_fmt yuv444p -g 12 -crf 28`."""


def frames(clip: Clip, stream: VideoStream, options: DecodeOptions) -> dict[int, Any]:
    with reader.VideoReader(
        clip, stream, FORMATS[stream.pixel_format], find_ffmpeg(), options=options, say=lambda _: None
    ) as source:
        found = {frame.pts: frame.samples.copy() for frame in source}
        assert source.damage() == ""
        return found


def test_behind_a_seek_frames_are_what_they_are_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PREROLL_SECONDS", 0.0)
    clip = probe(OLD)
    (stream,) = clip.video
    assert stream.x264_build == 144
    whole = frames(clip, stream, DecodeOptions())
    later = list(whole)[13]
    for options in (DecodeOptions(start=float(later * stream.time_base)), DecodeOptions(after=later)):
        found = frames(clip, stream, options)
        assert len(found) == (11 if options.start else 10)
        for pts, samples in found.items():
            np.testing.assert_array_equal(samples, whole[pts])
    unknown = frames(clip, replace(stream, x264_build=None), DecodeOptions(after=later))
    assert any((samples != whole[pts]).any() for pts, samples in unknown.items())  # the clip is one that needs it


def test_the_sample() -> None:
    sample = SHARED / "samples/video/cockatoo_yuv444.mp4"
    if not sample.exists():
        pytest.skip("the shared samples are not here")
    assert probe(sample).video[0].x264_build == 142
