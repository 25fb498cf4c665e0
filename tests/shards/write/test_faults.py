"""A store that is written on a disk that fails: finished with the right bytes, or absent, and written anew as ever."""

import os
from pathlib import Path

import pytest

import shards
from shards.layout.record import RecordGroup
from shards.metadata.manifest import StoreFormat
from shards.testing.faults import Kind, each_fault, faulty_writes
from shards.testing.stores import make_store
from tests.support.data.building import contents
from tests.support.running.descriptors import opened_files, opened_since

COUNTS = {"train": 3}
EXTRAS = [RecordGroup("clc", 48, ("CLC",), "uint8", role="codes")]
MANY = ("full", "torn")
"""Kinds of faults that hundreds of small writes can have; every 31st of them has to do."""


@pytest.mark.long
@pytest.mark.parametrize("kind", ["full", "torn", "lost", "late"])
@pytest.mark.parametrize(
    ("store_format", "extras"),
    [
        ("webdataset", []),
        pytest.param("zarr", [], marks=pytest.mark.long),
        pytest.param("zarr", EXTRAS, marks=pytest.mark.long),
    ],
)
def test_every_effect_of_writing_a_store_fails_once(
    tmp_path: Path, store_format: StoreFormat, extras: list[RecordGroup], kind: Kind
) -> None:
    """A full disk leaves a store behind that opens and lacks something, or a folder in which none can be written."""

    def write(folder: Path) -> None:
        make_store(folder, COUNTS, format=store_format, patches_per_shard=2, extras=extras)

    write(tmp_path / "expected")
    expected, fired = contents(tmp_path / "expected"), set()
    before = opened_files()
    for number, faults in enumerate(each_fault(kind, step=31 if kind in MANY else 1)):
        folder = tmp_path / f"store-{number}"
        try:
            with faulty_writes(faults):
                write(folder)
        except (OSError, MemoryError) as err:
            assert faults.fired is not None
            assert isinstance(err, MemoryError) or str(err.filename).startswith(f"{folder}{os.sep}")  # noqa: PT017
            assert os.listdir(folder) == []
            with pytest.raises(shards.UnfinishedStore):
                shards.open(folder)
            write(folder)
        else:
            assert faults.fired is None
        assert contents(folder) == expected
        assert opened_since(before) == {}
        fired.add(faults.fired)
    assert fired - {None}
