"""The map-style dataset, and stores as sequences."""

import itertools
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import shards
from shards import CorruptShard, InvalidValue, Store
from shards.testing.stores import make_store
from tests.support.data import faults
from trainer import BandSelection, Loader, LoaderConfig, Normalisation, PatchDataset
from trainer.data.batch import Layout
from trainer.definition.choices import INTERPOLATIONS

CPU = torch.device("cpu")


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


def test_arguments_of_another_kind_are_refused(store: Store) -> None:
    """A text in place of rows, or of a store, ends in an error of NumPy or in a missing attribute."""
    normalisation, config = Normalisation.of_train_split(store.manifest), LoaderConfig(batch_size=2, device=CPU)
    for rows in ("train", None, 1, [1.5], ["a"], [True], {"a": 1}):
        with pytest.raises(InvalidValue, match=r"^rows are .*, expected integers from 0 to "):
            PatchDataset(store, rows)  # type: ignore[arg-type]
        with pytest.raises(InvalidValue, match=r"^rows are .*, expected integers from 0 to "):
            Loader(store, rows, normalisation, config)  # type: ignore[arg-type]
    for name, kind, given in (
        ("store", r"shards\.Store", {"store": "store"}),
        ("normalisation", r"trainer\.Normalisation", {"normalisation": 3}),
        ("config", r"trainer\.LoaderConfig", {"config": None}),
    ):
        arguments: dict[str, Any] = {"store": store, "rows": [0], "normalisation": normalisation, "config": config}
        with pytest.raises(InvalidValue, match=f"^{name} is .*, expected a {kind}$"):
            Loader(**arguments | given)
        del arguments["config"]
        if name != "config":
            with pytest.raises(InvalidValue, match=f"^{name} is .*, expected a {kind}$"):
                PatchDataset(**arguments | given)
    with pytest.raises(InvalidValue, match=r"^bands is 'rgb', expected a trainer\.BandSelection$"):
        Normalisation.of_train_split(store.manifest, "rgb")  # type: ignore[arg-type]
    dataset = PatchDataset(store, [3, 1])
    for i in ("x", None, 1.5, [0]):
        with pytest.raises(InvalidValue, match=r"^row is .*, expected an integer from 0 to 1$"):
            dataset[i]  # type: ignore[index]
    assert dataset[-1]["row"] == 1


def test_objects_say_what_they_are(store: Store) -> None:
    """A notebook shows an address in memory."""
    assert repr(PatchDataset(store, [3, 1])) == (
        f"<PatchDataset: 2 patches of {store.folder}, stacked images of 12 bands>"
    )
    config = LoaderConfig(batch_size=4, device=CPU)
    with Loader(store, np.array([0, 1, 5]), Normalisation.of_train_split(store.manifest), config) as loader:
        assert repr(loader) == f"<Loader: 3 patches of {store.folder}, 1 batch of 4 patches, on cpu>"
