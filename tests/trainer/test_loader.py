"""Batches of a store."""

from pathlib import Path

import numpy as np
import pytest
import torch

import shards
from shards import RECORD_VALUES, CorruptShard, Store
from tests import faults
from tests.trainer.store import make_store
from trainer.loader import Batch, Loader, LoaderConfig
from trainer.normalisation import Normalisation
from trainer.order import epoch_order, flip_draws
from trainer.reference import prepare

CPU = torch.device("cpu")


def make_loader(store: Store, split: str = "train", **options: object) -> Loader:
    """Return a loader of batches of 40 for training with the seed 5, unless told otherwise."""
    settings = {"batch_size": 40, "device": CPU, "training": True, "seed": 5} | options
    normalisation = Normalisation.of_train_split(store.manifest)
    return Loader(store, store.index.rows(split), normalisation, LoaderConfig(**settings))


def assert_equal(batch: Batch, store: Store, epoch: int | None) -> None:
    """Compare a batch with what the reference makes of the store's records."""
    rows = batch.rows.numpy()
    records = store.read_into(rows, np.empty((len(rows), RECORD_VALUES), np.uint16))
    flips = np.zeros((len(rows), 2), np.uint8) if epoch is None else flip_draws(rows, 5, epoch)
    expected = prepare(torch.from_numpy(records), torch.from_numpy(flips), Normalisation.of_train_split(store.manifest))
    torch.testing.assert_close(batch.images, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(batch.labels.numpy(), store.index.labels()[rows])


@pytest.mark.parametrize("epoch", [1, 2])
def test_training_batches_are_the_keyed_order_and_flips(store: Store, epoch: int) -> None:
    """A patch is trained on twice or never, with the labels of another, or otherwise augmented than drawn."""
    with make_loader(store) as loader:
        batches = list(loader.epoch(epoch))
    assert [len(batch) for batch in batches] == [40, 40, 16]
    assert len(loader) == 3
    rows = torch.cat([batch.rows for batch in batches]).numpy()
    np.testing.assert_array_equal(rows, epoch_order(store.index.rows("train"), 5, epoch))
    for batch in batches:
        assert_equal(batch, store, epoch)


def test_evaluation_batches_are_the_split_as_it_is(store: Store) -> None:
    """Validation is shuffled, augmented, or normalised by statistics of its own."""
    with make_loader(store, "validation", training=False) as loader:
        batches = list(loader.epoch())
    assert torch.cat([batch.rows for batch in batches]).tolist() == store.index.rows("validation").tolist()
    for batch in batches:
        assert_equal(batch, store, None)


@pytest.mark.parametrize("batch_size", [1, 20, 21, 1000])
def test_every_batch_size_works(store: Store, batch_size: int) -> None:
    """A batch size that does not divide the split, or is larger than it, loses patches."""
    with make_loader(store, "test", batch_size=batch_size) as loader:
        for epoch in range(2):
            rows = torch.cat([batch.rows for batch in loader.epoch(epoch)])
            assert sorted(rows.tolist()) == store.index.rows("test").tolist()


def test_threads_change_nothing(folder: Path) -> None:
    """A run cannot be repeated on a machine with another number of cores."""
    batches = []
    for threads in (1, 3):
        with shards.open(folder, num_threads=threads) as store, make_loader(store) as loader:
            batches.append(list(loader.epoch(1)))
    for first, second in zip(*batches, strict=True):
        assert torch.equal(first.rows, second.rows)
        assert torch.equal(first.images, second.images)


def test_a_damaged_record_names_itself(folder: Path, tmp_path: Path, no_new_threads: None) -> None:
    """A flipped bit goes into training, or ends it without telling where it is."""
    damaged = faults.copy(folder, tmp_path / "store")
    with shards.open(damaged) as store, make_loader(store, verify=True) as loader:
        row = int(epoch_order(store.index.rows("train"), 5, 1)[85])
        shard = damaged / "shards" / f"{store.index.codes('shard')[1][row // 64]}.tar"
        faults.flip_bit(shard, int(store.index.column("s2_offset")[row]) + 5000)
        seen: list[int] = []
        with pytest.raises(CorruptShard, match=f"{shard.name}.*{store.index.key(row)}.*CRC-32C"):
            seen.extend(len(batch) for batch in loader.epoch(1))
        assert seen == [40, 40]


@pytest.mark.parametrize("taken", [1, 2])
def test_breaking_off_leaves_no_threads(folder: Path, taken: int, no_new_threads: None) -> None:
    """Each interrupted epoch leaks threads and memory, or spoils the next."""
    with shards.open(folder) as store, make_loader(store, batch_size=16) as loader:
        for _ in range(3):
            for i, _batch in enumerate(loader.epoch(1)):
                if i + 1 == taken:
                    break
        assert sum(len(batch) for batch in loader.epoch(2)) == 96


def test_a_failing_consumer_leaves_no_threads(folder: Path, no_new_threads: None) -> None:
    """An error in the training step hangs the process, since threads wait for a consumer that has gone."""

    def train() -> None:
        with shards.open(folder) as store, make_loader(store) as loader:
            for _batch in loader.epoch(1):
                raise RuntimeError("in the step")

    with pytest.raises(RuntimeError, match="in the step"):
        train()


def test_a_new_epoch_ends_the_old_one(folder: Path, no_new_threads: None) -> None:
    """Two epochs under way share the buffers and mix their batches."""
    with shards.open(folder) as store, make_loader(store, batch_size=16) as loader:
        old = loader.epoch(1)
        next(old)
        rows = torch.cat([batch.rows for batch in loader.epoch(2)])
        np.testing.assert_array_equal(rows, epoch_order(store.index.rows("train"), 5, 2))
        assert list(old) == []


def test_an_empty_split_is_refused(store: Store) -> None:
    """A split without patches ends in an error from deep within DALI."""
    with pytest.raises(ValueError, match="0 patches in batches of 4"):
        make_loader(store, "absent", batch_size=4)


def test_a_constant_band_is_refused(tmp_path: Path) -> None:
    """A band that is constant turns all images into infinities."""
    with shards.open(make_store(tmp_path / "store", {"train": 2, "validation": 2})) as store:
        statistics = store.manifest.splits["train"].statistics
        object.__setattr__(statistics["B09"], "std", 0.0)
        with pytest.raises(CorruptShard, match=r"band B09 is \d+ in every pixel of the train split"):
            Normalisation.of_train_split(store.manifest)
