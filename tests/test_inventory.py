"""Nothing disappears in silence: what a source carries is in the output, or in a line; seen by other programs too."""

import io
import json
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from tests.clips import X264, Clips, ffmpeg, video
from tests.command import Run
from tests.conftest import SHARED
from tests.pictures import encoded, exif_block, icc_profile, png_chunk, tool
from upscale_cli.media.image.inventory import inventory_of_picture
from upscale_cli.media.inventory import compare, told_in_one_line, untold
from upscale_cli.media.video.inventory import inventory_of_clip

PICTURE = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/x"><dc:title>Harbour</dc:title>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)
IPTC = b"\x1c\x02\x78\x00\x07caption"


def saved(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, format, **options)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def resource(number: int, content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + b"\0" * (len(content) % 2)


def jpeg() -> bytes:
    """Everything that a JPEG was ever seen to carry."""
    plain = saved(
        "JPEG",
        exif=b"Exif\0\0" + exif_block(),
        icc_profile=icc_profile(),
        xmp=XMP,
        comment=b"made by hand",
        dpi=(300, 300),
    )
    extras = segment(
        0xED, b"Photoshop 3.0\0" + resource(0x0404, IPTC) + resource(0x040A, b"\1") + resource(0x0408, bytes(16))
    )
    extras += segment(0xE2, b"MPF\0II*\0\x08\0\0\0\0\0") + segment(0xEB, b"JP\0\0jumbf")
    extras += segment(0xE7, b"Vendor\0\1\2\3")
    return plain[:2] + extras + plain[2:] + b"ftypmp42 and so on"


def png() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "someone")
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    plain = saved("PNG", pnginfo=text, exif=exif_block(), icc_profile=icc_profile(), dpi=(300, 300))
    own = (
        png_chunk(b"bKGD", struct.pack(">HHH", 1, 2, 3)) + png_chunk(b"tIME", bytes(7)) + png_chunk(b"prVt", b"private")
    )
    return plain[:33] + own + plain[33:] + b"trailer"


def gif() -> bytes:
    return saved("GIF", comment=b"hello")


def webp() -> bytes:
    return saved("WebP", exif=exif_block(), icc_profile=icc_profile(), xmp=XMP, lossless=True)


def avif() -> bytes:
    return saved("AVIF", exif=exif_block(), icc_profile=icc_profile(), xmp=XMP)


def tiff() -> bytes:
    file = io.BytesIO()
    scale = (33550, "d", 3, (10.0, 10.0, 0.0), True)
    private = (65_123, "B", 4, b"abcd", True)
    xmp = (700, "B", len(XMP), XMP, True)
    iptc = (33723, "B", len(IPTC), IPTC, True)
    tifffile.imwrite(
        file, np.asarray(PICTURE), photometric="rgb", description="a place", resolution=(300, 300), metadata=None,
        iccprofile=icc_profile(), extratags=[scale, private, xmp, iptc],
    )  # fmt: skip
    return file.getvalue()


MADE: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "jpg": (
        jpeg,
        {
            "EXIF", "EXIF: place (GPS)", "thumbnail", "colour profile", "XMP", "XMP: dc:title", "comment", "resolution",
            "IPTC", "Photoshop resources: copyright", "Photoshop resources: 0x0408",
            "further pictures (MPF)", "content credentials (JUMBF)",
            "JPEG segment: APP7 Vendor", "data after the picture",
        },
    ),
    "png": (
        png,
        {
            "EXIF", "colour profile", "XMP", "XMP: dc:title", "text: Author", "resolution", "background colour",
            "time of change", "PNG chunk: prVt", "data after the picture",
        },
    ),
    "gif": (gif, {"comment"}),
    "webp": (webp, {"EXIF", "colour profile", "XMP", "XMP: dc:title"}),
    "avif": (avif, {"EXIF", "colour profile", "XMP", "XMP: dc:title"}),
    "tif": (
        tiff,
        {
            "description", "resolution", "colour profile", "XMP", "XMP: dc:title", "IPTC", "TIFF tag: 65123",
            "place on the map (GeoTIFF): pixel scale",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MADE)
def test_everything_has_a_name(kind: str) -> None:
    make, names = MADE[kind]
    assert names <= set(inventory_of_picture(make()) or ())


@pytest.mark.parametrize("kind", MADE)
def test_a_plain_picture_carries_nothing(kind: str) -> None:
    """What only says how the pixels are stored has no name: else every conversion would lose something."""
    format = {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind)
    assert not inventory_of_picture(saved(format))


@pytest.mark.parametrize("kind", MADE)
def test_damage_ends_the_list_and_nothing_else(kind: str) -> None:
    whole = MADE[kind][0]()
    for length in range(0, len(whole), 7):
        inventory_of_picture(whole[:length])
    for at in range(0, len(whole), 11):
        inventory_of_picture(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])


