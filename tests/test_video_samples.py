"""Real clips of every kind through the command line, judged from outside: nothing but the picture changes."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.examine import Report, assert_kept, beginning, chroma_location, examine, likeness, upscale

FAST = ("--preset", "ultrafast")
VPX = ("--encoder-arg", "deadline=realtime", "--encoder-arg", "cpu-used=8")


@dataclass(frozen=True)
class Sample:
    """How a sample is run and what is to be seen.

    Attributes:
        options: besides the model.
        frames: only so many of them, where the whole would take long.
        ending: of the output.
        code: the exit code.
        says: what is to be read on the screen.
        like: the least PSNR of luma and of every other plane against Pillow's bicubic, in dB.
        timed: the container has timestamps.
    """

    options: tuple[str, ...] = FAST
    frames: int | None = None
    ending: str = ".mp4"
    code: int = 0
    says: tuple[str, ...] = ()
    like: tuple[float, float] = (33, 30)
    timed: bool = field(default=True)


SAMPLES = {
    "attachment.mkv": Sample(ending=".mkv", frames=20),
    "av1.mkv": Sample(ending=".mkv", frames=20),
    "bbb_1s_vp8.webm": Sample(options=VPX, ending=".webm", frames=8),
    "bbb_480i_telecine.mpg": Sample(ending=".mkv", frames=30, says=("interlaced", "Matroska"), like=(18, 18)),
    "bbb_garden.mp4": Sample(frames=10),
    "bt709_full_range.mp4": Sample(frames=10),
    "cockatoo_yuv444.mp4": Sample(frames=6),
    "failing_audio.mp4": Sample(frames=30),
    "fire2_vfr_rot180.mp4": Sample(),
    "h264_10bit.mp4": Sample(),
    "h265_10bit.mp4": Sample(),
    "hdr10plus_144p.mkv": Sample(ending=".mkv"),
    "mov_text.mp4": Sample(),
    "nasa_multistream.mp4": Sample(),
    "one_pixel.mp4": Sample(),
    "onepiece_demo.mp4": Sample(frames=24),
    "realshort.mp4": Sample(),
    "sar_2by3.mp4": Sample(frames=20),
    "tos_hdr10_400p.mkv": Sample(ending=".mkv"),
    "tos_hdr10_raw.h265": Sample(ending=".mkv", timed=False),
    "transparent_vp9.webm": Sample(options=VPX, ending=".webm", frames=40),
    "truncated.mkv": Sample(ending=".mkv", code=1),
    "yuv422p.mp4": Sample(frames=20),
}


@pytest.fixture
def samples() -> Path:
    """The folder of real clips."""
    folder = SHARED / "samples/video"
    if not folder.is_dir():
        pytest.skip("the shared folder with sample clips is not here")
    return folder


def run(path: Path, folder: Path, sample: Sample, model: str = "bicubic") -> tuple[Path, str]:
    """Upscales into the folder; the output's path, and all that was reported."""
    limit = () if sample.frames is None else ("--frames", sample.frames)
    outcome = upscale(path, "-m", model, "-o", f"{folder}/", *sample.options, *limit)
    assert outcome.code == sample.code, outcome.err + outcome.out
    assert "Traceback" not in outcome.err
    (output,) = folder.iterdir()
    assert output.name == f"{path.stem}_2x{sample.ending}"
    return output, outcome.err + outcome.out


def wanted(before: Report, after: Report, sample: Sample) -> Report:
    """What should be in the output; a truncated clip's header tells of an end that is not there."""
    if sample.frames is not None:
        return beginning(before, after)
    if sample.code == 0:
        return before
    return replace(before, tracks=tuple(replace(track, end=None) for track in before.tracks))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SAMPLES))
def test_nothing_but_the_picture_changes(samples: Path, tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    output, reported = run(samples / name, tmp_path, sample)
    before, after = examine(samples / name, frames=sample.frames and sample.frames + 1), examine(output)
    if sample.frames is not None:
        assert len(after.picture.pts) == sample.frames
    enlarged = assert_kept(wanted(before, after, sample), after, timing=sample.timed)
    assert len(enlarged) == 1
    for text in sample.says:
        assert text in reported
    located = chroma_location(samples / name)
    assert located in (None, chroma_location(output))
    at = before.of("video").index(next(track for track in before.tracks if track.index == enlarged[0][0].index))
    luma, *others = likeness(samples / name, output, stream=at)
    assert luma > sample.like[0], luma
    assert min(others, default=99) > sample.like[1], others


@pytest.mark.slow
def test_a_stream_without_times_gets_even_ones(samples: Path, tmp_path: Path) -> None:
    name = "tos_hdr10_raw.h265"
    output, _ = run(samples / name, tmp_path, SAMPLES[name])
    times = examine(output).picture.pts
    assert [round(float(time or 0) * 24_000 / 1001) for time in times] in (list(range(6)), list(range(1, 7)))


@pytest.mark.slow
def test_fields_are_woven_out(samples: Path, tmp_path: Path) -> None:
    name = "bbb_480i_telecine.mpg"
    output, _ = run(samples / name, tmp_path, SAMPLES[name])
    assert examine(samples / name).picture.interlaced == 90
    assert examine(output).picture.interlaced == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["realshort.mp4", "h265_10bit.mp4", "transparent_vp9.webm", "yuv422p.mp4"])
def test_espcn(samples: Path, tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    frames = Sample(options=sample.options, frames=12, ending=sample.ending)
    output, _ = run(samples / name, tmp_path, frames, model="espcn")
    before, after = examine(samples / name, frames=13), examine(output)
    assert len(after.picture.pts) == 12
    assert_kept(beginning(before, after), after)
    assert min(likeness(samples / name, output)) > 26


def test_every_sample_has_its_expectation(samples: Path) -> None:
    assert {path.name for path in samples.iterdir() if path.suffix != ".md"} == set(SAMPLES)
