"""The codecs by name."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards.codec.base import Codec
from shards.codec.bitpack.codec import Bitpack
from shards.codec.blosc import Blosc
from shards.codec.raw import Raw
from shards.errors import InvalidValue
from shards.layout.bands import LAYOUT, RECORD_VALUES
from shards.layout.record import RecordLayout

CODECS: Final[dict[str, Codec]] = {
    codec.name: codec for codec in (Blosc("blosc-lz4", "lz4", 5), Blosc("blosc-zstd", "zstd", 1), Bitpack(), Raw())
}
DEFAULT_CODEC: Final = "blosc-lz4"
GROUP_CODECS: Final = tuple(name for name, codec in CODECS.items() if not codec.is_whole)
"""Codecs of any array, and so of single groups."""
ZARR_CODECS: Final = GROUP_CODECS
"""Codecs of Zarr stores: those that are in the core of Zarr, so that whatever reads Zarr reads them."""


def get_codec(name: str) -> Codec:
    """Return the codec of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in CODECS:
        raise InvalidValue(f"no codec {name!r}; there are {', '.join(CODECS)}")
    return CODECS[name]


def record_decoder(
    codec: str = DEFAULT_CODEC, layout: RecordLayout = LAYOUT
) -> Callable[[str, bytes], NDArray[Any] | None]:
    """Return a decoder of `.s2` and `.labels` members for `webdataset.WebDataset(...).decode(...)`.

    A `.s2` member becomes (80000,) uint16, a `.labels` member (19,) uint8, that of a further group an array of its type
    and of shape (bands, rows, columns); `.json` is decoded by webdataset itself.

    Args:
        codec: of the store.
        layout: that of the manifest.

    Raises:
        ValueError: there is no such codec.
    """
    chosen = get_codec(codec)
    further = {group.name: (group, get_codec(group.codec or codec)) for group in layout.extras}

    def decode(member: str, data: bytes) -> NDArray[Any] | None:
        extension = member.rpartition(".")[2]
        if extension == "s2":
            record = np.empty(RECORD_VALUES, np.uint16)
            chosen.decode_into(data, record)
            return record
        if extension == "labels":
            return np.frombuffer(data, np.uint8).copy()  # Writable, as torch wants arrays to be.
        if extension in further:
            group, its = further[extension]
            values = np.empty(group.shape, group.dtype)
            its.decode_into(data, values)
            return values
        return None

    return decode
