"""What a container leaves to this process: memory and processors, by the control groups it lies in.

Linux's two versions, mixed or not: memory.limit_in_bytes and cpu.cfs_quota_us (cgroup-v1/memory.rst and
scheduler/sched-bwc.rst of the kernel's documentation), memory.max and cpu.max (admin-guide/cgroup-v2.rst). Groups are
nested, and the least of their bounds holds. Files alone are read; elsewhere than on Linux there are none.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

PROC: Final = Path("/proc/self")

UNLIMITED: Final = 2**60
"""Bytes from which on a bound is none: version 1 writes the largest number of pages."""


@dataclass(frozen=True, slots=True)
class Group:
    """One control group.

    Attributes:
        folder: its files.
        version: 1 or 2.
    """

    folder: Path
    version: int

    def free_memory(self) -> int | None:
        """Bytes it may still take; None where it is not bounded. Pages of files that nobody needs are as good as free.

        Below 0 where a limit was lowered under what is used.
        """
        limit = _number(self.folder / ("memory.limit_in_bytes" if self.version == 1 else "memory.max"))
        used = _number(self.folder / ("memory.usage_in_bytes" if self.version == 1 else "memory.current"))
        if limit is None or used is None or limit >= UNLIMITED:
            return None
        idle = _entry(self.folder / "memory.stat", "total_inactive_file" if self.version == 1 else "inactive_file")
        return limit - max(0, used - idle)

    def processors(self) -> float | None:
        """How many processors' time it gets; None where it is not bounded."""
        if self.version == 1:
            quota, period = _number(self.folder / "cpu.cfs_quota_us"), _number(self.folder / "cpu.cfs_period_us")
        else:
            words = [*_text(self.folder / "cpu.max").split(), "", ""]
            quota, period = _integer(words[0]), _integer(words[1])
        return quota / period if quota and period and quota > 0 else None


def free_memory(proc: Path = PROC) -> int | None:
    """Bytes that the groups of this process leave it; None where none of them is bounded."""
    bounds = [free for group in groups("memory", proc) if (free := group.free_memory()) is not None]
    return max(0, min(bounds)) if bounds else None


def processors(proc: Path = PROC) -> int:
    """How many threads have a processor each: those this process may run on, or fewer by the quota of its groups."""
    there = allowed()
    shares = [share for group in groups("cpu", proc) if (share := group.processors()) is not None]
    return max(1, min(there, math.ceil(min(shares)))) if shares else there


def cores() -> int:
    """How many threads a computation is worth on a CPU: a core each, of those `processors` leaves; or as many as
    OMP_NUM_THREADS says, which torch goes by too."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if given.isdecimal() and int(given) > 0:
        return int(given)
    import psutil  # which `--help` needs not

    there = processors()
    return max(1, min(there, psutil.cpu_count(logical=False) or there))


def allowed() -> int:
    """How many processors this process may run on at all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def groups(controller: str, proc: Path = PROC) -> Iterator[Group]:
    """The groups that a controller ("memory", "cpu") bounds this process by, from the innermost outwards.

    Args:
        proc: the folder with `cgroup` and `mountinfo` of the process.
    """
    mounts = list(_mounts(proc / "mountinfo"))
    for line in _text(proc / "cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        version = 2 if number == "0" and not controllers else 1
        if version == 1 and controller not in controllers.split(","):
            continue
        for mount in mounts:
            if mount.version == version and (version == 2 or controller in mount.controllers):
                yield from _upwards(mount, PurePosixPath(path))
                break


@dataclass(frozen=True, slots=True)
class _Mount:
    """Where a hierarchy of groups is seen: the group `root` at `folder`."""

    root: PurePosixPath
    folder: Path
    version: int
    controllers: tuple[str, ...]


def _mounts(file: Path) -> Iterator[_Mount]:
    """The lines of mountinfo (proc_pid_mountinfo(5)): ID PARENT DEVICE ROOT FOLDER OPTIONS ... - TYPE SOURCE OPTIONS"""
    for line in _text(file).splitlines():
        before, dash, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if not dash or len(fields) < 5 or not kind or kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, folder = (field.encode().decode("unicode_escape") for field in fields[3:5])
        yield _Mount(
            PurePosixPath(root), Path(folder), 2 if kind[0] == "cgroup2" else 1, tuple(kind[-1].split(","))
        )  # fmt: skip


def _upwards(mount: _Mount, path: PurePosixPath) -> Iterator[Group]:
    """A group and those it lies in, as far as they can be seen from here."""
    try:
        below = path.relative_to(mount.root)
    except ValueError:  # another namespace's path: the mount shows our group, or nothing that is ours
        below = PurePosixPath()
    folder = mount.folder.joinpath(*(part for part in below.parts if part != ".."))
    if not folder.is_dir():
        folder, below = mount.folder, PurePosixPath()
    for _ in range(len(below.parts) + 1):
        yield Group(folder, mount.version)
        folder = folder.parent


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None  # "max"


def _number(file: Path) -> int | None:
    return _integer(_text(file).strip())


def _entry(file: Path, name: str) -> int:
    """One line "NAME NUMBER" of a file; 0 where it is missing."""
    for line in _text(file).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _integer(value.strip()) or 0
    return 0
