"""The Zarr store: per split a Zarr v3 group with `b10`, `b20`, `b60`, further groups, `labels` and `key`.

Each patch is one inner chunk of each pixel array, and each shard of our plan is one Zarr shard of each. The inner
chunks are the same (file, offset, length, codec) as tar members to the reader. Shards are written here byte by byte
after the Zarr sharding specification (all chunks, contiguous, then the index: offset and length as
little-endian uint64 a chunk, 2⁶⁴−1 for an absent one, and the CRC-32C of it), because one writer per shard then needs
neither locks nor a shard in memory. Everything else is done by zarr-python, and read back by it in the tests.
"""

import hashlib
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import zarr
from crc32c import crc32c
from numpy.typing import NDArray
from zarr.codecs import BloscCname, BloscCodec, BytesCodec

from shards.codec.base import Codec
from shards.codec.blosc import Blosc
from shards.codec.registry import get_codec
from shards.layout.classes import CLASSES
from shards.layout.record import S2, RecordGroup, RecordLayout
from shards.metadata.entries import FileInfo

_METADATA: Final = "zarr.json"
_ABSENT: Final = np.uint64(2**64 - 1)


def shard_path(split: str, array: str, number: int) -> str:
    """Return the path of a Zarr shard of a pixel array within the store."""
    return f"{split}/{array}/c/{number}/0/0/0"


class ZarrShardWriter:
    """Writes the Zarr shard of one array into an open file: `capacity` chunks, of which the last may be absent."""

    def __init__(self, file: IO[bytes], capacity: int) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._index = np.full((capacity, 2), _ABSENT, "<u8")
        self._num_chunks = 0
        self._offset = 0

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._sha256.update(data)
        self._offset += len(data)

    def add(self, chunk: bytes | memoryview) -> int:
        """Append an encoded inner chunk and return its offset in the file."""
        start = self._offset
        self._index[self._num_chunks] = (start, len(chunk))
        self._num_chunks += 1
        self._write(chunk)
        return start

    def finish(self) -> None:
        """Write the shard index at the end of the file."""
        index = self._index.tobytes()
        self._write(index + crc32c(index).to_bytes(4, "little"))

    def file_info(self, path: str) -> FileInfo:
        """Return size and SHA-256 of the finished file."""
        return FileInfo(path, self._offset, self._sha256.hexdigest())


def write_root(folder: Path, attributes: dict[str, Any]) -> None:
    """Write the metadata of the root group."""
    (folder / _METADATA).unlink(missing_ok=True)
    zarr.create_group(folder, attributes=attributes, zarr_format=3)


def write_split(
    folder: Path,
    split: str,
    *,
    keys: list[str],
    labels: NDArray[np.uint8],
    patches_per_shard: int,
    codec: Codec,
    layout: RecordLayout,
    attributes: dict[str, Any],
) -> None:
    """Write the metadata of a split's arrays, and its labels and keys.

    Args:
        folder: the store.
        split: name of the split.
        keys: patch names in array order.
        labels: (patches, 19) uint8.
        patches_per_shard: patches of a Zarr shard.
        codec: codec of the inner chunks of the Sentinel-2 arrays.
        layout: groups of a patch, each of which is an array; further ones name their codec.
        attributes: attributes of the group.
    """
    # Metadata of an interrupted run goes first: to overwrite an array would delete its shards.
    for name in ("", *(record_group.name for record_group in layout.groups), "labels", "key"):
        (folder / split / name / _METADATA).unlink(missing_ok=True)
    group = zarr.create_group(folder, path=split, attributes=attributes, zarr_format=3)
    for record_group in layout.groups:
        further = {} if record_group.role == S2 else {"role": record_group.role}
        group.create_array(
            record_group.name,
            shape=(len(keys), *record_group.shape),
            dtype=record_group.dtype,
            chunks=(1, *record_group.shape),
            shards=(patches_per_shard, *record_group.shape),
            serializer=BytesCodec(endian="little"),
            compressors=_compressor(record_group, codec),
            fill_value=0,
            dimension_names=record_group.dimensions,
            attributes={"bands": list(record_group.bands), "metres": record_group.metres, **further},
        )
    # Fixed-width bytes rather than strings: a string array needs a codec outside the core specification.
    width = max(map(len, keys))
    key_bytes = np.frombuffer(b"".join(key.encode().ljust(width, b"\0") for key in keys), np.uint8)
    for name, data, second in (("labels", labels, "class"), ("key", key_bytes.reshape(-1, width), "key_byte")):
        array = group.create_array(
            name,
            shape=data.shape,
            dtype="uint8",
            chunks=(patches_per_shard, data.shape[1]),
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle", typesize=1),
            fill_value=0,
            dimension_names=("patch", second),
            attributes={"classes": list(CLASSES)} if name == "labels" else {"encoding": "ASCII, padded with zeros"},
        )
        array[:] = data


def _compressor(group: RecordGroup, store_codec: Codec) -> BloscCodec | None:
    codec = store_codec if group.codec is None else get_codec(group.codec)
    if not isinstance(codec, Blosc):
        return None
    size = np.dtype(group.dtype).itemsize
    name = BloscCname(codec.cname)
    return BloscCodec(cname=name, clevel=codec.clevel, shuffle="bitshuffle", typesize=size, blocksize=0)
