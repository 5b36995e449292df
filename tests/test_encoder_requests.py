"""Options that are given once for clips of several encoders: brought to each one's own scale, or left out and told."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.clips import Clips
from tests.examine import upscale
from upscale_cli.errors import OptionError
from upscale_cli.media.video.codecs import CODECS
from upscale_cli.media.video.encoder_requests import fitted
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

WITH_PRESETS = [row.name for row in CODECS.values() if row.presets]
X264 = list(CODECS["libx264"].presets)


def preset_of(codec: str, preset: str) -> str | None:
    options, _ = fitted(CODECS[codec], EncodeOptions(preset=preset), find_ffmpeg())
    return options.preset


@pytest.mark.parametrize("codec", WITH_PRESETS)
def test_the_default_and_the_fastest_are_those_of_the_encoder(codec: str) -> None:
    row = CODECS[codec]
    if "medium" not in row.presets:
        assert preset_of(codec, "medium") == row.preset
        assert preset_of(codec, "ultrafast") == row.fastest
    for preset in row.presets:
        assert preset_of(codec, preset) == preset


@pytest.mark.parametrize("codec", WITH_PRESETS)
def test_slower_never_becomes_faster(codec: str) -> None:
    row = CODECS[codec]
    order = list(row.presets)
    assert row.preset is not None
    assert row.fastest is not None
    if order.index(row.fastest) > order.index(row.preset):
        order.reverse()
    foreign = [preset for preset in X264 if preset not in row.presets]
    places = [order.index(str(preset_of(codec, preset))) for preset in foreign]
    assert all(before <= after for before, after in pairwise(places))


def test_a_faster_one_is_faster_wherever_there_is_one() -> None:
    assert [preset_of("libvpx-vp9", name) for name in ("fast", "medium", "slow")] == ["3", "2", "1"]
    assert [preset_of("libx264", number) for number in ("8", "2", "0")] == ["ultrafast", "medium", "placebo"]


def test_it_is_told() -> None:
    _, notes = fitted(CODECS["libvpx-vp9"], EncodeOptions(preset="ultrafast"), find_ffmpeg())
    assert len(notes) == 1
    assert "is 8 on the scale of libvpx-vp9" in notes[0]
    assert fitted(CODECS["libx264"], EncodeOptions(preset="ultrafast"), find_ffmpeg())[1] == ()


@pytest.mark.parametrize(
    "asked", [EncodeOptions(preset="slow"), EncodeOptions(crf=20), EncodeOptions(extra=(("x264-params", "aq-mode=3"),))]
)
def test_what_an_encoder_has_no_scale_for_is_left_out_unless_it_was_named(asked: EncodeOptions) -> None:
    options, notes = fitted(CODECS["ffv1"], asked, find_ffmpeg())
    assert (options.preset, options.crf, options.extra) == (None, None, ())
    assert len(notes) == 1
    assert "left out" in notes[0]
    named = EncodeOptions(codec="ffv1", preset=asked.preset, crf=asked.crf, extra=asked.extra)
    with pytest.raises(OptionError):
        fitted(CODECS["ffv1"], named, find_ffmpeg())


@pytest.mark.parametrize("asked", [EncodeOptions(preset="quick"), EncodeOptions(extra=(("cruf", "3"),))])
def test_what_no_encoder_knows_is_refused(asked: EncodeOptions) -> None:
    with pytest.raises(OptionError):
        fitted(CODECS["libvpx-vp9"], asked, find_ffmpeg())


@pytest.mark.slow
def test_a_folder_of_several_encoders(clips: Clips, tmp_path: Path) -> None:
    """MP4 takes H.264, WebM VP9, and alpha in Matroska FFV1."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("plain", "alpha_vp9", "alpha_ffv1"):
        source = clips(name)
        (folder / source.name).write_bytes(source.read_bytes())
    outcome = upscale(folder, "-o", tmp_path / "out", "-s", 2, "-m", "bicubic", "--preset", "ultrafast")
    said = " ".join((outcome.err + outcome.out).split())
    assert outcome.code == 0, said
    made = {path.suffix for path in (tmp_path / "out").rglob("*.*")}
    assert made >= {".mp4", ".webm", ".mkv"}
    assert said.count("--preset ultrafast is 8 on the scale of libvpx-vp9") == 1
    assert said.count("--preset ultrafast is left out: ffv1 has no such scale") == 1
