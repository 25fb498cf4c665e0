"""Memory that a process may take."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from shards.runtime.memory import available_bytes

GIB = 1 << 30
UNLIMITED_V1 = 9223372036854771712


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def machine(root: Path, available: int, groups: str) -> tuple[Path, Path]:
    """Write what procfs says of a machine with `available` bytes, and return where it and control groups lie."""
    write(root / "proc/meminfo", f"MemTotal: {99 * GIB // 1024} kB\nMemAvailable: {available // 1024} kB\n")
    write(root / "proc/self/cgroup", groups)
    return root / "proc", root / "cgroup"


def group_v2(folder: Path, limit: int | str, usage: int, cache: int = 0) -> None:
    write(folder / "memory.max", f"{limit}\n")
    write(folder / "memory.current", f"{usage}\n")
    write(folder / "memory.stat", f"anon 5\nshmem 7\ninactive_file {cache}\nactive_file 0\n")


def group_v1(folder: Path, limit: int, usage: int, cache: int = 0) -> None:
    write(folder / "memory.limit_in_bytes", f"{limit}\n")
    write(folder / "memory.usage_in_bytes", f"{usage}\n")
    write(folder / "memory.stat", f"active_file 3\ntotal_active_file {cache}\ntotal_inactive_file 0\n")


def test_a_machine_without_limits_has_what_the_kernel_says(tmp_path: Path) -> None:
    """A plain machine is thought to have more or less memory than it has."""
    assert available_bytes(*machine(tmp_path, 3 * GIB, "0::/\n")) == 3 * GIB


@given(st.data())
def test_the_tightest_group_above_a_process_counts(tmp_path_factory: pytest.TempPathFactory, data: DataObject) -> None:
    """Records are kept up to where a batch system or a container ends the process."""
    root = tmp_path_factory.mktemp("groups")
    proc, cgroups = machine(root, 8 * GIB, "0::/batch/job/step\n")
    left = [8 * GIB]
    for folder in (cgroups, cgroups / "batch", cgroups / "batch/job", cgroups / "batch/job/step"):
        kind = data.draw(st.sampled_from(["absent", "unlimited", "limited"]))
        if kind == "absent":
            continue
        free, cache = data.draw(st.integers(0, 9 * GIB)), data.draw(st.integers(0, GIB))
        usage = data.draw(st.integers(cache, 50 * GIB))
        group_v2(folder, "max" if kind == "unlimited" else free + usage - cache, usage, cache)
        if kind == "limited":
            left.append(free)
    assert available_bytes(proc, cgroups) == min(left)


def test_groups_of_version_1(tmp_path: Path) -> None:
    """The limit of a container on an older system is not seen."""
    proc, cgroups = machine(tmp_path, 8 * GIB, "3:cpu,cpuacct:/a\n4:memory:/a/b\n0::/a\n")
    group_v1(cgroups / "memory", UNLIMITED_V1, 30 * GIB)
    group_v1(cgroups / "memory/a", 4 * GIB, 3 * GIB, cache=GIB)
    assert available_bytes(proc, cgroups) == 2 * GIB
    group_v1(cgroups / "memory/a/b", 4 * GIB, 5 * GIB)
    assert available_bytes(proc, cgroups) == 0


@pytest.mark.parametrize("path", ["/docker/0123456789", "/../elsewhere"])
def test_a_container_that_sees_only_its_own_group(tmp_path: Path, path: str) -> None:
    """The limit is missed where the path is the host's and the mount the container's."""
    proc, cgroups = machine(tmp_path, 8 * GIB, f"0::{path}\n")
    group_v2(cgroups, 2 * GIB, GIB)
    group_v2(tmp_path / "elsewhere", 2, 1)
    assert available_bytes(proc, cgroups) == GIB


def test_this_machine_has_memory() -> None:
    """The files of the real kernel are read wrongly."""
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < available_bytes() < total
