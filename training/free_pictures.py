"""Freely licensed photographs out of packages of Debian, for training: `free_pictures.json` lists them one by one.

    apt-get download mate-backgrounds lomiri-wallpapers-16.04 plasma-workspace-wallpapers
    python -m training.free_pictures --packages FOLDER --out FOLDER

Each package's sum is compared with the list's, so that it is known which pictures a net saw, and on which terms. They
are shrunk to a half, which cleans them of what JPEG and the camera left, and written as PNG.
"""

import argparse
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

LIST: Final = Path(__file__).with_suffix(".json")

LEAST_SIDE: Final = 256
"""Pixels, after shrinking."""


def members(package: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a .deb, which is an `ar` archive (deb(5)).

    Raises:
        ValueError: it is none.
    """
    if not package.startswith(b"!<arch>\n"):
        raise ValueError("no .deb: it does not begin as an ar archive")
    at = 8
    while at + 60 <= len(package):
        name, size = package[at : at + 16].decode().strip(" /"), int(package[at + 48 : at + 58])
        yield name, package[at + 60 : at + 60 + size]
        at += 60 + size + size % 2


def pictures(package: bytes, paths: Sequence[str]) -> Iterator[tuple[str, Image.Image]]:
    """Those files of a package that are named, as RGB pictures of half their size."""
    data = next(content for name, content in members(package) if name.startswith("data.tar"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for path in paths:
            file = archive.extractfile(f"./{path}")
            assert file is not None
            with Image.open(file) as picture:
                yield path, picture.convert("RGB").reduce(2)


def extract(listed: Mapping[str, Any], package: bytes, out: Path) -> int:
    """Writes the pictures of one package, and says how many they are.

    Raises:
        ValueError: it is another package, or another version of it, than the one in the list.
    """
    found = hashlib.sha256(package).hexdigest()
    if found != listed["sha256"]:
        raise ValueError(f"{listed['package']}: its sha256 is {found}, and that of {listed['version']} in the list not")
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for path, picture in pictures(package, [one["path"] for one in listed["pictures"]]):
        if min(picture.size) >= LEAST_SIDE:
            picture.save(out / f"{'-'.join(Path(path).with_suffix('').parts[2:])}.png")  # behind usr/share
            count += 1
    return count


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder of the .deb files")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets a folder for each package")
    arguments = parser.parse_args(argv)
    for listed in json.loads(LIST.read_text(encoding="utf-8"))["packages"]:
        file = next(arguments.packages.glob(f"{listed['package']}_*.deb"))
        count = extract(listed, file.read_bytes(), arguments.out / listed["package"])
        print(f"{listed['package']} {listed['version']}: {count} pictures")


if __name__ == "__main__":
    main()
