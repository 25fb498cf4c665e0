"""Codecs `blosc-lz4` and `blosc-zstd`: Blosc 1 frames, LZ4 or Zstandard behind bitshuffle."""

import struct
from dataclasses import dataclass
from typing import Any, Final

from numcodecs import blosc
from numpy.typing import NDArray

from shards.codec.base import DecodeFromFiles, DecodeInMemory
from shards.errors import CorruptShard

# Blosc's own thread pool serialises concurrent callers; with it off each calling thread works for itself.
blosc.use_threads = False

# Of a Blosc header (version, lz version, flags, typesize, nbytes, blocksize, cbytes): nbytes and cbytes.
_SIZES: Final = struct.Struct("<4xI4xI")


@dataclass(frozen=True, slots=True)
class Blosc:
    """Blosc 1 frames with bitshuffle.

    Attributes:
        name: see `Codec`.
        cname: Blosc's name of the compressor.
        clevel: its compression level.
        is_whole: see `Codec`.
        is_identity: see `Codec`.
    """

    name: str
    cname: str
    clevel: int
    is_whole: bool = False
    is_identity: bool = False

    @property
    def decode_in_memory(self) -> DecodeInMemory | None:
        """See `Codec`."""
        from shards.codec.blosc_many import decompress_in_memory

        return decompress_in_memory

    @property
    def decode_from_files(self) -> DecodeFromFiles | None:
        """See `Codec`."""
        from shards.codec.blosc_many import decompress_from_files

        return decompress_from_files

    def lengths(self, size_bytes: int) -> tuple[int, int]:
        """See `Codec`."""
        # BLOSC_MAX_OVERHEAD, the length of the header, is all that a frame adds to what cannot be compressed.
        return _SIZES.size, size_bytes + _SIZES.size

    def encode(self, values: NDArray[Any]) -> bytes:
        """See `Codec`."""
        encoded: bytes = blosc.compress(values, self.cname.encode(), self.clevel, blosc.BITSHUFFLE)
        return encoded

    def decode_into(self, data: Any, out: NDArray[Any]) -> None:
        """See `Codec`."""
        # The library trusts these two sizes, so they are checked before it reads by them.
        if len(data) < _SIZES.size:
            raise CorruptShard(f"holds {len(data)} bytes, fewer than a Blosc header")
        nbytes, cbytes = _SIZES.unpack_from(data)
        if nbytes != out.nbytes or cbytes != len(data):
            raise CorruptShard(
                f"its Blosc header says {cbytes} bytes for {nbytes}, expected {len(data)} for {out.nbytes}"
            )
        try:
            blosc.decompress(data, out)
        except (RuntimeError, ValueError, OverflowError) as err:
            raise CorruptShard(f"does not decompress with Blosc ({err})") from err
