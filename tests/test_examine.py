"""The reader that judges clips is judged itself: what ffmpeg copies passes, and each thing it spoils is caught."""

from pathlib import Path

import pytest

from tests.clips import FFV1, RECIPES, X264, Clips, ffmpeg
from tests.examine import (
    Report,
    assert_same_display,
    assert_same_packets,
    assert_same_rest,
    assert_same_tags,
    assert_same_timing,
    chroma_location,
    examine,
    likeness,
)

BROKEN = {"audio_only", "audio_only_mp4", "empty", "prose", "noise"}
UNTIMED = {"raw_h264", "raw_h265"}
NOT_COPIED = {  # by ffmpeg: these are what the checks are for
    "interlaced_mpeg2",  # a program stream's times
    "cover_mkv",  # becomes a second video stream
    "languages_mp4",  # names of tracks
}


def assert_same(before: Report, after: Report) -> None:
    """Everything that must be the same when the picture alone changes."""
    assert_same_timing(before.video, after.video)
    assert_same_packets(before, after)
    assert_same_tags(before.picture, after.picture)
    assert_same_display(before.picture, after.picture)
    assert_same_rest(before, after)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(RECIPES) - BROKEN - UNTIMED - NOT_COPIED))
def test_a_copy_is_found_equal(clips: Clips, tmp_path: Path, name: str) -> None:
    source = clips(name)
    copy = tmp_path / source.name
    ffmpeg("-copyts", "-i", source, "-map", 0, "-c", "copy", "-muxdelay", 0, "-avoid_negative_ts", "disabled", copy)
    assert_same(examine(source), examine(copy))
    assert_same_packets(examine(source), examine(copy), ("video", "picture"))
    assert chroma_location(source) == chroma_location(copy)


COPY = ("-map", "0", "-c", "copy", "-copyts")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("plain", ("-itsoffset", 0.001), COPY, "frame times"),
        ("vfr", ("-itsoffset", "0.002"), COPY, "frame times"),
        ("plain", (), (*COPY, "-frames:v", 11), "12 before, 11 after"),
        ("plain", (), (*COPY, "-bsf:v", "noise=drop=eq(n\\,5)"), "frame times"),
        ("vfr", (), (*COPY, "-bsf:v", "setts=duration=max(DURATION\\,1)+if(eq(N\\,7)\\,900)"), "last frame"),
        ("plain", (), ("-map", 0, "-c:v", "copy", "-c:a", "aac", "-b:a", "32k"), "payload"),
        ("plain", (), (*COPY, "-bsf:a", "setts=ts=TS+48"), "times"),
        ("plain", (), (*COPY, "-map", "-0:a"), "lost: aac"),
        ("languages", (), (*COPY, "-map", "-0:a", "-map", "0:a:1", "-map", "0:a:0", "-map", "0:a:2"), "codec"),
        ("srt", (), (*COPY, "-bsf:s", "setts=duration=DURATION+9"), "durations"),
        ("languages", (), (*COPY, "-disposition:a:0", "default"), "default"),
        ("languages", (), (*COPY, "-metadata:s:a:1", "language=fra"), "language = 'deu' -> 'fra'"),
        ("languages", (), (*COPY, "-metadata:s:a:2", "title="), "'Commentary' -> None"),
        ("ass_and_font", (), (*COPY, "-map", "-0:t"), "font.ttf"),
        ("ass_and_font", (), (*COPY, "-metadata", "title="), "title"),
        ("chapters", (), (*COPY, "-map_chapters", "-1"), "chapters"),
        ("timecode", (), (*COPY, "-map", "-0:d", "-write_tmcd", "0"), "streams"),
        ("rotated_90", ("-display_rotation", 0), COPY, "65536"),
        ("rotated_90", ("-display_rotation", 270), COPY, "65536"),
        ("anamorphic", (), (*X264, "-vf", "setsar=1"), "display aspect"),
        ("bt601", (), (*X264, "-vf", "setparams=colorspace=bt709"), "matrix: 6 -> 1"),
        ("full_range", (), (*COPY, "-bsf:v", "h264_metadata=video_full_range_flag=0"), "range: 2 -> 1"),
        ("untagged", (), (*X264, "-vf", "setparams=range=pc"), "full range"),
        ("hdr10", (), ("-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-vf", "sidedata=delete"), "mastering"),
    ],
)
def test_what_a_careless_program_spoils_is_caught(
    clips: Clips, tmp_path: Path, name: str, before: tuple[object, ...], after: tuple[object, ...], message: str
) -> None:
    source = clips(name)
    spoilt = tmp_path / source.name
    ffmpeg(*before, "-i", source, *after, "-avoid_negative_ts", "disabled", spoilt)
    with pytest.raises(AssertionError) as caught:
        assert_same(examine(source), examine(spoilt))
    assert message in str(caught.value)


TWICE = "scale=iw*2:ih*2:flags=bicubic+accurate_rnd+full_chroma_int"


def test_likeness_of_an_enlarged_clip(clips: Clips, tmp_path: Path) -> None:
    ffmpeg("-i", clips("plain"), "-vf", TWICE, *FFV1, tmp_path / "large.mkv")
    assert min(likeness(clips("plain"), tmp_path / "large.mkv")) > 32


@pytest.mark.parametrize(
    ("fault", "below"),
    [
        ("swapuv", (99, 20, 20)),
        ("crop=iw-2:ih:2:0,pad=iw+2:ih", (28, 28, 28)),
        ("crop=iw:ih-2:0:2,pad=iw:ih+2", (28, 28, 28)),
        ("scale=in_range=tv:out_range=pc,setparams=range=tv", (28, 99, 99)),
        ("hflip", (20, 20, 20)),
    ],
)
def test_what_is_not_like_it(clips: Clips, tmp_path: Path, fault: str, below: tuple[float, ...]) -> None:
    ffmpeg("-i", clips("plain"), "-vf", f"{TWICE},{fault}", *FFV1, tmp_path / "large.mkv")
    found = likeness(clips("plain"), tmp_path / "large.mkv")
    assert all(value < limit for value, limit in zip(found, below, strict=True)), found
