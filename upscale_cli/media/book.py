"""Comic books (CBZ): a ZIP of pictures, one a page, and what else lies in it.

Source: PKWARE, APPNOTE (ZIP); the Anansi Project's ComicInfo.xml, version 2.
"""

import lzma
import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from upscale_cli.errors import InputError
from upscale_cli.media.image.formats import RAW_EXTENSIONS, is_picture_ending
from upscale_cli.text import counted

ENDING: Final = ".cbz"

LARGEST_MEMBER: Final = 2**30
"""Bytes that one file in it may unpack to."""

_PAGE = re.compile(rb"<Page\b[^<>]*>")
_SIZES = re.compile(rb"""\s(?:ImageWidth|ImageHeight|ImageSize)\s*=\s*(?:"[^"]*"|'[^']*')""")


def is_page(member: zipfile.ZipInfo) -> bool:
    """Whether a file in the book is a page, by its name."""
    path = PurePosixPath(member.filename)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    ending = path.suffix.lower()
    return not (member.is_dir() or hidden or ending in RAW_EXTENSIONS) and is_picture_ending(ending)


def open_book(path: Path, name: str) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """The archive, to be closed, and its pages in the order they lie in.

    Raises:
        InputError: no ZIP, encrypted, or without a page.
    """
    try:
        book = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise InputError(f"{name}: there is no such file. Check the name and the folder.") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        what = "a RAR archive" if _begins(path, b"Rar!") else "damaged, or no ZIP archive"
        raise InputError(f"{name}: the book is {what}. Repack its pages as a ZIP that ends in .cbz.") from error
    members = book.infolist()
    pages = [member for member in members if is_page(member)]
    if any(member.flag_bits & 1 for member in members):
        book.close()
        raise InputError(f"{name}: the book is encrypted. Unpack it with its password, and pack it again without one.")
    if not pages:
        book.close()
        raise InputError(f"{name}: no page is in it, among {counted(len(members), 'file')}. Check it in a reader.")
    return book, pages


def content(book: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    """The bytes of one file in it.

    Raises:
        InputError: damaged, or too large.
    """
    if member.file_size > LARGEST_MEMBER:
        raise InputError(
            f"{name}: {member.filename} unpacks to {member.file_size:,} bytes, more than "
            f"{LARGEST_MEMBER:,}. Take it out of the book."
        )
    try:
        return book.read(member)
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{name}: {member.filename} cannot be unpacked. The book is damaged.") from error


def without_page_sizes(comic_info: bytes) -> bytes:
    """ComicInfo.xml without what it says of the pages' pixels and bytes, which is true no more; readers measure them.

    >>> without_page_sizes(b'<Page Image="0" Type="FrontCover" ImageWidth="800" ImageSize="9" />')
    b'<Page Image="0" Type="FrontCover" />'
    """
    return _PAGE.sub(lambda page: _SIZES.sub(b"", page[0]), comic_info)


def _begins(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False
