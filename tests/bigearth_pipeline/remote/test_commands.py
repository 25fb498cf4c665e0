"""Commands and loaders that are given an address: the same output and the same batches as for the folder."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import shards
from shards.storage.remote import attempts
from shards.testing.stores import make_store
from tests.support.network.servers import SECRET
from tests.support.network.shelves import STORMY, Shelf
from tests.support.running import commands
from tests.support.running.commands.command import ENVIRONMENT
from trainer import Loader, LoaderConfig, Normalisation
from trainer.data.file_system import choose_kind
from trainer.definition.augmentation import RECIPES


@pytest.fixture(scope="module", params=["webdataset", "zarr"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 70 patches in six shards."""
    counts = {"train": 50, "validation": 10, "test": 10}
    return make_store(
        tmp_path_factory.mktemp("folder") / request.param, counts, format=request.param, patches_per_shard=16
    )


def call(shelf: Shelf, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bep` in a process of its own that finds the server."""
    return commands.run(*arguments, env=ENVIRONMENT | shelf.environment())


def batches(store: shards.Store, order: str) -> list[dict[str, torch.Tensor]]:
    """Return the batches of two epochs."""
    config = LoaderConfig(
        batch_size=16,
        device=torch.device("cpu"),
        order=order,  # type: ignore[arg-type]
        loader="numba",
        augmentation=RECIPES["light"] if "light" in RECIPES else RECIPES["none"],
    )
    normalisation = Normalisation.of_train_split(store.manifest)
    with Loader(store, store.index.rows("train"), normalisation, config) as loader:
        return [
            {name: value.clone() for name, value in batch.items() if isinstance(value, torch.Tensor)}
            for _ in range(2)
            for batch in loader
        ]


@pytest.mark.parametrize("order", ["block", "global"])
def test_batches_are_those_of_the_folder(
    shelf: Shelf, folder: Path, order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs in bad weather, bit for bit, and once more from the cache."""
    monkeypatch.setattr(attempts, "_LONGEST_WAIT", 0.1)
    address = shelf.store(folder)
    with shards.open(folder, num_threads=2) as store:
        expected = batches(store, order)
    shelf.proxy.weather = STORMY
    for _ in range(2):
        with shards.open(address, num_threads=2, cache_dir=tmp_path / "cache") as store:
            assert choose_kind(store.folder) == ("block", f"{address} is on object storage")
            found = batches(store, order)
        assert len(found) == len(expected) == 8
        for one, other in zip(found, expected, strict=True):
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[name].numpy(), other[name].numpy()) for name in one)


def test_commands_say_of_an_address_what_they_say_of_the_folder(s3: Shelf, folder: Path, tmp_path: Path) -> None:
    """Statistics, contents, checks and the page; the secret of the environment is in none of them."""
    address = s3.store(folder)
    for words in (("stats", "--json"), ("inspect", "--json")):
        told = [call(s3, words[0], place, *words[1:]) for place in (address, folder)]
        assert [each.returncode for each in told] == [0, 0]
        assert told[0].stdout == told[1].stdout
    told = call(s3, "verify", address, "--workers", 1, "--quiet")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith(f"{address} is sound: 70 patches")
    pages = []
    for name, place in (("a", address), ("b", folder)):
        told = call(s3, "report", place, "--out", tmp_path / name, "--samples", 1)
        assert told.returncode == 0, told.stderr
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    assert SECRET.encode() not in pages[0]


@pytest.mark.long
def test_a_run_trains_from_an_address_and_says_no_secret(s3: Shelf, folder: Path, tmp_path: Path) -> None:
    """The losses are those from the folder; an evaluation reads from the cache of the training."""
    address, few = s3.store(folder), ("--epochs", 1, "--batch-size", 16, "--device", "cpu", "--threads", 2)
    how = ("--set", "run.seed=3", "--set", "data.order=block")
    cache = ("--cache-dir", tmp_path / "cache")
    lines = []
    for place, run, more in ((address, tmp_path / "far", cache), (folder, tmp_path / "near", ())):
        told = call(s3, "train", place, "--out", run, *few, *how, *more)
        assert told.returncode == 0, told.stderr
        lines.append((run / "metrics.jsonl").read_text())
        assert SECRET not in "".join(path.read_text() for path in run.glob("*.toml"))
    assert f'shards = "{address}"' in (tmp_path / "far" / "config.toml").read_text()
    losses = [[part for part in line.split(", ") if "loss" in part] for line in lines]
    assert losses[0] == losses[1] != []
    told = call(s3, "evaluate", tmp_path / "far", *cache, "--json")
    assert told.returncode == 0, told.stderr
