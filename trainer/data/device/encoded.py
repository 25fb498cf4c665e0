"""Encoded records on their way to the device: read, checked and packed, but not decoded."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards import RECORD_BYTES, CorruptShard, Store, Verify
from shards.codec.bitpack.decoder import first_incomplete
from shards.codec.registry import CODECS

CODEC: Final = "bitpack"
"""The codec that the device decodes."""
LARGEST: Final = CODECS[CODEC].lengths(RECORD_BYTES)[1]
"""Bytes of the largest record."""


def can_decode(store: Store) -> bool:
    """Return whether the device can decode the records of a store."""
    return store.manifest.codec == CODEC


def lengths_of(store: Store, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bytes of encoded records, (n,) int64."""
    lengths: NDArray[np.int64] = store.index.column("s2_length")[rows].astype(np.int64)
    return lengths


def read(store: Store, rows: NDArray[np.int64], out: NDArray[np.uint8], verify: Verify) -> NDArray[np.int64]:
    """Read records into an array, in sequence and without gaps, and return the bytes of each.

    The kernel relies on headers that say as many bytes as there are, so that is made sure of here, as the CRC-32C.

    Args:
        store: of codec `bitpack`.
        rows: (n,) rows of the index.
        out: (at least their bytes,) uint8.
        verify: which records to compare with their checksums.

    Raises:
        CorruptShard: a record is damaged; the message names file and key.
    """
    lengths = store.read_encoded_into(rows, out, verify=verify)
    addresses = np.uint64(out.ctypes.data) + (np.cumsum(lengths) - lengths).astype(np.uint64)
    first = first_incomplete(addresses, lengths)
    if first < len(rows):
        # Decoding on the host says which file it is, and what was expected.
        store.read(int(rows[first]), verify=verify)
        raise CorruptShard(
            f"{store.folder}: the record of {store.index.key(int(rows[first]))} changed while it was read"
        )
    return lengths
