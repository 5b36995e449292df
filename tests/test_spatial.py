"""Spheres and pairs of views: what the source says of its pictures, the output says too, in each container that can."""

import struct
from pathlib import Path
from typing import Any

import av
import pytest

from tests.boxes import add_to_sample_entry, add_to_track, box
from tests.clips import AAC, X264, ffmpeg, moving, skip_where_ffmpeg_crashes, tone
from tests.conftest import SHARED
from tests.examine import upscale
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.spatial import Spatial, Sphere, enlarged, spatial_of

FAST = ("-s", 2, "-m", "bicubic", "--preset", "ultrafast")
QUARTER = 2**30
V1 = (
    b'<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    b'xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/"><GSpherical:Spherical>true</GSpherical:Spherical>'
    b"<GSpherical:Stitched>true</GSpherical:Stitched><GSpherical:StitchingSoftware>by hand"
    b"</GSpherical:StitchingSoftware><GSpherical:ProjectionType>equirectangular"
    b"</GSpherical:ProjectionType><GSpherical:StereoMode>top-bottom</GSpherical:StereoMode></rdf:SphericalVideo>"
)
V1_UUID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")


def sphere(projection: bytes, stereo: int, pose: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    """st3d and sv3d, as cameras write them."""
    head = box(b"prhd", struct.pack(">I3i", 0, *(angle << 16 for angle in pose)))
    svhd = box(b"svhd", bytes(4) + b"test\0")
    return box(b"st3d", struct.pack(">IB", 0, stereo)) + box(b"sv3d", svhd + box(b"proj", head + projection))


def equi(top: int = 0, bottom: int = 0, left: int = 0, right: int = 0) -> bytes:
    return box(b"equi", struct.pack(">5I", 0, top, bottom, left, right))


def cube(padding: int) -> bytes:
    return box(b"cbmp", struct.pack(">3I", 0, 0, padding))


WHOLE = Spatial(Sphere("equirectangular"), "mono")
TURNED = Spatial(Sphere("equirectangular", 90 << 16, -30 << 16, 15 << 16, QUARTER, 0, QUARTER, 0), "side by side")
CUBE = Spatial(Sphere("cubemap", padding=3), "top and bottom")
SOURCES = {
    "whole": (sphere(equi(), 0), WHOLE),
    "turned half, side by side": (sphere(equi(left=QUARTER, right=QUARTER), 2, (90, -30, 15)), TURNED),
    "cube, one above the other": (sphere(cube(3), 1), CUBE),
}


def plain(path: Path, *more: object) -> Path:
    ffmpeg(*moving(), *tone(), "-t", "0.48", *X264, "-pix_fmt", "yuv420p", *AAC, *more, path)
    return path


def made(path: Path, name: str) -> Path:
    return add_to_sample_entry(plain(path), b"avc1", SOURCES[name][0])


def side_data(path: Path) -> dict[str, bytes]:
    """Of the first frame, as libavcodec gives it."""
    with av.open(str(path)) as container:
        frame: Any = next(container.decode(video=0))
        return {side.type.name: bytes(side) for side in frame.side_data if side.type.name in ("SPHERICAL", "STEREO3D")}


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("name", SOURCES)
def test_they_are_told_apart(tmp_path: Path, name: str) -> None:
    assert probe(made(tmp_path / "in.mp4", name)).video[0].spatial == SOURCES[name][1]


def test_flat_ones_are_flat(tmp_path: Path) -> None:
    assert probe(plain(tmp_path / "in.mp4")).video[0].spatial is None


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("name", SOURCES)
def test_they_are_kept(tmp_path: Path, name: str, suffix: str) -> None:
    source, output = made(tmp_path / "in.mp4", name), tmp_path / f"out{suffix}"
    outcome = upscale(source, "-o", output, *FAST)
    assert outcome.code == 0, outcome.err
    assert "of a sphere" in outcome.err
    assert "Spherical" not in outcome.err
    before, after = side_data(source), side_data(output)
    expected = dict(before)
    if name.startswith("cube"):
        expected["SPHERICAL"] = before["SPHERICAL"][:-4] + struct.pack("=I", 6)
    assert after == expected
    assert sound(output) == sound(source)
    with av.open(str(output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12


@pytest.mark.slow
def test_the_index_still_comes_first_and_other_tracks_follow(tmp_path: Path) -> None:
    """The media data move, and with them all that points to them."""
    source, output = made(tmp_path / "in.mp4", "whole"), tmp_path / "out.mp4"
    assert upscale(source, "-o", output, *FAST).code == 0
    data = output.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    plain_output = tmp_path / "plain.mp4"
    assert upscale(plain(tmp_path / "flat.mp4"), "-o", plain_output, *FAST).code == 0
    assert sound(output) == sound(plain_output)


@pytest.mark.slow
def test_the_name_of_a_track_in_matroska(tmp_path: Path) -> None:
    first, source = made(tmp_path / "first.mp4", "turned half, side by side"), tmp_path / "in.mkv"
    ffmpeg("-i", first, "-map", 0, "-c", "copy", "-metadata:s:0", "title=Küste", source)
    assert upscale(source, "-o", tmp_path / "out.mkv", *FAST).code == 0
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams[0].metadata["title"] == "Küste"
    assert side_data(tmp_path / "out.mkv") == side_data(source)
    assert b"....." not in (tmp_path / "out.mkv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "suffix", "is_kept"),
    [("left_right", ".mkv", True), ("bottom_top", ".mkv", True), ("right_left", ".webm", True),
     ("right_left", ".mp4", False),
     ("row_interleaved_lr", ".mkv", True), ("row_interleaved_lr", ".mp4", False), ("left_right", ".ts", False)],
)  # fmt: skip
def test_pairs_of_views(tmp_path: Path, mode: str, suffix: str, is_kept: bool) -> None:
    source, output = plain(tmp_path / "in.mkv", "-metadata:s:0", f"stereo_mode={mode}"), tmp_path / f"out{suffix}"
    outcome = upscale(source, "-o", output, *FAST)
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.err.split())
    assert "3D (" in said
    assert "both views are upscaled as one picture" in said
    if suffix == ".ts":
        skip_where_ffmpeg_crashes(output)
    if is_kept:
        assert side_data(output) == side_data(source)
    else:
        assert "STEREO3D" not in side_data(output)
        assert "cannot say it: stereo 3D" in said


@pytest.mark.slow
def test_frame_packing_of_h264(tmp_path: Path) -> None:
    source = plain(tmp_path / "in.mp4", "-x264-params", "frame-packing=3")
    assert upscale(source, "-o", tmp_path / "out.mp4", *FAST).code == 0
    assert side_data(tmp_path / "out.mp4") == side_data(source)
    assert b"st3d" in (tmp_path / "out.mp4").read_bytes()


@pytest.mark.slow
def test_the_older_way_of_mp4(tmp_path: Path) -> None:
    """XML in a uuid box of the track (Spherical Video V1 RFC) becomes boxes of the second version."""
    source = add_to_track(plain(tmp_path / "in.mp4"), b"avc1", box(b"uuid", V1_UUID + V1))
    spatial = probe(source).video[0].spatial
    assert spatial == Spatial(Sphere("equirectangular"), "top and bottom")
    assert upscale(source, "-o", tmp_path / "out.mp4", *FAST).code == 0
    assert probe(tmp_path / "out.mp4").video[0].spatial == spatial


@pytest.mark.slow
def test_with_resume(tmp_path: Path) -> None:
    source = made(tmp_path / "in.mp4", "turned half, side by side")
    for suffix in (".mp4", ".mkv"):
        outcome = upscale(source, "-o", tmp_path / f"out{suffix}", "--resume", *FAST)
        assert outcome.code == 0, outcome.err
        assert side_data(tmp_path / f"out{suffix}") == side_data(source)


@pytest.mark.slow
def test_the_case(tmp_path: Path) -> None:
    source = SHARED / "cases" / "sph_v2.mp4"
    if not source.exists():
        pytest.skip("shared/cases is not here")
    assert upscale(source, "-o", tmp_path / "out.mp4", *FAST).code == 0
    assert side_data(tmp_path / "out.mp4") == side_data(source)


# Values


def _mapping(*numbers: Any) -> bytes:
    return struct.pack("=4i5I", *numbers)


def test_half_a_sphere_is_the_middle_of_a_whole_one() -> None:
    spatial = spatial_of(_mapping(3, 0, 0, 0, 0, 0, 0, 0, 0), None)
    assert spatial == Spatial(Sphere("equirectangular", left=QUARTER, right=QUARTER))


def test_other_projections_are_told() -> None:
    spatial = spatial_of(_mapping(5, 0, 0, 0, 0, 0, 0, 0, 0), None)
    assert spatial is not None
    assert spatial.sphere is None
    assert spatial.unknown


def test_padding_grows_with_the_picture() -> None:
    larger = enlarged(CUBE, 4.0)
    assert larger is not None
    assert larger.sphere is not None
    assert larger.sphere.padding == 12
    assert enlarged(None, 2) is None
