"""A disk of few reads a second: a control group of Linux whose processes may read from it that often (root)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bigearth_pipeline.errors import PipelineError

_GROUPS: Final = Path("/sys/fs/cgroup")


@contextmanager
def throttled(folder: Path, reads: int, groups: Path = _GROUPS) -> Iterator[list[str]]:
    """Make a control group, and remove it in the end.

    Args:
        folder: on the disk.
        reads: from the disk, a second, at most.
        groups: where the kernel shows control groups, of version 1 or 2.

    Yields:
        What begins a command whose process and children read under the limit.

    Raises:
        PipelineError: no such group can be made.
    """
    group, limit = _group(groups, _device(folder), reads)
    try:
        group.mkdir()
    except OSError as err:
        raise _impossible(group, err) from err
    try:
        try:
            for name, text in limit.items():
                (group / name).write_text(text)
        except OSError as err:
            raise _impossible(group, err) from err
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        group.rmdir()


def _impossible(group: Path, err: OSError) -> PipelineError:
    return PipelineError(f"{group}: no control group can be made: {err.strerror}")


def _group(groups: Path, device: str, reads: int) -> tuple[Path, dict[str, str]]:
    """Return the folder of a group, and the content of its files by name."""
    name = f"bep-throttled-{os.getpid()}"
    if (groups / "blkio").is_dir():
        return groups / "blkio" / name, {"blkio.throttle.read_iops_device": f"{device} {reads}"}
    return groups / name, {"io.max": f"{device} riops={reads}"}


def _device(folder: Path) -> str:
    """Return the numbers of the whole disk that a folder lies on: limits are none of its partitions."""
    number = folder.stat().st_dev
    found = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    if not found.exists():
        raise PipelineError(f"{folder} lies on no block device, expected a disk whose reads can be limited")
    disk = found.parent if (found / "partition").exists() else found
    return (disk / "dev").read_text().strip()
