"""Animations and numbered pictures as clips, and clips as animations and numbered pictures."""

import tracemalloc
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from tests.clips import Clips, ffmpeg, ramp_clip
from tests.command import Run
from upscale_cli.media.video.numbered import numbered

DURATIONS = [100, 200, 50, 100, 100, 300]
COLOURS = [(20 + 30 * index, 200 - 30 * index, 90) for index in range(6)]


def pictures(count: int = 6, mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    """Flat ones, each of another colour, with a bar that moves."""
    made = []
    for index in range(count):
        picture = Image.new("RGB", size, COLOURS[index % 6])
        picture.paste((250, 250, 250), (4 * index, 10, 4 * index + 8, 30))
        made.append(picture.convert(mode))
    return made


def animation(path: Path, mode: str = "RGB", durations: list[int] | None = None) -> Path:
    first, *rest = pictures(mode=mode)
    kind = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG", ".png": "PNG"}[path.suffix]
    more: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    first.save(path, format=kind, save_all=True, append_images=rest, duration=durations or DURATIONS, loop=0, **more)
    return path


def sequence(folder: Path, first: int = 1, count: int = 6, mode: str = "RGB") -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures(count, mode), first):
        picture.save(folder / f"{number:06d}.png")
    return folder / "%06d.png"


def frames_of(path: Path) -> tuple[list[NDArray[Any]], list[float], str]:
    """RGB frames of a clip, when each is shown in ms, and the pixel format."""
    with av.open(str(path)) as clip:
        frames = list(clip.decode(video=0))
        times = [1000 * float((frame.pts or 0) * (frame.time_base or 0)) for frame in frames]
        return [frame.to_ndarray(format="rgb24") for frame in frames], times, frames[0].format.name


def shown(path: Path) -> tuple[list[NDArray[Any]], list[float]]:
    """RGB frames of an animation, and for how long each is shown in ms, by Pillow."""
    with Image.open(path) as opened:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(opened):
            frames.append(np.asarray(frame.convert("RGB")))
            durations.append(float(frame.info["duration"]))
    return frames, durations


def upscaled(run: Run, source: Path, output: Path, *more: object) -> str:
    outcome = run(source, "-m", "bicubic", "-s", 2, "-o", output, *more)
    assert outcome.code == 0, outcome.err
    return outcome.words


def assert_colours(frames: list[NDArray[Any]], off: int = 4) -> None:
    """Every frame is there, in order, by the colour of its lower part."""
    assert len(frames) == 6
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert np.abs(frame[80, 60].astype(int) - colour).max() <= off


# Into clips


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.apng", "a.png"])
def test_an_animation_becomes_a_clip(run: Run, tmp_path: Path, name: str) -> None:
    said = upscaled(run, animation(tmp_path / name), tmp_path / "b.mp4")
    assert "the output is lossy (libx264)" in said
    frames, times, pixel_format = frames_of(tmp_path / "b.mp4")
    assert frames[0].shape == (96, 128, 3)
    assert_colours(frames)
    assert times == pytest.approx([0, 100, 300, 350, 450, 550], abs=1)
    assert pixel_format == "yuv420p", "which all players show"
    with av.open(str(tmp_path / "b.mp4")) as clip:
        video = clip.streams.video[0]
        assert video.duration is not None
        assert video.time_base is not None
        assert float(video.duration * video.time_base) == pytest.approx(0.85, abs=0.002), "the last frame's time counts"


def test_in_matroska_it_can_stay_exactly_what_it_is(run: Run, tmp_path: Path) -> None:
    animation(tmp_path / "a.gif")
    said = upscaled(run, tmp_path / "a.gif", tmp_path / "b.mkv", "-s", 1, "--codec", "ffv1")
    assert "is lossy" not in said
    before, _ = shown(tmp_path / "a.gif")
    after, _, _ = frames_of(tmp_path / "b.mkv")
    np.testing.assert_array_equal(np.stack(after), np.stack(before))


@pytest.mark.slow
def test_transparency_is_shown_on_white_or_kept_where_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    holes = [Image.new("RGBA", (64, 48), (200, 0, 0, 255)) for _ in range(3)]
    for index, hole in enumerate(holes):
        hole.paste((0, 0, 0, 0), (10 * index, 0, 10 * index + 20, 48))
    holes[0].save(tmp_path / "a.webp", save_all=True, append_images=holes[1:], duration=100, lossless=True)
    said = upscaled(run, tmp_path / "a.webp", tmp_path / "b.mp4")
    assert "what is transparent is shown on white" in said
    frames, _, _ = frames_of(tmp_path / "b.mp4")
    assert frames[0][48, 16].min() > 245
    said = upscaled(run, tmp_path / "a.webp", tmp_path / "b.mkv", "--pix-fmt", "yuva420p", "--codec", "ffv1")
    assert "on white" not in said
    with av.open(str(tmp_path / "b.mkv")) as clip:
        frame = next(clip.decode(video=0))
        assert frame.format.name == "yuva420p"
        assert frame.to_ndarray(format="rgba")[48, 16, 3] == 0


