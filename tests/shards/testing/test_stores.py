"""The stores that tests use: that they are what the specification says, and always the same."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shards
from bigearth_pipeline.verify.store import verify_store
from shards.layout.classes import multi_hot
from shards.layout.record import RecordGroup
from shards.testing.stores import NUM_CLASSES, make_store, shuffled_keys
from tests.support.data.building import contents

COUNTS = {"train": 11, "validation": 4, "test": 3}
DATES = [datetime(2017, month, 28, 10, 10, 31) for month in range(1, 13)]
EXTRAS = [RecordGroup("clc", 40, ("CLC",), role="codes"), RecordGroup("s1", 48, ("VV", "VH"), "float32")]
KINDS: list[tuple[dict[str, int], dict[str, Any]]] = [
    *((COUNTS, {"codec": codec}) for codec in shards.CODECS),
    *((COUNTS, {"format": "zarr", "codec": codec}) for codec in ("blosc-lz4", "raw")),
    ({"validation": 5, "train": 0}, {"source_version": "v1", "countries": [None], "seed": 5}),
    *((COUNTS, {"format": kind, "extras": EXTRAS}) for kind in ("webdataset", "zarr")),
    ({"test": 6}, {"countries": ["Ireland", None, "Austria"], "dates": DATES, "patches_per_shard": 1}),
]


@pytest.mark.long
@pytest.mark.parametrize(("counts", "options"), KINDS, ids=str)
def test_every_store_passes_verify(counts: dict[str, int], options: dict[str, Any], tmp_path: Path) -> None:
    """Tests rely on a store that breaks the specification."""
    folder = make_store(tmp_path / "store", counts, **({"patches_per_shard": 4} | options))
    findings = verify_store(folder, workers=1)
    assert (findings.problems, findings.notes) == ([], [])
    assert findings.patches == sum(counts.values())


@pytest.mark.parametrize("options", [{}, {"format": "zarr", "extras": EXTRAS}, {"codec": "bitpack"}], ids=str)
def test_equal_arguments_give_equal_bytes(options: dict[str, Any], tmp_path: Path) -> None:
    """A test passes or fails by chance; or another seed gives the same store."""
    one, two, other = (
        make_store(tmp_path / name, {"train": 5, "test": 2}, seed, patches_per_shard=2, **options)
        for name, seed in (("one", 3), ("two", 3), ("other", 4))
    )
    assert contents(one) == contents(two)
    assert contents(one).keys() == contents(other).keys()
    assert contents(one) != contents(other)


def test_the_store_holds_what_was_asked_for(tmp_path: Path) -> None:
    """Countries, dates, names or splits are those of other rows, or classes occur that should not."""
    folder = make_store(tmp_path / "s", COUNTS, 7, countries=["a", None, "b"], dates=DATES, patches_per_shard=4)
    with shards.open(folder) as store:
        assert {name: info.count for name, info in store.manifest.splits.items()} == COUNTS
        assert [shard.count for shard in store.manifest.shards] == [4, 4, 3, 4, 3]
        table = store.index.table
        assert table["country"].to_pylist() == [["a", None, "b"][row % 3] for row in range(18)]
        assert table["date"].to_pylist() == [DATES[row % 12] for row in range(18)]
        keys = [key for split, count in COUNTS.items() for key in shuffled_keys(split, count, 7)]
        assert table["key"].to_pylist() == keys
        labels = store.index.labels()
        assert labels[:, :NUM_CLASSES].any()
        assert not labels[:, NUM_CLASSES:].any()
        assert np.array_equal(labels, multi_hot(store.index.column("label_mask")))
