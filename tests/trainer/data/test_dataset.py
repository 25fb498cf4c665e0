"""The map-style dataset, and stores as sequences."""

import itertools
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import shards
from shards import CorruptShard, Store
from shards.testing.stores import make_store
from tests.support.data import faults
from trainer import BandSelection, Loader, LoaderConfig, Normalisation, PatchDataset
from trainer.data.batch import Layout
from trainer.definition.choices import INTERPOLATIONS


@pytest.mark.parametrize("layout", ["stacked", "native"])
def test_items_are_those_of_the_loader(store: Store, layout: Layout) -> None:
    """A patch looks otherwise, or has the labels of another one."""
    rows = store.index.rows("train")[5:37:3]
    normalisation = Normalisation.of_train_split(store.manifest, BandSelection(("B04", "B8A", "B01", "B02")))
    config = LoaderConfig(batch_size=4, device=torch.device("cpu"), layout=layout, loader="torch", order="sequential")
    for interpolation in INTERPOLATIONS if layout == "stacked" else ("nearest",):
        dataset = PatchDataset(store, rows, normalisation, layout=layout, interpolation=interpolation)
        assert len(dataset) == len(rows)
        with Loader(store, rows, normalisation, replace(config, interpolation=interpolation)) as loader:
            batches = list(loader)
        expected = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0] if name != "mask"}
        for i, row in enumerate(expected["row"].tolist()):
            item = dataset[rows.tolist().index(row)]
            assert item.keys() == expected.keys()
            for name, value in item.items():
                torch.testing.assert_close(value, expected[name][i], rtol=0, atol=0)


@pytest.mark.long
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same(store: Store, method: str) -> None:
    """A store does not survive the way into another process."""
    dataset = PatchDataset(store, store.index.rows("validation")[:6])
    context = multiprocessing.get_context(method)
    loader = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context=context)
    for number, batch in enumerate(loader):
        for i in range(2):
            for name, value in dataset[2 * number + i].items():
                torch.testing.assert_close(batch[name][i], value, rtol=0, atol=0)
    assert number == 2


def test_a_store_is_a_sequence(store: Store) -> None:
    """`store[i]` is another patch than `store.read(i)`, or iteration never ends."""
    assert [patch.key for patch in itertools.islice(store, 4)] == [store.index.key(i) for i in range(4)]
    assert store[-1].key == store.index.key(len(store) - 1)
    np.testing.assert_array_equal(store[np.int64(3)].s2, store.read(3).s2)
    assert sum(1 for _ in store) == len(store)
    for i in (len(store), -len(store) - 1):
        with pytest.raises(IndexError, match=f"of a store of {len(store)}"):
            store[i]
    splits = ", ".join(f"{info.count:,} {name}" for name, info in store.manifest.splits.items())
    assert repr(store) == f"<Store {store.folder}: webdataset, blosc-lz4, {len(store):,} patches ({splits})>"


def test_damage_is_named(tmp_path: Path) -> None:
    """A damaged patch comes out as an image."""
    folder = make_store(tmp_path / "store", {"train": 3})
    with shards.open(folder) as store:
        dataset = PatchDataset(store, [0, 1, 2])
        faults.truncate(next(folder.glob("train-*.tar")), 1000)
        with pytest.raises(CorruptShard, match=r"train-00000\.tar"):
            [dataset[i] for i in range(3)]
        with pytest.raises(IndexError):
            dataset[3]
