"""Which files a run takes, from folders, lists and globs."""

import codecs
import io
import os
import sys
import unicodedata
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.batch.choice import BELOW, EXCLUDED, HIDDEN, OTHER, OURS, RAW, Choice, Sources
from upscale_cli.batch.discovery import find_sources, natural
from upscale_cli.batch.globs import check_globs, matches
from upscale_cli.batch.input_list import lines_of
from upscale_cli.errors import InputError, OptionError

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


def grow(folder: Path, *names: str) -> Path:
    """A tree of files that have a name and no more."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def found(folder: Path, choice: Choice | None = None) -> Sources:
    return find_sources([str(folder)], [], choice or Choice(recursive=True, output=folder.parent / "out"))


def names(sources: Sources) -> list[str]:
    return [source.below_root.as_posix() for source in sources.inputs]


def test_photos_and_clips_are_taken_and_all_else_is_counted(tmp_path: Path) -> None:
    grow(tmp_path / "in", "a.JPG", "b.mkv", "a.xmp", "note", "shot.CR2", ".hidden.png", ".git/x.png", "pipe.txt")
    sources = found(tmp_path / "in")
    assert names(sources) == ["a.JPG", "b.mkv"]
    assert dict(sources.ignored) == {OTHER: 3, RAW: 1, HIDDEN: 1}


def test_program_text_is_no_transport_stream(tmp_path: Path) -> None:
    folder = grow(tmp_path / "in", "real.ts")
    (folder / "code.ts").write_text("export const answer = 42;\n" * 99)
    (folder / "real.ts").write_bytes((b"\x47\x40\x00\x10" + b"\xff" * 184) * 50)
    assert names(found(folder)) == ["real.ts"]


def test_only_files_directly_in_the_folder_without_r(tmp_path: Path) -> None:
    grow(tmp_path / "in", "a.png", "sub/b.png", "sub/deep/c.png")
    sources = found(tmp_path / "in", Choice())
    assert names(sources) == ["a.png"]
    assert sources.ignored[BELOW] == 1
    assert names(found(tmp_path / "in")) == ["a.png", "sub/b.png", "sub/deep/c.png"]


def test_the_order_is_natural_and_the_same_for_any_order_on_disk(tmp_path: Path) -> None:
    wanted = ["a.png", "A2/x.png", "img2.png", "img10.png", "img10b.png", "z/1.png"]
    grow(tmp_path / "one", *wanted)
    grow(tmp_path / "two", *reversed(wanted))
    assert names(found(tmp_path / "one")) == names(found(tmp_path / "two")) == sorted(wanted, key=natural)
    assert names(found(tmp_path / "one")).index("img2.png") < names(found(tmp_path / "one")).index("img10.png")


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), unique=True))
def test_any_names_have_one_order(texts: list[str]) -> None:
    turned = texts[::-1]
    assert sorted(texts, key=natural) == sorted(turned, key=natural)


def test_both_forms_of_an_accent_are_files_of_their_own(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    grow(tmp_path / "in", composed, decomposed)
    there = sorted(path.name for path in (tmp_path / "in").iterdir())  # one, where the file system folds
    assert sorted(names(found(tmp_path / "in"))) == there


# Links


@needs_links
def test_links_in_circles_end(tmp_path: Path) -> None:
    folder = grow(tmp_path / "in", "a/1.png", "b/2.png")
    (folder / "a/up").symlink_to("..")
    (folder / "a/to_b").symlink_to("../b")
    (folder / "b/to_a").symlink_to("../a")
    (folder / "self").symlink_to("self")
    assert names(found(folder)) == ["a/1.png", "b/2.png"]


@needs_links
def test_a_linked_folder_is_found_under_its_own_name_where_it_has_one(tmp_path: Path) -> None:
    folder = grow(tmp_path / "in", "z/1.png")
    grow(tmp_path / "elsewhere", "2.png")
    (folder / "a").symlink_to("z")
    (folder / "outside").symlink_to(tmp_path / "elsewhere")
    assert names(found(folder)) == ["outside/2.png", "z/1.png"]


@needs_links
def test_links_to_files_are_files_and_links_to_nothing_have_failed(tmp_path: Path) -> None:
    folder = grow(tmp_path / "in", "a.png")
    (folder / "b.png").symlink_to("a.png")
    (folder / "c.png").symlink_to("gone.png")
    (folder / "d.png").symlink_to("d.png")
    sources = found(folder)
    assert names(sources) == ["a.png", "b.png"]
    assert [Path(name).name for name, _ in sources.failed] == ["c.png", "d.png"]
    assert all("leads nowhere" in why for _, why in sources.failed)


@needs_links
def test_what_is_neither_file_nor_folder_is_ignored(tmp_path: Path) -> None:
    folder = grow(tmp_path / "in", "a.png")
    os.mkfifo(folder / "pipe.png")
    assert names(found(folder)) == ["a.png"]


@pytest.mark.skipif(os.name == "nt" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="root reads everything")
def test_a_folder_that_cannot_be_read_has_failed_and_the_others_are_walked(tmp_path: Path) -> None:
    folder = grow(tmp_path / "in", "a.png", "locked/b.png")
    (folder / "locked").chmod(0)
    sources = found(folder)
    (folder / "locked").chmod(0o700)
    assert names(sources) == ["a.png"]
    assert "Permission denied" in sources.failed[0][1]


# Outputs of ours


def test_outputs_inside_the_folder_are_no_inputs(tmp_path: Path) -> None:
    grow(tmp_path, "a.png", "out/a_4x.png", "out/sub/b.png", "more/c.png")
    assert names(found(tmp_path, Choice(recursive=True, output=tmp_path / "out"))) == ["a.png", "more/c.png"]


def test_names_of_outputs_beside_inputs_are_known(tmp_path: Path) -> None:
    ours = ["a_4x.jpg", "a_2.5x.png", "a_800x600.jpg", "a_espcn_4x.jpg", "a_preview_2x.mkv"]
    theirs = ["a.jpg", "b_4x.jpg", "a_4xl.jpg", "a_x4.jpg"]
    grow(tmp_path, *ours, *theirs)
    sources = found(tmp_path, Choice())
    assert sorted(names(sources)) == sorted(theirs)
    assert sources.ignored[OURS] == len(ours)
    assert len(found(tmp_path).inputs) == len(ours + theirs)  # where outputs go elsewhere, names say nothing


def test_the_work_folder_of_a_clip_is_not_looked_into(tmp_path: Path) -> None:
    grow(tmp_path / "in", "film.mkv", "film_2x.mkv.work/stretch-1.mkv", "home.work/a.png")
    assert names(found(tmp_path / "in")) == ["film.mkv", "home.work/a.png"]


# Globs


@pytest.mark.parametrize(
    ("glob", "takes"),
    [
        ("*.jpg", {"a.JPG", "2024/b.jpg", "2024/may/c.jpg"}),
        ("2024", {"2024/b.jpg", "2024/may/c.jpg"}),
        ("2024/*.jpg", {"2024/b.jpg"}),
        ("2024/**", {"2024/b.jpg", "2024/may/c.jpg"}),
        ("**/*.jpg", {"a.JPG", "2024/b.jpg", "2024/may/c.jpg"}),
        ("**/may/*", {"2024/may/c.jpg"}),
        ("./a.*", {"a.JPG"}),
        ("may/", {"2024/may/c.jpg"}),
        ("[ab].j?g", {"a.JPG", "2024/b.jpg"}),
        ("jpg", set()),
    ],
)
def test_globs(glob: str, takes: set[str]) -> None:
    assert {path for path in ("a.JPG", "2024/b.jpg", "2024/may/c.jpg") if matches(PurePath(path), glob)} == takes


@pytest.mark.slow
def test_many_stars_take_no_time() -> None:
    assert not matches(PurePath("/".join("a" * 200)), "**/" * 50 + "b")


def test_exclude_goes_before_include(tmp_path: Path) -> None:
    grow(tmp_path / "in", "a.jpg", "b.png", "drafts/c.jpg", "keep/drafts/d.jpg")
    choice = Choice(recursive=True, include=("*.jpg",), exclude=("drafts",), output=tmp_path / "out")
    sources = found(tmp_path / "in", choice)
    assert names(sources) == ["a.jpg"]
    assert sources.ignored[EXCLUDED] == 3


@pytest.mark.parametrize("glob", ["", "/", "/home/*.jpg"])
def test_globs_that_match_nothing_are_refused(glob: str) -> None:
    with pytest.raises(OptionError, match="matches nothing"):
        check_globs("include", [glob])


# Lists


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a.jpg\nb c.jpg\n", ["a.jpg", "b c.jpg"]),
        (b"a.jpg\r\n\r\nb.jpg\r\n", ["a.jpg", "b.jpg"]),
        (codecs.BOM_UTF8 + "ä.jpg".encode(), ["ä.jpg"]),
        ("ä.jpg\r\nb.jpg".encode("utf-16"), ["ä.jpg", "b.jpg"]),
        (b"new\nline.jpg\0b.jpg\0", ["new\nline.jpg", "b.jpg"]),
        (b" #1 'quote'\".jpg \n", [" #1 'quote'\".jpg "]),
        (b"", []),
    ],
)
def test_lists(data: bytes, lines: list[str]) -> None:
    assert lines_of(data, "list.txt") == lines


def test_a_list_names_files_and_folders_below_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, "a/1.png", "a/deep/2.png", "b/3.dat", "c.png", "far/away/d.png", "far/beside.png")
    monkeypatch.chdir(tmp_path)
    lines = ["a", "b/3.dat", "c.png", str(tmp_path / "far/away/d.png"), "c.png", "gone.png", "beside.png"]
    (tmp_path / "far/list.txt").write_text("\n".join(lines))
    sources = find_sources(["far/list.txt"], [], Choice(recursive=True, output=tmp_path / "out"))
    wanted = ["a/1.png", "a/deep/2.png", "b/3.dat", "c.png", "far/away/d.png", "gone.png", "far/beside.png"]
    assert names(sources) == wanted


def test_a_list_on_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, "a.png", "b.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"b.png\0a.png\0")))
    assert names(find_sources([], ["-"], Choice())) == ["b.png", "a.png"]


def test_a_list_knows_accents_in_either_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, unicodedata.normalize("NFD", "é.png"))
    (tmp_path / "list.txt").write_text(unicodedata.normalize("NFC", "é.png"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (source,) = find_sources(["list.txt"], [], Choice()).inputs
    assert source.path.exists()


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.txt: the list cannot be read"):
        find_sources([str(tmp_path / "gone.txt")], [], Choice())
