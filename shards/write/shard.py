"""Writing one shard: containers, its rows of the index, its histogram and its note."""

import errno
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import MappingProxyType, TracebackType
from typing import IO, Any, Final

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from shards.codec.base import Codec
from shards.codec.registry import get_codec
from shards.errors import InvalidValue
from shards.layout.bands import RECORD_VALUES
from shards.layout.classes import mask_of_19
from shards.layout.facts import MAX_KEY, Facts, is_key
from shards.layout.statistics import Histograms, histogram_table
from shards.metadata.entries import SPLITS, ShardInfo
from shards.metadata.index import Place, write_table
from shards.metadata.index_rows import IndexRows
from shards.metadata.parts import PARTS
from shards.storage.atomic import atomic_write, sync_names
from shards.write.contents import note_paths, shard_name
from shards.write.files import open_shard_files
from shards.write.options import StoreOptions
from shards.write.shard_note import write_note

_REMOVED: Final = "the folder was removed while the build runs"


def encode_record(codec: Codec, parts: Sequence[slice], record: NDArray[np.uint16]) -> list[bytes]:
    """Return the encoded parts of a record, as a shard holds them.

    Args:
        codec: of the store.
        parts: values of the record that each part holds, see `shards.metadata.parts.PARTS`.
        record: (80000,) uint16.
    """
    return [codec.encode(record[values]) for values in parts]


