"""`upscale compare`: what belongs together, what goes into the page and what does not, and what is reported."""

import base64
import hashlib
import html
import io
import json
import math
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.clips import Clips, ffmpeg
from tests.pictures import XMP, encoded, exif_block, frame_of, icc_profile, write
from upscale_cli.cli import verb_compare
from upscale_cli.cli.flags import in_flags
from upscale_cli.compare import browser_image as picture_module
from upscale_cli.compare import page as page_module
from upscale_cli.compare.browser_image import load
from upscale_cli.compare.comparison import Comparison
from upscale_cli.compare.measure import Likeness, likeness
from upscale_cli.compare.page import write_page
from upscale_cli.compare.pairing import Subject, Version, labels, subject_of_files, subjects_of_folders
from upscale_cli.compare.strip_metadata import stripped
from upscale_cli.compare.video_side_by_side import examine
from upscale_cli.errors import InputError, OutputError, UpscaleError
from upscale_cli.evaluation import metrics
from upscale_cli.events import Note
from upscale_cli.frames.image import Pixels
from upscale_cli.media.image.codecs.png_chunks import chunk
from upscale_cli.media.image.metadata import Metadata

# Helpers


def saved(path: Path, pixels: Pixels, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


class Page(HTMLParser):
    """A page taken apart: what is in each block with an id, every attribute, and the data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text("utf-8")
        self.blocks: dict[str, str] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.title = ""
        self.scripts: list[str] = []
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.feed(self.text)
        self.data = json.loads(self.blocks["data"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = (tag, dict(attrs))
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self._open is None:
            return
        tag, attributes = self._open
        if tag == "title":
            self.title += data
        if tag == "script" and "type" not in attributes:
            self.scripts.append(data)
        elif tag == "script" and (name := attributes.get("id")):
            self.blocks[name] = self.blocks.get(name, "") + data

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  # the base class wants it
        self._open = None

    def picture(self, subject: int, version: int) -> tuple[bytes, Image.Image]:
        """The file that is embedded, and what Pillow makes of it."""
        data = base64.b64decode(self.blocks[self.data[subject]["versions"][version]["data"]], validate=True)
        return data, Image.open(io.BytesIO(data))


@pytest.fixture
def pair(tmp_path: Path, noise: Callable[..., Pixels]) -> tuple[Path, Path]:
    """An LR picture and an SR picture of twice its size."""
    return saved(tmp_path / "cat.png", noise(12, 16, 3)), saved(tmp_path / "cat_2x.png", noise(24, 32, 3, seed=1))


class Outcome:
    def __init__(self, code: int, out: str, error: BaseException | None, err: str) -> None:
        self.code, self.out, self.error, self.err = code, out, error, err

    @property
    def line(self) -> str:
        """The error, as the command line prints it."""
        return in_flags(self.error.message) if isinstance(self.error, UpscaleError) else ""


@pytest.fixture
def run() -> Callable[..., Outcome]:
    """Runs the verb as a program of its own; errors stay exceptions, as `cli.main` gets them."""
    import typer

    app = typer.Typer()
    app.command()(verb_compare.compare)
    runner = CliRunner()

    def run(*args: object) -> Outcome:
        result = runner.invoke(app, [str(arg) for arg in args])
        error = result.exception if not isinstance(result.exception, SystemExit) else None
        if error is not None and not isinstance(error, UpscaleError):
            raise error
        code = error.exit_code if isinstance(error, UpscaleError) else result.exit_code
        return Outcome(code, result.stdout, error, result.stderr)

    return run


Run = Callable[..., Outcome]


# What belongs together


def test_labels_are_as_short_as_they_can_be() -> None:
    assert labels([Path("a/cat.png"), Path("b/cat.png"), Path("b/dog.png")]) == ["a/cat.png", "b/cat.png", "b/dog.png"]
    assert labels([Path("cat.png"), Path("cat.png")]) == ["cat.png", "cat.png (2)"]
    assert labels([Path("a\nb.png"), Path("c.png")]) == ["a\\nb.png", "c.png"]


@pytest.mark.parametrize(
    ("lr", "sr", "pairs", "left"),
    [
        (["a.png", "b.jpg"], ["a.png", "b.png"], ["a", "b"], []),
        (["a.png", "b.png"], ["a_4x.png", "b_2.5x.webp"], ["a", "b"], []),
        (["a.png"], ["a_realesrgan_4x.png"], ["a"], []),
        (["a.png"], ["a_3840x2160.png"], ["a"], []),
        (["a_2x.png"], ["a_4x.png"], ["a"], []),
        (["a.png", "a_1.png"], ["a_4x.png", "a_1_4x.png"], ["a", "a_1"], []),
        (["p2.png", "p10.png"], ["p2.png", "p10.png"], ["p2", "p10"], []),
        (["a.png", "b.png"], ["a.png", "c.png"], ["a"], ["b.png", "c.png"]),
        (["a.png"], ["a.png", "a_4x.png"], ["a"], []),
        (["a.png", "b.png"], ["a_2x.png", "a_4x.png", "b.png"], ["b"], ["a.png"]),
        (["a.png", ".b.png", "c.txt", "d.nef"], ["a.png"], ["a"], []),
    ],
)
def test_folders_are_paired_by_name(
    tmp_path: Path, lr: list[str], sr: list[str], pairs: list[str], left: list[str]
) -> None:
    for folder, names in (("lr", lr), ("sr", sr)):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    (tmp_path / "lr" / "deep.png").mkdir()  # a folder, whatever it is called
    subjects, unpaired = subjects_of_folders([tmp_path / "lr", tmp_path / "sr"])
    assert [subject.name for subject in subjects] == pairs
    assert sorted(Path(one.file).name for one in unpaired) == left
    for subject in subjects:
        assert [version.label for version in subject.versions] == ["lr", "sr"]


def test_two_files_for_one_picture_are_named(tmp_path: Path) -> None:
    for name in ("lr/a.png", "sr/a_2x.png", "sr/a_4x.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    _, unpaired = subjects_of_folders([tmp_path / "lr", tmp_path / "sr"])
    assert len(unpaired) == 1
    assert re.search(r"a_2x\.png and a_4x\.png in .*sr may both be this picture", unpaired[0].why)


def test_a_reference_folder_is_paired_too(tmp_path: Path) -> None:
    for name in ("lr/a.png", "sr/a_4x.png", "hr/a.png", "lr/b.png", "sr/b.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    subjects, unpaired = subjects_of_folders([tmp_path / "lr", tmp_path / "sr"], tmp_path / "hr")
    assert [(subject.name, len(subject.versions)) for subject in subjects] == [("a", 2)]
    assert subjects[0].reference == Version("hr", tmp_path / "hr/a.png")
    assert [Path(one.file).name for one in unpaired] == ["b.png"]


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="there is no picture in it"):
        subjects_of_folders([tmp_path, tmp_path])


# What a picture loses on its way into the page


def jpeg(**options: Any) -> bytes:
    exif = b"Exif\0\0" + exif_block(1)
    return encoded(frame_of(height=40, width=56), "JPEG", exif=exif, xmp=XMP, comment=b"at home", **options)


SECRETS = (b"Acme", b"Camera 3000", b"at home", b"xpacket", b"GPS", b"Exif", b"EXIF", b"hidden")


@pytest.mark.parametrize(
    ("format", "data"),
    [
        ("JPEG", jpeg()),
        ("JPEG", jpeg(progressive=True, icc_profile=icc_profile())),
        ("JPEG", jpeg(restart_marker_blocks=2) + b"hidden after the end"),
        ("JPEG", encoded(frame_of("L"), "JPEG", comment=b"at home")),
        ("PNG", encoded(frame_of(), "PNG", exif=exif_block(1), icc_profile=icc_profile())),
        ("PNG", encoded(frame_of("RGBA"), "PNG")),
        ("WebP", encoded(frame_of(), "WEBP", exif=exif_block(1), xmp=XMP, icc_profile=icc_profile())),
        ("WebP", encoded(frame_of("RGBA"), "WEBP", lossless=True, exif=exif_block(1))),
        ("WebP", encoded(frame_of(), "WEBP")),
    ],
)
def test_metadata_go_and_pixels_stay(format: str, data: bytes) -> None:
    result = stripped(data, format)
    assert result is not None
    assert not any(secret in result for secret in SECRETS)
    before, after = (Image.open(io.BytesIO(file)) for file in (data, result))
    assert before.info.get("icc_profile") == after.info.get("icc_profile")
    np.testing.assert_array_equal(np.asarray(before), np.asarray(after))
    assert stripped(result, format) == result


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"x" * 99]
)
def test_what_is_no_whole_file_is_not_taken_as_it_is(format: str, data: bytes) -> None:
    assert stripped(data, format) is None


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize(("format", "data"), [("JPEG", jpeg()), ("PNG", encoded(frame_of(), "PNG"))])
def test_a_cut_file_is_not_taken_as_it_is(format: str, data: bytes, cut: float) -> None:
    assert stripped(data[: int(len(data) * cut)], format) is None


def loaded(source: Path | bytes) -> tuple[picture_module.Picture, list[str]]:
    reported: list[str] = []
    return load(Version("it", source), reported.append), reported


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation: int) -> None:
    """Upright before it goes into the page, which gets no note of any turn."""
    upright = frame_of(height=24, width=40)
    data = encoded(upright, "JPEG", quality=100, exif=b"Exif\0\0" + exif_block(orientation))
    picture, reported = loaded(data)
    assert reported == []
    assert picture.mime == ("image/jpeg" if orientation == 1 else "image/png")
    with Image.open(io.BytesIO(picture.data)) as image:
        assert not image.getexif()
        assert image.size == picture.size == ((40, 24) if orientation < 5 else (24, 40))
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), picture.frame.pixels)


def test_an_orientation_in_xmp_counts() -> None:
    """Browsers know nothing of it, so the picture is turned before it goes into the page."""
    picture, _ = loaded(encoded(frame_of(height=24, width=40), "JPEG", xmp=XMP))
    assert (picture.mime, picture.size) == ("image/png", (24, 40))


@pytest.mark.parametrize(
    ("layout", "dtype", "format", "native"),
    [
        ("RGB", np.uint8, "JPEG", True),
        ("CMYK", np.uint8, "JPEG", False),
        ("RGBA", np.uint8, "PNG", True),
        ("LA", np.uint8, "PNG", True),
        ("RGB", np.uint16, "PNG", False),
        ("RGB", np.uint8, "WebP", True),
        ("RGB", np.uint8, "TIFF", False),
        ("LAB", np.uint8, "TIFF", False),
        ("RGB", np.float32, "TIFF", False),
        ("L", np.uint16, "TIFF", False),
        ("RGB", np.uint16, "JPEG XL", False),
        ("RGB", np.uint8, "BMP", False),
        ("RGB", np.uint8, "AVIF", False),
    ],
)
def test_every_kind_of_picture_becomes_one_that_a_browser_shows(
    tmp_path: Path, layout: Any, dtype: Any, format: str, native: bool
) -> None:
    path = write(tmp_path / "picture", frame_of(layout, dtype), format)
    picture, _ = loaded(path)
    assert picture.mime == {"JPEG": "image/jpeg", "WebP": "image/webp"}.get(format if native else "PNG", "image/png")
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.mode in ("L", "LA", "RGB", "RGBA")
        assert image.size == picture.size == (37, 24)
        shown = np.asarray(image).reshape(picture.frame.pixels.shape)
        np.testing.assert_array_equal(shown, picture.frame.pixels)


def test_metadata_that_burst_do_no_harm() -> None:
    """A text of 100 MB in 100 kB: Pillow refuses the whole picture, ours is read."""
    text = b"Comment\0\0" + zlib.compress(bytes(10**8), 9)
    plain = encoded(frame_of(), "PNG")
    header = 8 + 25
    picture, _ = loaded(plain[:header] + chunk(b"zTXt", text) + plain[header:])
    assert len(picture.data) < 10**5
    np.testing.assert_array_equal(picture.frame.pixels, frame_of().pixels)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_a_wide_profile_stays(tmp_path: Path, format: str) -> None:
    profile = icc_profile()
    picture, _ = loaded(write(tmp_path / "wide", frame_of(), format, metadata=Metadata(icc=profile)))
    assert picture.profile == profile
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.info["icc_profile"] == profile


def test_of_an_animation_the_first_frame_is_shown_and_it_is_said(tmp_path: Path) -> None:
    frames = [frame_of(seed=seed, duration_ms=100.0) for seed in range(3)]
    picture, reported = loaded(write(tmp_path / "moving.png", frames, "PNG"))
    assert any("only the first of its 3 frames is shown" in line for line in reported)
    np.testing.assert_array_equal(picture.frame.pixels[..., :3], frames[0].pixels)


@pytest.mark.parametrize(("width", "height"), [(16_385, 8), (8, 20_000)])
def test_what_a_browser_does_not_show_is_refused(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "long.png"
    Image.new("L", (width, height)).save(path)
    with pytest.raises(InputError, match=rf"{width} x {height} pixels are more than a browser shows .*Compare a crop"):
        load(Version("long", path), lambda _: None)


# What is measured


def picture_of(pixels: Pixels, profile: bytes | None = None) -> picture_module.Picture:
    from upscale_cli.frames.image import Frame, Layout

    layouts: dict[int, Layout] = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    frame = Frame(pixels, layouts[pixels.shape[2]])
    return picture_module.Picture(Version("it", b""), frame, profile, "image/png", b"")


@pytest.mark.parametrize("shape", [(11, 11), (64, 40), (300, 37)])
@pytest.mark.parametrize("strip", [1, 400, 2**20])
def test_strips_measure_what_the_whole_does(
    noise: Callable[..., Pixels], monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], strip: int
) -> None:
    monkeypatch.setattr("upscale_cli.compare.measure._STRIP_PIXELS", strip)
    a, b = noise(*shape, 3), noise(*shape, 3, seed=1)
    found = likeness(picture_of(a), picture_of(b))
    assert found is not None
    assert found.psnr_rgb == pytest.approx(metrics.psnr(a, b), abs=1e-10)
    assert found.psnr_luma == pytest.approx(metrics.psnr(metrics.studio_luma(a), metrics.studio_luma(b)), abs=1e-10)
    assert found.ssim_luma == pytest.approx(metrics.ssim(metrics.studio_luma(a), metrics.studio_luma(b)), abs=1e-12)
    assert found.largest == np.abs(a.astype(int) - b).max()


def test_grey_pictures_are_taken_as_they_are(noise: Callable[..., Pixels]) -> None:
    a, b = noise(40, 40, 1), noise(40, 40, 1, seed=1)
    found = likeness(picture_of(a), picture_of(b))
    assert found is not None
    assert found.psnr_rgb is None
    assert found.psnr_luma == pytest.approx(metrics.psnr(a, b))


def test_grey_against_colour_is_measured_in_colour(noise: Callable[..., Pixels]) -> None:
    gray = noise(40, 40, 1)
    found = likeness(picture_of(gray), picture_of(np.repeat(gray, 3, axis=2)))
    assert found == Likeness(math.inf, math.inf, 1.0, 0)


def test_transparency_is_seen_on_white() -> None:
    clear = np.zeros((16, 16, 4), np.uint8)
    found = likeness(picture_of(clear), picture_of(np.full((16, 16, 3), 255, np.uint8)))
    assert found is not None
    assert found.largest == 0


def test_pictures_of_unlike_profiles_are_measured_in_srgb() -> None:
    """White and black are the same in every profile; a colour of equal numbers is not."""
    colour = np.full((16, 16, 3), (200, 80, 40), np.uint8)
    same = likeness(picture_of(colour, icc_profile()), picture_of(colour, icc_profile()))
    unlike = likeness(picture_of(colour, icc_profile()), picture_of(colour))
    white = likeness(picture_of(np.full_like(colour, 255), icc_profile()), picture_of(np.full_like(colour, 255)))
    assert same is not None
    assert unlike is not None
    assert white is not None
    assert (same.largest, white.largest) == (0, 0)
    assert unlike.largest > 20


def test_what_cannot_be_measured(noise: Callable[..., Pixels]) -> None:
    assert likeness(picture_of(noise(8, 8, 3)), picture_of(noise(8, 9, 3))) is None
    small = likeness(picture_of(noise(10, 40, 3)), picture_of(noise(10, 40, 3, seed=1)))
    assert small is not None
    assert small.ssim_luma is None


# The page


def test_the_page_holds_everything_and_asks_for_nothing(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    compared = write_page([subject_of_files(pair)], tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert compared.size == (tmp_path / "page.html").stat().st_size
    assert compared.pictures == 1
    for position, path in enumerate(pair):
        _, image = page.picture(0, position)
        np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(path)))
    assert [(one["width"], one["height"]) for one in page.data[0]["versions"]] == [(16, 12), (32, 24)]
    outside = [found for found in page.attributes if found[1] in ("src", "href", "srcset", "action", "poster")]
    assert outside == []
    assert not re.search(r"https?:|@import|url\(", re.sub(r"<script type=.*?</script>", "", page.text, flags=re.DOTALL))


def test_the_policy_allows_this_script_and_this_style_only(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    write_page([subject_of_files(pair)], tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    for rule, text in (("script-src", page.scripts[0]), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert len(page.scripts) == 1
    assert not [found for found in page.attributes if found[1] == "style" or found[1].startswith("on")]


HOSTILE = "</script><img src=x onerror=alert(1)>&\"'<!-- {style}{policy}{data}{script} 猫 \u2028"


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    versions = tuple(Version(HOSTILE + mark, encoded(frame_of(), "PNG")) for mark in "ab")
    write_page([Subject(HOSTILE, versions)], tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.data[0]["name"] == HOSTILE
    assert [one["label"] for one in page.data[0]["versions"]] == [HOSTILE + "a", HOSTILE + "b"]
    assert page.title == f"{HOSTILE}a | {HOSTILE}b"
    assert len(page.scripts) == 1
    assert not [tag for tag, *_ in page.attributes if tag == "img"]
    assert page.text.count("default-src") == 1
    assert html.escape(HOSTILE) in page.text


def test_several_versions_are_each_measured_against_the_reference(
    tmp_path: Path, pair: tuple[Path, Path], noise: Callable[..., Pixels]
) -> None:
    other = saved(tmp_path / "other.png", noise(24, 32, 3, seed=2))
    hr = saved(tmp_path / "hr.png", noise(24, 32, 3, seed=1))
    compared = write_page([subject_of_files([*pair, other], hr)], tmp_path / "page.html")
    assert [(one.before, one.after) for one in compared.measured] == [("cat_2x.png", "hr.png"), ("other.png", "hr.png")]
    assert compared.measured[0].likeness == Likeness(math.inf, math.inf, 1.0, 0)
    page = Page(tmp_path / "page.html")
    assert [one["reference"] for one in page.data[0]["versions"]] == [False, False, False, True]
    assert {(one["a"], one["b"]): one["psnr_rgb"] for one in page.data[0]["alike"]}[1, 3] == "inf"


@pytest.mark.parametrize(
    ("size", "reported", "refused"),
    [((32, 24), 0, False), ((33, 24), 0, False), ((65, 48), 0, False), ((800, 607), 1, False), ((24, 24), 0, True)],
)
def test_shapes(tmp_path: Path, size: tuple[int, int], reported: int, refused: bool) -> None:
    """A pixel of rounding is nothing, a little stretch is reported, another shape is another picture."""
    times = 10 if size[0] > 99 else 1
    wide = saved(tmp_path / "wide.png", np.zeros((12 * times, 16 * times), np.uint8))
    other = saved(tmp_path / "other.png", np.zeros(size[::-1], np.uint8))
    notes: list[str] = []
    if refused:
        with pytest.raises(InputError, match="not of one shape, so they show different things"):
            write_page([subject_of_files([wide, other])], tmp_path / "page.html", say=notes.append)
        assert not (tmp_path / "page.html").exists()
    else:
        write_page([subject_of_files([wide, other])], tmp_path / "page.html", say=notes.append)
    assert len(notes) == reported


def test_a_bad_picture_among_others_is_left_out_and_named(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(pair[0].read_bytes()[:60])
    subjects = [subject_of_files([broken, pair[1]]), subject_of_files(pair)]
    compared = write_page(subjects, tmp_path / "page.html")
    assert compared.pictures == 1
    assert [name for name, _ in compared.failed] == ["broken"]
    page = Page(tmp_path / "page.html")
    assert [one["name"] for one in page.data] == ["cat"]
    page.picture(0, 1)
    with pytest.raises(InputError, match="none of the 2 pictures can be compared"):
        write_page(subjects[:1] * 2, tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_nothing_half_done_is_left(tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "LARGEST_PAGE", 1000)
    with pytest.raises(OutputError, match=r"would be larger than .* Compare fewer pictures"):
        write_page([subject_of_files(pair)], tmp_path / "page.html")
    assert {path.name for path in tmp_path.iterdir()} == {"cat.png", "cat_2x.png"}


# Next to an output


def test_the_page_beside_outputs(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    outputs = [pair[1], saved(tmp_path / "out/cat_b_2x.png", np.zeros((24, 32, 3), np.uint8))]
    compared = Comparison(pair[0].read_bytes(), "-", pair[1], outputs=outputs).write()
    assert compared.output == str(tmp_path / "stdin_compare.html")
    page = Page(Path(compared.output))
    assert [one["label"] for one in page.data[0]["versions"]] == ["stdin", "cat_2x.png", "cat_b_2x.png"]


# The command line


def test_two_pictures(run: Run, pair: tuple[Path, Path]) -> None:
    outcome = run(*pair)
    assert (outcome.code, outcome.out) == (0, "")
    assert re.search(r"cat_compare\.html  1 picture, \d+ kB  ", outcome.err)
    assert (pair[1].parent / "cat_compare.html").is_file()


def test_what_was_measured_is_told(run: Run, tmp_path: Path, noise: Callable[..., Pixels]) -> None:
    a = saved(tmp_path / "a.png", noise(20, 20, 3))
    b = saved(tmp_path / "b.png", noise(20, 20, 3, seed=1))
    outcome = run(a, b, "-o", tmp_path / "page.html", "--json")
    record = json.loads(outcome.out.splitlines()[-1])
    expected = metrics.psnr(noise(20, 20, 3), noise(20, 20, 3, seed=1))
    assert record["event"] == "compared"
    assert record["measured"][0]["psnr_rgb"] == pytest.approx(expected)
    shown = run(a, b, "-o", tmp_path / "page.html", "--overwrite").err
    assert f"a.png to b.png: PSNR {record['measured'][0]['psnr_luma']:.2f} dB, SSIM " in shown
    assert run(a, a, "-o", tmp_path / "same.html").err.startswith("a.png = a.png (2): identical pixels")


def test_folders_with_an_unpaired_picture(run: Run, tmp_path: Path, noise: Callable[..., Pixels]) -> None:
    for name in ("lr/a.png", "lr/b.png", "sr/a_4x.png"):
        saved(tmp_path / name, noise(12, 12, 3))
    outcome = run(tmp_path / "lr", tmp_path / "sr")
    assert outcome.code == 1
    assert re.search(r"error: .*b\.png: there is no picture of that name in .*sr", outcome.err)
    assert [one["name"] for one in Page(tmp_path / "sr_compare.html").data] == ["a"]


def test_open(run: Run, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert run(*pair, "--open", "-q").err == ""
    assert opened == [(pair[1].parent / "cat_compare.html").as_uri()]


@pytest.mark.parametrize(
    ("names", "code", "message"),
    [
        (("cat.png",), 2, r"cat\.png alone cannot be compared\. Name a second"),
        (("cat.png", "none.png"), 1, r"none\.png: there is no such file\. Check"),
        (("cat.png", "text.png"), 1, r"text\.png: this is text, not a picture"),
        (("cat.png", "empty.png"), 1, r"empty\.png: the file is empty"),
        (("cat.png", "full"), 2, r"full is a folder and .*cat\.png a picture\. Compare"),
        (("cat.png", "clip.mp4"), 2, r"clip\.mp4 is a clip and .*cat\.png a picture\. Compare"),
        (("empty", "full"), 1, r"empty: there is no picture in it"),
        (("full", "other"), 1, r"have no picture in common: .*cat\.png: there is no picture of that name in .*other"),
        (("cat.png", "cat_2x.png", "-o", "page.txt"), 2, r"page\.txt: .*Give it a name in \.html"),
        (("cat.png", "cat_2x.png", "-o", "-"), 2, r"-o -: the result has to be a file"),
        (("cat.png", "cat_2x.png", "-o", "none/page.html"), 1, r"the folder .*none does not exist\. Create it first"),
        (("cat.png", "cat_2x.png", "-o", "there.html"), 1, r"there\.html: already exists\. Allow .*--overwrite"),
        (("cat.png", "page.html", "-o", "page.html", "--overwrite"), 1, r"page\.html: is an input"),
        (("clip.mp4", "clip.mp4", "clip.mp4"), 2, r"3 clips do not fit side by side\. Name two"),
        (("clip.mp4", "clip.mp4", "--hr", "clip.mp4"), 2, r"--hr .*is for pictures"),
        (("clip.mp4", "clip.mp4", "-o", "new.mp4"), 1, r"clip\.mp4: this is no clip that can be read"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("pair")
def test_what_is_refused(run: Run, tmp_path: Path, names: Sequence[str], code: int, message: str) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "page.html").write_text("a page")
    (tmp_path / "there.html").write_text("a page")
    (tmp_path / "empty.png").touch()
    (tmp_path / "clip.mp4").write_bytes(bytes(100))
    (tmp_path / "empty").mkdir()
    saved(tmp_path / "full/cat.png", np.zeros((4, 4), np.uint8))
    saved(tmp_path / "other/dog.png", np.zeros((4, 4), np.uint8))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    args = [name if name.startswith("-") else str(tmp_path / name) for name in names]
    outcome = run(*args)
    assert outcome.code == code
    assert re.search(message, outcome.line)
    assert "\n" not in outcome.line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_verb_needs_neither_torch_nor_numpy() -> None:
    code = "import sys, upscale_cli.cli.verb_compare; print({'torch', 'numpy', 'PIL', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Clips


def halves(path: Path) -> tuple[list[tuple[Any, Any]], list[Fraction], list[str]]:
    """Left and right of every frame as RGB, the times in seconds, and the kinds of streams."""
    import av

    found, times = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            pixels = frame.to_ndarray(format="rgb24").astype(int)
            middle = pixels.shape[1] // 2
            found.append((pixels[:, :middle], pixels[:, middle:]))
            assert frame.pts is not None
            assert frame.time_base is not None
            times.append(frame.pts * frame.time_base)
        return found, times, [one.type for one in container.streams]


def frames_of(path: Path) -> list[Any]:
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def close(a: Any, b: Any) -> bool:
    return bool(np.abs(a - b).mean() < 6)


def test_clips_side_by_side(run: Run, clips: Clips, tmp_path: Path) -> None:
    """Every frame of both, at its time; the smaller one enlarged; the sound of the first."""
    plain, large = clips("plain"), tmp_path / "large.mkv"
    ffmpeg("-i", plain, "-vf", "scale=192:128:flags=bicubic,hue=h=120", "-an", "-c:v", "ffv1", large)
    outcome = run(plain, large, "-o", tmp_path / "both.mp4")
    assert outcome.code == 0, outcome.err
    found, times, kinds = halves(tmp_path / "both.mp4")
    assert kinds == ["video", "audio"]
    assert len(found) == 12
    assert times == [Fraction(number, 25) for number in range(12)]
    for (left, right), small, big in zip(found, frames_of(plain), frames_of(large), strict=True):
        enlarged = np.asarray(Image.fromarray(small.astype(np.uint8)).resize((192, 128), Image.Resampling.BICUBIC))
        assert close(left, enlarged.astype(int))
        assert close(right, big)
        assert not close(left, right)
    assert not (tmp_path / "both.mp4.work").exists()


def test_unlike_rates_are_matched_by_time(run: Run, tmp_path: Path) -> None:
    slow, fast = tmp_path / "slow.mp4", tmp_path / "fast.mkv"
    source = "testsrc2=size=64x64:duration=1"
    ffmpeg("-f", "lavfi", "-i", f"{source}:rate=25", "-c:v", "libx264", slow)
    ffmpeg("-f", "lavfi", "-i", f"{source}:rate=50", "-c:v", "libx264", fast)
    outcome = run(slow, fast, "-o", tmp_path / "both.mkv")
    assert "slow.mp4 has 25 frames and fast.mkv 50: matched by time." in outcome.err
    found, times, _ = halves(tmp_path / "both.mkv")
    assert times == [Fraction(20 * number, 1000) for number in range(50)]
    old, new = frames_of(slow), frames_of(fast)
    for number, (left, right) in enumerate(found):
        assert close(left, old[number // 2])
        assert close(right, new[number])


def test_one_rate_in_two_containers_is_one_rate(run: Run, tmp_path: Path) -> None:
    """Matroska rounds times to milliseconds, MP4 does not: no frame is shown twice for that."""
    exact, rounded = tmp_path / "exact.mp4", tmp_path / "rounded.mkv"
    source = "testsrc2=size=64x64:rate=24000/1001:duration=2"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", exact)
    ffmpeg("-i", exact, "-c", "copy", rounded)
    assert run(exact, rounded, "-o", tmp_path / "both.mp4").code == 0
    found, times, _ = halves(tmp_path / "both.mp4")
    assert times == [number * Fraction(1001, 24000) for number in range(48)]
    for (left, right), frame in zip(found, frames_of(exact), strict=True):
        assert close(left, frame)
        assert close(right, frame)


def test_a_failure_leaves_nothing(run: Run, clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.compare.video_side_by_side._SCALE", "no+such+flags")
    outcome = run(clips("plain"), clips("plain"), "-o", tmp_path / "both.mp4")
    assert outcome.code == 1
    assert re.fullmatch(
        r'plain\.mp4: ffmpeg ended with code \d+ \(".+"\)\. Choose another -o, or other clips\.', outcome.line
    )
    assert list(tmp_path.iterdir()) == []


def test_the_shorter_one_ends_it(run: Run, clips: Clips, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    ffmpeg("-i", clips("plain"), "-frames:v", 5, "-an", "-c:v", "libx264", short)
    outcome = run(clips("plain"), short, "-o", tmp_path / "both.mkv")
    assert "the comparison ends with short.mp4" in outcome.err
    assert len(halves(tmp_path / "both.mkv")[0]) == 5


def test_odd_sides_and_other_formats(run: Run, clips: Clips, tmp_path: Path) -> None:
    outcome = run(clips("odd"), clips("odd"), "-o", tmp_path / "both.webm")
    assert outcome.code == 0, outcome.err
    found, _, _ = halves(tmp_path / "both.webm")
    assert found[0][0].shape == (18, 34, 3)
    stretched = Image.fromarray(frames_of(clips("odd"))[0].astype(np.uint8)).resize((34, 18), Image.Resampling.BICUBIC)
    assert np.abs(found[0][0] - np.asarray(stretched).astype(int)).mean() < 20  # a test picture with hard edges
    assert (found[0][0][:, -1].max(axis=1) > 100).mean() > 0.8  # no black border


def test_a_clip_that_lies_on_its_side_is_shown_upright(tmp_path: Path, clips: Clips) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", 90, "-i", clips("plain"), "-c", "copy", turned)
    side = examine(turned)
    assert (side.width, side.height) == (64, 96)


def test_clips_of_unlike_shapes(run: Run, clips: Clips, tmp_path: Path) -> None:
    outcome = run(clips("plain"), clips("odd"), "-o", tmp_path / "both.mkv")
    assert outcome.code == 1
    assert "not of one shape" in outcome.line
    assert list(tmp_path.iterdir()) == []


def test_a_clip_beside_its_output(clips: Clips, tmp_path: Path) -> None:
    output = tmp_path / "plain_2x.mkv"
    ffmpeg("-i", clips("plain"), "-vf", "scale=192:128", "-c:v", "ffv1", output)
    notes: list[Any] = []
    comparison = Comparison(clips("plain"), "plain.mp4", output, is_clip=True, outputs=[output])
    compared = comparison.write(listener=notes.append)
    assert compared.output == str(tmp_path / "plain_compare.mkv")
    assert len(halves(Path(compared.output))[0]) == 12
    assert not [note for note in notes if isinstance(note, Note)]
