"""Tiles that are decoded without GDAL have the pixels that GDAL finds, or are left to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bigearth_pipeline.scenes.grid import tiles
from tests.support.examples import examples

pytestmark = pytest.mark.usefixtures("gdal")
COMPRESSIONS = ("LZW", "DEFLATE", "ZSTD")


def noise(rows: int, columns: int, dtype: str, top: int, seed: int) -> NDArray[Any]:
    """Return pixels of which a part is one value."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, top, (rows, columns), endpoint=True).astype(dtype)
    pixels[: rows // 3, : columns // 2] = top
    return pixels


def write(path: Path, *bands: NDArray[Any], **options: Any) -> Path:
    """Write bands as a file of tiles of 64 pixels."""
    rows, columns = bands[0].shape
    profile = {"driver": "GTiff", "height": rows, "width": columns, "count": len(bands), "dtype": bands[0].dtype.name}
    profile |= {"tiled": True, "blockxsize": 64, "blockysize": 64, "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(path, "w", **profile | options) as file:
        file.write(np.stack(bands))
    return path


@contextmanager
def opened(path: Path, index: int = 1) -> Iterator[tuple[tiles.Tiles | None, Any]]:
    """Open a file both ways."""
    with rasterio.open(path) as source:
        found = tiles.open_tiles(source, str(path), index)
        try:
            yield found, source
        finally:
            if found is not None:
                found.close()


@given(
    compression=st.sampled_from(COMPRESSIONS), predictor=st.sampled_from([1, 2]), big=st.booleans(),
    rows=st.integers(1, 300), columns=st.integers(2, 300), dtype=st.sampled_from(["uint8", "uint16"]),
    top=st.sampled_from([1, 3, 40, 255]), scale=st.sampled_from([1, 257]), seed=st.integers(0, 99),
    start=st.integers(0, 4), row_tiles=st.integers(1, 5),
)  # fmt: skip
@examples(200)
def test_pixels_are_those_of_gdal(
    tmp_path_factory: pytest.TempPathFactory, compression: str, predictor: int, big: bool, rows: int, columns: int,
    dtype: str, top: int, scale: int, seed: int, start: int, row_tiles: int,
) -> None:  # fmt: skip
    """A code, a predictor, a type, the edge of an image or the position of a tile is taken for another."""
    pixels = noise(rows, columns, dtype, top * (scale if dtype == "uint16" else 1), seed)
    path = tmp_path_factory.getbasetemp() / "tiles.tif"
    write(path, pixels, compress=compression, predictor=predictor, bigtiff="YES" if big else "NO")
    with opened(path) as (found, _):
        if found is None:
            # One value in the middle does not tell what tags mean, and rasterio takes tiles of all columns for strips.
            middle = pixels[rows // 2 // 64 * 64 :][:64, columns // 2 // 64 * 64 :][:, :64]
            assert columns == 64 or (middle == middle[0, 0]).all()
            return
        begin = min(64 * start, (rows - 1) // 64 * 64)
        out = np.zeros_like(pixels[begin : begin + 64 * row_tiles])
        assert found.read(begin, out)
        assert (out == pixels[begin : begin + 64 * row_tiles]).all()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_damaged_tiles_are_left_to_gdal(compression: str, tmp_path: Path) -> None:
    """A damaged tile ends the process, or has pixels that GDAL does not find."""
    rng = np.random.default_rng(0)
    pixels = noise(64, 192, "uint16", 60, 3)
    path = write(tmp_path / "a.tif", pixels, compress=compression)
    content = path.read_bytes()
    with opened(path) as (found, source):
        assert found is not None
        offset = int(source.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
        length = int(source.get_tag_item("BLOCK_SIZE_0_0", "TIFF", bidx=1))
    kept = 0
    for _ in range(400):
        damaged = bytearray(content)
        # The first bytes are those by which libtiff recognises a kind of LZW from before the specification.
        for position in rng.integers(2, length, rng.integers(1, 4)):
            damaged[offset + position] ^= rng.integers(1, 256)
        path.write_bytes(damaged)
        with opened(path) as (found, source):
            # The tile in the middle, which is compared, is another.
            assert found is not None
            out = np.zeros_like(pixels)
            if found.read(0, out):
                kept += 1
                assert (source.read(1) == out).all()
    assert kept < 400


@pytest.mark.parametrize("length", range(0, 300, 7))
def test_any_bytes_are_lzw_or_not(length: int) -> None:
    """Bytes that no encoder writes are read or written beyond what there is."""
    decode = tiles._lzw()
    rng = np.random.default_rng(length)
    for size in (1, 2, 100, 5000):
        for data in (rng.bytes(length), bytes(length), b"\xff" * length, b"\x80" + rng.bytes(length)):
            behind = np.frombuffer(data + rng.bytes(tiles._BEHIND), np.uint8)
            decoded = decode(behind, len(data), size)
            assert decoded is None or decoded.shape == (size,)


def test_a_longest_string_is_decoded(tmp_path: Path) -> None:
    """A table of 4,096 strings, each one byte longer than the last, overflows."""
    pixels = np.zeros((4096, 2100), np.uint8)
    pixels[-1, -1] = pixels[2050, 1030] = 1
    path = write(tmp_path / "a.tif", pixels, compress="LZW", blockxsize=2048, blockysize=4096)
    with opened(path) as (found, _):
        assert found is not None
        out = np.ones_like(pixels)
        assert found.read(0, out)
        assert (out == pixels).all()


BANDS = (noise(130, 140, "uint16", 60, 1), noise(130, 140, "uint16", 4000, 2))
FOR_GDAL: dict[str, tuple[tuple[NDArray[Any], ...], dict[str, Any]]] = {
    "big-endian": (BANDS[:1], {"endianness": "BIG"}),
    "12 bits": (BANDS[1:], {"nbits": 12}),
    "pixels of bands side by side": (BANDS, {"interleave": "pixel"}),
    "strips": (BANDS[:1], {"tiled": False, "blockxsize": None, "blockysize": 16}),
    "other types": ((BANDS[0].astype("int16"),), {}),
    "other codes": (BANDS[:1], {"compress": "PACKBITS"}),
    "no code": (BANDS[:1], {"compress": None}),
    "one value": ((np.full((130, 140), 7, np.uint16),), {}),
}


@pytest.mark.parametrize("name", FOR_GDAL)
def test_other_files_are_left_to_gdal(name: str, tmp_path: Path) -> None:
    """A file that only GDAL reads gives other pixels."""
    bands, options = FOR_GDAL[name]
    options = {"compress": "LZW"} | options
    path = write(tmp_path / "a.tif", *bands, **{key: value for key, value in options.items() if value is not None})
    with opened(path) as (found, _):
        assert found is None


def test_bands_one_after_the_other_have_tiles_of_their_own(tmp_path: Path) -> None:
    """A band of a file of several is taken for another."""
    path = write(tmp_path / "a.tif", *BANDS, compress="ZSTD", interleave="band")
    for index, pixels in enumerate(BANDS, 1):
        with opened(path, index) as (found, _):
            assert found is not None
            out = np.zeros_like(pixels)
            assert found.read(0, out)
            assert (out == pixels).all()


def test_tiles_that_are_left_out_are_left_to_gdal(tmp_path: Path) -> None:
    """A tile that a file does not have is what was read before."""
    pixels = noise(130, 140, "uint16", 60, 1)
    pixels[:64] = 0
    path = write(tmp_path / "a.tif", pixels, compress="LZW", sparse_ok=True)
    with opened(path) as (found, _):
        assert found is not None
        assert not found.read(0, np.zeros_like(pixels))
        out = np.zeros_like(pixels[64:])
        assert found.read(64, out)
        assert (out == pixels[64:]).all()
