"""Amount of memory that this process can still take."""

import errno
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple


class _Names(NamedTuple):
    """Files of a control group, and the entries of its `memory.stat` that are page cache of files."""

    limit: str
    usage: str
    cache: tuple[str, str]


_V1: Final = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file"))
_V2: Final = _Names("memory.max", "memory.current", ("active_file", "inactive_file"))


def available_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that can be taken without swapping, and without the kernel ending a process of the group.

    That is the least of the machine's `MemAvailable` and of what each control group above this process has left below
    its limit (version 1 and 2; containers and batch systems set such limits). Page cache of files counts as free, for
    the kernel gives it up; shared memory does not.

    Args:
        proc: where procfs is mounted.
        cgroups: where control groups are mounted.
    """
    return max(0, min([_machine(proc), *_groups(proc, cgroups)]))


def _machine(proc: Path) -> int:
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise OSError(errno.ENOSYS, "it has no MemAvailable, expected it since Linux 3.14", str(proc / "meminfo"))


def _groups(proc: Path, cgroups: Path) -> Iterator[int]:
    for line in (proc / "self" / "cgroup").read_text().splitlines():
        # hierarchy:controllers:path, the controllers empty for version 2 (`man 7 cgroups`).
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _left(cgroups, path, _V2)
        elif "memory" in controllers.split(","):
            yield from _left(cgroups / "memory", path, _V1)


def _left(mount: Path, path: str, names: _Names) -> Iterator[int]:
    """Yield what a group and each group above it has left.

    In a container the path can be that of the host and the mount that of the container, whose root is then the group.
    """
    parts = PurePosixPath(path).parts[1:]
    for depth in range(len(parts) + 1 if ".." not in parts else 1):
        group = mount.joinpath(*parts[:depth])
        try:
            limit = (group / names.limit).read_text().strip()
            usage = int((group / names.usage).read_text())
            statistics = (group / "memory.stat").read_text()
        except FileNotFoundError:
            continue
        if limit != "max":
            counts = dict(line.split() for line in statistics.splitlines())
            yield int(limit) - usage + sum(int(counts.get(name, 0)) for name in names.cache)
