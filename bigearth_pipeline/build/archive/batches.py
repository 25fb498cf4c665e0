"""Batches of patches in memory that worker processes of this machine see."""

import mmap
import os
from collections.abc import Iterable, Iterator
from typing import Final

from bigearth_pipeline.build.archive.encode import Batch, BatchPatch
from bigearth_pipeline.source.archive.gather import Ready

_PATCHES: Final = 128
_BYTES: Final = 32 << 20
"""Of a batch: patches, or bytes of band files, after which it is full."""
_FIRST_PATCHES: Final = 16
"""Patches of the first batch; each has twice as many as the one before, so that workers begin early."""


class Block:
    """An anonymous file (`memfd_create(2)`), mapped.

    Attributes:
        path: by which other processes of this machine open it.
    """

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("bep-batch", os.MFD_CLOEXEC)
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        os.ftruncate(self._descriptor, _BYTES)
        self._mapped = mmap.mmap(self._descriptor, _BYTES)

    def write(self, content: bytes | memoryview, offset: int) -> int:
        """Write bytes at an offset; return the offset after them."""
        end = offset + len(content)
        if end > len(self._mapped):
            self._mapped.resize(end)
        self._mapped[offset:end] = content
        return end

    def close(self) -> None:
        """Release it."""
        self._mapped.close()
        os.close(self._descriptor)


class Memory:
    """Blocks for the batches under way, used again when their workers are done: pages that are there cost nothing."""

    def __init__(self) -> None:
        self._free: list[Block] = []
        self._used: dict[str, Block] = {}

    def take(self) -> Block:
        """Return a block that no batch lies in."""
        block = self._free.pop() if self._free else Block()
        self._used[block.path] = block
        return block

    def give_back(self, path: str) -> None:
        """Take back the block of a batch that is done."""
        self._free.append(self._used.pop(path))

    def close(self) -> None:
        """Release all."""
        for block in [*self._free, *self._used.values()]:
            block.close()
        self._free.clear()
        self._used.clear()


def batches(patches: Iterable[Ready], memory: Memory) -> Iterator[Batch]:
    """Put patches into memory and yield them in batches."""
    block = memory.take()
    batch: list[BatchPatch] = []
    size, most = 0, _FIRST_PATCHES
    for patch in patches:
        batch.append(BatchPatch(patch.folder, patch.names, size, patch.bounds))
        size = block.write(patch.content, size)
        if len(batch) >= most or size >= _BYTES:
            yield Batch(block.path, tuple(batch))
            block = memory.take()
            batch, size, most = [], 0, min(2 * most, _PATCHES)
    if batch:
        yield Batch(block.path, tuple(batch))
    else:
        memory.give_back(block.path)
