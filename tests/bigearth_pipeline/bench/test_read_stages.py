"""Timing the stages of reading."""

from contextlib import closing

import numpy as np
import pytest

import shards
from bigearth_pipeline.bench.loader.read_stages import CHECKED, COPY, DECODE, READ, READ_INTO, TAKE, build_stages
from shards import RECORD_VALUES
from shards.runtime.threads import Threads


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        ("tar_store", {READ, READ_INTO, CHECKED, DECODE}),
        ("zarr_store", {READ, READ_INTO, CHECKED, DECODE}),
        ("packed_store", {READ, READ_INTO, CHECKED, DECODE}),
        ("raw_store", {READ, READ_INTO, CHECKED, COPY, TAKE}),
    ],
)
def test_every_stage_does_its_work(kind: str, stages: set[str], request: pytest.FixtureRequest) -> None:
    """A stage is fast because it does less, or something else, than it says."""
    with shards.open(request.getfixturevalue(kind), num_threads=2) as store, closing(Threads(3, "test")) as threads:
        rows = store.index.rows("train")[::-1].copy()
        batch = np.random.default_rng(4).permutation(rows)[:32]
        expected = store.read_into(batch, np.empty((32, RECORD_VALUES), np.uint16))
        outputs = [np.zeros((32, RECORD_VALUES), np.uint16) for _ in range(2)]
        found = build_stages(store, rows, outputs, threads=threads)
        assert found.keys() == stages
        found.pop(READ)(batch, 1)
        assert not outputs[1].any()
        for stage in found.values():
            outputs[1][:] = 0
            stage(batch, 1)
            np.testing.assert_array_equal(outputs[1], expected)
        assert not outputs[0].any()
