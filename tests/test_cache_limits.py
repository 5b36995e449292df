"""What is kept of every net there ever was is bounded: what was used last stays."""

import os
import time
from pathlib import Path

import pytest

from upscale_cli.models import known
from upscale_cli.models.cache_limits import DAY, Limits, keep_within, used
from upscale_cli.models.interface import Descriptor, LoadedNet


def entry(folder: Path, name: str, age: float, size: int = 10) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "graph.onnx").write_bytes(bytes(size))
    os.utime(path, (time.time() - age,) * 2)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("limits", [Limits(entries=3, bytes=1000), Limits(entries=1000, bytes=35)])
def test_the_oldest_go(tmp_path: Path, limits: Limits) -> None:
    old = [entry(tmp_path, f"{days}-days", days * DAY) for days in (1, 2, 3, 4)]
    used(old[2])  # a hit makes it young again
    new = entry(tmp_path, "new", 0)
    keep_within(tmp_path, limits, new)
    assert names(tmp_path) == ["1-days", "3-days", "new"]


def test_files_are_entries_too_and_what_is_new_stays_however_large(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_bytes(bytes(10))
    os.utime(tmp_path / "old.json", (time.time() - DAY,) * 2)
    new = tmp_path / "new.json"
    new.write_bytes(bytes(100))
    keep_within(tmp_path, Limits(entries=5, bytes=50), new)
    assert names(tmp_path) == ["new.json"]


def test_links_and_missing_folders_are_left_alone(tmp_path: Path) -> None:
    outside = entry(tmp_path / "outside", "net", 9 * DAY)
    inside = tmp_path / "inside"
    new = entry(inside, "new", 0)
    try:
        (inside / "link").symlink_to(outside, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    keep_within(inside, Limits(entries=1, bytes=1000), new)
    assert names(inside) == ["link", "new"]
    assert names(outside) == ["graph.onnx"]
    keep_within(tmp_path / "nothing", Limits(1, 1), new)


def test_nets_that_are_kept_push_out_those_used_long_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "folder", lambda: tmp_path)
    monkeypatch.setattr(known, "LIMITS", Limits(entries=2, bytes=1000))
    for days in (3, 2):
        entry(tmp_path, f"{days}-days", days * DAY)
    net = LoadedNet(Descriptor(arch="espcn", scales=(2,), halo=4), {}, identity="new")
    known.keep(net, "costs-2", b"{}")
    assert names(tmp_path) == ["2-days", "new"]
    assert known.fact(net, "costs-2") == b"{}"
