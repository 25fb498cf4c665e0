"""The stages in which records come from a store into memory, and the least that each could take, to be timed."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from shards import CODECS, RECORD_VALUES, Store
from shards.metadata.parts import PARTS
from shards.read.reader import ROWS
from shards.runtime.threads import Threads

READ: Final = "read"
"""The stored bytes alone, into scratch memory."""
DECODE: Final = "decode"
"""Nothing but the decoder, on stored bytes that are in memory already: a call of `numcodecs.blosc.decompress` for each
piece, or of `shards.codec.bitpack.decoder.decode_rows` for each patch."""
COPY: Final = "copy"
"""Nothing but `numpy.copyto` of uncompressed records that are in memory already, one by one."""
TAKE: Final = "take"
"""Nothing but `numpy.take` of uncompressed records that are in memory already, one call a thread and batch."""
READ_INTO: Final = "read_into"
"""`Store.read_into`: both."""
CHECKED: Final = "checked"
"""The same, each record compared with its checksum, as a run does when it first reads it."""

Stage: TypeAlias = Callable[[NDArray[np.int64], int], object]
"""Takes rows of the index and the number of the output."""


def build_stages(
    store: Store, rows: NDArray[np.int64], outputs: list[NDArray[np.uint16]], *, threads: Threads
) -> dict[str, Stage]:
    """Return the stages that there are for a store's codec, by name.

    Args:
        store: open; `read`, `read_into` and `checked` use its own threads.
        rows: (n,) rows of the index, which batches may consist of.
        outputs: C-contiguous uint16 of shape (m, 80000), for batches of m patches.
        threads: what the other stages use.
    """
    stages: dict[str, Stage] = {
        READ: lambda batch, _: store.fetch(batch, verify="never"),
        READ_INTO: lambda batch, output: store.read_into(batch, outputs[output], verify="never"),
        CHECKED: lambda batch, output: store.read_into(batch, outputs[output], verify="always"),
    }
    pieces = store.read_encoded(rows)
    place = np.zeros(len(store), np.int64)
    place[rows] = np.arange(len(rows))
    codec = CODECS[store.manifest.codec]
    if codec.is_identity:
        records = np.frombuffer(b"".join(pieces), np.uint16).reshape(len(rows), RECORD_VALUES)
        return {**stages, **_copy_stages(records, place, outputs, threads)}
    if codec.is_whole:
        return {**stages, DECODE: _unpack_stage(pieces, place, outputs, threads)}
    parts = PARTS[store.manifest.format].values()
    return {**stages, DECODE: _decode_stage(pieces, list(parts), place, outputs, threads)}


def _decode_stage(
    pieces: list[bytes],
    parts: list[slice],
    place: NDArray[np.int64],
    outputs: list[NDArray[np.uint16]],
    threads: Threads,
) -> Stage:
    # All that can be done beforehand is, so that nothing but the decoder is timed.
    targets = [[record[values] for record in output for values in parts] for output in outputs]

    def work(rest: Iterator[tuple[int, NDArray[np.uint16]]]) -> None:
        for source, target in rest:
            blosc.decompress(pieces[source], target)

    def decode(batch: NDArray[np.int64], output: int) -> None:
        sources = place[batch][:, None] * len(parts) + np.arange(len(parts))
        threads.run(work, list(zip(sources.ravel().tolist(), targets[output], strict=True)))

    return decode


def _unpack_stage(
    records: list[bytes], place: NDArray[np.int64], outputs: list[NDArray[np.uint16]], threads: Threads
) -> Stage:
    from shards.codec.bitpack.decoder import decode_rows

    owners = [np.frombuffer(record, np.uint8) for record in records]
    addresses = np.array([owner.ctypes.data for owner in owners], np.uint64)
    lengths = np.array([len(owner) for owner in owners])

    def decode(batch: NDArray[np.int64], output: int) -> None:
        assert owners  # They are what lies at the addresses.
        begin, size = addresses[place[batch]], lengths[place[batch]]

        def work(starts: Iterator[int]) -> None:
            for start in starts:
                rows = slice(start, start + ROWS)
                decode_rows(begin[rows], size[rows], outputs[output][rows])

        threads.run(work, range(0, len(batch), ROWS))

    return decode


def _copy_stages(
    records: NDArray[np.uint16], place: NDArray[np.int64], outputs: list[NDArray[np.uint16]], threads: Threads
) -> dict[str, Stage]:
    def work(rest: Iterator[tuple[int, NDArray[np.uint16]]]) -> None:
        for source, target in rest:
            np.copyto(target, records[source])

    def copy(batch: NDArray[np.int64], output: int) -> None:
        threads.run(work, list(zip(place[batch].tolist(), outputs[output], strict=True)))

    def take(batch: NDArray[np.int64], output: int) -> None:
        def work(rest: Iterator[slice]) -> None:
            for part in rest:
                # NumPy writes straight into `out` only if it need not raise for a wrong row.
                np.take(records, place[batch[part]], axis=0, out=outputs[output][part], mode="clip")

        cuts = [len(batch) * i // threads.count for i in range(threads.count + 1)]
        threads.run(work, [slice(*cut) for cut in pairwise(cuts)])

    return {COPY: copy, TAKE: take}
