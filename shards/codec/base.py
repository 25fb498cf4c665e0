"""The interface of a record codec, and what a codec may be able to do besides."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class DecodeInMemory(Protocol):
    """Decodes encodings that lie anywhere in memory, in one call, without the interpreter lock."""

    def __call__(
        self,
        addresses: NDArray[np.uint64],
        lengths: NDArray[np.int64],
        sizes: NDArray[np.int64],
        out: NDArray[np.uint8],
    ) -> int:
        """Decode encodings into contiguous parts of an array.

        Args:
            addresses: (n,) uint64, where each encoding begins.
            lengths: (n,) int64 bytes, all of which are there.
            sizes: (n,) int64 bytes that each encoding holds, decoded.
            out: C-contiguous uint8, as long as `sizes` says.

        Returns:
            The number of the first encoding that is not valid, before which all are decoded; n if there is none.
        """


class DecodeFromFiles(Protocol):
    """Reads encodings from open files and decodes them, in one call as `DecodeInMemory`."""

    def __call__(
        self,
        descriptors: NDArray[np.int64],
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
        sizes: NDArray[np.int64],
        out: NDArray[np.uint8],
        scratch: NDArray[np.uint8],
    ) -> int:
        """Read and decode encodings into contiguous parts of an array.

        Args:
            descriptors: (n,) int64, of the file that holds each encoding.
            offsets: (n,) int64 bytes, where it begins there.
            lengths: (n,) int64 bytes.
            sizes: (n,) int64 bytes that each encoding holds, decoded.
            out: C-contiguous uint8, as long as `sizes` says.
            scratch: uint8 of the size of the largest encoding; an encoding that is larger counts as not valid.

        Returns:
            The number of the first encoding that cannot be read or is not valid; n if there is none.
        """


class Codec(Protocol):
    """A way to store an array of numbers.

    Every call works in the calling thread and releases the interpreter lock while it compresses or decompresses, so
    that one thread a core scales.
    """

    @property
    def name(self) -> str:
        """Name in manifests and on the command line."""

    @property
    def is_whole(self) -> bool:
        """True if it encodes Sentinel-2 records only, as a whole, and no other array."""

    @property
    def is_identity(self) -> bool:
        """True if the stored bytes are the values themselves, so that reading needs no decoding."""

    @property
    def decode_in_memory(self) -> DecodeInMemory | None:
        """Decoder of many encodings in memory; None if the codec has no such decoder."""

    @property
    def decode_from_files(self) -> DecodeFromFiles | None:
        """Decoder of many encodings in open files; None if the codec has no such decoder."""

    def lengths(self, size_bytes: int) -> tuple[int, int]:
        """Return the fewest and the most bytes that an array of this size can be stored in."""

    def encode(self, values: NDArray[Any]) -> bytes:
        """Return the stored bytes of a contiguous array of little-endian integers or floats."""

    def decode_into(self, data: Any, out: NDArray[Any]) -> None:
        """Decode stored bytes into `out`, a contiguous array of the type that was encoded, or its bytes as uint8.

        Raises:
            CorruptShard: the bytes are not an encoding of as many bytes as `out` has.
        """
