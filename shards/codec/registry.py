"""Encoding of records and their parts: Blosc (LZ4 or Zstandard behind bitshuffle, typesize 2), `bitpack`, or raw bytes.

Every call works in the calling thread and releases the interpreter lock while it compresses or decompresses, so that
one thread a core scales.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from shards.errors import CorruptShard, InvalidValue
from shards.layout.bands import RECORD_VALUES

# Blosc's own thread pool serialises concurrent callers; with it off each calling thread works for itself.
blosc.use_threads = False

# Of a Blosc header (version, lz version, flags, typesize, nbytes, blocksize, cbytes): nbytes and cbytes.
_BLOSC_SIZES: Final = struct.Struct("<4xI4xI")


class Codec(Protocol):
    """A way to store an array of uint16."""

    @property
    def name(self) -> str:
        """Name in manifests and on the command line."""

    def lengths(self, num_values: int) -> tuple[int, int]:
        """Return the fewest and the most bytes that such an array can be stored in."""

    def encode(self, values: NDArray[np.uint16]) -> bytes:
        """Return the stored bytes of a contiguous array of little-endian uint16."""

    def decode_into(self, data: Any, out: NDArray[np.uint16]) -> None:
        """Decode stored bytes into `out`, a contiguous array of uint16.

        Raises:
            CorruptShard: the bytes are not an encoding of as many values as `out` holds.
        """


@dataclass(frozen=True, slots=True)
class Blosc:
    """Blosc 1 frames with bitshuffle.

    Attributes:
        name: see `Codec`.
        cname: Blosc's name of the compressor.
        clevel: its compression level.
    """

    name: str
    cname: str
    clevel: int

    def lengths(self, num_values: int) -> tuple[int, int]:
        """See `Codec`."""
        # BLOSC_MAX_OVERHEAD, the length of the header, is all that a frame adds to what cannot be compressed.
        return _BLOSC_SIZES.size, 2 * num_values + _BLOSC_SIZES.size

    def encode(self, values: NDArray[np.uint16]) -> bytes:
        """See `Codec`."""
        encoded: bytes = blosc.compress(values, self.cname.encode(), self.clevel, blosc.BITSHUFFLE)
        return encoded

    def decode_into(self, data: Any, out: NDArray[np.uint16]) -> None:
        """See `Codec`."""
        # The library trusts these two sizes, so they are checked before it reads by them.
        if len(data) < _BLOSC_SIZES.size:
            raise CorruptShard(f"holds {len(data)} bytes, fewer than a Blosc header")
        nbytes, cbytes = _BLOSC_SIZES.unpack_from(data)
        if nbytes != out.nbytes or cbytes != len(data):
            raise CorruptShard(
                f"its Blosc header says {cbytes} bytes for {nbytes}, expected {len(data)} for {out.nbytes}"
            )
        try:
            blosc.decompress(data, out)
        except (RuntimeError, ValueError, OverflowError) as err:
            raise CorruptShard(f"does not decompress with Blosc ({err})") from err


@dataclass(frozen=True, slots=True)
class Bitpack:
    """Predicted pixels and the bits by which they differ, for whole records (`shards.codec.bitpack.decoder`).

    The module is imported where it is used: numba, which compiles it, takes half a second.
    """

    name: str = "bitpack"

    def lengths(self, num_values: int) -> tuple[int, int]:
        """See `Codec`."""
        # Coefficients, widths and padding; a value takes 16 bits at most.
        return 5_030, 5_030 + 2 * num_values

    def encode(self, values: NDArray[np.uint16]) -> bytes:
        """See `Codec`.

        Raises:
            ValueError: the array is not a whole record.
        """
        from shards.codec.bitpack.encoder import encode

        if values.shape != (RECORD_VALUES,):
            raise ValueError(f"bitpack encodes records, expected shape ({RECORD_VALUES},), got {values.shape}")
        return encode(values)

    def decode_into(self, data: Any, out: NDArray[np.uint16]) -> None:
        """See `Codec`."""
        from shards.codec.bitpack.decoder import decode

        if out.size != RECORD_VALUES or not decode(np.frombuffer(data, np.uint8), out.reshape(-1)):
            raise CorruptShard(
                f"holds {len(data)} bytes, expected as many as its header says for {RECORD_VALUES} values"
            )


@dataclass(frozen=True, slots=True)
class Raw:
    """The values themselves."""

    name: str = "raw"

    def lengths(self, num_values: int) -> tuple[int, int]:
        """See `Codec`."""
        return 2 * num_values, 2 * num_values

    def encode(self, values: NDArray[np.uint16]) -> bytes:
        """See `Codec`."""
        return values.tobytes()

    def decode_into(self, data: Any, out: NDArray[np.uint16]) -> None:
        """See `Codec`."""
        if len(data) != out.nbytes:
            raise CorruptShard(f"holds {len(data)} bytes, expected {out.nbytes}")
        np.copyto(out.reshape(-1), np.frombuffer(data, np.uint16))


CODECS: Final[dict[str, Codec]] = {
    codec.name: codec for codec in (Blosc("blosc-lz4", "lz4", 5), Blosc("blosc-zstd", "zstd", 1), Bitpack(), Raw())
}
DEFAULT_CODEC: Final = "blosc-lz4"
ZARR_CODECS: Final = tuple(name for name, codec in CODECS.items() if not isinstance(codec, Bitpack))
"""Codecs of Zarr stores: those that are in the core of Zarr, so that whatever reads Zarr reads them."""


def get_codec(name: str) -> Codec:
    """Return the codec of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in CODECS:
        raise InvalidValue(f"no codec {name!r}; there are {', '.join(CODECS)}")
    return CODECS[name]


def record_decoder(codec: str = DEFAULT_CODEC) -> Callable[[str, bytes], NDArray[np.uint16] | NDArray[np.uint8] | None]:
    """Return a decoder of `.s2` and `.labels` members for `webdataset.WebDataset(...).decode(...)`.

    A `.s2` member becomes (80000,) uint16, a `.labels` member (19,) uint8; `.json` is decoded by webdataset itself.

    Raises:
        ValueError: there is no such codec.
    """
    chosen = get_codec(codec)

    def decode(member: str, data: bytes) -> NDArray[np.uint16] | NDArray[np.uint8] | None:
        extension = member.rpartition(".")[2]
        if extension == "s2":
            record = np.empty(RECORD_VALUES, np.uint16)
            chosen.decode_into(data, record)
            return record
        if extension == "labels":
            return np.frombuffer(data, np.uint8)
        return None

    return decode
