"""Damaged records, failing consumers and loaders that are broken off."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import shards
from shards import CorruptShard
from shards.errors import InvalidValue
from tests.support.data import faults
from tests.support.running.processes import run_in_child
from tests.trainer.data.loading import batches_of, make_loader
from trainer.data.loader_config import LoaderConfig
from trainer.definition.augmentation import RECIPES


def test_a_damaged_record_names_itself(folder: Path, tmp_path: Path, no_new_threads: None) -> None:
    """A flipped bit goes into training, or ends it without telling where it is."""
    damaged = faults.copy(folder, tmp_path / "store")
    with shards.open(damaged) as store, make_loader(store) as loader:
        row = int(loader.order.epoch(0).batch(2)[5])
        shard = damaged / f"{store.index.codes('shard')[1][row // 64]}.tar"
        faults.flip_bit(shard, int(store.index.column("s2_offset")[row]) + 5000)
        seen: list[int] = []
        with pytest.raises(CorruptShard, match=f"{shard.name}.*{store.index.key(row)}.*CRC-32C"):
            seen.extend(len(batch["label"]) for batch in loader)
        assert seen == [40, 40]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augmentation": RECIPES["flips"]}, "allows for no augmentation"),
        ({"cache": "gpu"}, "on the device, got cache gpu"),
        ({"cache": "gpu-encoded"}, "got cache gpu-encoded"),
    ],
)
def test_records_as_they_are_leave_out_nothing_in_silence(folder: Path, options: dict[str, Any], message: str) -> None:
    """Records are not kept on the device, or not turned, although somebody asked for it."""
    given = {"layout": "record", "augmentation": RECIPES["none"], **options}
    with shards.open(folder) as store, pytest.raises(InvalidValue, match=message):
        make_loader(store, **given)


@pytest.mark.parametrize(
    "field",
    [
        {"layout": "Stacked"},
        {"cache": "auto"},
        {"order": "shuffled"},
        {"interpolation": "cubic"},
        {"loader": "cpu"},
        {"verify": True},
        {"device": "gpu"},
        {"device": 0},
        {"augmentation": "standard"},
        {"nomenclature": 19},
        {"num_ranks": 0},
        {"num_ranks": "2"},
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": True},
        {"rank": -1},
        {"rank": 2, "num_ranks": 2},
    ],
    ids=str,
)
def test_a_field_of_another_value_is_refused_by_name(field: dict[str, Any]) -> None:
    """A batch holds what a misspelt field does not say, or the error is one of a library and names none."""
    given: dict[str, Any] = {"batch_size": 8, "device": torch.device("cpu"), **field}
    with pytest.raises(InvalidValue, match=f"^{next(iter(field))} is .*, expected |^rank is 2 of num_ranks 2"):
        LoaderConfig(**given)


def test_later_epochs_check_as_told(folder: Path, tmp_path: Path) -> None:
    """Every epoch pays for checks, or a bit that flips later is missed although each reading was to be checked."""
    damaged = faults.copy(folder, tmp_path / "store")
    with shards.open(damaged) as store:
        shard = damaged / store.manifest.shards[0].files[0].path
        place = int(store.index.column("s2_offset")[0]) + int(store.index.column("s2_length")[0]) // 2
        loaders = {mode: make_loader(store, verify=mode, layout="record", augmentation=RECIPES["none"])
                   for mode in ("first", "always", "never")}  # fmt: skip
        batches_of(loaders["first"])
        faults.flip_bit(shard, place)
        for mode, loader in loaders.items():
            with loader:
                try:
                    batches_of(loader)
                except CorruptShard as err:
                    assert ("has CRC-32C" in str(err)) == (mode == "always")  # noqa: PT017  The decoder's own error.
                else:
                    assert mode != "always"


def test_a_loader_in_a_forked_process(folder: Path) -> None:
    """A child waits for ever for threads of its parent, or takes batches that belong to it."""
    with shards.open(folder, num_threads=2) as store, make_loader(store, loader="numba") as loader:
        expected = [batch["row"].tolist() for batch in loader]
        under_way = iter(loader)
        next(under_way)

        def child() -> None:
            with pytest.raises(InvalidValue, match="another process has begun"):
                next(under_way)
            loader.set_epoch(0)
            assert [batch["row"].tolist() for batch in loader] == expected
            store.close()

        assert run_in_child(child) == 0
        assert len(list(under_way)) == len(loader) - 1
        with pytest.raises(InvalidValue, match="send the store, and make a loader there"):
            pickle.dumps(loader)


def test_a_file_is_missed_by_the_batch_that_needs_it(folder: Path, tmp_path: Path) -> None:
    """A hint to the kernel about later batches ends in an error before its time: good batches are lost."""
    damaged = faults.copy(folder, tmp_path / "store")
    with shards.open(damaged) as store, make_loader(store, batch_size=8, order="sequential") as loader:
        order, of = loader.order.epoch(0), store.shard_of(range(len(store)))
        shard = next(shard for shard in of[order.rows][::-1] if shard not in of[order.batch(0)])
        before = next(step for step in range(len(order)) if shard in of[order.batch(step)])
        path = damaged / store.manifest.shards[shard].files[0].path
        path.unlink()
        seen: list[int] = []
        with pytest.raises(CorruptShard, match=f"{path.name} is absent"):
            seen.extend(len(batch["label"]) for batch in loader)
        assert seen == [8] * before
        assert before > 0


@pytest.mark.parametrize("backend", ["dali", "numba", "torch"])
@pytest.mark.parametrize("taken", [1, 2])
def test_breaking_off_leaves_no_threads(folder: Path, taken: int, backend: str, no_new_threads: None) -> None:
    """Each interrupted epoch leaks threads and memory, or spoils the next."""
    with shards.open(folder) as store, make_loader(store, batch_size=16, loader=backend) as loader:
        for _ in range(3):
            for i, _batch in enumerate(loader):
                if i + 1 == taken:
                    break
        assert sum(len(batch["label"]) for batch in loader) == 96


def test_a_failing_consumer_leaves_no_threads(folder: Path, no_new_threads: None) -> None:
    """An error in the training step hangs the process, since threads wait for a consumer that has gone."""

    def train() -> None:
        with shards.open(folder) as store, make_loader(store) as loader:
            for _batch in loader:
                raise RuntimeError("in the step")

    with pytest.raises(RuntimeError, match="in the step"):
        train()


def test_a_new_epoch_ends_the_old_one(folder: Path, no_new_threads: None) -> None:
    """Two epochs under way share the buffers and mix their batches."""
    with shards.open(folder) as store, make_loader(store, batch_size=16) as loader:
        old = iter(loader)
        next(old)
        rows = torch.cat([batch["row"] for batch in loader])
        assert sorted(rows.tolist()) == store.index.rows("train").tolist()
        assert list(old) == []


def test_a_device_may_be_a_text() -> None:
    """A text that torch and all its functions take for a device is refused, or one that is none is a bug."""
    assert LoaderConfig(batch_size=1, device="cpu") == LoaderConfig(batch_size=1, device=torch.device("cpu"))  # type: ignore[arg-type]
    assert LoaderConfig(batch_size=1, device="cuda:1").device == torch.device("cuda", 1)  # type: ignore[arg-type]
    for device in ("gpu", "", "cpu:"):
        with pytest.raises(InvalidValue, match=f"^device is '{device}', expected one that torch knows, such as 'cpu'"):
            LoaderConfig(batch_size=1, device=device)  # type: ignore[arg-type]
