"""Fractions in which every class keeps its share."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shards.layout.classes import encode_labels, multi_hot
from trainer.data.subset.stratification import stratified

seeds = st.integers(0, 2**63 - 1)
fractions = st.floats(0, 1, exclude_min=True)


@st.composite
def labelled_rows(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Rows with labels from few sets of classes, so that classes share their patches."""
    masks = draw(st.lists(st.integers(0, 2**19 - 1), min_size=1, max_size=8))
    chosen = draw(st.lists(st.sampled_from(masks), max_size=60))
    rows = draw(st.sets(st.integers(0, 2**40), min_size=len(chosen), max_size=len(chosen)))
    return np.array(sorted(rows), np.int64), multi_hot(np.array(chosen, np.uint32))


@given(labelled_rows(), fractions, seeds)
def test_no_class_is_lost(labelled: tuple[NDArray[np.int64], NDArray[np.uint8]], fraction: float, seed: int) -> None:
    """A class that has patches has none in the fraction, or a patch is chosen twice or out of nowhere."""
    rows, labels = labelled
    chosen = stratified(rows, labels, fraction, seed)
    assert chosen.dtype == np.int64
    assert (np.diff(chosen) > 0).all()
    assert np.isin(chosen, rows).all()
    kept = labels[np.searchsorted(rows, chosen)]
    np.testing.assert_array_equal(kept.any(0), labels.any(0))
    assert (~kept.any(1)).any() == (~labels.any(1)).any()


@given(labelled_rows(), seeds)
def test_the_whole_is_the_whole(labelled: tuple[NDArray[np.int64], NDArray[np.uint8]], seed: int) -> None:
    """A fraction of 1 leaves patches out."""
    np.testing.assert_array_equal(stratified(*labelled, 1.0, seed), labelled[0])


@given(labelled_rows(), fractions, seeds, st.randoms(use_true_random=False))
def test_the_order_of_patches_does_not_matter(
    labelled: tuple[NDArray[np.int64], NDArray[np.uint8]], fraction: float, seed: int, random: np.random.Generator
) -> None:
    """The fraction depends on more than rows, labels, seed and fraction."""
    rows, labels = labelled
    places = list(range(len(rows)))
    random.shuffle(places)
    expected = stratified(rows, labels, fraction, seed)
    np.testing.assert_array_equal(stratified(rows[places], labels[places], fraction, seed), expected)


@pytest.mark.parametrize("num_classes", [0, 1, 19])
def test_seeds_choose_other_patches(num_classes: int) -> None:
    """All runs train on the same fraction, or on the first patches of the store."""
    rows = np.arange(10_000)
    labels = np.zeros((10_000, 19), np.uint8)
    labels[:, :num_classes] = np.random.default_rng(0).random((10_000, num_classes)) < 0.2
    first, second = (stratified(rows, labels, 0.1, seed) for seed in (0, 1))
    # A tenth of a tenth is expected in common; five standard deviations.
    assert abs(len(np.intersect1d(first, second)) - 100) < 50
    assert abs(first.mean() - 5000) < 5 * 2887 / 1000**0.5


@pytest.fixture(scope="module")
def real_labels(v2_tree: Path) -> NDArray[np.uint8]:
    """The labels of the train split of version 2."""
    table = pq.ParquetFile(v2_tree / "metadata.parquet").read(["split", "labels"])
    train = [encode_labels(row["labels"]) for row in table.to_pylist() if row["split"] == "train"]
    assert len(train) == 237_871
    return multi_hot(np.array(train, np.uint32))


@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.1, 0.5])
def test_real_classes_keep_their_share(real_labels: NDArray[np.uint8], fraction: float) -> None:
    """A fraction of BigEarthNet has another distribution of classes, or another size, than was asked for."""
    for seed in range(3):
        chosen = stratified(np.arange(len(real_labels)), real_labels, fraction, seed)
        expected = fraction * real_labels.sum(0)
        found = real_labels[chosen].sum(0)
        # The rarest class has 670 patches, of which a thousandth is 0.67 and a hundredth 6.7. Of 238 patches, a class
        # may also get some too many, by the rarer ones that it comes with.
        assert np.abs(found - expected).max() <= (1 if fraction >= 0.01 else 5)
        assert abs(len(chosen) / (fraction * len(real_labels)) - 1) < (0.02 if fraction >= 0.01 else 0.05)
