"""Random numbers as a pure function of what they are for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.random import bits, key, splitmix64, uniform

parts = st.lists(st.integers(0, 2**64 - 2), min_size=1, max_size=4)


def test_splitmix64_is_the_published_generator() -> None:
    """Draws differ from those that another implementation of the same definition gives."""
    # Outputs of Vigna's splitmix64.c for the state 1234567, as published on Rosetta Code.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix64(1234567, np.arange(5, dtype=np.uint64)).tolist() == expected


@given(parts, st.integers(0, 3), st.integers(0, 2**64 - 2))
def test_key_depends_on_every_part(numbers: list[int], place: int, other: int) -> None:
    """Two epochs, two seeds or two purposes share their draws."""
    changed = list(numbers)
    changed[place % len(numbers)] = other
    assert (key(*changed) == key(*numbers)) == (changed == numbers)
    assert key(*numbers, other) != key(*numbers)


def test_key_depends_on_the_order_of_parts() -> None:
    """Epoch 1 of seed 2 has the draws of epoch 2 of seed 1."""
    assert key(1, 2, 3) != key(2, 1, 3) != key(1, 3, 2)


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=200), parts)
def test_draws_belong_to_the_row(rows: list[int], numbers: list[int]) -> None:
    """A patch has other draws in other company, or two patches share theirs."""
    drawn = bits(np.array(rows, np.int64), *numbers)
    assert drawn.dtype == np.uint64
    assert [int(bits(np.array([row], np.int64), *numbers)[0]) for row in rows] == drawn.tolist()
    assert len(set(drawn.tolist())) == len(set(rows))


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    """A range of numbers comes up too often, or 1 does, or neighbouring rows have similar numbers."""
    rows = np.arange(100_000)
    for epoch in range(3):
        numbers = uniform(rows, 0, epoch, 5)
        assert numbers.min() >= 0
        assert numbers.max() < 1
        counts = np.histogram(numbers, 20, (0, 1))[0]
        # Five standard deviations of a binomial count, and of a correlation.
        assert np.abs(counts - 5_000).max() < 5 * (100_000 * 0.05 * 0.95) ** 0.5
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 5 / 100_000**0.5
        assert abs(np.corrcoef(numbers, uniform(rows, 0, epoch + 1, 5))[0, 1]) < 5 / 100_000**0.5
