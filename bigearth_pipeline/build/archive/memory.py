"""Memory that workers of this machine see: a tar is decoded into it, and its patches are read where they lie."""

import mmap
import os
from collections.abc import Iterator
from threading import Condition
from typing import Final

import numpy as np

_ROOM: Final = 16 << 20
"""Bytes of a piece of the tar: some hundred patches, so that few lie in two pieces, and have to be copied."""
_FIRST_ROOM: Final = 2 << 20
"""Bytes of the first piece; each is twice as long as the one before, so that workers begin early."""
_UNREAD: Final = 4
"""Pieces that are decoded, or being decoded, and not yet read, at most. The reader of a tar holds two of them."""


class Stopped(Exception):
    """No more of the tar is wanted."""


class Block:
    """An anonymous file (`memfd_create(2)`), mapped.

    Attributes:
        path: by which other processes of this machine open it.
        users: those that need its present content: the reader of the tar, and batches.
    """

    def __init__(self, size: int) -> None:
        self._descriptor = os.memfd_create("bep-batch", os.MFD_CLOEXEC)
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        self.users = 0
        os.ftruncate(self._descriptor, size)
        self.mapped = mmap.mmap(self._descriptor, size)
        self._address = _address(memoryview(self.mapped))

    def offset_of(self, view: memoryview) -> int:
        """Return the offset in the block of a part of it."""
        return _address(view) - self._address

    def write(self, content: bytes | memoryview, offset: int) -> int:
        """Write bytes at an offset, in a block of which there are no views; return the offset after them."""
        end = offset + len(content)
        if end > len(self.mapped):
            self.mapped.resize(end)
        self.mapped[offset:end] = content
        return end

    def close(self) -> None:
        """Release it; the memory is free once there are no views of it."""
        os.close(self._descriptor)


def _address(view: memoryview) -> int:
    address: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return address


class Memory:
    """Blocks that are used again once their content is not needed: pages that are there cost nothing.

    Pieces of the tar and copies are kept apart, for only a block without views can grow.
    """

    def __init__(self) -> None:
        self._pieces: dict[int, Block] = {}
        self._free_pieces: list[Block] = []
        self._copies: dict[str, Block] = {}
        self._free_copies: list[Block] = []
        self._condition = Condition()
        self._room_bytes = _FIRST_ROOM
        self._num_unread = 0
        self._is_stopped = False

    # ---- pieces of the tar

    def take(self) -> memoryview:
        """Return room for the next piece, once few others wait to be read; for the thread that decodes.

        Raises:
            Stopped: `stop` was called.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._is_stopped or self._num_unread < _UNREAD)
            if self._is_stopped:
                raise Stopped
            self._num_unread += 1
            block = self._free_pieces.pop() if self._free_pieces else Block(_ROOM)
            block.users = 1
            self._pieces[id(block.mapped)] = block
            size, self._room_bytes = self._room_bytes, min(2 * self._room_bytes, _ROOM)
            return memoryview(block.mapped)[:size]

    def give_back(self, room: memoryview) -> None:
        """Take back a piece that was read, or room that was not used."""
        with self._condition:
            self._num_unread -= 1
            self._condition.notify_all()
            self._leave(self._pieces[id(room.obj)])

    def stop(self) -> None:
        """Give no more room; any thread may call."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()

    def read_in_turn(self, pieces: Iterator[memoryview]) -> Iterator[memoryview]:
        """Yield pieces to the reader of a tar, and take back each that it has left."""
        held: list[memoryview] = []
        for piece in pieces:
            # It looks at the piece after the present one, and no further.
            if len(held) == 2:
                self.give_back(held.pop(0))
            held.append(piece)
            yield piece
        for piece in held:
            self.give_back(piece)

    def block_of(self, content: bytes | memoryview) -> Block | None:
        """Return the block of a piece that holds this; None if it is elsewhere in memory."""
        return self._pieces.get(id(content.obj)) if isinstance(content, memoryview) else None

    def keep(self, block: Block) -> None:
        """Keep the content of the block of a piece for a batch, until `release`."""
        with self._condition:
            block.users += 1

    def _leave(self, block: Block) -> None:
        block.users -= 1
        if not block.users:
            del self._pieces[id(block.mapped)]
            self._free_pieces.append(block)

    # ---- copies

    def take_for_copies(self, size: int) -> Block:
        """Return a block that holds nothing; it grows beyond this many bytes when more are written."""
        block = self._free_copies.pop() if self._free_copies else Block(size)
        self._copies[block.path] = block
        return block

    # ---- batches

    def release(self, path: str) -> None:
        """Take back what a batch has needed, by the path of its block."""
        if (copies := self._copies.pop(path, None)) is not None:
            self._free_copies.append(copies)
            return
        with self._condition:
            self._leave(next(block for block in self._pieces.values() if block.path == path))

    def close(self) -> None:
        """Release all."""
        for block in [*self._pieces.values(), *self._free_pieces, *self._copies.values(), *self._free_copies]:
            block.close()
        for blocks in (self._pieces, self._free_pieces, self._copies, self._free_copies):
            blocks.clear()
