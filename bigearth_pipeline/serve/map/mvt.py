"""Vector tiles of squares as Mapbox Vector Tiles 2.1 (https://github.com/mapbox/vector-tile-spec/tree/master/2.1).

Libraries that write them go through a geometry object a feature, 0.1 ms each; a tile here has up to thousands of
squares and must take milliseconds, so arrays are written as they are.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

EXTENT: Final = 4096
"""Units of a tile's side."""
_MOST_BYTES: Final = 5
"""Bytes of a varint of 32 bits."""
_MOVE, _LINE_TO_3, _CLOSE = 9, 26, 15
"""Commands of a ring of four points: MoveTo once, LineTo three times, ClosePath once."""
_FEATURE, _KEY, _VALUE, _NAME, _EXTENT_FIELD, _VERSION, _LAYER = 0x12, 0x1A, 0x22, 0x0A, 0x28, 0x78, 0x1A


def squares_tile(name: str, corners: NDArray[np.int64], attributes: Mapping[str, NDArray[np.int64]]) -> bytes:
    """Return a tile with one layer of quadrilaterals.

    Args:
        name: of the layer.
        corners: (n, 4, 2) units of the tile from its upper-left corner, clockwise as seen.
        attributes: whole numbers from 0 on by name, each (n,).
    """
    n = len(corners)
    if not n:
        return b""
    tags: list[NDArray[np.int64]] = []
    values: list[NDArray[np.int64]] = []
    offset = 0
    for number, column in enumerate(attributes.values()):
        unique, places = np.unique(column, return_inverse=True)
        tags += [np.full(n, number), places.ravel() + offset]
        values.append(unique)
        offset += len(unique)
    steps = np.diff(corners, axis=1, prepend=np.zeros((n, 1, 2), np.int64))
    zigzag = ((steps << 1) ^ (steps >> 63)).reshape(n, 8)
    ones = np.ones((n, 1), np.int64)
    tag_block = np.stack(tags, 1)
    ring = np.concatenate([_MOVE * ones, zigzag[:, :2], _LINE_TO_3 * ones, zigzag[:, 2:], _CLOSE * ones], 1)
    tag_bytes, ring_bytes = _lengths(tag_block).sum(1)[:, None], _lengths(ring).sum(1)[:, None]
    # Field 2: tags, packed; field 3: type, 3 for polygons; field 4: geometry, packed.
    body = np.concatenate([0x12 * ones, tag_bytes, tag_block, 0x18 * ones, 3 * ones, 0x22 * ones, ring_bytes, ring], 1)
    sizes = _lengths(body).sum(1)[:, None]
    features = _varints(np.concatenate([_FEATURE * ones, sizes, body], 1))
    layer = bytearray(_text(_NAME, name))
    layer += features
    for key in attributes:
        layer += _text(_KEY, key)
    for value in np.concatenate(values).tolist():
        # Field 5 of a value: an unsigned integer.
        content = b"\x28" + _varint(value)
        layer += bytes([_VALUE, len(content)]) + content
    layer += bytes([_EXTENT_FIELD]) + _varint(EXTENT) + bytes([_VERSION, 2])
    return bytes([_LAYER]) + _varint(len(layer)) + bytes(layer)


def _lengths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bytes of each value as a varint."""
    found = np.ones(values.shape, np.int64)
    for bits in range(7, 7 * _MOST_BYTES, 7):
        found += values >= 1 << bits
    return found


def _varints(values: NDArray[np.int64]) -> bytes:
    """Return values below 2³⁵ as varints, in order (Protocol Buffers, "Base 128 Varints")."""
    flat = values.ravel()
    lengths = _lengths(flat)
    places = np.arange(_MOST_BYTES)
    digits = (flat[:, None] >> (7 * places)) & 0x7F
    digits |= np.where(places < lengths[:, None] - 1, 0x80, 0)
    return digits.astype(np.uint8)[places < lengths[:, None]].tobytes()


def _varint(value: int) -> bytes:
    return _varints(np.array([value], np.int64))


def _text(field: int, text: str) -> bytes:
    content = text.encode()
    return bytes([field]) + _varint(len(content)) + content
