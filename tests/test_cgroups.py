"""What a container leaves to us: made-up trees of both versions, and a real one where this machine has it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from upscale_cli.inference import cgroups, device
from upscale_cli.jobs.bands import room

GB = 10**9


class Tree:
    """A made-up /proc/self and /sys/fs/cgroup."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.sys = folder / "proc", folder / "sys fs"
        self.proc.mkdir()
        self.sys.mkdir()
        self._lines = ["22 1 0:20 / / rw - ext4 /dev/sda rw"]

    def mount(self, name: str, *, version: int, root: str = "/") -> None:
        """`name` is the controllers of a mount, and its folder."""
        kind = "cgroup2 cgroup rw,nsdelegate" if version == 2 else f"cgroup cgroup rw,{name}"
        folder = str(self.sys / name).replace(" ", r"\040")
        self._lines.append(f"30 22 0:26 {root} {folder} rw,nosuid shared:9 - {kind}")
        (self.proc / "mountinfo").write_text("\n".join(self._lines) + "\n")

    def inside(self, *lines: str) -> None:
        (self.proc / "cgroup").write_text("".join(f"{line}\n" for line in lines))

    def group(self, path: str, **values: object) -> None:
        """Files of one group; "__" in a name is a dot."""
        folder = self.sys / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            (folder / name.replace("__", ".")).write_text(f"{value}\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def v1(limit: int, used: int, idle: int = 0) -> dict[str, object]:
    stat = f"cache 1\ninactive_file 1\ntotal_cache 5\ntotal_inactive_file {idle}\n"
    return {"memory__limit_in_bytes": limit, "memory__usage_in_bytes": used, "memory__stat": stat}


def v2(limit: object, used: int, idle: int = 0) -> dict[str, object]:
    return {"memory__max": limit, "memory__current": used, "memory__stat": f"anon 5\nfile 9\ninactive_file {idle}\n"}


def test_version_1(tree: Tree) -> None:
    tree.mount("cpu,cpuacct", version=1)
    tree.mount("memory", version=1)
    tree.inside("9:memory:/docker/abc", "8:cpu,cpuacct:/docker/abc", "0::/")
    tree.group("memory", **v1(2**63 - 4096, 30 * GB))
    tree.group("memory/docker", **v1(2**63 - 4096, 20 * GB))
    tree.group("memory/docker/abc", **v1(2 * GB, 1500 * 10**6, 300 * 10**6))
    assert cgroups.free_memory(tree.proc) == 800 * 10**6
    tree.group("cpu,cpuacct", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000)
    tree.group("cpu,cpuacct/docker/abc", cpu__cfs_quota_us=50_000, cpu__cfs_period_us=100_000)
    assert cgroups.processors(tree.proc) == 1


def test_version_2(tree: Tree) -> None:
    tree.mount("unified", version=2)
    tree.inside("0::/kubepods/pod1/abc")
    tree.group("unified")
    tree.group("unified/kubepods", **v2("max", 9 * GB))
    tree.group("unified/kubepods/pod1", **v2(3 * GB, 2 * GB, 10**8))
    tree.group("unified/kubepods/pod1/abc", **v2(4 * GB, GB))
    assert cgroups.free_memory(tree.proc) == 11 * 10**8, "the group around it has less"
    tree.group("unified/kubepods/pod1/abc", cpu__max="max 100000")
    assert cgroups.processors(tree.proc) == cgroups.allowed()
    tree.group("unified/kubepods/pod1", cpu__max="20000 100000")
    assert cgroups.processors(tree.proc) == 1


def test_both_versions_at_once(tree: Tree) -> None:
    """As systemd's hybrid hierarchy has it: the controller lies in one of them."""
    tree.mount("memory", version=1)
    tree.mount("unified", version=2)
    tree.inside("4:memory:/job", "0::/job")
    tree.group("unified/job")
    tree.group("memory/job", **v1(GB, 10**8))
    assert cgroups.free_memory(tree.proc) == 9 * 10**8


def test_a_namespace_of_its_own(tree: Tree) -> None:
    """Docker with version 1: the mount's root is the group, and the path is that of the host."""
    tree.mount("memory", version=1, root="/docker/abc")
    tree.inside("4:memory:/docker/abc/child")
    tree.group("memory", **v1(GB, 0))
    tree.group("memory/child", **v1(5 * GB, 0))
    assert cgroups.free_memory(tree.proc) == GB
    tree.inside("4:memory:/docker/abc")
    assert cgroups.free_memory(tree.proc) == GB
    tree.inside("4:memory:/another/one")
    assert cgroups.free_memory(tree.proc) == GB
    tree.inside("4:memory:/../outside")
    assert cgroups.free_memory(tree.proc) == GB


@pytest.mark.parametrize("lines", [[], ["nonsense"], ["0::/"], ["4:memory:/"], ["4:memory"]])
def test_where_nothing_is_bounded(tree: Tree, lines: list[str]) -> None:
    tree.mount("memory", version=1)
    tree.mount("unified", version=2)
    tree.group("memory", memory__limit_in_bytes="nonsense")
    tree.inside(*lines)
    assert cgroups.free_memory(tree.proc) is None
    assert cgroups.processors(tree.proc) == cgroups.allowed()


def test_elsewhere_than_on_linux(tmp_path: Path) -> None:
    assert cgroups.free_memory(tmp_path) is None
    assert cgroups.processors(tmp_path) == cgroups.allowed()


def test_a_limit_below_what_is_used_leaves_nothing(tree: Tree) -> None:
    tree.mount("unified", version=2)
    tree.inside("0::/a")
    tree.group("unified/a", **v2(GB, 2 * GB))
    assert cgroups.free_memory(tree.proc) == 0


def test_what_is_free_is_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "free_memory", lambda: 10**6)
    assert device.free_host_memory() == room(None) == 10**6
    monkeypatch.setattr(cgroups, "free_memory", lambda: 2**59)
    assert device.free_host_memory() <= psutil.virtual_memory().total
    monkeypatch.setattr(cgroups, "free_memory", lambda: None)
    assert 0 < device.free_host_memory() <= psutil.virtual_memory().total


