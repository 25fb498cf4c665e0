"""Splits as datasets of xarray."""

import pickle
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

import shards
from shards.testing.stores import make_store

CODES = shards.RecordGroup("codes", 10, ("CLC", "year"), dtype="int16", role="codes")
COUNTS = {"train": 21, "validation": 3}


@pytest.fixture(scope="module", params=["webdataset", "zarr"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[shards.Store]:
    """A small store with a further group."""
    folder = tmp_path_factory.mktemp("labelled") / request.param
    make_store(folder, COUNTS, format=request.param, patches_per_shard=8, countries=("Ireland", None), extras=[CODES])
    with shards.open(folder) as opened:
        yield opened


@pytest.mark.parametrize("patches_per_chunk", [None, 8, 5])
@pytest.mark.parametrize("split", COUNTS)
def test_all_values_are_those_of_the_patches(store: shards.Store, split: str, patches_per_chunk: int | None) -> None:
    """Pixels, labels or coordinates are those of other patches, or xarray warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = shards.to_xarray(store, split, patches_per_chunk=patches_per_chunk)
        pixels = {name: data[name].values for name in ("b10", "b20", "b60", "codes")}
    assert data.sizes["patch"] == COUNTS[split]
    for place, row in enumerate(store.index.rows(split).tolist()):
        patch = store.read(row)
        one = data.isel(patch=place)
        assert (one["patch"].item(), one["row"].item()) == (patch.key, row)
        assert tuple(data["class"].values[one["labels"].values == 1]) == patch.labels
        country = one["country"].item()
        assert (country == patch.country) if patch.country else np.isnan(country)
        assert f"EPSG:{one['epsg'].item()}" == patch.crs
        assert one["date"].values == np.datetime64(patch.date)
        for name, values in pixels.items():
            expected = patch.group(name) if name == "codes" else getattr(patch, name)
            np.testing.assert_array_equal(values[place], expected)
            assert values.dtype == expected.dtype


def test_bands_are_found_by_name_and_pixels_by_place(store: shards.Store) -> None:
    """A name selects another band, or a pixel lies elsewhere than in the patch."""
    data = shards.to_xarray(store, "train")
    patch = store.read(int(store.index.rows("train")[4]))
    chosen = data.sel(patch=patch.key, band_20m="B8A")
    np.testing.assert_array_equal(chosen["b20"].values, patch.band("B8A"))
    left, bottom, right, top = patch.bounds
    for name in ("10m", "20m", "60m"):
        east, north = chosen["ulx"] + data[f"x_{name}"], chosen["uly"] + data[f"y_{name}"]
        half = int(name[:-1]) / 2
        assert (east.values[0], east.values[-1]) == (left + half, right - half)
        assert (north.values[0], north.values[-1]) == (top - half, bottom + half)


def test_labels_of_v1_are_found_by_name(tmp_path: Path, store: shards.Store) -> None:
    """Labels of the 43 classes are missing from a store that has them, or are those of other classes."""
    assert not {"labels43", "class43"} & {*shards.to_xarray(store, "train").variables}
    folder = make_store(tmp_path / "store", {"train": 3, "test": 4}, source_version="v1", labels43=True)
    with shards.open(folder) as opened:
        data = shards.to_xarray(opened, "test", patches_per_chunk=None)
        for place, row in enumerate(opened.index.rows("test").tolist()):
            one = data["labels43"].isel(patch=place)
            assert tuple(data["class43"].values[one.values == 1]) == opened.read(row).names43


def indexers(size: int) -> st.SearchStrategy[object]:
    """Return integers, slices and lists that select along an axis."""
    numbers = st.integers(-size, size - 1)
    # xarray itself fails on an empty slice with a negative step.
    slices = st.slices(size).filter(lambda key: len(range(*key.indices(size))) > 0)
    return st.one_of(numbers, slices, st.lists(numbers, max_size=4))


@given(patch=indexers(21), band_10m=indexers(4), y_10m=indexers(120), x_10m=indexers(120))
def test_any_part_is_that_of_the_whole(store: shards.Store, **parts: object) -> None:
    """A part of lazy arrays has other values, or another shape, than the same part of them in memory."""
    data = shards.to_xarray(store, "train", patches_per_chunk=None)["b10"]
    whole = xarray.DataArray(_whole(store), dims=data.dims)
    np.testing.assert_array_equal(data.isel(parts).values, whole.isel(parts).values)


def _whole(store: shards.Store) -> np.ndarray:
    rows = store.index.rows("train")
    records = store.read_into(rows, np.empty((len(rows), shards.RECORD_VALUES), np.uint16))
    return records[:, :57_600].reshape(-1, 4, 120, 120)


def test_chunks_are_read_one_by_one(store: shards.Store) -> None:
    """A mean over a split loads the split, or makes a task for each patch."""
    data = shards.to_xarray(store, "train", patches_per_chunk=8)
    assert data["b10"].chunks[0] == (8, 8, 5)
    assert data["b10"].chunks[1:] == ((4,), (120,), (120,))
    assert data["labels"].chunks is None
    assert float(data["b10"].mean()) == pytest.approx(_whole(store).mean())
    assert shards.to_xarray(store, "train")["b60"].chunks[0] == (21,)
    assert shards.to_xarray(store, "train", patches_per_chunk=None)["b60"].chunks is None


def test_a_dataset_goes_to_another_process(store: shards.Store) -> None:
    """Dask cannot send the pixels' tasks to its workers."""
    data = pickle.loads(pickle.dumps(shards.to_xarray(store, "validation", patches_per_chunk=2)))
    np.testing.assert_array_equal(data["b60"].values, shards.to_xarray(store, "validation")["b60"].values)


def test_what_there_is_not_is_said(store: shards.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong name ends in an error of a library, or in an empty dataset."""
    with pytest.raises(shards.InvalidValue, match="has no split 'test', only train, validation"):
        shards.to_xarray(store, "test")
    with pytest.raises(shards.InvalidValue, match="patches_per_chunk is 0, expected at least 1, or None"):
        shards.to_xarray(store, "train", patches_per_chunk=0)
    for absent in ("xarray", "dask"):
        monkeypatch.setattr(
            shards, "find_spec", lambda name, absent=absent: None if name == absent else find_spec(name)
        )
        with pytest.raises(shards.InvalidValue, match=f"needs {absent}, which is not installed: pip install {absent}"):
            shards.to_xarray(store, "train")


def test_damage_is_found(tmp_path: Path) -> None:
    """A flipped bit becomes a pixel."""
    folder = make_store(tmp_path / "store", {"train": 3}, codec="raw")
    [tar] = folder.glob("*.tar")
    content = bytearray(tar.read_bytes())
    content[2000] ^= 1
    tar.write_bytes(content)
    with shards.open(folder) as opened, pytest.raises(shards.CorruptShard):
        shards.to_xarray(opened, "train", patches_per_chunk=None)["b10"].load()
