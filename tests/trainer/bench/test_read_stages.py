"""Timing the stages of reading."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import shards
from shards import RECORD_VALUES
from shards.threads import Threads
from trainer.bench.read_stages import (
    COPY,
    DECODE,
    READ,
    READ_INTO,
    TAKE,
    Rates,
    StageConfig,
    StageRates,
    build_stages,
    measure_stages,
)


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        ("tar_store", {READ, READ_INTO, DECODE}),
        ("zarr_store", {READ, READ_INTO, DECODE}),
        ("raw_store", {READ, READ_INTO, COPY, TAKE}),
    ],
)
def test_each_stage_is_timed_once_a_pass(kind: str, stages: set[str], request: pytest.FixtureRequest) -> None:
    """A stage has no figure, or figures of stages are from other numbers of patches."""
    folder: Path = request.getfixturevalue(kind)
    with shards.open(folder, num_threads=2) as store:
        rows = store.index.rows("train")
        found = measure_stages(store, rows, StageConfig(batch_size=32, repeats=3, warm_up=1, verify=True))
        assert found.rates.keys() == stages
        assert (found.store_format, found.codec) == (store.manifest.format, store.manifest.codec)
        assert (found.num_threads, found.num_patches) == (2, len(rows) // 32 * 32)
    for name, rates in found.rates.items():
        assert rates.stage == name
        assert len(rates.patches_per_second) == 3
        assert 0 < rates.spread[0] <= rates.median <= rates.spread[1]
        assert found.share(name, of=name) == 1


@pytest.mark.parametrize("kind", ["tar_store", "zarr_store", "raw_store"])
def test_every_stage_does_its_work(kind: str, request: pytest.FixtureRequest) -> None:
    """A stage is fast because it does less, or something else, than it says."""
    with shards.open(request.getfixturevalue(kind), num_threads=2) as store, closing(Threads(3, "test")) as threads:
        rows = store.index.rows("train")[::-1].copy()
        batch = np.random.default_rng(4).permutation(rows)[:32]
        expected = store.read_into(batch, np.empty((32, RECORD_VALUES), np.uint16))
        outputs = [np.zeros((32, RECORD_VALUES), np.uint16) for _ in range(2)]
        stages = build_stages(store, rows, outputs, verify=True, threads=threads)
        stages.pop(READ)(batch, 1)
        assert not outputs[1].any()
        for stage in stages.values():
            outputs[1][:] = 0
            stage(batch, 1)
            np.testing.assert_array_equal(outputs[1], expected)
        assert not outputs[0].any()


def test_shares_are_taken_pass_by_pass() -> None:
    """What else the machine did in one pass decides over which of two stages is called faster."""
    rates = {"a": Rates("a", (10.0, 100.0, 30.0)), "b": Rates("b", (20.0, 100.0, 60.0))}
    found = StageRates("webdataset", "raw", 1, 1, rates)
    assert found.share("a", of="b") == 0.5
    assert rates["a"].median == 30
    assert rates["a"].spread == (10, 100)


def test_too_few_rows_are_refused(tar_store: Path) -> None:
    """A measurement of no batch at all divides by zero."""
    with shards.open(tar_store) as store, pytest.raises(ValueError, match="31 rows, expected at least one batch of 32"):
        measure_stages(store, np.arange(31), StageConfig(batch_size=32))
    for wrong in ({"batch_size": 0}, {"repeats": 0}, {"warm_up": -1}):
        with pytest.raises(ValueError, match="expected at least"):
            StageConfig(**wrong)