def events_of(outcome_out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome_out.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tif", "avif", "gif", "bmp", "jxl", "jp2", "pnm", "tga"])
@pytest.mark.parametrize("kind", MADE)
def test_what_is_lost_is_told(tmp_path: Path, run: Run, kind: str, target: str) -> None:
    """Every pair of formats: a thing of the source is in the output, by its name, or in a line."""
    source, output = tmp_path / f"in.{kind}", tmp_path / f"out.{target}"
    source.write_bytes(MADE[kind][0]())
    outcome = run(source, "-o", output, "-m", "bicubic", "-s", "2", "--json")
    assert outcome.code == 0, outcome.out
    events = events_of(outcome.out)
    notes = [event["text"] for event in events if event["event"] == "note"]
    (carried,) = (event for event in events if event["event"] == "carried")
    before = set(inventory_of_picture(source) or ())
    assert before == {name for key in ("kept", "changed", "lost", "stale") for name in carried[key]}
    assert not untold(carried["lost"], notes)
    assert not [name for name in carried["kept"] if name not in (inventory_of_picture(output) or ())]
    assert len(notes) == len(set(notes))


GROUPS = {
    "IFD0": "exif", "ExifIFD": "exif", "GPS": "exif", "InteropIFD": "exif", "IPTC": "iptc", "Photoshop": "photoshop",
    "ICC_Profile": "profile", "MPF0": "mpf", "JUMBF": "jumbf", "Trailer": "data after the picture",
}  # fmt: skip
"""exiftool's groups, and the word that a line has about what is in them. (Others say how the pixels are stored.)"""


NAMES = {
    "WhitePoint": "white point", "PrimaryChromaticities": "primaries", "ModelTiePoint": "geotiff",
    "PixelScale": "geotiff",
}  # fmt: skip

STORED = re.compile(
    r"(Thumbnail|Preview|Orientation|YCbCr|Strip|Tile|Rows|Bits|Compression|Planar|Predictor|Photometric|Fill|JPEG"
    r"|InkSet|PageNumber|Sub[fF]ile|Reference|DotRange|Extra|Sample)"
)
"""How the pixels are stored, in words of exiftool."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_exiftool_misses_nothing_that_was_not_told(tmp_path: Path, run: Run, kind: str) -> None:
    source, output = tmp_path / f"in.{kind}", tmp_path / f"out.{kind}"
    source.write_bytes(MADE[kind][0]())
    outcome = run(source, "-o", output, "-m", "bicubic", "-s", "2")
    assert outcome.code == 0
    assert not missing_by_exiftool(source, output, outcome.err)


def missing_by_exiftool(source: Path, output: Path, told: str) -> list[str]:
    """Tags that exiftool finds in the source and not in the output, and of which nobody has spoken."""
    exiftool = tool("exiftool")
    before, after = (json.loads(exiftool("-j", "-G1", "-a", "-u", path))[0] for path in (source, output))
    missing = []
    for key in before.keys() - after.keys():
        group, _, name = key.partition(":")
        word = "xmp" if group.startswith("XMP") else NAMES.get(name) or GROUPS.get(group)
        if word is not None and word not in told.lower() and not STORED.match(name):
            missing.append(key)
    return missing


@pytest.mark.slow
def test_no_sample_and_no_case_loses_anything_in_silence(tmp_path: Path, run: Run) -> None:
    folders = [SHARED / "samples/images", SHARED / "cases"]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("the shared folder with samples and cases is not here")
    outcome = run(*folders, "-r", "-o", tmp_path, "-m", "bicubic", "-s", "2", "--json")
    events = events_of(outcome.out)
    carried = [event for event in events if event["event"] == "carried"]
    assert len(carried) > 50
    for event in carried:
        notes = [other["text"] for other in events if other["event"] == "note" and other["source"] == event["source"]]
        assert not untold(event["lost"], notes), event["source"]
        source, output = Path(event["source"]), Path(event["output"])
        if source.suffix in (".jpg", ".png", ".tif", ".webp"):
            assert not missing_by_exiftool(source, output, "\n".join(notes)), source


def test_captions_and_comments_stay(tmp_path: Path, run: Run) -> None:
    """Read by exiftool: what press photographers live by."""
    source, output = tmp_path / "in.jpg", tmp_path / "out.jpg"
    source.write_bytes(jpeg())
    assert run(source, "-o", output, "-m", "bicubic", "-s", "2").code == 0
    found = json.loads(tool("exiftool")("-j", "-G1", output))[0]
    assert found["IPTC:Caption-Abstract"] == "caption"
    assert found["Photoshop:CopyrightFlag"] is True
    assert found["File:Comment"] == "made by hand"


def test_the_comment_of_a_gif_stays(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in.gif").write_bytes(gif())
    assert run(tmp_path / "in.gif", "-o", tmp_path / "out.gif", "-m", "bicubic", "-s", "2").code == 0
    with Image.open(tmp_path / "out.gif") as image:
        assert image.info["comment"] == b"hello"


def test_what_a_note_speaks_of_is_told() -> None:
    lost = ["EXIF", "EXIF: field 0x0131", "IPTC", "audio stream 2", "closed captions"]
    notes = ["a: BMP holds no EXIF or XMP: left out", "b: stream 2 (audio, opus) is left out"]
    assert untold(lost, notes) == ("IPTC", "closed captions")
    assert told_in_one_line(lost) == "EXIF (field 0x0131); IPTC; audio stream 2; closed captions"


def test_a_long_list_is_cut() -> None:
    line = told_in_one_line([f"XMP: dc:{number}" for number in range(20)])
    assert line == "XMP (dc:0, dc:1, dc:2, dc:3, dc:4, dc:5, and 14 more)"


def test_differences_are_in_the_order_of_the_source() -> None:
    found = compare({"b": "1", "a": "2", "c": "3"}, {"a": "2", "b": "5", "d": ""})
    assert (found.kept, found.changed, found.lost, found.added) == (("a",), ("b",), ("c",), ("d",))


@pytest.mark.slow
@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov", ".webm", ".ts"])
@pytest.mark.parametrize("name", ["ass_and_font", "languages", "chapters", "cover_mkv", "two_videos", "timecode"])
def test_what_a_clip_loses_is_told(tmp_path: Path, run: Run, clips: Clips, name: str, target: str) -> None:
    output = tmp_path / f"out{target}"
    outcome = run(clips(name), "-o", output, "-m", "bicubic", "-s", "2", "--frames", "6", "--json")
    assert outcome.code == 0, outcome.out
    events = events_of(outcome.out)
    notes = [event["text"] for event in events if event["event"] == "note"]
    (carried,) = (event for event in events if event["event"] == "carried")
    assert not untold(carried["lost"], notes)
    assert "video stream 1" in carried["kept"]
    assert set(carried["kept"]) <= set(inventory_of_clip(output) or ())


@pytest.mark.parametrize(
    "name", ["plain", "languages_mp4", "srt", "chapters_mp4", "cover", "vfr", "transport", "anamorphic", "ten_bit"]
)
def test_a_clip_that_stays_what_it_is_loses_nothing(tmp_path: Path, run: Run, clips: Clips, name: str) -> None:
    """Whatever has a name is there again: tags, languages, chapters; no line speaks of a loss."""
    output = tmp_path / f"out{clips(name).suffix}"
    outcome = run(clips(name), "-o", output, "-m", "bicubic", "-s", "2", "--frames", "6", "--json")
    (carried,) = (event for event in events_of(outcome.out) if event["event"] == "carried")
    assert carried["lost"] == []


@pytest.mark.parametrize(
    ("arguments", "source", "target"),
    [
        (("-timecode", "01:00:00:00"), ".mov", ".mkv"),
        (("-metadata:s:v", "stereo_mode=left_right"), ".mkv", ".mp4"),
        (("-metadata", "creation_time=2020-01-01T00:00:00Z"), ".mp4", ".mkv"),
    ],
)
def test_what_another_container_says_in_its_own_way_is_not_lost(
    tmp_path: Path, arguments: tuple[str, ...], source: str, target: str
) -> None:
    """A track of time code and a tag of one stream; a tag of Matroska and side data; a time for all tracks."""
    video(tmp_path / f"in{source}", *X264, *arguments)
    more = ("-strict", "unofficial") if target == ".mp4" else ()
    ffmpeg(
        "-i",
        tmp_path / f"in{source}",
        "-map",
        "0:v",
        "-map_metadata",
        0,
        "-c",
        "copy",
        *more,
        tmp_path / f"out{target}",
    )
    former, later = (inventory_of_clip(path) for path in (tmp_path / f"in{source}", tmp_path / f"out{target}"))
    assert former is not None
    assert later is not None
    assert any(word in name for word in ("timecode", "Stereo 3D", "creation_time") for name in former)
    assert compare(former, later).lost == ()


def test_the_time_of_recording_that_a_phone_notes_twice(tmp_path: Path, run: Run) -> None:
    """In the header of the film and among its keys: the header of the output has it, and it is not called lost."""
    source, output = tmp_path / "in.mov", tmp_path / "out.mov"
    tags = ("-metadata", "com.apple.quicktime.make=Maker", "-metadata", "creation_time=2024-01-02T03:04:05Z")
    video(source, *X264, *tags, "-movflags", "use_metadata_tags")
    outcome = run(source, "-o", output, "-m", "bicubic", "-s", 1, "--preset", "ultrafast")
    assert outcome.code == 0, outcome.err
    assert "left out" not in outcome.words
    header = output.read_bytes().partition(b"mvhd\0\0\0\0")[2]
    since_1904 = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC) - datetime(1904, 1, 1, tzinfo=UTC)
    assert struct.unpack(">I", header[:4])[0] == since_1904.total_seconds()


@pytest.mark.parametrize(
    ("source", "target"), [("lin.png", "a.jxl"), ("lin.png", "a.jpg"), ("p3.jxl", "a.png"), ("icc.jpg", "a.jxl")]
)
def test_colours_that_are_declared_in_another_way_are_not_lost(tmp_path: Path, source: str, target: str) -> None:
    from tests.test_media_colours import PROFILE, gama, jxl, patch, png, resaved
    from upscale_cli.media.image.formats import format_of

    made = {
        "lin.png": lambda: png(gama(1.0)),
        "p3.jxl": lambda: jxl(12, 13),
        "icc.jpg": lambda: encoded(patch(), "JPEG", icc_profile=PROFILE),
    }[source]()
    assert resaved(made, tmp_path / target, format_of(target).name) == []
    before, after = inventory_of_picture(made), inventory_of_picture(tmp_path / target)
    assert before is not None
    assert after is not None
    assert compare(before, after).lost == ()
    assert {"colours", "colour profile"} & set(before)
