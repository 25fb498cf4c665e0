"""A store that is built, killed, resumed, overwritten, damaged and read in any order: equal bytes or a named error."""

import json
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
import zarr
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import shards
from bigearth_pipeline.verify.store import verify_store
from bigearth_pipeline.workers import InProcess
from shards.metadata.manifest import BUILD_NOTE, MANIFEST
from shards.testing.calls import Call, intercepted
from tests.support.data import faults
from tests.support.data.building import contents
from tests.support.data.small_tree import build_here

FORMATS = ("webdataset", "zarr")


class Killed(BaseException):
    """Ends a build like SIGKILL: no later call has an effect either."""


def by_key(store: shards.Store) -> dict[str, bytes]:
    """Return the records of a store by the names of their patches, read one by one."""
    return {store.index.key(row): store.read(row).s2.tobytes() for row in range(len(store))}


def read_local(folder: Path) -> dict[str, bytes]:
    with shards.open(folder, mapped=False) as store:
        return by_key(store)


def read_mapped(folder: Path) -> dict[str, bytes]:
    with shards.open(folder) as store:
        return by_key(store)


def read_shared(folder: Path) -> dict[str, bytes]:
    with shards.open(folder) as store:
        rows = np.arange(len(store))
        store.keep_in_memory(rows)
        store.fetch(rows)
        out = store.read_into(rows, np.zeros((len(rows), 80_000), np.uint16))
        return {store.index.key(row): out[row].tobytes() for row in rows.tolist()}


def read_pickled(folder: Path) -> dict[str, bytes]:
    with shards.open(folder) as store, pickle.loads(pickle.dumps(store)) as copy:
        return by_key(copy)


def read_elsewhere(folder: Path) -> dict[str, bytes]:
    """Return records as webdataset or zarr-python read them."""
    manifest = shards.Manifest.read(folder)
    if manifest.format == "webdataset":
        urls = [str(folder / shard.files[0].path) for shard in manifest.shards]
        decoded = webdataset.WebDataset(urls, shardshuffle=False).decode(shards.record_decoder(manifest.codec))
        return {sample["__key__"]: np.asarray(sample["s2"]).tobytes() for sample in decoded}
    found = {}
    for split in manifest.splits:
        group: Any = zarr.open_group(folder, path=split, mode="r")
        keys = [bytes(key).rstrip(b"\0").decode() for key in np.asarray(group["key"][:])]
        parts = [np.asarray(group[name][:]).reshape(len(keys), -1) for name in ("b10", "b20", "b60")]
        found |= dict(zip(keys, (row.tobytes() for row in np.concatenate(parts, axis=1)), strict=True))
    return found


WAYS = {"local": read_local, "mapped": read_mapped, "shared": read_shared, "pickled": read_pickled}


