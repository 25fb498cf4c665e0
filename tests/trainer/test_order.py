"""Order and flips as pure functions."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer.order import epoch_order, flip_draws, split_batches, splitmix64

seeds = st.integers(0, 2**63 - 1)
epochs = st.integers(0, 10_000)
row_sets = st.sets(st.integers(0, 2**40), max_size=300).map(lambda rows: np.array(sorted(rows), np.int64))


def test_splitmix64_is_the_published_generator() -> None:
    """Orders differ from those that another implementation of the same definition gives."""
    # Outputs of Vigna's splitmix64.c for the state 1234567, as published on Rosetta Code.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix64(1234567, np.arange(5, dtype=np.uint64)).tolist() == expected


@given(row_sets, seeds, epochs)
def test_order_is_a_permutation(rows: NDArray[np.int64], seed: int, epoch: int) -> None:
    """An epoch visits a patch twice, or never."""
    order = epoch_order(rows, seed, epoch)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), rows)


@given(row_sets, seeds, epochs, st.randoms())
def test_order_depends_on_the_set_alone(rows: NDArray[np.int64], seed: int, epoch: int, random: Random) -> None:
    """The order changes with the order in which a subset is given, or a subset is not visited in the whole's order."""
    shuffled = rows.tolist()
    random.shuffle(shuffled)
    order = epoch_order(rows, seed, epoch)
    np.testing.assert_array_equal(epoch_order(np.array(shuffled, np.int64), seed, epoch), order)
    subset = rows[::3]
    np.testing.assert_array_equal(epoch_order(subset, seed, epoch), order[np.isin(order, subset)])


@given(row_sets, seeds, epochs, st.integers(1, 400))
def test_flips_belong_to_the_patch(rows: NDArray[np.int64], seed: int, epoch: int, batch_size: int) -> None:
    """A patch is flipped otherwise in a batch of another size."""
    flips = flip_draws(rows, seed, epoch)
    assert flips.shape == (len(rows), 2)
    assert flips.dtype == np.uint8
    parts = [flip_draws(part, seed, epoch) for part in split_batches(rows, batch_size)]
    np.testing.assert_array_equal(np.concatenate([flips[:0], *parts]), flips)


def test_epochs_and_seeds_differ() -> None:
    """All epochs, or all seeds, have one order or one set of flips."""
    rows = np.arange(1000)
    orders = {epoch_order(rows, seed, epoch).tobytes() for seed in range(4) for epoch in range(4)}
    flips = {flip_draws(rows, seed, epoch).tobytes() for seed in range(4) for epoch in range(4)}
    assert len(orders) == len(flips) == 16


def test_draws_are_fair_and_independent() -> None:
    """Some flips are more frequent than others, or patches stay near their place."""
    rows = np.arange(100_000)
    for epoch in range(3):
        kinds = np.bincount(flip_draws(rows, 0, epoch) @ [1, 2], minlength=4)
        # Five standard deviations of a binomial count.
        assert np.abs(kinds - 25_000).max() < 5 * (100_000 * 0.25 * 0.75) ** 0.5
        order = epoch_order(rows, 0, epoch)
        assert abs(np.corrcoef(order, rows)[0, 1]) < 5 / 100_000**0.5
        assert abs(np.corrcoef(flip_draws(order, 0, epoch)[:, 0], np.arange(100_000))[0, 1]) < 5 / 100_000**0.5


@pytest.mark.parametrize(("n", "sizes"), [(0, []), (1, [1]), (4, [4]), (9, [4, 4, 1])])
def test_batches_keep_all_rows(n: int, sizes: list[int]) -> None:
    """The last, smaller batch is lost."""
    parts = split_batches(np.arange(n), 4)
    assert [len(part) for part in parts] == sizes
    assert [row for part in parts for row in part.tolist()] == list(range(n))
