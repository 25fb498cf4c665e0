"""Normalisation by the statistics of the train split."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shards
from shards import BANDS, CorruptShard, Manifest, Store
from shards.layout.bands import BAND_SLICES
from shards.layout.statistics import BandStatistics
from shards.testing.stores import make_store
from trainer.data.bands import BandSelection
from trainer.data.normalisation import Normalisation
from trainer.definition.choices import METHODS, Method

finite = st.floats(-1e6, 1e6)
scales = st.floats(1e-3, 1e6)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose splits have statistics of their own."""
    with shards.open(make_store(tmp_path_factory.mktemp("normalisation") / "store", {"train": 9, "test": 4})) as store:
        yield store


def with_statistics(manifest: Manifest, band: str, statistics: BandStatistics | None) -> Manifest:
    """Return the manifest with other statistics of a band in the train split, or none."""
    train = manifest.splits["train"]
    changed = {name: value for name, value in train.statistics.items() if name != band}
    if statistics is not None:
        changed[band] = statistics
    return replace(manifest, splits=manifest.splits | {"train": replace(train, statistics=changed)})


def test_statistics_are_those_of_the_train_pixels(small: Store) -> None:
    """Pixels of another split or another band, or of upsampled bands, decide how a band is normalised."""
    records = small.read_into(small.index.rows("train"), np.empty((9, shards.RECORD_VALUES), np.uint16))
    pixels = {band: records[:, place].astype(np.float64) for band, place in BAND_SLICES.items()}
    standard = Normalisation.of_train_split(small.manifest)
    percentile = Normalisation.of_train_split(small.manifest, method="percentile")
    assert standard.bands == percentile.bands == BANDS
    assert not standard.clamp
    assert percentile.clamp
    for i, band in enumerate(BANDS):
        low, high = np.percentile(pixels[band], [2, 98])
        expected = (pixels[band].mean(), pixels[band].std(), low, high - low)
        found = (standard.centre[i], standard.scale[i], percentile.centre[i], percentile.scale[i])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert standard.mean[i] == percentile.mean[i] == standard.centre[i]


@pytest.mark.parametrize("method", METHODS)
@given(names=st.permutations(BANDS), count=st.integers(1, 12))
def test_bands_keep_their_own_statistics(small: Store, method: Method, names: list[str], count: int) -> None:
    """A channel is normalised by the statistics of another band."""
    chosen = tuple(names[:count])
    whole = Normalisation.of_train_split(small.manifest, method=method)
    assert Normalisation.of_train_split(small.manifest, BandSelection(chosen), method) == whole.select(chosen)


def test_selecting_an_absent_band_is_refused() -> None:
    """Another band's statistics stand in for those that are absent."""
    with pytest.raises(ValueError, match="not in tuple"):
        Normalisation.standard(["B02"], [0.0], [1.0]).select(["B03"])


@given(st.lists(st.tuples(finite, scales), min_size=1, max_size=12))
def test_standard_takes_off_the_mean(pairs: list[tuple[float, float]]) -> None:
    """A missing pixel is filled with something else than what becomes 0."""
    mean, std = zip(*pairs, strict=True)
    normalisation = Normalisation.standard(BANDS[: len(pairs)], mean, std)
    assert normalisation.mean == normalisation.centre == mean
    assert normalisation.scale == std
    assert not normalisation.clamp


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_must_be_positive_numbers(scale: float) -> None:
    """A constant band makes every input infinite or not a number."""
    with pytest.raises(ValueError, match=r"scale of B03 is .*, expected a number above 0"):
        Normalisation.standard(["B02", "B03"], [0.0, 0.0], [1.0, scale])


@pytest.mark.parametrize("lengths", [(1, 2, 2), (2, 1, 2), (2, 2, 1)])
def test_every_band_needs_its_numbers(lengths: tuple[int, int, int]) -> None:
    """A band is normalised by the numbers of its neighbour."""
    mean, centre, scale = ((1.0,) * length for length in lengths)
    with pytest.raises(ValueError, match="expected one for each of 2 bands"):
        Normalisation(("B02", "B03"), mean, centre, scale)


def test_absent_statistics_are_named(small: Store) -> None:
    """A manifest without a band's statistics ends in an error that does not say so."""
    manifest = with_statistics(small.manifest, "B05", None)
    with pytest.raises(CorruptShard, match="no statistics of band B05 in the train split"):
        Normalisation.of_train_split(manifest)
    Normalisation.of_train_split(manifest, BandSelection.parse("rgb"))


@pytest.mark.parametrize(("method", "pixels"), [("standard", "every pixel"), ("percentile", "nearly every pixel")])
def test_constant_bands_are_named(small: Store, method: Method, pixels: str) -> None:
    """A band without contrast divides by zero."""
    old = small.manifest.splits["train"].statistics["B8A"]
    constant = replace(old, mean=7.0, std=0.0, percentiles=dict.fromkeys(old.percentiles, 7.0))
    with pytest.raises(CorruptShard, match=f"band B8A is 7 in {pixels} of the train split"):
        Normalisation.of_train_split(with_statistics(small.manifest, "B8A", constant), method=method)


def test_every_split_is_normalised_by_the_train_split(small: Store, tmp_path: Path) -> None:
    """Test pixels leak into the normalisation."""
    other = make_store(tmp_path / "other", {"train": 9, "validation": 7})
    with shards.open(other) as store:
        assert store.manifest.splits["train"].statistics == small.manifest.splits["train"].statistics
        assert Normalisation.of_train_split(store.manifest) == Normalisation.of_train_split(small.manifest)
