"""Patches whose digital numbers are higher than those that a network was trained on."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shards
from shards.testing.stores import make_store
from tests.bigearth_pipeline.verify.damage import edit_manifest, seal
from trainer.evaluation.radiometry import offset_note


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose test patches are, but for one, of baselines with an offset, which was not subtracted."""
    folder = make_store(tmp_path_factory.mktemp("newer") / "store", {"train": 3, "test": 5})
    table = pq.read_table(folder / "index.parquet")
    place, test = table.schema.get_field_index("baseline"), iter([9999, 400, 509, 9998, 510])
    values = [next(test) if split == "test" else None for split in table["split"].to_pylist()]
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(values, table.schema[place].type)),
                   folder / "index.parquet")  # fmt: skip
    seal(folder, "index.parquet")
    return folder


def test_an_offset_that_was_not_subtracted_is_said(newer: Path) -> None:
    """A run gives scores of patches whose pixels are 1000 higher than all that it has seen, without a word."""
    with shards.open(newer) as store:
        rows, sha256 = store.index.rows("test"), store.manifest_sha256()
        for trained_on in (None, "0" * 64):
            note = offset_note(store, rows, trained_on)
            assert note is not None
            assert note.startswith("digital numbers of 4 patches are 1000 higher than BigEarthNet's")
        assert offset_note(store, rows, sha256) is None
        assert offset_note(store, store.index.rows("train")) is None
        assert offset_note(store, np.empty(0, np.int64)) is None


def test_an_offset_that_was_subtracted_is_not(newer: Path) -> None:
    """The line comes where pixels are as they should be."""

    def change(raw: Any) -> None:
        raw["offset"] = "auto"

    edit_manifest(newer, change)
    with shards.open(newer) as store:
        assert offset_note(store, store.index.rows("test")) is None