class StoreMachine(RuleBasedStateMachine):
    """Operations on one folder; `seed` is that of the store which is there if it is finished and undamaged."""

    tree: Path
    work: Path

    @initialize(store_format=st.sampled_from(FORMATS))
    def begin(self, store_format: str) -> None:
        """Choose a format, and a folder in which nothing is."""
        self.format = store_format
        self.folder = Path(tempfile.mkdtemp(dir=self.work))
        self.out = self.folder / "store"
        self.finished: int | None = None
        self.begun: int | None = None
        self.damaged: Path | None = None

    def teardown(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def expected(self, seed: int) -> dict[str, bytes]:
        """Return the files of an undisturbed build."""
        folder = self.work / f"{self.format}-{seed}"
        if not folder.exists():
            build_here(folder, self.tree, format=self.format, seed=seed)
        return contents(folder)

    def records(self) -> dict[str, bytes]:
        """Return all records, which no seed changes."""
        self.expected(0)
        return read_local(self.work / f"{self.format}-0")

    @precondition(lambda self: self.damaged is None)
    @rule(seed=st.integers(0, 1), overwrite=st.booleans())
    def build(self, seed: int, overwrite: bool) -> None:
        """Build, resume or overwrite; another build that is there is refused."""
        try:
            build_here(self.out, self.tree, format=self.format, seed=seed, overwrite=overwrite)
        except shards.BepError as err:
            assert self.begun not in (None, seed)
            assert not overwrite
            assert "holds another build" in str(err)  # noqa: PT017
            return
        self.finished = self.begun = seed
        assert contents(self.out) == self.expected(seed)

    @precondition(lambda self: self.damaged is None)
    @rule(seed=st.integers(0, 1), overwrite=st.booleans(), nth=st.integers(1, 400))
    def kill(self, seed: int, overwrite: bool, nth: int) -> None:
        """Kill a build at a call to the operating system, and resume what it has left."""
        left = nth

        def handle(call: Call) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Killed
            return call.perform()

        try:
            with intercepted(self.folder, handle):
                build_here(self.out, self.tree, format=self.format, seed=seed, overwrite=overwrite)
        except Killed:
            self.finished = None
            if (self.out / BUILD_NOTE).exists():
                found = json.loads((self.out / BUILD_NOTE).read_bytes())
                self.begun = found["seed"]
            if (self.out / MANIFEST).exists():
                self.finished = shards.Manifest.read(self.out).seed
            build_here(self.out, self.tree, format=self.format, seed=self.begun or 0, overwrite=self.begun is None)
            self.finished = self.begun = self.begun or 0
        except shards.BepError as err:
            assert "holds another build" in str(err)  # noqa: PT017
            return
        else:
            self.finished = self.begun = seed
        assert contents(self.out) == self.expected(self.finished)

    @precondition(lambda self: self.finished is not None and self.damaged is None)
    @rule(place=st.floats(0, 1, exclude_max=True), number=st.integers(0, 99), bit=st.integers(0, 7))
    def flip(self, place: float, number: int, bit: int) -> None:
        """Flip a bit of a finished store."""
        files = sorted(path for path, content in contents(self.out).items() if content and path != BUILD_NOTE)
        self.damaged = self.out / files[number % len(files)]
        faults.flip_bit(self.damaged, int(place * self.damaged.stat().st_size), bit)

    @precondition(lambda self: self.damaged is not None)
    @rule()
    def mend(self) -> None:
        """Remove a damaged store."""
        shutil.rmtree(self.out)
        self.finished = self.begun = self.damaged = None

    @rule(way=st.sampled_from(sorted(WAYS)))
    def read(self, way: str) -> None:
        """Read all records: equal, or a named error where the store is absent or damaged."""
        try:
            found = WAYS[way](self.out)
        except shards.ShardError as err:
            assert self.finished is None or self.damaged is not None
            assert str(self.out) in str(err)  # noqa: PT017
        else:
            assert self.finished is not None
            assert found == self.records()

    @precondition(lambda self: self.finished is not None and self.damaged is None)
    @rule()
    def read_by_others(self) -> None:
        """Read all records with webdataset or zarr-python."""
        assert read_elsewhere(self.out) == self.records()

    @precondition(lambda self: self.finished is not None)
    @rule()
    def verify(self) -> None:
        """Verify: no problem in a sound store, and the damaged file is named."""
        try:
            problems = verify_store(self.out, pool=InProcess()).problems
        except shards.ShardError as err:
            problems = [str(err)]
        if self.damaged is None:
            assert problems == []
        else:
            assert any(str(self.damaged.relative_to(self.out)) in line for line in problems), problems


@pytest.mark.parametrize("count", [pytest.param(5, id="some"), pytest.param(150, id="many", marks=pytest.mark.soak)])
def test_any_order_of_operations(work: Path, tree: Path, count: int) -> None:
    """Some order of operations ends in other bytes, in an error without a name, or in damage that verify misses."""

    class Machine(StoreMachine):
        pass

    Machine.tree, Machine.work = tree, work / "machine"
    Machine.work.mkdir(exist_ok=True)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=count, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
