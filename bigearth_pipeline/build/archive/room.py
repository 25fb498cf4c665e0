"""The disk that a build from archives takes, computed before it starts."""

import os
from pathlib import Path
from typing import Final

from bigearth_pipeline.errors import PipelineError
from shards.layout.bands import RECORD_VALUES
from shards.text.words import human_bytes

_RECORD_BYTES: Final = 2 * RECORD_VALUES
_HEAD_BYTES: Final = 2048
"""Of a record in a spool file, or of tar headers, labels, JSON and padding in a shard, at most."""
_OF_RECORD: Final = {"raw": 1.0, "bitpack": 0.85, "blosc-lz4": 0.85, "blosc-zstd": 0.75}
"""Share of a record's bytes that its encoding has in a store of real patches, rounded up generously."""
_OF_ARCHIVE: Final = 1.6
"""Encoded bytes by the bytes of a compressed archive, at most: zstd and gzip make 110 kB of a patch's band files."""


def needed_bytes(codec: str, patches: int | None, archive_bytes: int) -> int:
    """Return the bytes that the encoded records of a build take, at most, as estimated before any is read.

    Args:
        codec: of the store.
        patches: that the tables name; None if they name none.
        archive_bytes: of all archives.
    """
    by_size = int(archive_bytes * _OF_ARCHIVE * (1.0 if codec != "raw" else 1.0 / _OF_RECORD["blosc-lz4"]))
    if patches is None:
        return by_size
    return min(by_size, int(patches * (_RECORD_BYTES * _OF_RECORD.get(codec, 1.0) + _HEAD_BYTES)))


def check_room(needed: int, spool: Path, spooled: int, out: Path | None) -> str:
    """Check that there is room for a spool and for a store of as many bytes; return a line that says how much it is.

    Args:
        needed: bytes of each.
        spool: where the spool will be.
        spooled: bytes of the spool that are there already.
        out: where the store will be; None if that is no disk of this machine.

    Raises:
        PipelineError: there is not.
    """
    places = {_device(spool): spool}
    wanted = {_device(spool): max(0, needed - spooled)}
    if out is not None:
        wanted[_device(out)] = wanted.get(_device(out), 0) + needed
        places.setdefault(_device(out), out)
    for device, size in wanted.items():
        free = free_bytes(places[device])
        if size > free:
            if places[device] != spool:
                what = "the store"
            else:
                what = "the spool" if out is None or len(wanted) > 1 else "spool and store"
            raise PipelineError(
                f"{what} may take {human_bytes(size)} on the disk of {places[device]}, and {human_bytes(free)} are "
                "free; make room, or put the spool on another disk with `spool=`"
            )
    return f"spool: up to {human_bytes(needed)} in {spool}, deleted in the end; the store: up to as much"


def free_bytes(path: Path) -> int:
    """Return the bytes that are free on the disk of a path, which need not exist."""
    status = os.statvfs(_existing(path))
    return status.f_bavail * status.f_frsize


def _device(path: Path) -> int:
    return _existing(path).stat().st_dev


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def num_buckets(needed: int, bucket_bytes: int = 512 << 20, most: int = 128) -> int:
    """Return into how many ranges of the shuffle a spool is cut, so that a file has some 512 MiB."""
    return max(1, min(most, -(-needed // bucket_bytes)))
