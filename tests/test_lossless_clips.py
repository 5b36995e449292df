"""Clips that have lost nothing: FFV1 stays FFV1 with every bit; what becomes lossy says so."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.clips import Clips, ffmpeg, has_encoder, video, write_frames
from tests.command import Run
from upscale_cli.media.video.probe import probe

DEEP = ["gray16le", "yuv422p16le", "gbrp16le", "yuva444p16le", "gbrap16le"]


def levels_of(path: Path, pixel_format: str) -> list[list[NDArray[Any]]]:
    """Each frame's planes, (height, width), as the clip has them."""
    with av.open(str(path)) as clip:
        frames = list(clip.decode(video=0))
        assert {frame.format.name for frame in frames} == {pixel_format}
        return [[np.frombuffer(memoryview(plane), "<u2").copy() for plane in frame.planes] for frame in frames]


def deep_clip(folder: Path, pixel_format: str) -> Path:
    """Three frames of 96 x 64 pixels in FFV1, in which all of 16 bits is used."""
    path = folder / "deep.mkv"
    filters = f"gradients=s=96x64:r=5:d=0.6:n=3:seed=7,format=rgba64le,format={pixel_format}"
    ffmpeg("-f", "lavfi", "-i", filters, "-c:v", "ffv1", "-level", "3", path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", DEEP)
def test_ffv1_stays_ffv1_with_all_of_16_bits(run: Run, tmp_path: Path, pixel_format: str) -> None:
    source, output = deep_clip(tmp_path, pixel_format), tmp_path / "same.mkv"
    outcome = run(source, "-m", "bicubic", "-s", 1, "-o", output)
    assert outcome.code == 0, outcome.err
    assert "is lossy" not in outcome.words
    before, after = levels_of(source, pixel_format), levels_of(output, pixel_format)
    with av.open(str(output)) as clip:
        assert clip.streams.video[0].codec_context.name == "ffv1"
    assert len(before) == len(after) == 3
    assert any((plane & 15).any() for plane in before[0]), "12 bits would not do"
    for old, new in zip(before, after, strict=True):
        for one, other in zip(old, new, strict=True):
            np.testing.assert_array_equal(one, other)


def test_16_bits_are_interpolated_as_such(run: Run, tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(64) * 513, np.arange(96) * 331).astype(np.uint16)
    source, output = tmp_path / "ramp.mkv", tmp_path / "large.mkv"
    write_frames(source, "ffv1", "gray16le", [[ramp]], [Fraction(0)])
    assert run(source, "-m", "bicubic", "-s", 2, "-o", output).code == 0
    with av.open(str(output)) as clip:
        (frame,) = clip.decode(video=0)
        sr = frame.to_ndarray(format="gray16le").astype(int)
    expected = np.add.outer((np.arange(128) - 0.5) / 2 * 513, (np.arange(192) - 0.5) / 2 * 331)
    inner = slice(8, -8)
    assert np.abs(sr - expected)[inner, inner].max() <= 1, "a ramp stays a ramp, to the last of 16 bits"


@pytest.mark.parametrize(
    ("name", "codec", "ending", "remedy"),
    [
        ("huffyuv", "huffyuv", "mkv", "--codec ffv1 loses nothing"),
        ("ffv1", "ffv1", "mp4", "--codec ffv1 (-o in .mkv) loses nothing"),
        ("utvideo", "utvideo", "mp4", "--codec ffv1 (-o in .mkv) loses nothing"),
    ],
)
def test_what_becomes_lossy_says_so(run: Run, tmp_path: Path, name: str, codec: str, ending: str, remedy: str) -> None:
    source, output = tmp_path / "source.mkv", tmp_path / f"output.{ending}"
    video(source, "-c:v", codec, "-pix_fmt", "yuv422p")
    outcome = run(source, "-m", "bicubic", "-o", output)
    assert outcome.code == 0, outcome.err
    assert f"the source is lossless ({name}), the output is lossy (libx264). {remedy}." in outcome.words


@pytest.mark.slow
def test_a_quality_that_is_asked_for_means_a_lossy_codec(run: Run, tmp_path: Path) -> None:
    source, output = tmp_path / "source.mkv", tmp_path / "output.mkv"
    video(source, "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    outcome = run(source, "-m", "bicubic", "-o", output, "--crf", 18)
    assert "the output is lossy (libx264)" in outcome.words
    outcome = run(source, "-m", "bicubic", "-o", output, "--crf", 0, "--overwrite")
    assert outcome.code == 0
    assert "is lossy" not in outcome.words, "x264 at 0 loses nothing"


def test_a_lossy_source_is_told_nothing(run: Run, tmp_path: Path, clips: Clips) -> None:
    outcome = run(clips("plain"), "-m", "bicubic", "-o", tmp_path / "output.mp4")
    assert outcome.code == 0, outcome.err
    assert "is lossy" not in outcome.words


X264 = ("-c:v", "libx264", "-preset", "ultrafast")
X265 = ("-c:v", "libx265", "-preset", "ultrafast")
CODED = [
    ((*X264, "-qp", "0"), True),
    ((*X264, "-crf", "0", "-pix_fmt", "yuv444p"), True),
    ((*X264, "-qp", "1", "-pix_fmt", "yuv444p"), False),  # the same profile, and lossy
    ((*X264, "-qp", "1"), False),
    ((*X265, "-x265-params", "lossless=1:log-level=none"), True),
    ((*X265, "-x265-params", "log-level=none", "-crf", "10"), False),
]


VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
CODED_AS_VP9 = [((*VP9, "-lossless", "1"), True), ((*VP9, "-crf", "10", "-b:v", "0"), False)]


@pytest.mark.parametrize(
    ("encoder", "is_lossless", "ending"),
    [
        *((*coded, ending) for coded in CODED for ending in ("mp4", "mkv", "ts")),
        *((*coded, "webm") for coded in CODED_AS_VP9),
    ],
    ids=str,
)
def test_lossless_h264_hevc_and_vp9_are_known(
    encoder: tuple[str, ...], is_lossless: bool, ending: str, tmp_path: Path
) -> None:
    """Held against the samples: what is called lossless decodes to what went in."""
    if not has_encoder(encoder[1]):
        pytest.skip(f"this ffmpeg has no {encoder[1]}")
    source, raw = tmp_path / f"source.{ending}", tmp_path / "raw.mkv"
    given = encoder[encoder.index("-pix_fmt") + 1] if "-pix_fmt" in encoder else "yuv420p"
    video(source, *encoder)
    video(raw, "-c:v", "ffv1", "-pix_fmt", given)
    (stream,) = probe(source).video
    assert stream.lossless == is_lossless
    with av.open(str(source)) as clip, av.open(str(raw)) as former:
        same = [
            np.array_equal(one.to_ndarray(), other.to_ndarray())
            for one, other in zip(clip.decode(video=0), former.decode(video=0), strict=True)
        ]
    assert all(same) == is_lossless


def test_a_lossless_h264_clip_is_told_what_it_loses(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "screen.mp4"
    video(source, *X264, "-qp", "0")
    outcome = run(source, "-m", "bicubic", "-o", tmp_path / "output.mp4")
    assert outcome.code == 0, outcome.err
    assert "the source is lossless (h264), the output is lossy (libx264). --codec ffv1" in outcome.words