def test_frames_without_a_time_are_shown_as_browsers_show_them(run: Run, tmp_path: Path) -> None:
    animation(tmp_path / "a.gif", durations=[0, 0, 0, 200, 200, 200])
    said = upscaled(run, tmp_path / "a.gif", tmp_path / "b.mp4")
    assert "frames without a time are shown for 0.1 s" in said
    assert frames_of(tmp_path / "b.mp4")[1] == pytest.approx([0, 100, 200, 300, 500, 700], abs=1)


def test_a_still_is_no_clip(run: Run, tmp_path: Path) -> None:
    pictures()[0].save(tmp_path / "a.png")
    assert "holds one picture, which is no clip" in run(tmp_path / "a.png", "-o", tmp_path / "b.mp4").line


def test_numbered_pictures_become_a_clip(run: Run, tmp_path: Path) -> None:
    pattern = sequence(tmp_path / "in", first=3)
    upscaled(run, pattern, tmp_path / "b.mp4", "--fps", "24000/1001")
    frames, times, _ = frames_of(tmp_path / "b.mp4")
    assert_colours(frames)
    assert times == pytest.approx([index * 1001 / 24 for index in range(6)], abs=0.1)
    assert "pictures have no frame rate. Give --fps 25" in run(pattern, "-o", tmp_path / "c.mp4").line
    assert "Give -o a file, or a numbered name" in run(pattern, "--fps", 25).line
    part = upscaled(run, pattern, tmp_path / "part.mp4", "--fps", 10, "--start", 0.2, "--frames", 2)
    assert "2 frames" in part
    frames, _, _ = frames_of(tmp_path / "part.mp4")
    assert np.abs(frames[0][80, 60].astype(int) - COLOURS[2]).max() <= 4


def test_16_bits_of_pictures_stay_in_ffv1(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(3)
    given = [rng.integers(0, 65_536, (48, 64, 3), np.uint16) for _ in range(3)]
    for number, pixels in enumerate(given):
        tifffile.imwrite(tmp_path / f"in/{number}.tif", pixels, photometric="rgb")
    upscaled(run, tmp_path / "in/%d.tif", tmp_path / "b.mkv", "-s", 1, "--fps", 25, "--codec", "ffv1")
    with av.open(str(tmp_path / "b.mkv")) as clip:
        frames = [frame.to_ndarray(format="rgb48le") for frame in clip.decode(video=0)]
    np.testing.assert_array_equal(np.stack(frames), np.stack(given))


def test_a_missing_and_a_damaged_picture_are_repeats_that_count(run: Run, tmp_path: Path) -> None:
    pattern = sequence(tmp_path / "in")
    (tmp_path / "in/000003.png").unlink()
    (tmp_path / "in/000005.png").write_bytes((tmp_path / "in/000005.png").read_bytes()[:60])
    outcome = run(pattern, "-m", "bicubic", "-o", tmp_path / "b.mp4", "--fps", 10)
    assert outcome.code == 1
    assert "2 repeats of the picture before stand for missing or damaged ones" in outcome.words
    frames, _, _ = frames_of(tmp_path / "b.mp4")
    expected = [COLOURS[index] for index in (0, 1, 1, 3, 3, 5)]
    for frame, colour in zip(frames, expected, strict=True):
        assert np.abs(frame[80, 60].astype(int) - colour).max() <= 4


def test_pictures_of_other_sizes_are_refused(run: Run, tmp_path: Path) -> None:
    pattern = sequence(tmp_path / "in")
    Image.new("RGB", (32, 48)).save(tmp_path / "in/000004.png")
    line = run(pattern, "-m", "bicubic", "-o", tmp_path / "b.mp4", "--fps", 10).line
    assert "000004.png: has 32 x 48 pixels, the first picture 64 x 48" in line
    assert not (tmp_path / "b.mp4").exists()
    assert "there are no such files" in run(tmp_path / "none/%06d.png", "-o", tmp_path / "b.mp4", "--fps", 10).line


# Out of clips


@pytest.mark.slow
@pytest.mark.parametrize("name", ["b.gif", "b.webp", "b.apng"])
def test_a_clip_becomes_an_animation(run: Run, tmp_path: Path, clips: Clips, name: str) -> None:
    said = upscaled(run, clips("plain"), tmp_path / name)
    kind = {"b.gif": "GIF", "b.webp": "WebP", "b.apng": "APNG"}[name]
    assert f"stream 1 (audio, aac) is left out: {kind} cannot hold it" in said
    frames, durations = shown(tmp_path / name)
    assert len(frames) == 12
    assert durations == pytest.approx([40] * 12)
    upscaled(run, clips("plain"), tmp_path / "b.mkv", "--codec", "ffv1")
    with av.open(str(tmp_path / "b.mkv")) as clip:
        for frame, other in zip(frames, clip.decode(video=0), strict=True):
            full = other.reformat(format="yuv444p", interpolation="BICUBIC").to_ndarray(format="rgb24").astype(int)
            assert np.abs(frame.astype(int) - full).mean() < {"GIF": 9, "WebP": 4, "APNG": 0.6}[kind]
    with Image.open(tmp_path / name) as opened:
        assert opened.info.get("loop") == 0


@pytest.mark.parametrize(("ending", "pixel_format"), [("png", "yuv420p"), ("tif", "yuv444p10le"), ("webp", "yuv420p")])
def test_a_clip_becomes_a_picture_for_each_frame(
    run: Run, tmp_path: Path, clips: Clips, ending: str, pixel_format: str
) -> None:
    source = ramp_clip(clips, pixel_format)
    upscaled(run, source, tmp_path / f"out/f%03d.{ending}")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"f{number:03d}.{ending}" for number in (1, 2, 3)], "and no work folder is left"
    if ending == "tif":
        pixels = tifffile.imread(tmp_path / "out/f001.tif")
        assert pixels.dtype == np.uint16
        with av.open(str(source)) as clip:
            lr = next(clip.decode(video=0)).to_ndarray(format="rgb48le")
        assert abs(float(pixels.mean()) - float(lr.mean())) < 120


