"""Names that dictionaries of the public interface lack."""

import copy
import pickle
from pathlib import Path

import pytest

import shards
from shards.errors import InvalidValue
from shards.testing.stores import make_store
from trainer import RECIPES
from trainer.config.recipes import RUN_RECIPES


def test_names_that_there_are_not_come_with_those_that_there_are(tmp_path: Path) -> None:
    """A `KeyError` says no more than the name that was given."""
    with shards.open(make_store(tmp_path / "store", {"train": 2, "test": 1})) as store:
        splits = store.manifest.splits
    for mapping, line in (
        (RECIPES, "there is no recipe 'zzz'; there are none, flips, standard, strong"),
        (RUN_RECIPES, "there is no recipe 'zzz'; there are reben, reben-exact"),
        (splits, "there is no split 'zzz'; there are train, test"),
        (splits["train"].statistics, "there is no band 'zzz'; there are B02, B03, B04, "),
    ):
        for kind in (InvalidValue, KeyError):
            with pytest.raises(kind) as caught:
                mapping["zzz"]
            assert str(caught.value).startswith(line)
        assert mapping.get("zzz") is None
        assert "zzz" not in mapping
        assert pickle.loads(pickle.dumps(mapping)) == copy.deepcopy(mapping) == mapping
