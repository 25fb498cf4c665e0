"""Batches of patches in memory that worker processes of this machine see."""

import os
from collections.abc import Iterable, Iterator
from typing import Final

from bigearth_pipeline.build.archive.encode import Batch, BatchPatch, Extent
from bigearth_pipeline.source.archive.gather import Ready

_PATCHES: Final = 32
_BYTES: Final = 32 << 20
"""Of a batch: patches, or bytes of band files, after which it is full."""


class Memory:
    """Anonymous files (`memfd_create(2)`) for the batches under way, used again when their workers are done."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._used: dict[str, int] = {}

    def take(self) -> tuple[str, int]:
        """Return path and descriptor of a file that no batch lies in."""
        descriptor = self._free.pop() if self._free else os.memfd_create("bep-batch", os.MFD_CLOEXEC)
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
        self._used[path] = descriptor
        return path, descriptor

    def give_back(self, path: str) -> None:
        """Take back the file of a batch that is done."""
        self._free.append(self._used.pop(path))

    def close(self) -> None:
        """Release all."""
        for descriptor in [*self._free, *self._used.values()]:
            os.close(descriptor)
        self._free.clear()
        self._used.clear()


def batches(patches: Iterable[Ready], memory: Memory) -> Iterator[Batch]:
    """Put patches into memory and yield them in batches."""
    path, descriptor = memory.take()
    batch: list[BatchPatch] = []
    size = 0
    for patch in patches:
        begin = size
        extents = []
        for file in patch.files:
            extents.append(Extent(file.name, size, len(file.content), file.mtime_ns))
            size += len(file.content)
        _write(descriptor, [file.content for file in patch.files], begin)
        batch.append(BatchPatch(patch.folder, patch.key, tuple(extents)))
        if len(batch) == _PATCHES or size >= _BYTES:
            yield Batch(path, tuple(batch))
            path, descriptor = memory.take()
            batch, size = [], 0
    if batch:
        yield Batch(path, tuple(batch))
    else:
        memory.give_back(path)


def _write(descriptor: int, pieces: list[bytes], offset: int) -> None:
    total = sum(map(len, pieces))
    written = os.pwritev(descriptor, pieces, offset)
    if written != total:
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            offset_now = offset + total - len(rest)
            rest = rest[os.pwrite(descriptor, rest, offset_now) :]
