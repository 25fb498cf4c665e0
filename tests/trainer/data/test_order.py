"""The order of an epoch and its parts, as pure functions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer.data.order import KINDS, Epoch, Kind, SampleOrder

seeds = st.integers(0, 2**63 - 1)
epochs = st.integers(0, 10_000)
row_sets = st.sets(st.integers(0, 2**40), min_size=1, max_size=300).map(lambda rows: np.array(sorted(rows), np.int64))
kinds = st.sampled_from(KINDS)


def make_order(
    rows: NDArray[np.int64], kind: Kind = "global", *, seed: int = 0, batch_size: int = 7, window: int = 3
) -> SampleOrder:
    """Return an order of rows whose shards have five places each, taken or not."""
    shards = (rows // 5).astype(np.int32)
    return SampleOrder(rows=rows, batch_size=batch_size, kind=kind, seed=seed, shards=shards, window=window)


@given(row_sets, kinds, seeds, epochs, st.integers(1, 10))
def test_epochs_visit_every_patch_once(rows: NDArray[np.int64], kind: Kind, seed: int, epoch: int, window: int) -> None:
    """An epoch visits a patch twice, or never."""
    order = make_order(rows, kind, seed=seed, window=window).epoch(epoch)
    assert order.rows.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order.rows), rows)


@given(row_sets, seeds, epochs, st.data())
def test_subsets_keep_the_order_of_the_whole(
    rows: NDArray[np.int64], seed: int, epoch: int, data: st.DataObject
) -> None:
    """A patch changes its place among the others because some of them are left out."""
    subset = rows[data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)).filter(any))]
    whole = make_order(rows, seed=seed).epoch(epoch).rows
    np.testing.assert_array_equal(make_order(subset, seed=seed).epoch(epoch).rows, whole[np.isin(whole, subset)])


@given(row_sets, epochs)
def test_sequential_is_ascending(rows: NDArray[np.int64], epoch: int) -> None:
    """Evaluation reads the shards back and forth."""
    np.testing.assert_array_equal(make_order(rows, "sequential").epoch(epoch).rows, rows)


@given(st.sets(st.integers(0, 200), min_size=1).map(sorted), seeds, epochs, st.integers(1, 10))
def test_blocks_are_windows_of_whole_shards(rows: list[int], seed: int, epoch: int, window: int) -> None:
    """A shard is come back to after its window, or a window spans more shards than memory is meant to hold."""
    order = make_order(np.array(rows, np.int64), "block", seed=seed, window=window).epoch(epoch)
    shards = (order.rows // 5).tolist()
    distinct = list(dict.fromkeys(shards))
    place = 0
    for first in range(0, len(distinct), window):
        members = distinct[first : first + window]
        size = sum(shards.count(shard) for shard in members)
        assert set(shards[place : place + size]) == set(members)
        place += size
    assert place == len(rows)


def test_blocks_permute_shards_and_mix_windows() -> None:
    """Patches of a window are not in the order of the exact permutation, or all epochs have the same windows."""
    rows = np.arange(100_000)
    order = SampleOrder(rows=rows, batch_size=1, kind="block", shards=(rows // 1000).astype(np.int32), window=10)
    exact = SampleOrder(rows=rows, batch_size=1, kind="global")
    firsts = set()
    for epoch in range(4):
        visited = order.epoch(epoch).rows
        window = visited[:10_000]
        whole = exact.epoch(epoch).rows
        np.testing.assert_array_equal(window, whole[np.isin(whole, window)])
        firsts.add(tuple(np.unique(window // 1000).tolist()))
    assert len(firsts) == 4


@pytest.mark.parametrize("kind", ["global", "block"])
def test_epochs_and_seeds_differ(kind: Kind) -> None:
    """All epochs, or all seeds, have one order."""
    rows = np.arange(1000)
    orders = {make_order(rows, kind, seed=s).epoch(e).rows.tobytes() for s in range(4) for e in range(4)}
    assert len(orders) == 16


def test_global_order_is_fair() -> None:
    """Patches stay near their place, or near their place of the epoch before."""
    rows = np.arange(100_000)
    first, second = (make_order(rows).epoch(epoch).rows for epoch in range(2))
    for one, other in ((first, rows), (second, rows), (first, second), (np.argsort(first), np.argsort(second))):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / 100_000**0.5


def test_orders_stay_as_they_are() -> None:
    """A run that was started with another version continues with another order."""
    rows = np.arange(12)
    expected = {
        "global": [[5, 7, 2, 8, 11, 1, 6, 9, 0, 4, 10, 3], [6, 7, 9, 10, 5, 3, 8, 2, 0, 4, 1, 11]],
        "block": [[8, 11, 9, 10, 5, 1, 0, 4, 7, 2, 6, 3], [6, 7, 10, 11, 5, 3, 2, 4, 9, 8, 0, 1]],
    }
    shards = (rows // 2).astype(np.int32)
    for kind in ("global", "block"):
        order = SampleOrder(rows=rows, batch_size=5, kind=kind, seed=7, shards=shards, window=2)  # type: ignore[arg-type]
        assert [order.epoch(epoch).rows.tolist() for epoch in (0, 1)] == expected[kind]


@given(row_sets, kinds, st.integers(1, 400))
def test_batches_are_the_epoch(rows: NDArray[np.int64], kind: Kind, batch_size: int) -> None:
    """The last, smaller batch is lost, or another one is smaller."""
    order = make_order(rows, kind, batch_size=batch_size)
    epoch = order.epoch(0)
    batches = [epoch.batch(step) for step in range(len(epoch))]
    np.testing.assert_array_equal(np.concatenate(batches), epoch.rows)
    assert len(order) == len(epoch) == len(batches)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= batch_size


@given(st.integers(1, 60), st.integers(1, 40), st.data())
def test_parts_are_the_batch(num_rows: int, batch_size: int, data: st.DataObject) -> None:
    """Ranks lose or repeat a patch, part a pair that MixUp needs, share unevenly, or one of them has nothing to do."""
    num_ranks = data.draw(st.integers(1, num_rows))
    order = make_order(np.arange(num_rows), batch_size=batch_size)
    epoch = order.epoch(0)
    largest = 0
    for step in range(len(epoch)):
        batch = epoch.batch(step)
        parts = [epoch.part(step, rank, num_ranks) for rank in range(num_ranks)]
        np.testing.assert_array_equal(np.concatenate([rows[mask] for rows, mask in parts]), batch)
        place = 0
        for rows, mask in parts:
            assert len(rows) == len(mask) >= 1
            assert mask.all() or (len(rows) == 1 and rows[0] in batch)
            assert not mask.any() or place % 2 == 0
            place += int(mask.sum())
        sizes = [int(mask.sum()) for _, mask in parts]
        pairs = [-(-size // 2) for size in sizes]
        assert max(pairs) - min(pairs) <= 1
        largest = max(largest, *(len(rows) for rows, _ in parts))
    assert order.largest_part(num_ranks) == largest


@pytest.mark.parametrize(("num_rows", "num_ranks", "sizes"), [(5, 2, [2, 3]), (7, 2, [4, 3]), (8, 3, [2, 2, 4])])
def test_the_half_pair_goes_where_there_is_room(num_rows: int, num_ranks: int, sizes: list[int]) -> None:
    """A rank waits for another that has three patches more."""
    epoch = make_order(np.arange(num_rows), batch_size=num_rows).epoch(0)
    assert [len(epoch.part(0, rank, num_ranks)[0]) for rank in range(num_ranks)] == sizes


def test_more_ranks_than_patches_are_refused() -> None:
    """Ranks that never get a patch take part in a run."""
    order = make_order(np.arange(3))
    with pytest.raises(ValueError, match="4 ranks share 3 patches"):
        order.epoch(0).part(0, 0, 4)
    with pytest.raises(ValueError, match="4 ranks share 3 patches"):
        order.largest_part(4)


@pytest.mark.parametrize(("rank", "num_ranks"), [(-1, 2), (2, 2), (0, 0)])
def test_absent_ranks_are_refused(rank: int, num_ranks: int) -> None:
    """A rank beyond the last one reads what is not there."""
    with pytest.raises(ValueError, match=f"rank is {rank}, expected 0 or more and below {num_ranks}"):
        make_order(np.arange(9)).epoch(0).part(0, rank, num_ranks)


@pytest.mark.parametrize("step", [-1, 2])
def test_absent_steps_are_refused(step: int) -> None:
    """A run that resumes behind the end of an epoch reads empty batches."""
    epoch = Epoch(rows=np.arange(9), batch_size=5)
    with pytest.raises(IndexError, match=f"step {step} of an epoch of 2"):
        epoch.batch(step)
    with pytest.raises(IndexError, match=f"step {step} of an epoch of 2"):
        epoch.part(step, 0, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([], np.int64), "expected int64 of shape"),
        (np.array([1, 2], np.int32), "expected int64 of shape"),
        (np.array([[1, 2]]), "expected int64 of shape"),
        (np.array([1, 1]), "not ascending"),
        (np.array([2, 1]), "not ascending"),
        (np.array([-1, 1]), "not ascending"),
    ],
)
def test_rows_must_be_distinct_and_ascending(rows: NDArray[np.int64], message: str) -> None:
    """A patch counts twice in every epoch."""
    with pytest.raises(ValueError, match=message):
        SampleOrder(rows=rows, batch_size=1, kind="global")


def test_numbers_and_kinds_are_checked() -> None:
    """An order that cannot be comes to light in the middle of an epoch only."""
    rows = np.arange(4)
    with pytest.raises(ValueError, match="batch_size is 0, expected at least 1"):
        make_order(rows, batch_size=0)
    with pytest.raises(ValueError, match="window is 0, expected at least 1"):
        make_order(rows, window=0)
    with pytest.raises(ValueError, match="kind is 'random', expected one of global, block, sequential"):
        make_order(rows, "random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shards are absent, expected one for each of 4 rows"):
        SampleOrder(rows=rows, batch_size=1, kind="block")
    with pytest.raises(ValueError, match=r"shards are of shape \(3,\), expected one for each of 4 rows"):
        SampleOrder(rows=rows, batch_size=1, kind="block", shards=np.zeros(3, np.int32))


def test_the_count_of_each_batch() -> None:
    """Buffers are made for a batch of another size than the one that comes."""
    order = SampleOrder(rows=np.arange(11), batch_size=4, kind="sequential")
    assert [order.batch_count(step) for step in range(len(order))] == [4, 4, 3]
    assert [len(order.epoch(0).batch(step)) for step in range(len(order))] == [4, 4, 3]
