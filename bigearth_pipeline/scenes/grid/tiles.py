"""Tiles of GeoTIFFs, decoded without GDAL, which takes about twice the time for the same pixels.

GDAL opens the file and says where its tiles are and how they are compressed. Anything but one band of 8 or 16 bits in
tiles of LZW, DEFLATE or Zstandard, and anything that cannot be decoded, is left to GDAL, which knows what a reader must
accept and what is wrong with the rest.
"""

import os
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards.storage.safe_open import open_regular

LEAST_PIXELS: Final = 1 << 28
"""Pixels of a scene, all bands together, from which on it pays to load a compiler; a granule has 2.5 times as many."""
_LITTLE_ENDIAN: Final = (b"II*\0", b"II+\0")
"""First bytes of a TIFF and of a BigTIFF."""

_BEHIND: Final = 64
"""Bytes behind those of a tile, which decoders may read."""

_Decoder = Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8] | None]
"""Decodes the first bytes of an array, which `_BEHIND` others follow, to a tile of a number of bytes; None if it has
another number, or is damaged. Takes the array and both numbers. The tile is valid until the next call."""


class Tiles:
    """The tiles of one band of a file. One thread uses it at a time."""

    def __init__(self, source: Any, descriptor: int, index: int) -> None:
        """Use a file that `open_tiles` has looked at.

        Args:
            source: the file, open in rasterio.
            descriptor: the same file; closed with this.
            index: of the band, from 1.
        """
        self._source, self._descriptor, self._index = source, descriptor, index
        structure = source.tags(ns="IMAGE_STRUCTURE")
        self._decode = _DECODERS[structure["COMPRESSION"]]()
        self._add_differences = _compiled_sums() if structure.get("PREDICTOR") == "2" else None
        self._shape: tuple[int, int] = source.block_shapes[index - 1]
        self._dtype = np.dtype(source.dtypes[index - 1])
        self._room = self._shape[0] * self._shape[1] * self._dtype.itemsize
        # Codes that compress nothing take at most half as much again.
        self._data = np.empty(2 * self._room + _BEHIND, np.uint8)

    def read(self, top: int, out: NDArray[Any]) -> bool:
        """Read rows of pixels.

        Args:
            top: the first one, where tiles begin.
            out: (rows, columns of the file), of its type; the last row is the last one of tiles or of the file.

        Returns:
            Whether they were read; if not, `out` holds anything.
        """
        rows, columns = self._shape
        return all(
            self._read_tile((top + row) // rows, column // columns, out[row : row + rows, column : column + columns])
            for row in range(0, out.shape[0], rows)
            for column in range(0, out.shape[1], columns)
        )

    def agrees(self) -> bool:
        """Tell whether the tile in the middle has the pixels that GDAL finds there.

        That checks what is said of the file, so the pixels must not be all the same.
        """
        (rows, columns), (height, width) = self._shape, self._source.shape
        row, column = height // 2 // rows, width // 2 // columns
        top, left = row * rows, column * columns
        window = ((top, min(top + rows, height)), (left, min(left + columns, width)))
        try:
            expected = self._source.read(self._index, window=window)
        except Exception:  # GDAL and rasterio raise many classes for damaged files.
            return False
        found = np.empty_like(expected)
        return self._read_tile(row, column, found) and np.array_equal(found, expected) and bool(np.ptp(found))

    def _read_tile(self, row: int, column: int, out: NDArray[Any]) -> bool:
        offset, size = (
            int(self._source.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=self._index) or 0)
            for what in ("OFFSET", "SIZE")
        )
        # Files may leave out tiles without data.
        if not offset or not 0 < size <= len(self._data) - _BEHIND:
            return False
        try:
            count = os.preadv(self._descriptor, [self._data[:size]], offset)
        except OSError:
            return False
        tile = self._decode(self._data, size, self._room) if count == size else None
        if tile is None:
            return False
        pixels = tile.view(self._dtype).reshape(self._shape)
        if self._add_differences is None:
            out[...] = pixels[: out.shape[0], : out.shape[1]]
        else:
            self._add_differences(pixels, out)
        return True

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


def open_tiles(source: Any, path: str, index: int) -> Tiles | None:
    """Return the tiles of a band, None if they are for GDAL.

    Args:
        source: the file, open in rasterio.
        path: of the file, as GDAL takes it.
        index: of the band, from 1.
    """
    structure = source.tags(ns="IMAGE_STRUCTURE")
    if (
        source.driver != "GTiff"
        or path.startswith("/vsi")
        or source.dtypes[index - 1] not in ("uint8", "uint16")
        or structure.get("COMPRESSION") not in _DECODERS
        or structure.get("PREDICTOR", "1") not in ("1", "2")
        or (source.count > 1 and structure.get("INTERLEAVE") != "BAND")
        or "NBITS" in source.tags(index, ns="IMAGE_STRUCTURE")
        # The last strip is shorter than the others. rasterio calls a tile of the image's width a strip as well.
        or not source.profile.get("tiled")
    ):
        return None
    try:
        descriptor = open_regular(path)
    except OSError:
        return None
    tiles = Tiles(source, descriptor, index)
    if os.pread(descriptor, 4, 0) in _LITTLE_ENDIAN and tiles.agrees():
        return tiles
    tiles.close()
    return None


def _lzw() -> _Decoder:
    from bigearth_pipeline.scenes.grid.tile_codes import HEAD, PADDING, decode_lzw

    assert PADDING <= _BEHIND
    out = np.empty(0, np.uint8)

    def decode(data: NDArray[np.uint8], count: int, size: int) -> NDArray[np.uint8] | None:
        nonlocal out
        if len(out) != HEAD + size + PADDING:
            out = np.empty(HEAD + size + PADDING, np.uint8)
        if decode_lzw(data, count, out) != size:
            return None
        return out[HEAD : HEAD + size]

    return decode


def _deflate() -> _Decoder:
    from isal.igzip_lib import IsalError
    from isal.isal_zlib import decompressobj

    def decode(data: NDArray[np.uint8], count: int, size: int) -> NDArray[np.uint8] | None:
        try:
            return _array(decompressobj().decompress(data[:count], size + 1), size)
        except IsalError:  # type: ignore[misc]  # its stub calls it an instance
            return None

    return decode


def _zstd() -> _Decoder:
    from zstandard import ZstdDecompressor, ZstdError

    decompressor = ZstdDecompressor()

    def decode(data: NDArray[np.uint8], count: int, size: int) -> NDArray[np.uint8] | None:
        try:
            return _array(decompressor.decompress(memoryview(data[:count]), max_output_size=size), size)
        except ZstdError:
            return None

    return decode


_DECODERS: Final[dict[str, Callable[[], _Decoder]]] = {"LZW": _lzw, "DEFLATE": _deflate, "ZSTD": _zstd}


def _array(content: bytes, size: int) -> NDArray[np.uint8] | None:
    return np.frombuffer(content, np.uint8) if len(content) == size else None


def _compiled_sums() -> Callable[[NDArray[Any], NDArray[Any]], None]:
    from bigearth_pipeline.scenes.grid.tile_codes import add_differences

    function: Callable[[NDArray[Any], NDArray[Any]], None] = add_differences
    return function
