"""Encoding of records and their parts: Blosc (LZ4 or Zstandard behind bitshuffle, typesize 2) or raw bytes.

Every call works in the calling thread and releases the interpreter lock while it compresses or decompresses, so that
one thread a core scales.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from shards.bands import RECORD_VALUES
from shards.errors import CorruptShard

# Blosc's own thread pool serialises concurrent callers; with it off each calling thread works for itself.
blosc.use_threads = False

# Of a Blosc header (version, lz version, flags, typesize, nbytes, blocksize, cbytes): nbytes and cbytes.
_BLOSC_SIZES: Final = struct.Struct("<4xI4xI")


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to store an array of uint16.

    Attributes:
        name: name in manifests and on the command line.
        cname: Blosc compressor; None for raw bytes.
        clevel: Blosc compression level.
    """

    name: str
    cname: str | None
    clevel: int = 0

    @property
    def is_raw(self) -> bool:
        """Whether stored bytes are the values themselves."""
        return self.cname is None

    def encode(self, values: NDArray[np.uint16]) -> bytes:
        """Return the stored bytes of a contiguous array of little-endian uint16."""
        if self.cname is None:
            return values.tobytes()
        encoded: bytes = blosc.compress(values, self.cname.encode(), self.clevel, blosc.BITSHUFFLE)
        return encoded

    def decode_into(self, data: Any, out: NDArray[np.uint16]) -> None:
        """Decode stored bytes into `out`, a contiguous array of uint16.

        Raises:
            CorruptShard: the bytes are not an encoding of as many values as `out` holds.
        """
        if self.cname is None:
            if len(data) != out.nbytes:
                raise CorruptShard(f"holds {len(data)} bytes, expected {out.nbytes}")
            np.copyto(out.reshape(-1), np.frombuffer(data, np.uint16))
            return
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
        except (RuntimeError, ValueError) as err:
            raise CorruptShard(f"does not decompress with Blosc ({err})") from err


CODECS: Final[dict[str, Codec]] = {
    codec.name: codec for codec in (Codec("blosc-lz4", "lz4", 5), Codec("blosc-zstd", "zstd", 1), Codec("raw", None))
}
DEFAULT_CODEC: Final = "blosc-lz4"


def get_codec(name: str) -> Codec:
    """Return the codec of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in CODECS:
        raise ValueError(f"no codec {name!r}; there are {', '.join(CODECS)}")
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
