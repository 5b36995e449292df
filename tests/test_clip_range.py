"""Clips of measured values (thermal, depth): a net gets the range that all frames use; films stay as they are."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.clips import write_frames
from upscale_cli import Upscaler, upscale_frames, upscale_video
from upscale_cli.events import Event, Note
from upscale_cli.frames.image import Frame
from upscale_cli.inference.clip_range import range_of_frames
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.value_range import ValueRange
from upscale_cli.jobs import video, video_resume
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video import segments

Frames = list[NDArray[Any]]
HEIGHT, WIDTH, COUNT = 40, 56, 6


def scene(black: int, white: int, *, count: int = COUNT) -> Frames:
    """Warm things that move, of all codes from black to white."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pictures = []
    for number in range(count):
        waves = np.sin(x / 6 + number / 3) + np.cos(y / 5) + np.sin((x + 2 * y + number) / 9)
        unit = (waves - waves.min()) / (waves.max() - waves.min())
        pictures.append((black + np.rint(unit * (white - black))).astype(np.uint16))
    return pictures


def clip(path: Path, frames: Frames, pixel_format: str = "gray16le", codec: str = "ffv1") -> Path:
    write_frames(path, codec, pixel_format, [[one] for one in frames], [Fraction(n, 25) for n in range(len(frames))])
    return path


def decoded(path: Path, pixel_format: str = "gray16le") -> Frames:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format=pixel_format)) for frame in container.decode(video=0)]


def by_the_net(frames: Sequence[NDArray[Any]], black: float, white: float) -> list[NDArray[np.float64]]:
    """What a net makes of frames that are stretched to [0, 1] by hand, as pictures of floats."""
    upscaler, made = Upscaler("espcn", device="cpu"), list[NDArray[np.float64]]()
    for one in frames:
        unit = ((one.astype(np.float64) - black) / (white - black)).clip(0, 1).astype(np.float32)
        plan = upscaler.plan(WIDTH, HEIGHT, Target(scale=2))
        picture = upscaler.upscale(Frame(unit[:, :, None], "L"), plan, used=ValueRange.full(np.float32)).pixels
        made.append(black + picture[:, :, 0].astype(np.float64).clip(0, 1) * (white - black))
    return made


@pytest.mark.parametrize(
    ("pixel_format", "black", "white"), [("gray16le", 29_000, 29_400), ("gray16le", 0, 254), ("gray10le", 300, 420)]
)
def test_frames_go_through_the_net_in_the_range_they_use(
    pixel_format: str, black: int, white: int, tmp_path: Path
) -> None:
    frames, events = scene(black, white), list[Event]()
    source, output = clip(tmp_path / "in.mkv", frames, pixel_format), tmp_path / "out.mkv"
    upscale_video(source, output, 2, model="espcn", device="cpu", listener=events.append)
    made = decoded(output, pixel_format)
    assert len(made) == COUNT
    for sr, expected in zip(made, by_the_net(frames, black, white), strict=True):
        np.testing.assert_allclose(sr, expected, atol=1)
    (line,) = [event.text for event in events if isinstance(event, Note) and "its values lie between" in event.text]
    assert line.startswith(f"in.mkv: its values lie between {black:,} and {white:,} of ")


def test_one_range_for_all_frames(tmp_path: Path) -> None:
    """A quiet scene, then a fire: the first frames alone would give another range."""
    frames = [*scene(29_000, 29_100, count=3), *scene(29_050, 31_000, count=3)]
    upscale_video(clip(tmp_path / "in.mkv", frames), tmp_path / "out.mkv", 2, model="espcn", device="cpu")
    for sr, expected in zip(decoded(tmp_path / "out.mkv"), by_the_net(frames, 29_000, 31_000), strict=True):
        np.testing.assert_allclose(sr, expected, atol=1)


def test_a_broken_pixel_does_not_decide(tmp_path: Path) -> None:
    frames = scene(29_000, 29_400)
    for one in frames:
        one[20, 30] = 65_535
    upscale_video(clip(tmp_path / "in.mkv", frames), tmp_path / "out.mkv", 2, model="espcn", device="cpu")
    made = decoded(tmp_path / "out.mkv")
    away = np.ones_like(made[0], bool)
    away[30:54, 50:74] = False
    still = [np.where(one == 65_535, 29_400, one) for one in frames]
    for sr, expected in zip(made, by_the_net(still, 29_000, 29_400), strict=True):
        np.testing.assert_allclose(sr[away], expected[away], atol=1)
        assert sr[40:42, 60:62].max() > 55_000, "and it is there"


def test_segments_have_that_of_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "segment_length", lambda _: 2)
    frames = [*scene(29_000, 29_100, count=3), *scene(29_050, 31_000, count=3)]
    source = clip(tmp_path / "in.mkv", frames)
    for name, options in (("whole.mkv", ClipOptions()), ("parts.mkv", ClipOptions(resume=True))):
        upscale_video(source, tmp_path / name, 2, model="espcn", device="cpu", options=options)
    np.testing.assert_array_equal(decoded(tmp_path / "whole.mkv"), decoded(tmp_path / "parts.mkv"))
    given = [frame.planes[0] for frame in upscale_frames(source, 2, model="espcn", device="cpu")]
    np.testing.assert_array_equal(decoded(tmp_path / "whole.mkv"), given)


@pytest.mark.parametrize(
    ("pixel_format", "codec", "black", "white", "ending"),
    [
        ("gray16le", "ffv1", 0, 40_000, "mkv"),  # uses its range
        ("gray10le", "libx265", 300, 420, "mkv"),  # lossy: a film
        ("gray", "ffv1", 100, 120, "mkv"),  # 8 bits
    ],
)
def test_films_stay_as_they_are(
    pixel_format: str, codec: str, black: int, white: int, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = scene(black, white)
    if pixel_format == "gray":
        frames = [one.astype(np.uint8) for one in frames]
    source, events = clip(tmp_path / f"in.{ending}", frames, pixel_format, codec), list[Event]()
    upscale_video(source, tmp_path / "new.mkv", 2, model="espcn", device="cpu", listener=events.append)
    for module in (video, video_resume):
        monkeypatch.setattr(module, "find_ranges", lambda *_: None)
    upscale_video(source, tmp_path / "former.mkv", 2, model="espcn", device="cpu")
    new, former = (decoded(tmp_path / name, pixel_format) for name in ("new.mkv", "former.mkv"))
    np.testing.assert_array_equal(new, former)
    assert not [event for event in events if isinstance(event, Note) and "values lie" in event.text]


def test_frames_are_read_only_as_far_as_needed() -> None:
    seen = []

    def frames() -> Any:
        for one in scene(0, 60_000):
            seen.append(one)
            yield one.ravel()

    assert range_of_frames(frames(), 16).is_full
    assert len(seen) == 1
    assert range_of_frames(iter([np.full(9, 7, np.uint16)]), 16).is_full  # one value: nothing to stretch
    assert range_of_frames(iter([]), 16).is_full
