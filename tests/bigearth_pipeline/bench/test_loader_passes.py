"""The passes of the loader's benchmark: that they do what they are called."""

import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import shards
from bigearth_pipeline.bench.loader.cold import RecordPages
from bigearth_pipeline.bench.loader.config import LoaderBenchConfig, choose_rows
from bigearth_pipeline.bench.loader.passes import _in_order, _not_encoded, build_passes
from bigearth_pipeline.bench.loader.titles import NO_GPU, TITLES
from bigearth_pipeline.bench.passes import Lap
from shards import Store
from shards.testing.stores import make_store
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.order import KINDS, Kind

CPU = torch.device("cpu")


@pytest.mark.long
@pytest.mark.parametrize("backend", ["dali", "torch"])
def test_every_pass_handles_every_patch(store: Store, backend: Any) -> None:
    """A stage is fast because it leaves patches out; or its name has no title, so that nobody sees it."""
    config = LoaderBenchConfig(batch_size=32, threads=2, loader=backend, augment="strong", device=CPU)
    config, rows = choose_rows(store, config)
    with ExitStack() as stack:
        passes, missing = build_passes(store, rows, config, stack)
        assert passes.keys() | missing.keys() <= TITLES.keys()
        assert not passes.keys() & missing.keys()
        for name, run in passes.items():
            for number in range(2):
                lap = Lap(number)
                count = run(lap)
                # The first batch is the start where there is one.
                assert count == (64 if lap.start_seconds else 96), name
            assert bool(lap.start_seconds) == name.startswith(("prepare", "record", "stacked", "native", "ram")), name


def test_encoded_records_that_a_gpu_cannot_keep_have_a_reason(store: Store, tmp_path: Path) -> None:
    """A pass is left out in silence, or ends the whole measurement in an error."""
    gpu = LoaderBenchConfig(device=torch.device("cuda", 0))
    assert _not_encoded(store, gpu) == "not possible: blosc-lz4 is not decoded on the GPU, as bitpack is"
    with shards.open(make_store(tmp_path / "store", {"train": 2}, codec="bitpack")) as packed:
        assert _not_encoded(packed, gpu) is None
        assert _not_encoded(packed, replace(gpu, loader="dali")) is None
        assert _not_encoded(packed, replace(gpu, loader="torch")) == (
            "not possible: records on the GPU are decoded by Triton only"
        )
        assert _not_encoded(packed, replace(gpu, device=CPU)) == NO_GPU


def test_kept_records_leave_the_files_alone(folder: Path, tmp_path: Path) -> None:
    """The figures of `--cache ram` are of files, so it looks useless; or those of files are of memory."""
    copy = shutil.copytree(folder, tmp_path / "store")
    config = LoaderBenchConfig(batch_size=32, device=CPU)
    with shards.open(copy) as store, ExitStack() as stack:
        config, rows = choose_rows(store, config)
        passes, _ = build_passes(store, rows, config, stack)
        for name in ("ram_stacked", "ram_native"):
            passes[name](Lap())
        for path in RecordPages.of(store, rows).files:
            path.write_bytes(bytes(path.stat().st_size))
        for name in ("ram_stacked", "ram_native"):
            assert passes[name](Lap(1)) == 64
        for name in ("read_into", "host", "record", "stacked", "native"):
            with pytest.raises(shards.CorruptShard):
                passes[name](Lap(1))


@pytest.mark.parametrize("kind", KINDS)
def test_stages_see_the_batches_of_the_loader(store: Store, kind: Kind) -> None:
    """Reading alone has another order than reading in the loader, so the two cannot be compared."""
    rows = store.index.rows("train")
    config = LoaderConfig(batch_size=32, device=CPU, order=kind, layout="record")
    with Loader(store, rows, Normalisation.of_train_split(store.manifest), config) as loader:
        seen: list[NDArray[np.int64]] = []
        assert _in_order(loader, lambda batch, output: seen.append(batch))(Lap(3)) == 96
        loader.set_epoch(3)
        for batch, mine in zip(loader, seen, strict=True):
            np.testing.assert_array_equal(batch["row"].numpy(), mine)


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_is_announced(folder: Path, tmp_path: Path, kind: Kind) -> None:
    """Reading alone is slower than in the loader, for the kernel does not know what comes."""
    with shards.open(shutil.copytree(folder, tmp_path / "store")) as store:
        rows = store.index.rows("train")
        pages = RecordPages.of(store, rows)
        if (why_not := pages.drop()) is not None:
            pytest.skip(why_not)
        config = LoaderConfig(batch_size=32, device=CPU, order=kind, layout="record")
        with Loader(store, rows, Normalisation.of_train_split(store.manifest), config) as loader:
            _in_order(loader, lambda batch, output: None)(Lap())
            deadline = time.monotonic() + 120
            while pages.share_in_cache() < 0.9:
                assert time.monotonic() < deadline, "the records were not read ahead"
                time.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("patches", "expected"), [(None, 144), (100, 96), (64, 64), (20, 16)])
def test_rows_are_chosen_for_the_order(tar_store: Path, kind: Kind, patches: int | None, expected: int) -> None:
    """Order `block` reads whole shards for a few patches of each; or `global` is measured on two shards of hundreds."""
    with shards.open(tar_store) as store:
        train = store.index.rows("train")
        _, rows = choose_rows(store, LoaderBenchConfig(batch_size=16, patches=patches, order=kind, device=CPU))
        assert len(rows) == expected
        assert np.isin(rows, train).all()
        assert (np.diff(rows) > 0).all()
        sizes = np.bincount(store.shard_of(train))
        assert len(sizes) == 3
        taken = np.bincount(store.shard_of(rows), minlength=len(sizes))
        if kind == "global":
            assert (taken > 0).all()
        else:
            assert np.count_nonzero((taken > 0) & (taken < sizes)) <= 1


def test_a_store_without_train_patches_is_an_error(tmp_path: Path) -> None:
    """Advice is a smaller batch, which changes nothing."""
    with (
        shards.open(make_store(tmp_path / "store", {"validation": 3, "test": 2})) as opened,
        pytest.raises(
            ValueError, match=r"store has no train patches, .* only 3 of validation and 2 of test; name a st"
        ),
    ):
        choose_rows(opened, LoaderBenchConfig(device=CPU))


def test_a_batch_is_no_larger_than_a_lap(store: Store) -> None:
    """A benchmark of nothing divides by zero, or refuses a small store."""
    for patches, expected in ((None, 96), (31, 31)):
        config, rows = choose_rows(store, LoaderBenchConfig(batch_size=97, patches=patches, device=CPU))
        assert config.batch_size == len(rows) == expected
