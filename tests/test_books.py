"""Comic books: every page is upscaled, all else is as it was, and the same book comes out."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.command import Run

COMIC_INFO = (
    b'<ComicInfo><Title>A tale</Title><Pages><Page Image="0" Type="FrontCover" ImageSize="99" ImageWidth="40" '
    b'ImageHeight="60" /></Pages></ComicInfo>'
)
PAGES = {"ch1/p1.jpg": "JPEG", "ch1/p2.PNG": "PNG", "ch2/p10.webp": "WEBP", "cover.gif": "GIF"}


def page(kind: str, size: tuple[int, int], colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def book(path: Path, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.comment = b'{"appID": "a reader"}'
        made.writestr("ch1/", b"")
        for index, (name, kind) in enumerate(PAGES.items()):
            entry = zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 6))
            made.writestr(entry, page(kind, (40 + index, 60), (60 * index, 120, 40)))
        made.writestr("ComicInfo.xml", COMIC_INFO, zipfile.ZIP_DEFLATED)
        made.writestr("__MACOSX/ch1/._p1.jpg", b"\0\5\x16\7")
        for name, data in more.items():
            made.writestr(name, data)
    return path


def pictures(path: Path) -> dict[str, Image.Image]:
    with zipfile.ZipFile(path) as made:
        assert made.testzip() is None
        opened: dict[str, Image.Image] = {
            name: Image.open(io.BytesIO(made.read(name))) for name in made.namelist() if name in PAGES
        }
        for picture in opened.values():
            picture.load()
        return opened


def test_the_same_book_comes_out(run: Run, tmp_path: Path) -> None:
    source = book(tmp_path / "a.cbz")
    outcome = run(source, "-m", "bicubic", "-s", 2)
    assert outcome.code == 0, outcome.err
    assert "4 frames" in outcome.err + outcome.out
    output = tmp_path / "a_2x.cbz"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.cbz", "a_2x.cbz"]
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(output) as after:
        assert after.namelist() == before.namelist()
        assert after.comment == before.comment
        assert after.getinfo("ch1/p1.jpg").date_time == (2001, 2, 3, 4, 5, 6)
        assert after.read("__MACOSX/ch1/._p1.jpg") == b"\0\5\x16\7"
        info = after.read("ComicInfo.xml")
        assert b"<Title>A tale</Title>" in info
        assert b'<Page Image="0" Type="FrontCover" />' in info
    assert "sizes of pages are left out of ComicInfo.xml" in outcome.err
    for index, (name, picture) in enumerate(pictures(output).items()):
        assert (picture.format, picture.size) == (PAGES[name], (80 + 2 * index, 120))
        colour = picture.convert("RGB").getpixel((40, 60))
        assert isinstance(colour, tuple)
        assert max(abs(one - other) for one, other in zip(colour, (60 * index, 120, 40), strict=True)) <= 6


@pytest.mark.slow
def test_a_damaged_page_fails_the_book_or_stays_where_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    source = book(tmp_path / "a.cbz", **{"ch2/p11.png": b"no picture at all, but text"})
    outcome = run(source, "-m", "bicubic", "-s", 2)
    assert "a.cbz/ch2/p11.png: this is text" in outcome.line
    assert "--salvage leaves such a page as it was" in outcome.line
    assert not (tmp_path / "a_2x.cbz").exists()
    outcome = run(source, "-m", "bicubic", "-s", 2, "--salvage")
    assert outcome.code == 1
    assert "1 page of it could not be read" in outcome.err
    with zipfile.ZipFile(tmp_path / "a_2x.cbz") as after:
        assert after.read("ch2/p11.png") == b"no picture at all, but text"
    assert pictures(tmp_path / "a_2x.cbz")["ch1/p1.jpg"].size == (80, 120)


def test_a_page_under_a_wrong_name_gets_its_own(run: Run, tmp_path: Path) -> None:
    source = book(tmp_path / "a.cbz", **{"z.jpg": page("PNG", (30, 40), (1, 2, 3))})
    assert run(source, "-m", "bicubic", "-s", 2).code == 0
    with zipfile.ZipFile(tmp_path / "a_2x.cbz") as after:
        assert Image.open(io.BytesIO(after.read("z.png"))).size == (60, 80)


def test_books_in_a_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    book(tmp_path / "in/a.cbz")
    outcome = run(tmp_path / "in", "-o", f"{tmp_path}/out/", "-m", "bicubic", "-s", 2)
    assert outcome.code == 0, outcome.err
    assert pictures(tmp_path / "out/a_2x.cbz")["ch1/p2.PNG"].size == (82, 120)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("-f", "png"), "pages of a book keep their formats"),
        (("-o", "b.png"), "a book stays a book"),
        (("-o", "-"), "a book stays a book"),
    ],
)
def test_a_book_stays_a_book(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in run(book(tmp_path / "a.cbz"), "-m", "bicubic", *options).line


def test_what_is_no_book_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rar.cbz").write_bytes(b"Rar!\x1a\x07\x01\0" + bytes(40))
    assert "the book is a RAR archive. Repack its pages" in run(tmp_path / "rar.cbz").line
    (tmp_path / "torn.cbz").write_bytes(book(tmp_path / "a.cbz").read_bytes()[:300])
    assert "damaged, or no ZIP archive" in run(tmp_path / "torn.cbz").line
    with zipfile.ZipFile(tmp_path / "empty.cbz", "w") as made:
        made.writestr("readme.txt", "hello")
    assert "no page is in it, among 1 file" in run(tmp_path / "empty.cbz").line
    data = bytearray((tmp_path / "a.cbz").read_bytes())
    at = data.index(b"ComicInfo.xml")
    data[at + 40 : at + 44] = b"\xff\xff\xff\xff"
    (tmp_path / "bad.cbz").write_bytes(data)
    assert "ComicInfo.xml cannot be unpacked" in run(tmp_path / "bad.cbz", "-m", "bicubic").line
    assert not (tmp_path / "bad_4x.cbz").exists()