def test_threads_go_by_the_quota() -> None:
    script = (
        "from upscale_cli import cli\n"
        "cli.processors, cli.allowed = lambda: 1, lambda: 8\n"
        "cli._make_threads_polite()\n"
        "import os; print(os.environ['OMP_NUM_THREADS'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "1\n"


# A real one


@pytest.fixture
def container() -> Iterator[Path]:
    """A group of 700 MB below that of this process."""
    own = next(cgroups.groups("memory"), None)
    if own is None:
        pytest.skip("there are no control groups here")
    folder = own.folder / f"upscale-test-{os.getpid()}"
    limit = "memory.limit_in_bytes" if own.version == 1 else "memory.max"
    try:
        folder.mkdir()
        (folder / limit).write_text(str(LIMIT))
        if own.version == 2:
            (folder / "memory.swap.max").write_text("0")
    except OSError:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip("control groups cannot be made here")
    yield folder
    folder.rmdir()


LIMIT = 900 * 10**6


@pytest.mark.slow
def test_a_photo_too_large_for_the_container_goes_in_bands(container: Path, tmp_path: Path) -> None:
    """As a whole it takes a gigabyte, and the kernel would end the process without a word."""
    y, x = np.mgrid[0:2000, 0:2600]
    Image.fromarray(np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)).save(tmp_path / "lr.jpg")
    command = f"echo $$ > '{container}/cgroup.procs' && exec {sys.executable} -m upscale_cli lr.jpg -o sr.png -s 4"
    done = subprocess.run(
        ["sh", "-c", f"{command} -m espcn --device cpu"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "Device or resource busy" in done.stderr or "cannot create" in done.stderr:
        pytest.skip("no process can be put into a control group here")
    assert done.returncode == 0, done.stderr
    assert "upscaled in bands" in done.stderr
    with Image.open(tmp_path / "sr.png") as made:
        assert made.size == (10400, 8000)
