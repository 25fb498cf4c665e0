"""Patches with rare classes that an epoch visits more often."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shards import CLASSES, Store
from shards.errors import InvalidValue
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.order import Kind, SampleOrder
from trainer.data.subset.repeats import repeat_factors
from trainer.definition.augmentation import RECIPES

seeds = st.integers(0, 2**63 - 1)
epochs = st.integers(0, 10_000)
row_sets = st.sets(st.integers(0, 2**40), min_size=1, max_size=60).map(lambda rows: np.array(sorted(rows), np.int64))
factors = st.floats(1, 9)
KINDS: tuple[Kind, ...] = ("global", "block")


def order_of(
    rows: NDArray[np.int64], repeats: NDArray[np.float64], kind: Kind = "global", seed: int = 0, batch_size: int = 7
) -> SampleOrder:
    shards = (rows // 5).astype(np.int32)
    return SampleOrder(rows=rows, batch_size=batch_size, kind=kind, seed=seed, shards=shards, window=3, repeats=repeats)


@given(row_sets, st.sampled_from(KINDS), seeds, epochs, st.data())
def test_every_patch_comes_its_share_rounded(
    rows: NDArray[np.int64], kind: Kind, seed: int, epoch: int, data: st.DataObject
) -> None:
    """An epoch leaves a patch out, or visits one more often than its share; epochs differ in length."""
    repeats = np.array(data.draw(st.lists(factors, min_size=len(rows), max_size=len(rows))))
    order = order_of(rows, repeats, kind, seed)
    found = order.epoch(epoch)
    assert len(found.rows) == order.num_visits == len(rows) + int((repeats - 1).sum())
    assert sum(order.batch_count(step) for step in range(len(order))) == order.num_visits
    distinct, counts = np.unique(found.rows, return_counts=True)
    np.testing.assert_array_equal(distinct, rows)
    assert (counts >= 1).all()
    scaled = 1 + (repeats - 1) * (order.num_visits - len(rows)) / max((repeats - 1).sum(), 1e-300)
    assert (np.abs(counts - scaled) < 1 + 1e-6).all()
    again = order_of(rows, repeats, kind, seed).epoch(epoch)
    np.testing.assert_array_equal(again.rows, found.rows)
    for num_ranks in range(1, min(4, len(rows)) + 1):
        parts = [found.part(step, r, num_ranks) for step in range(len(found)) for r in range(num_ranks)]
        np.testing.assert_array_equal(np.concatenate([part[mask] for part, mask in parts]), found.rows)
        numbers = [found.numbers(step, r, num_ranks) for step in range(len(found)) for r in range(num_ranks)]
        drawn = np.concatenate([number[mask] for number, (_, mask) in zip(numbers, parts, strict=True)])
        assert len(np.unique(drawn)) == len(drawn)
        np.testing.assert_array_equal(drawn % (1 << 48), found.rows)


def test_shares_hold_over_epochs() -> None:
    """Rounding favours some patches: in the mean they come more or less often than their share."""
    rows, count = np.arange(200, dtype=np.int64), 400
    repeats = np.linspace(1, 3, len(rows))
    order = order_of(rows, repeats)
    seen = sum(np.bincount(order.epoch(epoch).rows, minlength=len(rows)) for epoch in range(count)) / count
    scaled = 1 + (repeats - 1) * (order.num_visits - len(rows)) / (repeats - 1).sum()
    # Standard deviations of a mean of `count` coins are at most 0.025.
    assert np.abs(seen - scaled).max() < 0.11
    first, second = (order.epoch(epoch).rows for epoch in (0, 1))
    assert (np.bincount(first) != np.bincount(second)).any()


def test_orders_without_repeats_are_as_before() -> None:
    """A factor of 1 changes the order of runs."""
    rows = np.arange(0, 90, 3, dtype=np.int64)
    plain = SampleOrder(rows=rows, batch_size=7, kind="global", seed=3)
    np.testing.assert_array_equal(order_of(rows, np.ones(len(rows)), seed=3).epoch(2).rows, plain.epoch(2).rows)


def test_blocks_keep_repeats_in_their_window() -> None:
    """A shard is come back to after its window, for a visit that is repeated."""
    rows = np.arange(60, dtype=np.int64)
    shards = order_of(rows, np.full(60, 2.5), "block").epoch(1).rows // 5
    last = {shard: int(np.flatnonzero(shards == shard).max()) for shard in range(12)}
    first = {shard: int(np.flatnonzero(shards == shard).min()) for shard in range(12)}
    assert sum(sorted(first.values())[i + 3] > sorted(last.values())[i] for i in range(9)) == 9


@pytest.mark.parametrize("repeats", [np.full(3, 0.5), np.ones(2), np.full(3, np.nan), np.full(3, 1e9)])
def test_other_repeats_are_refused(repeats: NDArray[np.float64]) -> None:
    """An epoch leaves patches out, or ends nowhere."""
    with pytest.raises(InvalidValue, match="repeats are no numbers from 1 to 16,384 for each of 3 rows"):
        order_of(np.arange(3, dtype=np.int64), repeats)
    with pytest.raises(InvalidValue, match="kind is sequential"):
        order_of(np.arange(3, dtype=np.int64), np.ones(3), "sequential")


def test_factors_are_those_of_the_paper() -> None:
    """A patch gets another factor than its rarest class has: max(1, sqrt(t / f))."""
    labels = np.zeros((100, 19), np.uint8)
    labels[:64, 0] = labels[:4, 1] = labels[:1, 2] = 1
    found, classes = repeat_factors(labels, 0.16)
    assert classes[:4].tolist() == pytest.approx([1, 2, 4, 1])
    assert found[[0, 1, 5, 90]].tolist() == pytest.approx([4, 2, 1, 1])
    assert repeat_factors(labels, 0.16, (CLASSES[2],))[0][0] == pytest.approx(2)


@pytest.mark.parametrize("tier", ["none", "ram"])
def test_a_loader_repeats(store: Store, tier: str) -> None:
    """Visits of one patch are the same image, or a loader that resumes gives other batches."""
    rows = store.index.rows("train")[:20]
    config = LoaderConfig(
        batch_size=8,
        device=torch.device("cpu"),
        augmentation=RECIPES["strong"],
        loader="torch",
        cache=tier,  # type: ignore[arg-type]
    )
    normalisation = Normalisation.of_train_split(store.manifest)
    repeats = np.full(20, 1.6)
    with Loader(store, rows, normalisation, config, repeats=repeats) as loader:
        assert (loader.num_patches, len(loader)) == (32, 4)
        loader.set_epoch(1)
        batches = [{name: values.clone() for name, values in batch.items()} for batch in loader]
        seen = torch.cat([batch["row"] for batch in batches])
        images = torch.cat([batch["image"] for batch in batches])
        assert sorted(set(seen.tolist())) == rows.tolist()
        twice = next(row for row in seen.tolist() if (seen == row).sum() == 2)
        one, two = images[seen == twice]
        assert not torch.equal(one, two)
        loader.move_to(1, 2)
        rest = [batch["image"].clone() for batch in loader]
        assert torch.equal(torch.cat(rest), images[16:])
        state = loader.state_dict()
    other = Loader(store, rows, normalisation, config, repeats=np.full(20, 1.61))
    with pytest.raises(InvalidValue, match="the state is of a loader with repeats"):
        other.load_state_dict(state)
    parts = []
    for rank in range(2):
        with Loader(store, rows, normalisation, replace(config, rank=rank, num_ranks=2), repeats=repeats) as part:
            part.set_epoch(1)
            parts.append([batch["image"].clone() for batch in part])
    both = [torch.cat(pair) for pair in zip(*parts, strict=True)]
    assert torch.equal(torch.cat(both), images)