@pytest.mark.slow
def test_frames_that_are_there_are_not_replaced_unasked(run: Run, tmp_path: Path, clips: Clips) -> None:
    place = tmp_path / "out/%06d.png"
    (tmp_path / "out").mkdir()
    pictures()[0].save(tmp_path / "out/000002.png")
    pictures()[0].save(tmp_path / "out/000040.png")
    outcome = run(clips("plain"), "-m", "bicubic", "-o", place)
    assert "000002.png: exists already" in outcome.line
    assert len(list((tmp_path / "out").iterdir())) == 2
    said = upscaled(run, clips("plain"), place, "--overwrite")
    assert "1 picture of greater numbers were there and stay" in said or "1 picture" in said
    assert len(list((tmp_path / "out").iterdir())) == 13


def test_a_turned_clip_comes_out_upright(run: Run, tmp_path: Path) -> None:
    upright = tmp_path / "a.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=96x64:r=5:d=0.4", "-c:v", "libx264", "-pix_fmt", "yuv444p", upright)
    ffmpeg("-display_rotation", 90, "-i", upright, "-c", "copy", tmp_path / "turned.mp4")
    ffmpeg("-i", tmp_path / "turned.mp4", "-frames:v", 1, tmp_path / "by_ffmpeg.png")
    upscaled(run, tmp_path / "turned.mp4", tmp_path / "out%d.png", "-s", 1)
    ours, theirs = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("out1.png", "by_ffmpeg.png"))
    assert ours.shape == theirs.shape == (96, 64, 3)
    assert np.abs(ours - theirs).mean() < 2


@pytest.mark.slow
def test_options_of_encoders_are_told_to_have_no_effect(run: Run, tmp_path: Path, clips: Clips) -> None:
    said = upscaled(run, clips("plain"), tmp_path / "b.gif", "--crf", 20, "--codec", "libx264")
    assert "--crf 20 has no effect on GIF" in said
    assert "--codec libx264 has no effect on GIF" in said
    assert "for a picture each, name them" in run(clips("plain"), "-o", tmp_path / "b.jpg").line.lower()
    assert "--resume" in run(clips("plain"), "-o", tmp_path / "c.gif", "--resume").line


@pytest.mark.slow
def test_memory_does_not_grow_with_the_frames(run: Run, tmp_path: Path) -> None:
    """Peaks of what Python and numpy hold, for 8 and for 48 frames."""
    peaks = []
    for count in (8, 48):
        source = tmp_path / f"{count}.mkv"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=320x240:r=10:d={count / 10}", "-c:v", "ffv1", source)
        tracemalloc.start()
        upscaled(run, source, tmp_path / f"{count}.gif")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    frame = 640 * 480 * 3
    assert peaks[1] < peaks[0] + 6 * frame, "of 40 more frames, hardly any is held"


def test_names_with_numbers(tmp_path: Path) -> None:
    pattern = numbered(tmp_path / "f%04d.png")
    assert pattern is not None
    for name in ("f0001.png", "f0010.png", "f11.png", "f12345.png", "f01234.png", "g0001.png", "f0001.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert pattern.found() == [1, 10, 12345]
    (tmp_path / "100%d.png").write_bytes(b"")
    assert numbered(tmp_path / "100%d.png") is None, "a file of that very name"
    assert numbered("a%d_%d.png") is None
