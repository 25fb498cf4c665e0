"""Reading band files: the short way, GDAL, and that nothing wrong passes either."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.tiff.layout import parse_layout
from bigearth_pipeline.source.tiff.reader import TiffReader
from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, GROUPS
from shards.layout.record import RecordGroup
from tests.conftest import real
from tests.support.data import faults
from tests.support.data.scene import write_band

creation_options = st.fixed_dictionaries(
    {
        "compress": st.sampled_from(["none", "none", "none", "deflate", "lzw", "zstd", "packbits", "lzma"]),
        "endianness": st.sampled_from(["little", "little", "big"]),
        "bigtiff": st.sampled_from(["no", "no", "yes"]),
        "layout": st.one_of(
            st.builds(lambda rows: {"blockysize": rows}, st.integers(1, 130)),
            st.just({"tiled": True, "blockxsize": 16, "blockysize": 32}),
            st.just({}),
        ),
        "predictor": st.sampled_from([1, 2]),
        "nodata": st.sampled_from([None, 0]),
        "interleave": st.sampled_from(["band", "pixel"]),
        "sparse_ok": st.booleans(),
    }
)


def read(reader: TiffReader, path: Path, group: RecordGroup) -> tuple[np.ndarray, object]:
    out = np.full(group.band_values, 0xDEAD, np.uint16)
    return out, reader.read_band(str(path), group, out)


@pytest.mark.long
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(creation_options, st.integers(0, 2**32)), min_size=1, max_size=4), st.sampled_from(GROUPS))
def test_both_ways_agree_on_whatever_gdal_writes(
    tmp_path: Path, files: list[tuple[dict[str, object], int]], group: RecordGroup
) -> None:
    """The short way takes a file that it misreads, alone or behind a file of another kind."""
    fast, slow = TiffReader(), TiffReader(always_gdal=True)
    for number, (options, seed) in enumerate(files):
        chosen = {**options, **options["layout"]}  # type: ignore[dict-item]
        del chosen["layout"]
        if chosen["compress"] not in ("deflate", "lzw", "zstd"):
            del chosen["predictor"]
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 65_536, (group.size, group.size)).astype(np.uint16)
        pixels[: group.size * (seed % 3) // 3] = 0  # Whole strips of nodata, which `sparse_ok` leaves out.
        path = tmp_path / f"{number}.tif"
        write_band(path, pixels, group.metres, 300_000.0 + seed % 1000, 5_000_000.5, **chosen)
        (values, place), (expected, expected_place) = read(fast, path, group), read(slow, path, group)
        np.testing.assert_array_equal(values, pixels.ravel())
        np.testing.assert_array_equal(expected, pixels.ravel())
        assert place == expected_place


def test_real_files_take_the_short_way(v1_tree: Path) -> None:
    """The official files are read at a twentieth of the speed, by GDAL."""
    v2 = real("v2/BigEarthNet-S2").glob("*/*")
    folders = [*(v1_tree / "BigEarthNet-S2-Example").iterdir(), *v2]
    assert len(folders) == 7
    record, reader = np.empty(80_000, np.uint16), TiffReader()
    for folder in folders:
        place = reader.read_patch(str(folder), folder.name, record)
        for band, values in BAND_SLICES.items():
            path = folder / f"{folder.name}_{band}.tif"
            assert parse_layout("", path.read_bytes(), GROUP_OF[band], 4096) is not None
            with rasterio.open(path) as source:
                np.testing.assert_array_equal(record[values], source.read(1).ravel())
                assert (place.epsg, place.ulx, place.uly) == (source.crs.to_epsg(), *source.transform[2:6:3])


@pytest.mark.parametrize("options", [{}, {"compress": "deflate"}, {"endianness": "big"}])
def test_a_file_cut_off_anywhere_is_an_error(tmp_path: Path, options: dict[str, object]) -> None:
    """A file that was not copied whole gives pixels of whatever was there."""
    group = GROUPS[1]
    pixels = np.random.default_rng(5).integers(1, 3000, (60, 60)).astype(np.uint16)
    path = tmp_path / "B05.tif"
    write_band(path, pixels, 20, 0, 0, **options)
    whole = path.stat().st_size
    reader = TiffReader()
    read(reader, path, group)  # So that a known layout is at hand for the short files.
    end = np.flatnonzero(np.frombuffer(path.read_bytes(), np.uint8))[-1]
    for size in [*range(0, end, 512), end]:
        write_band(path, pixels, 20, 0, 0, **options)
        assert path.stat().st_size == whole
        faults.truncate(path, int(size))
        with pytest.raises(BadPatch, match=r"B05\.tif"):
            read(reader, path, group)


@pytest.mark.parametrize(
    ("pixels", "metres", "message"),
    [
        (np.ones((120, 120), np.uint16), 20, "1 band of 120 × 120 uint16, expected 1 band of 60 × 60 uint16"),
        (np.ones((60, 60), np.int16), 20, "60 × 60 int16, expected"),
        (np.ones((60, 60), np.float32), 20, "60 × 60 float32, expected"),
        (np.ones((60, 60), np.uint8), 20, "60 × 60 uint8, expected"),
        (np.ones((59, 60), np.uint16), 20, "60 × 59 uint16, expected"),
        (np.ones((60, 60), np.uint16), 10, "pixels of 10 × 10 m, expected 20 × 20 m"),
    ],
)
def test_a_file_of_another_kind_is_an_error(tmp_path: Path, pixels: np.ndarray, metres: int, message: str) -> None:
    """Pixels of another size, type or resolution are stored as if they were right."""
    path = tmp_path / "B05.tif"
    for options in ({}, {"compress": "deflate"}):
        write_band(path, pixels, metres, 0, 0, **options)
        for reader in (TiffReader(), TiffReader(always_gdal=True)):
            with pytest.raises(BadPatch, match=message):
                read(reader, path, GROUPS[1])


def test_two_bands_in_a_file_are_an_error(tmp_path: Path) -> None:
    """The first of two bands is taken without a word."""
    path = tmp_path / "two.tif"
    profile = {"driver": "GTiff", "width": 60, "height": 60, "count": 2, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=Affine(20, 0, 0, 0, -20, 0), **profile) as out:
        out.write(np.ones((2, 60, 60), np.uint16))
    with pytest.raises(BadPatch, match="2 bands of 60 × 60 uint16"):
        read(TiffReader(), path, GROUPS[1])


def test_a_file_without_place_is_an_error(tmp_path: Path) -> None:
    """A patch without coordinates is put somewhere."""
    pixels = np.ones((60, 60), np.uint16)
    write_band(tmp_path / "B05.tif", pixels, 20, 0, 0, crs=None)
    with pytest.raises(BadPatch, match="no georeference"):
        read(TiffReader(), tmp_path / "B05.tif", GROUPS[1])


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"<html>", bytes(3000)])
def test_a_file_that_is_no_tiff_is_an_error(tmp_path: Path, content: bytes) -> None:
    """A download error page in place of a TIFF ends in a traceback."""
    path = tmp_path / "B05.tif"
    path.write_bytes(content)
    wrong = "not a readable TIFF of" if content else "empty, expected a TIFF of"
    with pytest.raises(BadPatch, match=rf"B05\.tif is {wrong} 1 band of 60 × 60"):
        read(TiffReader(), path, GROUPS[1])


def test_a_missing_band_is_named(tmp_path: Path, v1_tree: Path) -> None:
    """A patch without one of its bands is not told from a whole one."""
    folder = next((v1_tree / "BigEarthNet-S2-Example").iterdir())
    for band in BANDS:
        copied = faults.copy(folder, tmp_path / band)
        (copied / f"{folder.name}_{band}.tif").unlink()
        with pytest.raises(BadPatch, match=f"_{band}.tif is missing"):
            TiffReader().read_patch(str(copied), folder.name, np.empty(80_000, np.uint16))
