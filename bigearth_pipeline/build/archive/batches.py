"""Batches of patches: those that lie in a piece of the tar, where they lie, and copies of the others."""

from collections.abc import Iterable, Iterator
from typing import Final

from bigearth_pipeline.build.archive.encode import Batch, BatchPatch
from bigearth_pipeline.build.archive.memory import Block, Memory
from bigearth_pipeline.source.archive.gather import Ready

_PATCHES: Final = 128
_BYTES: Final = 32 << 20
"""Of a batch of copies: patches, or bytes of band files, after which it is full."""
_FIRST_PATCHES: Final = 16
"""Patches of the first batch of copies; each has twice as many as the one before, so that workers begin early."""


def batches(patches: Iterable[Ready], memory: Memory) -> Iterator[Batch]:
    """Yield patches in batches, each of which needs a block of the memory until it is released.

    Args:
        patches: as they become ready.
        memory: that pieces of the tar lie in.
    """
    block: Block | None = None
    batch: list[BatchPatch] = []
    copies = _Copies(memory)
    for patch in patches:
        found = memory.block_of(patch.content)
        if found is None or not isinstance(patch.content, memoryview):
            yield from copies.add(patch)
            continue
        if found is not block:
            if block is not None:
                yield Batch(block.path, tuple(batch))
            memory.keep(found)
            block, batch = found, []
        batch.append(BatchPatch(patch.folder, patch.names, found.offset_of(patch.content), patch.bounds))
    if block is not None:
        yield Batch(block.path, tuple(batch))
    yield from copies.rest()


class _Copies:
    """The batch of patches that lie elsewhere: in two pieces of the tar, or file by file."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._block: Block | None = None
        self._batch: list[BatchPatch] = []
        self._size, self._most = 0, _FIRST_PATCHES

    def add(self, patch: Ready) -> Iterator[Batch]:
        """Copy a patch; yield the batch if that is full now."""
        if self._block is None:
            self._block, self._batch, self._size = self._memory.take_for_copies(_BYTES), [], 0
        self._batch.append(BatchPatch(patch.folder, patch.names, self._size, patch.bounds))
        self._size = self._block.write(patch.content, self._size)
        if len(self._batch) >= self._most or self._size >= _BYTES:
            self._most = min(2 * self._most, _PATCHES)
            yield from self.rest()

    def rest(self) -> Iterator[Batch]:
        """Yield the batch, if there is one."""
        if self._block is not None:
            block, self._block = self._block, None
            yield Batch(block.path, tuple(self._batch))