class ShardWriter:
    """Writes one shard of a store; a context manager.

    Its files appear when the block ends without an error, each whole or not at all, and its note last: a shard without
    a note is one that was not written. Whoever writes the shards of a store, in any number of processes, passes what
    each leaves in `info` to `finish_store`.

    Attributes:
        name: of the shard, such as `train-00007`.
        info: the written shard, for the manifest; None until the block has ended, and after `discard`.
        made_of: further JSON values of the note: what the shard was made from.
    """

    info: ShardInfo | None

    def __init__(
        self, options: StoreOptions, split: str, number: int, *, committed: Callable[[ShardInfo], object] | None = None
    ) -> None:
        """Prepare to write a shard; nothing is opened before the block begins.

        Args:
            options: of the store, whose folder and work folder exist.
            split: `train`, `validation` or `test`.
            number: of the shard within its split, from 0.
            committed: receives `info` once the shard is written.

        Raises:
            InvalidValue: there is no such split, or the number is negative.
        """
        if split not in SPLITS or number < 0:
            raise InvalidValue(f"shard {number} of split {split!r}, expected 0 or more of one of {', '.join(SPLITS)}")
        self.info = None
        self.made_of: Mapping[str, Any] = {}
        self._options, self._split, self._number = options, split, number
        self.name = shard_name(split, number)
        self._committed = committed
        self._codec = get_codec(options.codec)
        self._parts = tuple(PARTS[options.format].values())
        self._groups = tuple((group, get_codec(str(group.codec))) for group in options.layout.extras)
        self._stack = ExitStack()
        self._room: NDArray[np.uint16] | None = None
        self._is_discarded = False

    def __enter__(self) -> "ShardWriter":
        if not self._options.work.is_dir():
            # Made anew it would hold a part of a store.
            raise FileNotFoundError(errno.ENOENT, _REMOVED, str(self._options.work))
        self._histograms = Histograms()
        self._rows = IndexRows(self._options.format, self.name, self._options.layout, self._options.optional_columns)
        self._keys: set[str] = set()
        with ExitStack() as stack:
            self._stack = stack
            self._files = open_shard_files(self._options, self._split, self._number, self._open)
            self._stack = stack.pop_all()
        return self

    def _open(self, relative: str) -> IO[bytes]:
        path = self._options.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return self._stack.enter_context(atomic_write(path))

    def next_record(self) -> NDArray[np.uint16]:
        """Return room for the next record, (80000,) uint16, whose pixels `add` then need not copy."""
        self._room = self._histograms.next_record()
        return self._room

    def add(
        self, facts: Facts, record: NDArray[np.uint16], extras: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> None:
        """Append a patch.

        Args:
            facts: all that is known of it.
            record: (80000,) uint16, as `shards.layout.bands` orders it.
            extras: the further groups of the store by name, each (bands, rows, columns) of its type.

        Raises:
            InvalidValue: the shard is full, the record or a group is of another shape or type, a group is absent or is
                none of the store, or key, split or `labels43` do not fit.
        """
        self._check(facts)
        further = self._encode_groups(facts, extras)
        record = self._in_room(facts, record)
        self._append(facts, [*encode_record(self._codec, self._parts, record), *further])

    def add_encoded(self, facts: Facts, record: NDArray[np.uint16], parts: Sequence[bytes | memoryview]) -> None:
        """Append a patch that `encode_record` has encoded before, with this codec and for this format.

        Args:
            facts: all that is known of it.
            record: (80000,) uint16, whose values the histogram counts.
            parts: its encoded parts, which are stored as they are.

        Raises:
            InvalidValue: as `add`, or there is another number of parts.
        """
        self._check(facts)
        if self._groups or len(parts) != len(self._parts):
            raise InvalidValue(
                f"patch {facts.key} has {len(parts)} encoded parts, expected {len(self._parts)} and no further groups"
            )
        self._in_room(facts, record)
        self._append(facts, parts)

    def _in_room(self, facts: Facts, record: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the record in the room of `next_record`, copied there unless it is there."""
        if record is not self._room:
            if record.shape != (RECORD_VALUES,) or record.dtype != np.uint16:
                raise InvalidValue(
                    f"the record of {facts.key} is {record.dtype} of shape {record.shape}, "
                    f"expected uint16 of shape ({RECORD_VALUES},)"
                )
            room = self.next_record()
            room[:] = record
            record = room
        return record

    def _append(self, facts: Facts, parts: Sequence[bytes | memoryview]) -> None:
        self._keys.add(facts.key)
        offsets = self._files.add(facts, parts)
        places = [Place(offset, len(part), crc32c(part)) for offset, part in zip(offsets, parts, strict=True)]
        self._rows.add(facts, places)
        self._histograms.commit()
        self._room = None

    def _encode_groups(self, facts: Facts, extras: Mapping[str, NDArray[Any]]) -> list[bytes]:
        names = [group.name for group, _ in self._groups]
        if extras.keys() != set(names):
            given, wanted = (", ".join(sorted(some)) or "none" for some in (extras, names))
            raise InvalidValue(f"patch {facts.key} is given the groups {given}, expected {wanted}")
        encoded = []
        for group, codec in self._groups:
            values = extras[group.name]
            if values.shape != group.shape or values.dtype != np.dtype(group.dtype):
                raise InvalidValue(
                    f"group {group.name} of {facts.key} is {values.dtype} of shape {values.shape}, "
                    f"expected {group.dtype} of shape {group.shape}"
                )
            encoded.append(codec.encode(np.ascontiguousarray(values)))
        return encoded

    def _check(self, facts: Facts) -> None:
        if len(self._rows) >= self._options.patches_per_shard:
            raise InvalidValue(f"shard {self.name} holds {len(self._rows)} patches and is full")
        if facts.split != self._split:
            raise InvalidValue(f"patch {facts.key} is of split {facts.split}, expected {self._split} as {self.name}")
        longest = min(MAX_KEY, self._options.layout.max_key)
        if not is_key(facts.key) or len(facts.key) > longest:
            raise InvalidValue(f"patch name {facts.key!r}, expected 1 to {longest} letters, digits, '_' and '-'")
        if self._options.labels43 and (facts.labels43 is None or mask_of_19(facts.labels43) != facts.label_mask):
            given = "no labels43" if facts.labels43 is None else f"labels43 {facts.labels43:#x}"
            raise InvalidValue(
                f"patch {facts.key} has {given}, expected a mask of which label_mask {facts.label_mask:#x} follows"
            )
        if facts.key in self._keys:
            raise InvalidValue(f"patch {facts.key} was added to shard {self.name} before")

    def discard(self) -> None:
        """Leave nothing of the shard when the block ends."""
        self._is_discarded = True

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if err is not None:
            self._stack.__exit__(kind, err, trace)
        elif self._is_discarded:
            with suppress(_Discarded), self._stack:
                raise _Discarded
        else:
            with self._stack:
                if not len(self._rows):
                    raise InvalidValue(f"shard {self.name} holds no patch, expected one at least")
                self._files.finish()
            self._commit()

    def _commit(self) -> None:
        info = ShardInfo(self.name, self._split, len(self._rows), self._files.describe())
        sync_names(self._options.folder, (file.path for file in info.files))
        _, index, histogram = note_paths(self._options.work, self.name)
        write_table(self._rows.table(), index)
        write_table(histogram_table(self._histograms.counts()), histogram)
        write_note(self._options, info, self.made_of)
        self.info = info
        if self._committed is not None:
            self._committed(info)


class _Discarded(Exception):
    """Ends `atomic_write` without keeping the file."""
