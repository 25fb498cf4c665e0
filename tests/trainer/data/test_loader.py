"""Batches of a store."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchdata.stateful_dataloader import Stateful

import shards
from shards import RECORD_VALUES, CorruptShard, Store
from shards.testing.stores import make_store
from tests.support.data import faults
from tests.trainer.data.loading import CONFIG, batches_of, expected, make_loader
from trainer.data.bands import BandSelection
from trainer.data.batch import Batch, Draws, HostBatch
from trainer.data.loader import Loader
from trainer.data.normalisation import Normalisation
from trainer.data.order import SampleOrder
from trainer.definition.augmentation import RECIPES
from trainer.errors import TrainError


def assert_equal(batch: Batch, other: Batch) -> None:
    """Compare two batches."""
    assert batch.keys() == other.keys()
    for name, values in other.items():
        torch.testing.assert_close(batch[name], values, rtol=1e-5, atol=1e-4, msg=name)


@pytest.mark.long
@pytest.mark.parametrize("backend", ["dali", "numba", "torch"])
@pytest.mark.parametrize("layout", ["stacked", "native"])
@pytest.mark.parametrize("recipe", ["none", pytest.param("standard", marks=pytest.mark.long), "strong"])
def test_batches_are_what_the_reference_makes(store: Store, backend: str, layout: str, recipe: str) -> None:
    """A patch is trained on with the labels or the draws of another, or otherwise prepared than it is documented."""
    bands = "s2-10" if recipe == "strong" else "all"
    normalisation = Normalisation.of_train_split(store.manifest, BandSelection.parse(bands))
    with make_loader(store, bands=bands, loader=backend, layout=layout, augmentation=RECIPES[recipe]) as loader:
        for epoch in range(2):
            batches = batches_of(loader)
            assert [len(batch["label"]) for batch in batches] == [40, 40, 16]
            for step, batch in enumerate(batches):
                assert_equal(batch, expected(store, loader, normalisation, epoch, step))


def test_an_epoch_is_a_permutation(store: Store) -> None:
    """A patch is trained on twice or never, or always in the same order."""
    with make_loader(store) as loader:
        epochs = [torch.cat([batch["row"] for batch in loader]).tolist() for _ in range(3)]
    assert all(sorted(rows) == store.index.rows("train").tolist() for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 3


def test_evaluation_batches_are_the_split_as_it_is(store: Store) -> None:
    """Validation is shuffled, or otherwise in every epoch."""
    with make_loader(store, "validation", order="sequential", augmentation=RECIPES["none"]) as loader:
        first, second = batches_of(loader), batches_of(loader)
    assert torch.cat([batch["row"] for batch in first]).tolist() == store.index.rows("validation").tolist()
    for one, other in zip(first, second, strict=True):
        assert_equal(one, other)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch_size=st.integers(1, 45), num_ranks=st.integers(1, 8), kind=st.sampled_from(["global", "block"]))
def test_ranks_share_each_batch(store: Store, batch_size: int, num_ranks: int, kind: str) -> None:
    """With more processes a step is made of other patches, of some of them twice, or of some not at all."""
    options: dict[str, Any] = {"batch_size": batch_size, "order": kind, "layout": "record", "num_ranks": num_ranks}
    options["augmentation"] = RECIPES["none"]
    loaders = [make_loader(store, "validation", rank=rank, **options) for rank in range(num_ranks)]
    order = SampleOrder(
        rows=store.index.rows("validation"),
        batch_size=batch_size,
        kind=kind,
        seed=5,
        shards=store.shard_of(store.index.rows("validation")) if kind == "block" else None,
    ).epoch(0)
    for step, parts in enumerate(zip(*loaders, strict=True)):
        rows = [row for part in parts for row in part["row"][part["mask"]].tolist()]
        assert rows == order.batch(step).tolist()
        assert all(len(part["row"]) >= 1 for part in parts)
    for loader in loaders:
        loader.close()


@pytest.mark.parametrize("batch_size", [1, 20, 21, 1000])
def test_every_batch_size_works(store: Store, batch_size: int) -> None:
    """A batch size that does not divide the split, or is larger than it, loses patches."""
    with make_loader(store, "test", batch_size=batch_size) as loader:
        for _ in range(2):
            rows = torch.cat([batch["row"] for batch in loader])
            assert sorted(rows.tolist()) == store.index.rows("test").tolist()


def test_threads_change_nothing(folder: Path) -> None:
    """A run cannot be repeated on a machine with another number of cores."""
    batches = []
    for threads in (1, 3):
        with shards.open(folder, num_threads=threads) as store, make_loader(store) as loader:
            batches.append(batches_of(loader))
    for first, second in zip(*batches, strict=True):
        assert torch.equal(first["row"], second["row"])
        assert torch.equal(first["image"], second["image"])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(epoch=st.integers(0, 5), taken=st.integers(1, 12))
def test_a_state_goes_on_where_it_was_taken(store: Store, epoch: int, taken: int) -> None:
    """A run that is resumed in the middle of an epoch repeats patches, or leaves some out."""
    options: dict[str, Any] = {"batch_size": 7, "layout": "record", "augmentation": RECIPES["none"]}
    with make_loader(store, "validation", **options) as loader, make_loader(store, "validation", **options) as new:
        loader.set_epoch(epoch)
        whole = [batch["row"] for _ in range(3) for batch in loader]
        loader.set_epoch(epoch)
        seen: list[torch.Tensor] = []
        while len(seen) < taken:
            for batch in loader:
                seen.append(batch["row"])
                state = loader.state_dict()
                if len(seen) == taken:
                    break
        new.load_state_dict(state)
        rest = [batch["row"] for _ in range(3) for batch in new]
    assert torch.equal(torch.cat((seen + rest)[: len(whole)]), torch.cat(whole))


def test_the_loader_is_stateful(store: Store) -> None:
    """Training code that saves stateful loaders takes this one for a list."""
    with make_loader(store) as loader:
        assert isinstance(loader, Stateful)


@pytest.mark.parametrize(("name", "value"), [("seed", 6), ("batch_size", 39), ("order", "block")])
def test_a_state_of_another_order_is_refused(store: Store, name: str, value: object) -> None:
    """A run resumes at a place that means other patches in the new order."""
    with make_loader(store) as loader, make_loader(store, **{name: value}) as other:
        stored = "kind" if name == "order" else name
        message = f"with {stored} {getattr(CONFIG, name)}, this one has {value}"
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(loader.state_dict())


def test_records_are_lent_and_come_back(store: Store) -> None:
    """Batches that a consumer keeps are overwritten, or every batch costs new memory."""
    with make_loader(store, layout="record", batch_size=16, augmentation=RECIPES["none"]) as loader:
        kept = list(loader)
        for batch in kept:
            rows = batch["row"].numpy()
            expected = store.read_into(rows, np.empty((len(rows), RECORD_VALUES), np.uint16))
            np.testing.assert_array_equal(batch["record"].numpy(), expected)
        pieces = [batch["record"][:, :5] for batch in kept]
        values = [piece.clone() for piece in pieces]
        del kept, batch
        addresses = {batch["record"].data_ptr() for _ in range(4) for batch in loader}
        assert all(torch.equal(piece, value) for piece, value in zip(pieces, values, strict=True))
        assert not addresses & {piece.data_ptr() for piece in pieces}
        # 24 batches went through, in no more buffers than the channels hold.
        assert len(addresses) < 12
        del pieces
        gc.collect()


@pytest.mark.parametrize("layout", ["stacked", "native"])
def test_a_cache_on_the_device_changes_nothing(folder: Path, tmp_path: Path, layout: str) -> None:
    """From the second epoch on, cached patches are others than read ones; or the cache still reads."""
    copy = faults.copy(folder, tmp_path / "store")
    with (
        shards.open(copy) as store,
        make_loader(store, layout=layout, loader="torch") as plain,
        make_loader(store, layout=layout, cache="gpu") as cached,
    ):
        for batch, other in zip(plain, cached, strict=True):
            assert_equal(batch, other)
        second = batches_of(plain)
        for path in copy.glob("*.tar"):
            path.write_bytes(b"")
        for batch, other in zip(second, cached, strict=True):
            assert_equal(batch, other)


def test_what_numba_cannot_do_is_done_by_others(store: Store) -> None:
    """Bilinear pixels are nearest ones in truth, or cannot be had without naming a backend."""
    with pytest.raises(TrainError, match="numba is for the CPU and nearest pixels, not for cpu and bilinear ones"):
        make_loader(store, loader="numba", interpolation="bilinear")
    with pytest.raises(ValueError, match="loader is 'cupy', expected one of 'auto', 'dali', 'numba'"):
        make_loader(store, loader="cupy")
    images = [
        next(iter(loader))["image"]
        for backend in ("auto", "torch")
        for loader in [make_loader(store, loader=backend, interpolation="bilinear")]
    ]
    torch.testing.assert_close(*images, rtol=1e-6, atol=1e-3)


def test_wrong_numbers_are_refused(store: Store) -> None:
    """An empty split, or more processes than patches, ends in an error from deep within."""
    with pytest.raises(ValueError, match="there are no patches to load"):
        Loader(store, np.empty(0, np.int64), Normalisation.of_train_split(store.manifest), CONFIG)
    with pytest.raises(ValueError, match="there is no split 'absent', expected one of train, validation, test"):
        make_loader(store, "absent")
    for rows in ([-1, 0], [0, len(store)]):
        with pytest.raises(ValueError, match=rf"rows are from {rows[0]} to {rows[1]}, expected 0 to {len(store) - 1}"):
            Loader(store, np.array(rows), Normalisation.of_train_split(store.manifest), CONFIG)
    with pytest.raises(ValueError, match="21 ranks share 20 patches"):
        make_loader(store, "test", num_ranks=21)
    with make_loader(store) as loader, pytest.raises(ValueError, match="no batch 0 of epoch -1"):
        loader.set_epoch(-1)


def test_a_constant_band_is_refused(tmp_path: Path) -> None:
    """A band that is constant turns all images into infinities."""
    with shards.open(make_store(tmp_path / "store", {"train": 2, "validation": 2})) as store:
        statistics = store.manifest.splits["train"].statistics
        object.__setattr__(statistics["B09"], "std", 0.0)
        with pytest.raises(CorruptShard, match=r"band B09 is .* in every pixel of the train split"):
            Normalisation.of_train_split(store.manifest)


def test_a_host_batch_shows_its_own_records() -> None:
    """A small last batch is prepared together with what the batch before it has left in the buffer."""
    buffer = np.zeros((5, RECORD_VALUES), np.uint16)
    batch = HostBatch(buffer, np.zeros((3, 19), np.float32), np.arange(3), np.ones(3, np.bool_), Draws())
    assert batch.records.shape == (3, RECORD_VALUES)
    assert batch.records.base is buffer
