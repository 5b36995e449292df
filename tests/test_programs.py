"""Several programs of a transport stream stay several, with their numbers and names; elsewhere it is told."""

import re
import subprocess
from pathlib import Path

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from tests.clips import AAC, X264, ffmpeg, moving, skip_where_ffmpeg_crashes, tone
from tests.examine import upscale
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.streams import Program

FAST = ("-s", 2, "-m", "bicubic", "--preset", "ultrafast")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "two.ts"
    other = ("-f", "lavfi", "-i", "smptebars=size=96x64:rate=25")
    ffmpeg(
        *(*moving(), *other, *tone(440), *tone(880), *("-map", 0, "-map", 1, "-map", 2, "-map", 3), "-t", "0.48"),
        *(*X264, *AAC, "-program", "program_num=101:st=0:st=2", "-program", "program_num=202:st=1:st=3"),
        *("-metadata:p:0", "service_name=Erstes: A=b", "-metadata:p:0", "service_provider=Sender"),
        *("-metadata:p:1", "service_name=Zweites ü", path),
    )
    skip_where_ffmpeg_crashes(path)
    return path


def programs(path: Path) -> list[tuple[str, str, str, list[str]]]:
    """Number, name, provider and streams ("Video", "Audio") of each, as ffmpeg prints them."""
    done = subprocess.run([get_ffmpeg_exe(), "-hide_banner", "-i", str(path)], capture_output=True, check=False)
    parts = re.split(r"^  Program ", done.stderr.decode(), flags=re.MULTILINE)[1:]
    return [
        (
            part.split(" ", 1)[0],
            *(re.findall(rf"{key} *: (.*)", part)[0] for key in ("service_name", "service_provider")),
            re.findall(r"Stream #0.*?: (Video|Audio)", part),
        )
        for part in parts
    ]


def test_they_are_found(two: Path) -> None:
    assert probe(two).programs == (
        Program(101, "Erstes: A=b", "Sender", (0, 1)),
        Program(202, "Zweites ü", "FFmpeg", (2, 3)),
    )


@pytest.mark.slow
def test_they_stay_in_a_transport_stream(two: Path, tmp_path: Path) -> None:
    outcome = upscale(two, "-o", tmp_path / "out.ts", *FAST)
    assert outcome.code == 0, outcome.err
    assert "programs" not in outcome.err
    assert programs(tmp_path / "out.ts") == programs(two)
    assert [number for number, *_ in programs(two)] == ["101", "202"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mkv", ".m2ts"])
def test_elsewhere_it_is_told(two: Path, tmp_path: Path, suffix: str) -> None:
    outcome = upscale(two, "-o", tmp_path / f"out{suffix}", *FAST)
    assert outcome.code == 0, outcome.err
    assert "its 2 programs (Erstes: A=b, Zweites ü) become one" in " ".join(outcome.err.split())


@pytest.mark.slow
def test_one_program_keeps_its_name(two: Path, tmp_path: Path) -> None:
    source = tmp_path / "one.ts"
    ffmpeg("-i", two, "-map", "0:0", "-c", "copy", "-program", "program_num=7:title=Only:st=0", source)
    outcome = upscale(source, "-o", tmp_path / "out.ts", *FAST)
    assert outcome.code == 0, outcome.err
    assert programs(tmp_path / "out.ts") == [("7", "Only", "FFmpeg", ["Video"])]
    assert upscale(source, "-o", tmp_path / "out.mkv", *FAST).code == 0
    assert probe(tmp_path / "out.mkv").metadata["SERVICE_NAME"] == "Only"
    told = upscale(source, "-o", tmp_path / "out.mp4", *FAST)
    assert "the name of its program (Only) is left out" in " ".join(told.err.split())
