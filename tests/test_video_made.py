"""Made clips of every kind through the command line, judged from outside: nothing but the picture changes."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.clips import IRREGULAR, LOSSLESS, Clips, ffmpeg, has_encoder, ramp_clip
from tests.command import Outcome
from tests.examine import (
    Report,
    assert_enlarged,
    assert_kept,
    assert_same_chapters,
    assert_same_display,
    assert_same_packets,
    assert_same_samples,
    assert_same_tags,
    assert_same_times,
    assert_same_timing,
    chroma_location,
    examine,
    likeness,
    planes,
    ticks,
    upscale,
)

FAST = ("--preset", "ultrafast")
VPX = ("--encoder-arg", "deadline=realtime", "--encoder-arg", "cpu-used=8")
FFV1 = ("--codec", "ffv1")
EXACT = ("-s", 1, *FFV1)
OTHER_CONTAINER = {".mpg": ".mkv"}  # a program stream has times for some of its frames only


def run(source: Path, output: Path, *options: object) -> Outcome:
    """Upscales with bicubic, which must go well; what was reported."""
    outcome = upscale(source, "-m", "bicubic", "-o", output, *options)
    assert outcome.code == 0, outcome.err + outcome.out
    assert output.is_file()
    return outcome


# Nothing but the picture changes


@dataclass(frozen=True)
class Kept:
    """How a made clip is run.

    Attributes:
        options: besides the model.
        like: the least PSNR of luma and of every other plane against Pillow's bicubic, in dB.
    """

    options: tuple[object, ...] = FAST
    like: tuple[float, float] = (33, 29)


KEPT = {
    "plain": Kept(),
    "one_frame": Kept(),
    "odd": Kept(),
    "static": Kept(),
    "open_gop": Kept(),
    "chapters": Kept(),
    "chapters_mp4": Kept(),
    "ass_and_font": Kept(),
    "srt": Kept(),
    "mov_text": Kept(),
    "languages": Kept(),
    "languages_mp4": Kept(),
    "opus": Kept(),
    "cover": Kept(),
    "cover_mkv": Kept(),
    "timecode": Kept(options=()),
    "offset": Kept(),
    "offset_mp4": Kept(),
    "ntsc_film": Kept(),
    "ntsc_film_mkv": Kept(),
    "vfr": Kept(),
    "vfr_mkv": Kept(),
    "transport": Kept(),
    "cut": Kept(),
    "long_gop": Kept(),
    "rotated_90": Kept(),
    "rotated_180": Kept(),
    "rotated_270": Kept(),
    "rotated_mkv": Kept(),
    "mirrored": Kept(),
    "mirrored_and_rotated": Kept(),
    "anamorphic": Kept(),
    "interlaced_mpeg2": Kept(like=(18, 18)),
    "interlaced_tff": Kept(like=(18, 18)),
    "interlaced_bff": Kept(like=(18, 18)),
    "ten_bit": Kept(),
    "twelve_bit": Kept(),
    "yuv422": Kept(),
    "yuv444": Kept(like=(33, 33)),
    "gray": Kept(),
    "gray_ffv1": Kept(),
    "full_range": Kept(),
    "bt601": Kept(),
    "untagged": Kept(),
    "topleft": Kept(like=(33, 25)),
    "rgb_ffv1": Kept(like=(28, 28)),
    "rgb_x264": Kept(like=(28, 28)),
    "alpha_vp9": Kept(options=VPX, like=(28, 25)),
    "alpha_vp8": Kept(options=VPX, like=(28, 25)),
    "alpha_prores": Kept(options=()),
    "alpha_ffv1": Kept(options=FFV1),
    "alpha_rgb": Kept(options=FFV1, like=(28, 28)),
    "hdr10": Kept(),
    "hdr10_mp4": Kept(),
    "hlg": Kept(),
    "two_videos": Kept(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(KEPT))
def test_nothing_but_the_picture_changes(clips: Clips, tmp_path: Path, name: str) -> None:
    source, kept = clips(name), KEPT[name]
    output = tmp_path / f"large{OTHER_CONTAINER.get(source.suffix, source.suffix)}"
    run(source, output, *kept.options)
    before, after = examine(source), examine(output)
    ((a, _),) = assert_kept(before, after)
    assert chroma_location(source) in (None, chroma_location(output))
    luma, *others = likeness(source, output, stream=before.of("video").index(a))
    assert luma > kept.like[0], luma
    assert min(others, default=99) > kept.like[1], others


def test_the_default_name_and_scale(clips: Clips, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    source.write_bytes(clips("plain").read_bytes())
    assert upscale(source, "-m", "bicubic", *FAST).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "clip_2x.mp4"}
    assert examine(tmp_path / "clip_2x.mp4").picture.sizes == ((192, 128),)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1"])
def test_every_codec(clips: Clips, tmp_path: Path, codec: str) -> None:
    if not has_encoder(codec):
        pytest.skip(f"this ffmpeg is built without {codec}")
    output = tmp_path / "large.mkv"
    options = {"libsvtav1": ("--preset", "12"), "libvpx-vp9": VPX}.get(codec, FAST if "x26" in codec else ())
    run(clips("srt"), output, "--codec", codec, "--frames", 6, *options)
    before, after = examine(clips("srt")), examine(output)
    assert len(after.picture.pts) == 6
    assert_same_times(before.picture.pts[:6], after.picture.pts, ticks(after.video))
    luma, *others = likeness(clips("srt"), output)
    assert luma > 32
    assert codec == "prores_ks" or min(others) > 26  # which has no 4:2:0


# Exact pixels


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", LOSSLESS)
def test_ramps_and_bars_come_out_as_they_went_in(clips: Clips, tmp_path: Path, pixel_format: str) -> None:
    source = ramp_clip(clips, pixel_format)
    run(source, tmp_path / "same.mkv", *EXACT)
    before, after = examine(source), examine(tmp_path / "same.mkv")
    assert_kept(before, after, scale=1)
    allowed = 1 if pixel_format == "gbrap" else 0  # ffv1 stores it packed, which ffmpeg 7 unpacks with an error of 1
    for lr, sr in zip(planes(source), planes(tmp_path / "same.mkv"), strict=True):
        for a, b in zip(lr, sr, strict=True):
            assert a.dtype == b.dtype
            assert int(np.abs(a.astype(int) - b.astype(int)).max()) <= allowed


@pytest.mark.parametrize("name", ["full_range", "bt601", "hdr10", "untagged"])
def test_decoded_pictures_come_out_exactly(clips: Clips, tmp_path: Path, name: str) -> None:
    """Whatever the tags say, luma and chroma are never converted on the way."""
    run(clips(name), tmp_path / "same.mkv", *EXACT)
    assert min(likeness(clips(name), tmp_path / "same.mkv", scale=1, limit=12)) == float("inf")


def test_colour_bars(tmp_path: Path) -> None:
    source = tmp_path / "bars.mkv"
    bars = ("-f", "lavfi", "-i", "smptehdbars=size=160x90:rate=25", "-frames:v", 2)
    ffmpeg(*bars, "-pix_fmt", "yuv422p10le", "-c:v", "ffv1", source)
    run(source, tmp_path / "same.mkv", *EXACT)
    assert min(likeness(source, tmp_path / "same.mkv", scale=1)) == float("inf")


# Odd sizes


@pytest.mark.parametrize(
    ("options", "ending", "size"),
    [
        (("--codec", "libx264", *FAST), ".mp4", (100, 52)),
        (("--codec", "libx265", *FAST), ".mp4", (100, 52)),
        (FFV1, ".mkv", (99, 51)),
        (("--codec", "libvpx-vp9", *VPX), ".webm", (99, 51)),
        (("--codec", "libx264", "--pix-fmt", "yuv444p", *FAST), ".mp4", (99, 51)),
    ],
)
def test_odd_sizes_are_kept_or_made_even_which_is_reported(
    clips: Clips, tmp_path: Path, options: tuple[object, ...], ending: str, size: tuple[int, int]
) -> None:
    output = tmp_path / f"large{ending}"
    outcome = run(clips("odd"), output, "-s", 3, *options)
    before, after = examine(clips("odd")).picture, examine(output).picture
    assert after.sizes == (size,)
    assert ("even" in outcome.words) == (size == (100, 52))
    assert_same_display(before, after)
    luma, *_ = likeness(clips("odd"), output, scale=3)
    assert luma > 30
    if size == (100, 52):
        (large, *_) = next(planes(output))
        assert abs(int(large[-2, 50]) - int(large[-1, 50])) < 16  # the edge is repeated, not made black
        assert abs(int(large[20, -2]) - int(large[20, -1])) < 16


# A part of a clip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (("--frames", 5), range(5)),
        (("--start", "0.12"), range(3, 12)),
        (("--start", "0.13"), range(4, 12)),
        (("--end", "0.32"), range(8)),
        (("--start", "0.12", "--end", "0.32"), range(3, 8)),
        (("--start", "0:00:00.12", "--frames", 2), range(3, 5)),
        (("--start", "0.44"), range(11, 12)),
    ],
)
@pytest.mark.parametrize("name", ["plain", "languages"])
def test_exactly_the_frames_that_were_asked_for(
    clips: Clips, tmp_path: Path, name: str, options: tuple[object, ...], chosen: range
) -> None:
    assert_part(clips(name), tmp_path / "part.mkv", options, chosen)


@pytest.mark.parametrize(
    ("name", "options", "chosen"),
    [
        ("long_gop", ("--start", "0.6", "--frames", 10), range(15, 25)),
        ("cut", ("--start", "0.4", "--end", "0.8"), range(10, 20)),
        ("vfr", ("--start", IRREGULAR[3].limit_denominator(90_000), "--frames", 3), range(3, 6)),
        ("open_gop", ("--start", "0.5", "--end", "1.0"), range(13, 25)),
        ("open_gop", ("--start", "1.0"), range(25, 30)),
    ],
)
def test_parts_of_harder_clips(
    clips: Clips, tmp_path: Path, name: str, options: tuple[object, ...], chosen: range
) -> None:
    seconds = [f"{float(option):.6f}" if isinstance(option, Fraction) else option for option in options]
    assert_part(clips(name), tmp_path / "part.mkv", tuple(seconds), chosen)


def assert_part(source: Path, output: Path, options: tuple[object, ...], chosen: range) -> None:
    run(source, output, *EXACT, *options)
    expected = list(planes(source))[chosen.start : chosen.stop]
    found = list(planes(output))
    assert len(found) == len(chosen)
    for a, b in zip(expected, found, strict=True):
        for before, after in zip(a, b, strict=True):
            np.testing.assert_array_equal(before, after)
    before_times = [time or Fraction(0) for time in examine(source).picture.pts[chosen.start : chosen.stop]]
    report = examine(output)
    after_times = [time or Fraction(0) for time in report.picture.pts]
    assert_same_times(
        [time - before_times[0] for time in before_times],
        [time - after_times[0] for time in after_times],
        2 * ticks(report.video),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "start", "stop"),
    [
        (("--frames", 10), Fraction(0), Fraction(2, 5)),
        (("--start", "0.6"), Fraction(3, 5), Fraction(8, 5)),
        (("--start", "0.6", "--end", "1.0"), Fraction(3, 5), Fraction(1)),
    ],
)
@pytest.mark.parametrize("name", ["long_gop", "long_gop_mkv", "long_gop_ts"])
def test_a_part_has_the_sound_of_that_part(
    clips: Clips, tmp_path: Path, name: str, options: tuple[object, ...], start: Fraction, stop: Fraction
) -> None:
    """Every packet that sounds with its pictures, in step with them, and hardly more."""
    output = tmp_path / f"part{clips(name).suffix}"
    run(clips(name), output, *FAST, *options)
    before, after = examine(clips(name)), examine(output)
    zero, now = before.picture.pts[0], after.picture.pts[0]
    assert zero is not None
    assert now is not None
    shift = now - zero - start  # of all streams alike, if at all
    wanted = [(parcel.digest, (parcel.pts or zero) - zero) for parcel in before.of("audio")[0].parcels]
    found = [(parcel.digest, (parcel.pts or zero) - zero - shift) for parcel in after.of("audio")[0].parcels]
    first = min(range(len(wanted)), key=lambda at: abs(wanted[at][1] - found[0][1]))
    of_before = wanted[first : first + len(found)]
    assert [digest for digest, _ in found] == [digest for digest, _ in of_before], "other sound, or out of step"
    assert all(abs(a - b) < Fraction(1, 500) for (_, a), (_, b) in zip(found, of_before, strict=True))
    needed = [time for _, time in wanted if start <= time < stop - A_PACKET]
    assert found[0][1] <= needed[0] < needed[-1] <= found[-1][1], "sound is missing"
    margin = Fraction(1, 10)
    assert found[0][1] > start - margin, f"the sound begins at {float(found[0][1]):.3f} s"
    assert found[-1][1] < stop + margin, f"the sound ends at {float(found[-1][1]):.3f} s"


A_PACKET = Fraction(1024, 44_100)


@pytest.mark.parametrize("name", ["chapters", "chapters_mp4"])
def test_a_part_has_the_chapters_of_that_part(clips: Clips, tmp_path: Path, name: str) -> None:
    """The second chapter begins at 0.12 s and the third at 0.3 s; the pictures from 0.2 s on are asked for."""
    output = tmp_path / f"part{clips(name).suffix}"
    run(clips(name), output, *FAST, "--start", "0.2")
    after = examine(output)
    begin = after.picture.pts[0]
    assert begin is not None
    starts = {title: start - begin for start, _, title in after.chapters}
    assert abs(starts["third; # last"] - Fraction(1, 10)) < Fraction(1, 100)
    assert starts["Zweites Stück"] < Fraction(1, 100)


# Which stream


@pytest.mark.parametrize(
    ("choice", "enlarged"), [((), {1}), (("--video-stream", 0), {0}), (("--video-stream", "all"), {0, 1})]
)
def test_which_video_streams_are_upscaled(
    clips: Clips, tmp_path: Path, choice: tuple[object, ...], enlarged: set[int]
) -> None:
    output = tmp_path / "large.mkv"
    run(clips("two_videos"), output, *FAST, *choice)
    before = examine(clips("two_videos"))
    pairs = assert_kept(before, examine(output))
    assert {a.index for a, _ in pairs} == enlarged
    for index in enlarged:
        assert min(likeness(clips("two_videos"), output, stream=index)) > 26


# From one container to another


def converted(clips: Clips, name: str, output: Path) -> tuple[Report, Report, str]:
    """Before, after, what was reported; times, pictures and sound are the same."""
    outcome = run(clips(name), output, *FAST)
    before, after = examine(clips(name)), examine(output)
    a, b = before.picture, after.picture
    assert_same_times(before.picture.pts, after.picture.pts, max(ticks(before.video), ticks(after.video)))
    assert_enlarged(a, b, 2)
    assert_same_packets(before, after, ("audio",), payload=clips(name).suffix != ".ts")
    assert_same_chapters(before, after)
    return before, after, outcome.words


@pytest.mark.parametrize(
    ("name", "ending", "codec"),
    [("srt", ".mp4", "mov_text"), ("ass_and_font", ".mp4", "mov_text"), ("mov_text", ".mkv", "subrip")],
)
def test_subtitles_become_what_the_container_can_hold(
    clips: Clips, tmp_path: Path, name: str, ending: str, codec: str
) -> None:
    before, after, _ = converted(clips, name, tmp_path / f"large{ending}")
    (track,) = after.of("subtitle")
    assert track.codec == codec
    starts = [[parcel.pts for parcel in report.of("subtitle")[0].shown] for report in (before, after)]
    texts = {time for time in starts[0] if time} & {time for time in starts[1] if time}
    assert len(texts) >= 2, f"{starts[0]} -> {starts[1]}"


def test_what_the_container_cannot_hold_is_left_out_and_reported(clips: Clips, tmp_path: Path) -> None:
    _, after, text = converted(clips, "ass_and_font", tmp_path / "large.mp4")
    assert after.attachments == ()
    assert "font.ttf" in text or "attachment" in text
    _, after, text = converted(clips, "timecode", tmp_path / "large.mkv")
    assert not after.of("data")
    assert "data" in text or "timecode" in text or "tmcd" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("chapters", ".mp4"),
        ("chapters_mp4", ".mkv"),
        ("languages", ".mp4"),
        ("languages_mp4", ".mkv"),
        ("offset", ".mp4"),
        ("offset_mp4", ".mkv"),
        ("ntsc_film", ".mkv"),
        ("vfr", ".mkv"),
        ("vfr_mkv", ".mp4"),
        ("transport", ".mkv"),
        ("transport", ".mp4"),
        ("cut", ".mkv"),
        ("rotated_90", ".mkv"),
        ("rotated_mkv", ".mp4"),
        ("anamorphic", ".mkv"),
        ("hdr10", ".mp4"),
        ("hdr10_mp4", ".mkv"),
        ("hlg", ".mp4"),
        ("full_range", ".mkv"),
        ("opus", ".mp4"),
        ("plain", ".mov"),
        ("cover", ".mkv"),
        ("cover_mkv", ".mp4"),
    ],
)
def test_other_containers(clips: Clips, tmp_path: Path, name: str, ending: str) -> None:
    before, after, _ = converted(clips, name, tmp_path / f"large{ending}")
    for kind in ("audio", "subtitle", "picture"):
        languages = [[t.metadata.get("language", "und") for t in report.of(kind)] for report in (before, after)]
        assert languages[0] == languages[1], f"{kind}: {languages[0]} -> {languages[1]}"
    if name == "languages":
        assert [set(track.dispositions) & {"default"} for track in after.of("audio")] == [set(), {"default"}, set()]


# Streams without times, interlaced ones, equal frames


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raw_h264", "raw_h265"])
@pytest.mark.parametrize(
    ("options", "rate"),
    [((), Fraction(25)), (("--fps", "30000/1001"), Fraction(30_000, 1001)), (("--fps", 50), Fraction(50))],
)
def test_streams_without_times(
    clips: Clips, tmp_path: Path, name: str, options: tuple[object, ...], rate: Fraction
) -> None:
    source = tmp_path / clips(name).name
    source.write_bytes(clips(name).read_bytes())
    assert upscale(source, "-m", "bicubic", *FAST, *options).code == 0
    report = examine(tmp_path / f"{name}_2x.mkv")
    assert_same_times([Fraction(at) / rate for at in range(12)], report.picture.pts, Fraction(1, 1000))
    assert_same_tags(examine(source).picture, report.picture)
    assert_same_samples(examine(source).picture, report.picture)
    assert min(likeness(source, tmp_path / f"{name}_2x.mkv")) > 29


@pytest.mark.slow
@pytest.mark.parametrize("name", ["interlaced_mpeg2", "interlaced_tff", "interlaced_bff"])
@pytest.mark.parametrize(("mode", "frames"), [("auto", 12), ("off", 12), ("frame", 12), ("field", 24)])
def test_deinterlacing_keeps_or_doubles_the_frames(
    clips: Clips, tmp_path: Path, name: str, mode: str, frames: int
) -> None:
    output = tmp_path / "large.mkv"
    outcome = run(clips(name), output, *FAST, "--deinterlace", mode)
    before, after = examine(clips(name)), examine(output)
    assert len(after.picture.pts) == frames
    if mode != "off":
        assert after.picture.interlaced == 0
    if mode == "auto":
        assert "interlace" in outcome.words
    every = after.picture.pts[:: frames // 12]
    assert_same_times(before.picture.pts, every, Fraction(1, 1000))
    assert_same_packets(before, after)


def test_field_order_is_obeyed(clips: Clips, tmp_path: Path) -> None:
    """With the fields the wrong way round things jump back and forth: neighbours differ more than next but ones."""
    for name in ("interlaced_tff", "interlaced_bff"):
        output = tmp_path / f"{name}.mkv"
        run(clips(name), output, *EXACT, "--deinterlace", "field")
        lumas = [frame[0].astype(float) for frame in planes(output)][4:20]
        near = np.mean([np.abs(b - a).mean() for a, b in pairwise(lumas)])
        far = np.mean([np.abs(b - a).mean() for a, b in zip(lumas, lumas[2:], strict=False)])
        assert near < far


def test_a_progressive_clip_is_not_deinterlaced(clips: Clips, tmp_path: Path) -> None:
    run(clips("plain"), tmp_path / "a.mkv", *EXACT)
    assert min(likeness(clips("plain"), tmp_path / "a.mkv", scale=1)) == float("inf")


def test_frames_that_are_not_computed_again_are_the_same(clips: Clips, tmp_path: Path) -> None:
    for name in ("static", "plain"):
        run(clips(name), tmp_path / "a.mkv", *FFV1, "--overwrite")
        run(clips(name), tmp_path / "b.mkv", *FFV1, "--overwrite", "--no-reuse")
        a, b = examine(tmp_path / "a.mkv"), examine(tmp_path / "b.mkv")
        assert_same_timing(a.video, b.video)
        assert [parcel.digest for parcel in a.video.parcels] == [parcel.digest for parcel in b.video.parcels]
