"""Further groups in tars and Zarr arrays, as other programs see them, and what a writer refuses."""

import filecmp
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
import zarr

import shards
from shards import RecordGroup
from shards.layout.facts import Facts
from shards.metadata.manifest import StoreFormat
from shards.testing.stores import group_values, make_store
from shards.write import StoreWriter

GROUPS = [
    RecordGroup("clc", 40, ("CLC",), role="codes"),
    RecordGroup("s1", 40, ("VV", "VH"), "float32", codec="raw"),
    RecordGroup("a_long_name_of_a_further_group_0", 400, ("x",), "int64"),
]


@pytest.mark.parametrize("codec", ["bitpack", "raw"])
def test_other_programs_read_the_tars(codec: str, tmp_path: Path) -> None:
    """The standard library, webdataset or DALI see other members of a patch than were written."""
    folder = make_store(tmp_path / "store", {"train": 6}, codec=codec, patches_per_shard=4, extras=GROUPS)
    with shards.open(folder) as store:
        tars = [str(folder / shard.files[0].path) for shard in store.manifest.shards]
        decode = shards.record_decoder(codec, store.manifest.layout)
        samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode(decode))
        assert [sample["__key__"] for sample in samples] == store.index.table["key"].to_pylist()
        for row, sample in enumerate(samples):
            np.testing.assert_array_equal(sample["s2"], store.read(row).s2)
            for group in GROUPS:
                found = sample[group.name]
                assert (found.shape, found.dtype) == (group.shape, np.dtype(group.dtype))
                assert found.tobytes() == group_values(group, sample["__key__"]).tobytes()
    with tarfile.open(tars[0]) as tar:
        names = tar.getnames()
        content = tar.extractfile(names[4]).read()  # type: ignore[union-attr]
    extensions = ("s2", "labels", "json", *(group.name for group in GROUPS))
    assert names == [f"{sample['__key__']}.{name}" for sample in samples[:4] for name in extensions]
    assert content == group_values(GROUPS[1], samples[0]["__key__"]).tobytes()  # As the specification says of `raw`.
    subprocess.run([sys.executable, "-m", "wds2idx", tars[0], tmp_path / "idx"], check=True, capture_output=True)
    assert filecmp.cmp(tmp_path / "idx", tars[0].replace(".tar", ".idx"), shallow=False)


@pytest.mark.parametrize("codec", ["blosc-lz4", "raw"])
def test_other_programs_read_the_arrays(codec: str, tmp_path: Path) -> None:
    """zarr-python sees other pixels, bands or types of a further group than were written."""
    folder = make_store(
        tmp_path / "store", {"train": 6, "test": 1}, format="zarr", codec=codec, patches_per_shard=4, extras=GROUPS
    )
    with shards.open(folder) as store:
        for split in ("train", "test"):
            arrays: Any = zarr.open_group(folder, path=split, mode="r", zarr_format=3)
            keys = [store.index.key(row) for row in store.index.rows(split).tolist()]
            for group in GROUPS:
                array = arrays[group.name]
                assert (array.shape, array.dtype) == ((len(keys), *group.shape), np.dtype(group.dtype))
                assert array[:].tobytes() == b"".join(group_values(group, key).tobytes() for key in keys)
                sizes = [compressor.typesize for compressor in array.compressors]
                assert sizes == ([] if "raw" in (codec, group.codec) else [np.dtype(group.dtype).itemsize])
                assert dict(array.attrs) == {"bands": list(group.bands), "metres": group.metres, "role": group.role}
                assert array.metadata.dimension_names == (
                    "patch", f"band_{group.name}", f"y_{group.metres}m", f"x_{group.metres}m"
                )  # fmt: skip


@pytest.fixture
def known(tmp_path: Path) -> tuple[Facts, np.ndarray]:
    """A patch."""
    with shards.open(make_store(tmp_path / "source", {"train": 1})) as store:
        return Facts(**store.index.facts(0)), store.read(0).s2


@pytest.mark.parametrize("store_format", ["webdataset", "zarr"])
def test_a_patch_that_does_not_fit_is_refused(
    known: tuple[Facts, np.ndarray], tmp_path: Path, store_format: StoreFormat
) -> None:
    """A patch lacks a further group, or has one of another shape or type, and the store is written."""
    facts, record = known
    groups = {group.name: np.zeros(group.shape, group.dtype) for group in GROUPS}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "is given the groups none, expected a_long_name_of_a_further_group_0, clc, s1"),
        ({name: groups[name] for name in ("clc", "s1")}, "is given the groups clc, s1, expected a_long"),
        (groups | {"s2": record}, "is given the groups a_long_name_of_a_further_group_0, clc, s1, s2, expected"),
        (groups | {"clc": groups["clc"][0]}, r"clc of train_0 is uint16 of shape \(30, 30\), expected uint16 of shape"),
        (groups | {"clc": groups["clc"].astype(np.int16)}, "is int16 of shape"),
        (groups | {"s1": groups["s1"].astype(">f4")}, "is >f4 of shape"),
    ]
    with StoreWriter(tmp_path / "store", format=store_format, groups=GROUPS) as store:
        with store.shard("train", 0) as shard:
            for given, message in wrong:
                with pytest.raises(shards.InvalidValue, match=message):
                    shard.add(facts, record, given)
            # Nothing of them is left: the same patch can be added.
            shard.add(facts, record, groups | {"s1": np.ones((30, 30, 2), np.float32).transpose(2, 0, 1)})
        with store.shard("test", 0) as shard:
            longest = "k" * (99 - len(GROUPS[2].name))
            with pytest.raises(shards.InvalidValue, match=f"expected 1 to {len(longest)} letters"):
                shard.add(replace(facts, key=f"{longest}k", split="test"), record, groups)
            shard.add(replace(facts, key=longest, split="test"), record, groups)
    with shards.open(tmp_path / "store") as opened:
        assert len(opened) == 2
        assert (opened.read(0).group("s1") == 1).all()
        assert opened.read(1).key == longest
    with (
        pytest.raises(shards.InvalidValue, match="is given the groups clc, expected none"),
        StoreWriter(tmp_path / "plain", format=store_format) as store,
        store.shard("train", 0) as shard,
    ):
        shard.add(facts, record, {"clc": groups["clc"]})
