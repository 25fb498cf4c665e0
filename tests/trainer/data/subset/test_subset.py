"""Subsets of a store."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shards
from shards import SPLITS, Store
from shards.testing.stores import make_store
from trainer.data.subset.rows import Subset, select
from trainer.data.subset.stratification import stratified
from trainer.data.subset.where import rows_where
from trainer.errors import BadPatchList, EmptySubset

COUNTS = {"train": 100, "validation": 30, "test": 20}


@pytest.fixture(scope="module")
def seasons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with two countries and four seasons."""
    dates = [datetime(2017, month, 3) for month in (1, 4, 7, 10, 7)]
    folder = tmp_path_factory.mktemp("subset") / "store"
    with shards.open(make_store(folder, COUNTS, countries=["Ireland", "Austria"], dates=dates)) as store:
        yield store


def write_list(folder: Path, store: Store, rows: list[int]) -> Path:
    """Write the keys of rows and return the file."""
    path = folder / "list.txt"
    path.write_text("\n".join(store.index.key(row) for row in rows))
    return path


def test_nothing_asked_for_is_everything(seasons: Store) -> None:
    """Patches are lost without a reason, or come in another split."""
    rows = select(Subset(), seasons.index, 0)
    assert list(rows) == list(SPLITS)
    for split in SPLITS:
        assert rows[split].dtype == np.int64
        np.testing.assert_array_equal(rows[split], seasons.index.rows(split))


# A few, because each one starts DuckDB.
few = settings(max_examples=25)
conditions = st.sampled_from(["country = 'Ireland'", "season = 'summer'", "num_labels > 0", "split <> 'test'"])


@pytest.mark.long
@few
@given(
    st.none() | conditions,
    st.none() | st.sets(st.integers(0, 149), min_size=60),
    st.none() | st.floats(0.01, 1),
    st.integers(0, 99),
)
def test_conditions_combine_by_intersection(
    seasons: Store,
    tmp_path_factory: pytest.TempPathFactory,
    where: str | None,
    listed: set[int] | None,
    fraction: float | None,
    seed: int,
) -> None:
    """A patch is used that one of the conditions takes, or the fraction is drawn from more than the others leave."""
    patches = None if listed is None else write_list(tmp_path_factory.getbasetemp(), seasons, list(listed))
    found = select(Subset(where=where, fraction=fraction, patches=patches), seasons.index, seed, needed=())
    expected = set(range(150))
    if where is not None:
        expected &= set(rows_where(where, seasons.index).tolist())
    if listed is not None:
        expected &= listed
    for split in ("validation", "test"):
        assert found[split].tolist() == sorted(expected & set(seasons.index.rows(split).tolist()))
    train = np.array(sorted(expected & set(seasons.index.rows("train").tolist())), np.int64)
    if fraction is not None:
        train = stratified(train, seasons.index.labels()[train], fraction, seed)
    np.testing.assert_array_equal(found["train"], train)


def test_a_fraction_leaves_the_other_splits_whole(seasons: Store) -> None:
    """Results on a fraction of the test split are compared with results on all of it."""
    rows = select(Subset(fraction=0.1), seasons.index, 0)
    assert 10 <= len(rows["train"]) < 20
    assert {split: len(rows[split]) for split in ("validation", "test")} == {"validation": 30, "test": 20}


def test_seeds_draw_other_fractions(seasons: Store) -> None:
    """The seed does not reach the draw of the fraction, or a repeated run has other patches."""
    drawn = {select(Subset(fraction=0.5), seasons.index, seed)["train"].tobytes() for seed in (0, 1, 2, 0)}
    assert len(drawn) == 3


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, 10, float("nan"), float("inf")])
def test_fractions_are_shares(fraction: float) -> None:
    """Ten per cent written as 10 trains on everything."""
    with pytest.raises(ValueError, match=f"fraction is {fraction}, expected above 0 and at most 1"):
        Subset(fraction=fraction)


def test_wrong_conditions_are_refused_at_once() -> None:
    """A typing error comes to light only when the store is open."""
    with pytest.raises(ValueError, match="there is no column nation"):
        Subset(where="nation = 'Ireland'")


def test_patches_of_another_store_are_refused(seasons: Store, tmp_path: Path) -> None:
    """A list of the other version selects what happens to be there."""
    path = tmp_path / "list.txt"
    path.write_text("S2A_MSIL2A_20170613T101031_26_57\n")
    expected = (
        "none of its 1 names is in the store: the list begins with S2A_MSIL2A_20170613T101031_26_57; the store has"
    )
    with pytest.raises(BadPatchList, match=expected):
        select(Subset(patches=path), seasons.index, 0)


def test_empty_splits_say_what_took_their_patches(seasons: Store, tmp_path: Path) -> None:
    """A run starts without patches to learn from or to validate on, or ends in an error that does not say why."""
    subset = Subset(where="country = 'Serbia'")
    expected = "the subset has no patch of the train split: of 100, the condition \"country = 'Serbia'\" leaves out 100"
    with pytest.raises(EmptySubset, match=f"^{re.escape(expected)}$"):
        select(subset, seasons.index, 0)
    with pytest.raises(EmptySubset, match="no patch of the test split: of 20, "):
        select(subset, seasons.index, 0, needed=["test"])
    assert all(not len(rows) for rows in select(subset, seasons.index, 0, needed=()).values())

    # Rows 100 and 102 are of the validation split and Irish, which the condition leaves nothing of.
    path = write_list(tmp_path, seasons, [0, 1, 2, 100, 102])
    both = Subset(where="country = 'Austria'", patches=path)
    expected = f"no patch of the validation split: of 30, the list {path} leaves out 28 and the condition "
    with pytest.raises(EmptySubset, match=f"{re.escape(expected)}.* leaves out 2$"):
        select(both, seasons.index, 0)
    assert select(both, seasons.index, 0, needed=["train"])["train"].tolist() == [1]


def test_absent_splits_are_named(tmp_path: Path) -> None:
    """A condition is blamed for a split that the store never had."""
    with shards.open(make_store(tmp_path / "store", {"train": 5})) as store:
        expected = "the store has no patch in its validation split, only 5 of train"
        with pytest.raises(EmptySubset, match=f"^{expected}; `data.validation=false` trains without$"):
            select(Subset(where="num_labels >= 0"), store.index, 0)
        with pytest.raises(EmptySubset, match=f"^{expected}$"):
            select(Subset(where="num_labels >= 0"), store.index, 0, needed=["validation"])
        assert len(select(Subset(fraction=0.5), store.index, 0, needed=["train"])["test"]) == 0


def test_empty_columns_are_named(tmp_path: Path) -> None:
    """A user seeks the error in a condition that no patch of the store can fulfil, for its column was never filled."""
    with shards.open(make_store(tmp_path / "store", {"train": 5, "validation": 2}, countries=[None])) as store:
        with pytest.raises(EmptySubset, match=r"leaves out 5; in this store the column country is empty$"):
            select(Subset(where="country in ('Ireland') and month = 6"), store.index, 0)
        with pytest.raises(EmptySubset, match=r"leaves out 5$"):
            select(Subset(where="month = 7"), store.index, 0)
        assert len(select(Subset(where="country is null"), store.index, 0)["train"]) == 5
