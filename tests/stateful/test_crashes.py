"""Each state that a power failure can leave of a build: unfinished, named as damaged, or whole; and it resumes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import shards
from shards.storage.atomic import atomic_write
from shards.testing.crashes import recorded
from tests.stateful.test_build_faults import without_work
from tests.support.data.building import contents
from tests.support.data.small_tree import build_here

SAMPLE = 6
"""States that are tried by default, evenly over all."""


def pixels(folder: Path) -> bytes:
    """Return all records of a store."""
    with shards.open(folder) as store:
        return store.read_into(np.arange(len(store)), np.zeros((len(store), 80_000), np.uint16)).tobytes()


@pytest.mark.long
@pytest.mark.parametrize(
    ("store_format", "earlier", "every"),
    [
        ("webdataset", "new", False),
        ("webdataset", "overwrite", False),
        ("zarr", "new", False),
        *(
            pytest.param(store_format, earlier, True, marks=pytest.mark.soak)
            for store_format in ("webdataset", "zarr")
            for earlier in ("new", "overwrite")
        ),
    ],
)
def test_every_state_after_a_power_failure(
    folder: Path, tree: Path, expected: dict, store_format: str, earlier: str, every: bool
) -> None:
    """A file or a name that was not synced is lost, and the store passes for finished or cannot be resumed."""
    wanted, overwrite = expected[store_format], earlier == "overwrite"
    place = folder / "place"
    place.mkdir()
    known = []
    if overwrite:
        build_here(place / "store", tree, format=store_format, seed=5)
        known = [pixels(place / "store")]
    with recorded(place) as recording:
        build_here(place / "store", tree, format=store_format, overwrite=overwrite)
    known.append(pixels(place / "store"))
    recording.last().write(folder / "last")
    assert without_work(contents(folder / "last" / "store")) == wanted
    crashes = list(recording.crashes())
    for crash in crashes[:: 1 if every else max(1, len(crashes) // SAMPLE)]:
        crash.write(folder / "state")
        out = folder / "state" / "store"
        try:
            assert pixels(out) in known, crash.after
        except shards.ShardError as err:
            assert str(out) in str(err)  # noqa: PT017
        build_here(out, tree, format=store_format, overwrite=overwrite)
        assert contents(out) == wanted, crash.after
        shutil.rmtree(folder / "state")


def test_states_of_one_file(folder: Path) -> None:
    """The states that are tried lack one that a file system can leave, so that nothing finds a missing fsync."""
    (folder / "file").write_bytes(b"old!")
    with recorded(folder) as recording:
        with atomic_write(folder / "file") as file:
            file.write(b"new!")
        (folder / "careless").write_bytes(b"lost")
        (folder / "careless").rename(folder / "renamed")
    found = {tuple(sorted(crash.files.items())) for crash in recording.crashes()}
    by_name = {path: {dict(files).get(path) for files in found} for path in ("file", "careless", "renamed")}
    assert by_name == {
        "file": {b"old!", b"new!"},
        "careless": {None, b"", b"lo", b"lost"},
        "renamed": {None, b"", b"lo", b"lost"},
    }
    assert recording.last().files == {"file": b"new!"}
