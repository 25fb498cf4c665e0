"""`bep verify` and `bep inspect` of stores with further groups: what is missing, damaged, moved or foreign is named."""

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

import shards
from bigearth_pipeline.cli import main
from bigearth_pipeline.verify.containers import (
    check_codec,
    check_tar,
    check_zarr_files,
    check_zarr_shard,
    check_zarr_tables,
)
from bigearth_pipeline.verify.store import verify_store
from shards import RecordGroup
from shards.testing.stores import make_store
from shards.write.checksums import describe_file
from tests.shards.conftest import replace_index
from tests.support.data import faults

GROUPS = [RecordGroup("clc", 40, ("CLC",), role="codes"), RecordGroup("quagga_7", 48, ("VV", "VH"), "float32")]


@pytest.fixture(scope="module", params=["webdataset", "zarr"])
def grouped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of eight patches in three shards."""
    folder = tmp_path_factory.mktemp("grouped") / request.param
    return make_store(folder, {"train": 6, "test": 2}, format=request.param, patches_per_shard=4, extras=GROUPS)


@pytest.fixture
def damaged(grouped: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return faults.copy(grouped, tmp_path / "damaged")


def first_shard(folder: Path) -> list[str]:
    """Return what the checks of the container say of the first shard."""
    with shards.open(folder) as store:
        check = check_tar if store.manifest.format == "webdataset" else check_zarr_shard
        found = [*check(store, store.manifest.shards[0], [0, 1, 2, 3]), *check_codec(store, [0])]
        return found + (list(check_zarr_files(store)) if store.manifest.format == "zarr" else [])


def is_zarr(folder: Path) -> bool:
    """Return whether a store is one of Zarr arrays."""
    return (folder / "zarr.json").exists()


def fit(folder: Path, path: str) -> None:
    """Give the manifest size and checksum of a file that was changed."""

    def change(raw: Any) -> None:
        new = describe_file(folder, path)
        for files in (raw["files"], *(shard["files"] for shard in raw["shards"])):
            for info in files:
                if info["path"] == path:
                    info |= {"size_bytes": new.size_bytes, "sha256": new.sha256}

    faults.edit_manifest(folder, change)


@pytest.mark.long
def test_damage_of_many_kinds_is_named_in_one_run(damaged: Path) -> None:
    """A flipped bit in a further group, or a pixel that does not fit its checksum, passes; a sound group does not."""
    with shards.open(damaged) as store:
        keys = [store.index.key(row) for row in range(8)]
        place = {
            name: (
                store.manifest.shards[0].files[part.file].path,
                store.index.column(f"{name}_offset"),
                store.index.column(f"{name}_length"),
            )
            for part in store.manifest.parts
            if (name := part.name) in ("clc", "quagga_7")
        }
    for name, row in (("clc", 1), ("quagga_7", 3)):
        path, offsets, lengths = place[name]
        faults.flip_bit(damaged / path, int(offsets[row] + lengths[row]) - 1)
    findings = verify_store(damaged)
    # The Sentinel-2 records of these patches are sound, and counted.
    assert findings.patches == 8
    named = [problem for problem in findings.problems if "record of" in problem]
    assert len(named) == 2
    for name, row in (("clc", 1), ("quagga_7", 3)):
        assert any(f"{damaged / place[name][0]}: the {name} record of {keys[row]} has CRC-32C" in one for one in named)
    sums = {str(damaged / path) for path, _, _ in place.values()}
    assert {one.partition(" has SHA-256")[0] for one in findings.problems if " has SHA-256" in one} == sums
    others = [one for one in findings.problems if one not in named and " has SHA-256" not in one]
    # zarr-python decodes single pixels of the damaged chunks, or fails.
    assert all("zarr-python" in one and "quagga_7" in one for one in others), others


@pytest.mark.long
def test_a_sound_store_passes(grouped: Path) -> None:
    """A store with further groups is called damaged."""
    findings = verify_store(grouped)
    assert (findings.problems, findings.notes, findings.patches) == ([], [], 8)


@pytest.mark.parametrize("change", ["missing", "foreign", "order"])
def test_other_members_of_a_tar(grouped: Path, tmp_path: Path, change: str) -> None:
    """A patch lacks a further group, has one more, or they have changed places."""
    if is_zarr(grouped):
        pytest.skip("a Zarr store has no members")
    folder = faults.copy(grouped, tmp_path / "store")
    path = folder / "train-00000.tar"
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar.getmembers()]  # type: ignore[union-attr]
    at = next(i for i, (info, _) in enumerate(members) if info.name.endswith(".clc"))
    if change == "missing":
        del members[at]
    elif change == "foreign":
        info = tarfile.TarInfo(members[at][0].name.replace(".clc", ".clc2"))
        info.size = 3
        members.insert(at, (info, b"abc"))
    else:
        members[at], members[at + 1] = members[at + 1], members[at]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    fit(folder, "train-00000.tar")
    assert f"{path} holds other members, or in another order, than the index says" in first_shard(folder)


def test_other_places_in_the_index(damaged: Path) -> None:
    """The index gives the bytes of a group to another patch, with a checksum that fits."""
    with shards.open(damaged) as store:
        columns = {name: store.index.column(f"clc_{name}").copy() for name in ("offset", "length", "crc32c")}
        key = store.index.key(0)
    for values in columns.values():
        values[0] = values[1]
    replace_index(damaged, **{f"clc_{name}": pa.array(values) for name, values in columns.items()})
    (problem,) = first_shard(damaged)
    wanted = "clc/c/0/0/0/0: the shard index differs" if is_zarr(damaged) else f"{key}.clc lies at"
    assert wanted in problem


def test_a_group_of_another_codec(damaged: Path) -> None:
    """The manifest names a compressor with which no other program decodes the group."""
    with shards.open(damaged) as store:
        assert store.manifest.layout.extras[0].codec == "blosc-lz4"
    faults.edit_manifest(damaged, lambda raw: raw["layout"][-1].update(codec="blosc-zstd"))
    assert any("codec of group quagga_7 is blosc-zstd, but the Blosc frame of" in one for one in first_shard(damaged))
    faults.edit_manifest(damaged, lambda raw: raw["layout"][-1].update(codec="raw"))
    with pytest.raises(shards.CorruptShard, match=r"the quagga_7 record of .* holds \d+ bytes, expected 5000"):
        shards.open(damaged)


def test_other_metadata_of_a_zarr_array(grouped: Path, tmp_path: Path) -> None:
    """zarr-python reads another type than our reader, or an array that is none of the store."""
    if not is_zarr(grouped):
        pytest.skip("a tar has no metadata of arrays")
    folder = faults.copy(grouped, tmp_path / "store")
    path = folder / "train" / "quagga_7" / "zarr.json"
    text = path.read_text()
    assert '"float32"' in text
    path.write_text(text.replace('"float32"', '"int32"'))
    assert f"{path.parent} is an array of int32, expected float32" in first_shard(folder)
    path.unlink()
    with shards.open(folder) as store:
        assert any("is not readable by zarr-python: it lacks a file" in one for one in check_zarr_tables(store))
    path.write_text(text)
    shutil.copytree(folder / "train" / "clc", folder / "train" / "clc2")
    assert "manifest.json does not list train/clc2/zarr.json" in first_shard(folder)


def test_a_missing_file_of_a_group(damaged: Path) -> None:
    """The Sentinel-2 record of a Zarr store is not readable since a map was lost, or nobody says that it was."""
    if not is_zarr(damaged):
        pytest.skip("a tar has one file")
    (damaged / "train/clc/c/0/0/0/0").unlink()
    with shards.open(damaged) as store:
        store.read(0, groups=["quagga_7"])
        with pytest.raises(shards.CorruptShard, match="clc/c/0/0/0/0 is absent"):
            store.read(0)
    assert any("train/clc/c/0/0/0/0" in one and "ends before" in one for one in first_shard(damaged))


def test_inspect_tells_the_groups(grouped: Path) -> None:
    """A store holds a map, and nothing says so."""
    told = CliRunner().invoke(main, ["inspect", str(grouped)])
    assert told.exit_code == 0, told.output
    assert "group clc: 1 × 30 × 30 uint16 (codes) of 40 m, CLC, blosc-lz4" in told.output
    assert "group quagga_7: 2 × 25 × 25 float32 (values) of 48 m, VV, VH, blosc-lz4" in told.output
    told = CliRunner().invoke(main, ["inspect", "--json", str(grouped)])
    assert json.loads(told.stdout) == json.loads((grouped / "manifest.json").read_bytes())
