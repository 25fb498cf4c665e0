"""From extents to pixels: ranges from a cache, from memory or from files, compared with their checksums and decoded.

Patches are decoded in groups of `ROWS`. For one call the interpreter takes as long as copying a tenth of a patch, and
holds its lock meanwhile; so a codec that can decode many encodings a call is given those of a group.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards.codec.base import Codec, DecodeFromFiles, DecodeInMemory
from shards.errors import CorruptShard
from shards.layout.record import S2
from shards.read.checks import Checks, Verify
from shards.read.extents import Extents
from shards.storage.base import Cache, Files, Range, Ranges, Unreadable, Views

ROWS: Final = 4
"""Patches of a group, which a thread decodes at a time."""
_NOTHING: Final = np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True)
class Batch:
    """The parts of some patches, patch by patch, and what is to be done for each.

    Attributes:
        ranges: where they lie in files.
        views: where they lie in memory; None if none does.
        is_whole: whether all of them lie in memory.
        descriptors: (n,) int64, of the files, if compiled code is to read all parts; else None.
        due: of each part whether to compare it with its checksum; None if that holds for none.
        always: whether that is to be done even if others have done so before this process was given its bytes.
        wanted: of each part whether the cache is to have it, once it is compared; None if that holds for none.
        prepared: what keeps the parts at hand that lie in files; None if none does.
    """

    ranges: Ranges
    views: Views | None
    is_whole: bool
    descriptors: NDArray[np.int64] | None
    due: list[bool] | None
    always: bool
    wanted: list[bool] | None
    prepared: object

    def __len__(self) -> int:
        return len(self.ranges)


class Reader:
    """Reads a record or a group of patches; safe to share between threads, and with forked processes.

    Attributes:
        extents: where its parts lie.
    """

    def __init__(
        self, extents: Extents, files: Files, cache: Cache, codec: Codec, checks: Checks, key: Callable[[int], str]
    ) -> None:
        """Put together what reading takes.

        Args:
            extents: where parts lie.
            files: that hold them.
            cache: of parts that were read before.
            codec: of the record or the group.
            checks: of all parts of the store.
            key: returns the key of a row, for messages.
        """
        self.extents, self._files, self._cache, self._codec, self._key = extents, files, cache, codec, key
        self._checks = checks
        self._what = "record" if extents.name == S2 else f"{extents.name} record"
        self._sizes = np.tile(extents.end - extents.begin, ROWS)
        self._ends = np.cumsum(self._sizes).tolist()
        self._begins = [0, *self._ends[:-1]]
        self._scratch = threading.local()

    def locate(self, rows: NDArray[np.int64], verify: Verify, *, encoded: bool = False) -> Batch:
        """Return where the parts of rows are, and open the files that it takes.

        Args:
            rows: (n,) rows of the index.
            verify: which parts to compare with their checksums.
            encoded: take parts from the cache and from files only, not from files that lie in memory.

        Raises:
            CorruptShard: a file is absent, or of another size than expected.
        """
        ranges = self.extents.ranges(rows)
        due = self._checks.due(ranges.number, verify)
        wanted = descriptors = prepared = None
        if (views := self._cache.views(ranges)) is None:
            prepared = self._files.prepare(ranges)
            views = None if encoded else self._files.views(ranges)
            if verify == "first" and self._files.compared(prepared):
                self._checks.mark(ranges.number)
                due[:] = False
        else:
            kept, wanted = views.address != 0, self._cache.wanted(ranges)
            if verify == "first":  # What is kept was compared by the process that put it there.
                due &= ~kept
            due |= wanted  # What is kept is used for long, so it is compared in any case.
            if not kept.all():
                prepared = self._files.prepare(ranges.take(~kept))
            rest = np.flatnonzero(~(kept | wanted))
            if not encoded and len(rest) and (mapped := self._files.views(ranges.take(rest))) is not None:
                views.put(rest, mapped)
        held = 0 if views is None else np.count_nonzero(views.address)
        is_due, is_wanted = bool(due.any()), wanted is not None and bool(wanted.any())
        # What compiles decoders of many encodings takes longer to import than one patch to read.
        if not (held or encoded or is_due) and len(rows) > 1 and self._codec.decode_from_files is not None:
            descriptors = self._files.descriptors(ranges, prepared)
        return Batch(
            ranges,
            views if held else None,
            held == len(ranges),
            descriptors,
            due.tolist() if is_due else None,
            verify == "always",
            wanted.tolist() if wanted is not None and is_wanted else None,
            prepared,
        )

    def uncached(self, rows: NDArray[np.int64]) -> Ranges:
        """Return where the parts of rows lie that the cache does not hold."""
        ranges = self.extents.ranges(rows)
        views = self._cache.views(ranges)
        return ranges if views is None else ranges.take(views.address == 0)

    def load(self, batch: Batch, i: int, buffer: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the stored bytes of part i of a batch, compared with their checksum if due, and cached if wanted.

        Args:
            batch: of patches.
            i: number of the part in it.
            buffer: (length,) uint8, for what is read from a file; default: memory of this thread, until it next reads.

        Raises:
            CorruptShard: it cannot be read or is damaged; the message names file and key.
        """
        if batch.views is not None and batch.views.address[i]:
            content = batch.views.of(i)
        else:
            place = batch.ranges.one(i)
            content = self._memory(place.length)[: place.length] if buffer is None else buffer
            if (
                self._fetch(batch, place, content)
                and batch.due is not None
                and not batch.always
                and not self._is_wanted(batch, i)
            ):
                self._checks.mark(place.number)
                return content
        if batch.due is not None and batch.due[i]:
            number = int(batch.ranges.number[i])
            self._use(batch, i, content, lambda content: self._checks.compare(number, content))
            if self._is_wanted(batch, i):
                self._cache.put(number, content)
        return content

    def _fetch(self, batch: Batch, place: Range, content: NDArray[np.uint8]) -> bool:
        try:
            return self._files.fetch(place, content, batch.prepared)
        except Unreadable as err:
            raise self._damaged(place.number, err.what) from err

    def _use(self, batch: Batch, i: int, content: NDArray[np.uint8], use: Callable[[NDArray[np.uint8]], None]) -> None:
        """Use what was read of a part: once more if it came from a copy, which may be damaged and is then replaced."""
        is_copy = batch.views is None or not batch.views.address[i]
        while True:
            try:
                use(content)
                break
            except CorruptShard as err:
                place = batch.ranges.one(i)
                if not (is_copy and self._files.doubt(place, batch.prepared)):
                    raise self._damaged(place.number, err) from err
            self._fetch(batch, place, content)
            is_copy = False

    def bring(self, batch: Batch, i: int) -> None:
        """Have part i of a batch where reading it takes neither a request nor a disk: in the cache, or else in pages.

        Args:
            batch: of patches.
            i: number of the part in it.

        Raises:
            CorruptShard: see `load`.
        """
        if batch.views is None and not batch.always and not self._is_wanted(batch, i):
            place = batch.ranges.one(i)
            try:
                brought = self._files.bring(place, batch.prepared)
            except Unreadable as err:
                raise self._damaged(place.number, err.what) from err
            if brought:
                self._checks.mark(place.number)
                return
        self.load(batch, i)

    def decode(self, batch: Batch, out: NDArray[Any], starts: Iterator[int]) -> None:
        """Read patches and decode them.

        Args:
            batch: of n patches.
            out: C-contiguous, of the type of the record or the group, its first axis of length n.
            starts: first patches of groups.

        Raises:
            CorruptShard: a record is damaged; the message names file and key.
        """
        parts = self.extents.parts
        together = self._codec.decode_in_memory if batch.is_whole and len(batch) > parts else None
        from_files = None if batch.descriptors is None else self._codec.decode_from_files
        scratch = self._memory(int(batch.ranges.length.max(initial=0))) if from_files is not None else _NOTHING
        for start in starts:
            patches = out[start : start + ROWS]
            group = range(start * parts, (start + len(patches)) * parts)
            values = patches.reshape(-1).view(np.uint8)
            if self._codec.is_identity:
                self._copy(batch, group, values)
            elif from_files is not None:
                self._decode_files(batch, group, values, from_files, scratch)
            elif together is not None:
                self._decode_views(batch, group, values, together)
            else:
                for i in group:
                    self._decode_one(batch, group, i, values)

    def _copy(self, batch: Batch, group: range, out: NDArray[np.uint8]) -> None:
        """Read parts whose stored bytes are their values."""
        if batch.is_whole:
            np.concatenate([self.load(batch, i) for i in group], out=out)
            return
        for i, begin, end in zip(group, self._begins, self._ends, strict=False):
            buffer = out[begin:end]
            if (content := self.load(batch, i, buffer)) is not buffer:
                np.copyto(buffer, content)

    def _decode_views(self, batch: Batch, group: range, out: NDArray[np.uint8], together: DecodeInMemory) -> None:
        """Decode parts where they lie in memory, compared just before, so that the cache of the processor has them."""
        assert batch.views is not None
        if batch.due is not None:
            for i in group:
                self.load(batch, i)
        sizes, addresses, lengths = self._sizes[: len(group)], batch.views.address, batch.ranges.length
        places = slice(group.start, group.stop)
        done = together(addresses[places], lengths[places], sizes, out)
        while done < len(group):
            self._decode_one(batch, group, group[done], out)
            done += 1
            rest, places = out[self._ends[done - 1] :], slice(group.start + done, group.stop)
            done += together(addresses[places], lengths[places], sizes[done:], rest)

    def _decode_files(
        self,
        batch: Batch,
        group: range,
        out: NDArray[np.uint8],
        from_files: DecodeFromFiles,
        scratch: NDArray[np.uint8],
    ) -> None:
        """Read and decode parts in one call."""
        assert batch.descriptors is not None
        sizes, descriptors = self._sizes[: len(group)], batch.descriptors
        offsets, lengths = batch.ranges.offset, batch.ranges.length
        places = slice(group.start, group.stop)
        done = from_files(descriptors[places], offsets[places], lengths[places], sizes, out, scratch)
        while done < len(group):
            self._decode_one(batch, group, group[done], out)
            done += 1
            rest, places = out[self._ends[done - 1] :], slice(group.start + done, group.stop)
            done += from_files(descriptors[places], offsets[places], lengths[places], sizes[done:], rest, scratch)

    def _decode_one(self, batch: Batch, group: range, i: int, out: NDArray[np.uint8]) -> None:
        """Read and decode part i, of a group, by itself; it says what is wrong with it."""
        content, place = self.load(batch, i), i - group.start
        values = out[self._begins[place] : self._ends[place]]
        self._use(batch, i, content, lambda content: self._codec.decode_into(content, values))

    def _is_wanted(self, batch: Batch, i: int) -> bool:
        return batch.wanted is not None and batch.wanted[i]

    def _memory(self, size: int) -> NDArray[np.uint8]:
        """Return memory of this thread, at least `size` bytes, so that a read allocates nothing."""
        memory: NDArray[np.uint8] | None = getattr(self._scratch, "memory", None)
        if memory is None or len(memory) < size:
            memory = self._scratch.memory = np.empty(max(size, 0), np.uint8)
        return memory

    def _damaged(self, number: int, what: object) -> CorruptShard:
        path = self._files.path(int(self.extents.file[number]))
        return CorruptShard(f"{path}: the {self._what} of {self._key(number // self.extents.stride)} {what}")
