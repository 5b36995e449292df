"""Where checkpoint files are looked for, and which of them are believed."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import Server
from upscale_cli.errors import CheckpointError, FetchError
from upscale_cli.models import store
from upscale_cli.models.registry import MODELS, Spec
from upscale_cli.models.resolve import obtain
from upscale_cli.models.store import Found, locate, weights_folders

RIGHT, WRONG = b"the official file", b"something else..."  # of one length, so that only the sum tells them apart
SPEC = dataclasses.replace(
    MODELS[0],
    file="net.pth",
    size=len(RIGHT),
    sha256=hashlib.sha256(RIGHT).hexdigest(),
    url="http://127.0.0.1:9/net.pth",
)


@dataclasses.dataclass(frozen=True)
class Folders:
    """The search path of a test, in order."""

    mine: Path
    second: Path
    bundled: Path
    cache: Path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    folders = Folders(*(tmp_path / name for name in ("mine", "second", "bundled", "cache")))
    for folder in dataclasses.astuple(folders):
        folder.mkdir()
    for name in ("UPSCALE_MIRROR", "UPSCALE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UPSCALE_WEIGHTS", f"{folders.mine}{os.pathsep}{folders.second}")
    monkeypatch.setattr(store, "bundled_folder", lambda: folders.bundled)
    monkeypatch.setattr(store, "cache_folder", lambda: folders.cache)
    return folders


def test_the_search_path_is_the_users_folders_then_the_bundled_one_then_the_cache(folders: Folders) -> None:
    assert weights_folders() == [folders.mine, folders.second, folders.bundled, folders.cache]


def test_the_users_folders_may_be_none_empty_or_below_home(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPSCALE_WEIGHTS")
    assert weights_folders() == [folders.bundled, folders.cache]
    monkeypatch.setenv("UPSCALE_WEIGHTS", os.pathsep.join(["", " ", str(Path("~") / "nets")]))
    assert weights_folders() == [Path.home() / "nets", folders.bundled, folders.cache]


def test_the_cache_folder_is_the_systems_and_named_after_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # conftest puts it elsewhere
    assert "upscale-cli" in store.cache_folder().parts
    assert store.cache_folder().is_absolute()


def test_the_bundled_weights_are_there_and_pinned() -> None:
    bundled = [spec for spec in MODELS if spec.bundled]
    assert bundled
    for spec in bundled:
        assert store.sha256_of(store.bundled_folder() / spec.file) == spec.sha256, spec.file


def test_nothing_is_found_where_nothing_is(folders: Folders) -> None:
    assert locate(SPEC) is None
    folders.mine.rmdir()
    (folders.second / "net.pth").mkdir()
    assert locate(SPEC) is None


@pytest.mark.parametrize("where", ["mine", "second", "bundled", "cache"])
def test_an_official_file_is_found_in_every_folder(folders: Folders, where: str) -> None:
    path = getattr(folders, where) / "net.pth"
    path.write_bytes(RIGHT)
    assert locate(SPEC) == Found(path, pinned=True)


def test_the_first_folder_wins_and_the_official_file_goes_before_its_fallback(folders: Folders) -> None:
    (folders.cache / "net.pth").write_bytes(RIGHT)
    (folders.second / "net.safetensors").write_bytes(b"fallback")
    assert locate(SPEC) == Found(folders.second / "net.safetensors", pinned=False)
    (folders.second / "net.pth").write_bytes(RIGHT)
    assert locate(SPEC) == Found(folders.second / "net.pth", pinned=True)


@pytest.mark.parametrize("wrong", [WRONG, b"", RIGHT + b"\n"], ids=["same size", "empty", "longer"])
@pytest.mark.parametrize("size", [len(RIGHT), None], ids=["size known", "size unknown"])
def test_a_wrong_file_in_a_users_folder_is_said_and_left_alone(
    folders: Folders, wrong: bytes, size: int | None
) -> None:
    (folders.mine / "net.pth").write_bytes(wrong)
    (folders.cache / "net.pth").write_bytes(RIGHT)
    reported: list[str] = []
    assert locate(dataclasses.replace(SPEC, size=size), say=reported.append) == Found(
        folders.cache / "net.pth", pinned=True
    )
    (line,) = reported
    assert str(folders.mine / "net.pth") in line
    assert "not used" in line
    assert SPEC.sha256 in line
    assert (folders.mine / "net.pth").read_bytes() == wrong


def test_a_wrong_file_in_the_cache_is_set_aside(folders: Folders) -> None:
    (folders.cache / "net.pth").write_bytes(WRONG)
    reported: list[str] = []
    assert locate(SPEC, say=reported.append) is None
    assert [path.name for path in folders.cache.iterdir()] == ["net.pth.bad"]
    assert "set aside as net.pth.bad" in reported[0]
    assert locate(SPEC, say=reported.append) is None
    assert len(reported) == 1


def test_a_wrong_safetensors_file_is_not_its_own_fallback(folders: Folders) -> None:
    (folders.mine / "net.safetensors").write_bytes(WRONG)
    assert locate(dataclasses.replace(SPEC, file="net.safetensors")) is None


def test_a_file_that_changes_is_looked_at_again(folders: Folders) -> None:
    path = folders.mine / "net.pth"
    path.write_bytes(RIGHT)
    assert locate(SPEC) == Found(path, pinned=True)
    path.write_bytes(WRONG)
    os.utime(path, ns=(0, 0))
    assert locate(SPEC) is None


def test_an_unreadable_file_is_said(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    (folders.cache / "net.pth").write_bytes(RIGHT)
    monkeypatch.setattr(store, "sha256_of", refuse)
    store._known_sha256.cache_clear()
    reported: list[str] = []
    assert locate(SPEC, say=reported.append) is None
    assert "Permission denied" in reported[0]


def test_obtain_takes_what_is_there(folders: Folders) -> None:
    (folders.mine / "net.pth").write_bytes(RIGHT)
    assert obtain(SPEC) == Found(folders.mine / "net.pth", pinned=True)


def test_obtain_downloads_into_the_cache_what_is_missing_or_wrong(folders: Folders) -> None:
    (folders.cache / "net.pth").write_bytes(WRONG)
    seen: list[tuple[int, int | None]] = []
    reported: list[str] = []
    with Server(RIGHT) as server:
        spec = dataclasses.replace(SPEC, url=f"{server.url}/net.pth")
        found = obtain(spec, say=reported.append, progress=lambda *bytes_: seen.append(bytes_))
        assert obtain(spec) == found == Found(folders.cache / "net.pth", pinned=True)
        assert len(server.requests) == 1
    assert found.path.read_bytes() == RIGHT
    assert (folders.cache / "net.pth.bad").read_bytes() == WRONG
    assert seen[-1] == (len(RIGHT), len(RIGHT))


def test_obtain_offline_says_where_to_put_the_file(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")
    with pytest.raises(FetchError) as error:
        obtain(SPEC)
    assert all(fact in str(error.value) for fact in ("net.pth", str(SPEC.url), SPEC.sha256, str(folders.cache)))


def test_a_missing_bundled_file_is_no_matter_of_downloading(folders: Folders) -> None:
    assert not any(folders.bundled.iterdir())
    with pytest.raises(CheckpointError, match="Install upscale-cli again"):
        obtain(dataclasses.replace(SPEC, url=None))


def test_looking_for_files_loads_neither_torch_nor_the_network() -> None:
    program = (
        "import sys; from upscale_cli.models.store import locate; from upscale_cli.models.registry import MODELS; "
        "[locate(spec) for spec in MODELS]; print(*{'torch', 'numpy', 'urllib.request', 'ssl'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.file)
def test_every_row_says_where_its_file_comes_from(spec: Spec) -> None:
    assert len(spec.sha256) == 64
    assert set(spec.sha256) <= set("0123456789abcdef")
    assert spec.bundled or str(spec.url).startswith("https://")
