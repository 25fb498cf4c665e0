"""`verify_store` and `bep verify` against every kind of damage, with and without checksums that fit."""

import hashlib
import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio

import shards
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tiff.reader import TiffReader
from bigearth_pipeline.verify.store import MAX_PROBLEMS_A_SHARD, verify_store
from bigearth_pipeline.verify.tables import check_build_note
from shards.metadata.parts import PARTS
from tests import commands, faults
from tests.building import Recorder
from tests.scene import PRODUCT, write_patch

KINDS = pytest.mark.parametrize("kind", ["tar_store", "zarr_store"])


@pytest.fixture
def damaged(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the store of that kind: train of three shards, validation and test of two each."""
    return faults.copy(request.getfixturevalue(kind), tmp_path / "damaged")


def problems_of(folder: Path, **options: Any) -> list[str]:
    """Return the problems of a store; each is named once."""
    problems = verify_store(folder, workers=2, **options).problems
    assert len(set(problems)) == len(problems)
    return problems


def assert_named(problems: list[str], *parts: object) -> None:
    """Assert that one problem holds all parts."""
    wanted = [str(part) for part in parts]
    assert any(all(part in problem for part in wanted) for problem in problems), (wanted, problems)


def edit_manifest(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the manifest; all that is not changed still fits."""
    faults.edit_manifest(folder, change)


def edit_index(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change rows of the index, and give the manifest the checksum of the result."""
    path = folder / "index.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    seal(folder, "index.parquet")


def seal(folder: Path, name: str) -> None:
    """Write size and checksum of a file into the manifest, as if the file had been made so."""
    data = (folder / name).read_bytes()

    def change(raw: Any) -> None:
        for info in [*raw["files"], *(info for shard in raw["shards"] for info in shard["files"])]:
            if info["path"] == name:
                info |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    edit_manifest(folder, change)


def rows_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the index by shard."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(folder / "index.parquet").to_pylist():
        rows.setdefault(row["shard"], []).append(row)
    return rows


@pytest.mark.long
@KINDS
def test_a_sound_store_has_no_problems(kind: str, request: pytest.FixtureRequest) -> None:
    """A sound store is called damaged, or a part of it is not read."""
    folder: Path = request.getfixturevalue(kind)
    progress = Recorder()
    findings = verify_store(folder, workers=2, progress=progress)
    assert (findings.problems, findings.patches, findings.compared) == ([], 300, 0)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("manifest.json", "build.json")]
    assert findings.bytes_read == sum(path.stat().st_size for path in files)
    assert (progress.total, progress.before) == (300, 0)
    assert sum(progress.counts) <= 300


@pytest.mark.parametrize("kind", ["tar_store"])
def test_a_flipped_bit_in_any_part_of_a_tar(damaged: Path) -> None:
    """A bit that flipped in a record, a header, labels, JSON, padding or an index file of a tar goes unseen."""
    rows = rows_of(damaged)
    tar = {name: damaged / f"{name}.tar" for name in rows}
    record = rows["train-00000"][5]
    faults.flip_bit(tar["train-00000"], record["s2_offset"] + record["s2_length"] // 2)
    faults.flip_bit(tar["train-00001"], rows["train-00001"][3]["s2_offset"] - 512)  # The name in the header.
    facts = rows["train-00002"][7]
    record_end = facts["s2_offset"] + facts["s2_length"]
    labels_at = record_end + -record_end % 512 + 512
    faults.flip_bit(tar["train-00002"], tar["train-00002"].read_bytes().index(b"Austria", labels_at + 1024))
    labels = rows["validation-00000"][9]
    label_end = labels["s2_offset"] + labels["s2_length"]
    faults.flip_bit(tar["validation-00000"], label_end + -label_end % 512 + 512 + 4, bit=0)
    faults.flip_bit(damaged / "validation-00001.idx", 40, bit=7)  # No longer UTF-8.
    faults.flip_bit(tar["test-00000"], tar["test-00000"].stat().st_size - 700)
    faults.flip_bit(damaged / "histograms.parquet", 1000)

    problems = problems_of(damaged)
    for path in [*tar.values(), damaged / "histograms.parquet", damaged / "validation-00001.idx"]:
        flipped = path.name not in ("validation-00001.tar", "test-00001.tar")
        assert any(problem.startswith(f"{path} has SHA-256 ") for problem in problems) == flipped
    assert_named(problems, tar["train-00000"], "the record of", record["key"], "has CRC-32C")
    assert_named(problems, tar["train-00001"], "holds other members")
    assert_named(problems, tar["train-00002"], f"{facts['key']}.json differs from the index in country")
    assert_named(problems, tar["validation-00000"], f"{labels['key']}.labels differs from the index")
    assert_named(problems, damaged / "validation-00001.idx", "does not describe validation-00001.tar")
    # Nothing sound is accused: not the other shard, and no statistics, which could not be counted or are right.
    assert not any("test-00001" in problem or "statistics" in problem for problem in problems)
    assert not any("differs from the pixels" in problem for problem in problems)


@pytest.mark.parametrize("kind", ["zarr_store"])
def test_a_flipped_bit_in_any_part_of_a_zarr_store(damaged: Path) -> None:
    """A bit that flipped in a chunk, a shard index, labels, keys or metadata of a Zarr store goes unseen."""
    record = rows_of(damaged)["train-00000"][5]
    flips = {
        "train/b10/c/0/0/0/0": record["b10_offset"] + record["b10_length"] // 2,
        "train/b20/c/1/0/0/0": -500,  # In the shard index,
        "train/b60/c/2/0/0/0": -2,  # and in its checksum.
        "validation/labels/c/0/0": 100,
        "validation/key/c/0/0": 200,
        "validation/labels/zarr.json": 50,
        "test/b20/zarr.json": 3,
        "test/zarr.json": 700,
        "zarr.json": 100,
        "histograms.parquet": 1000,
    }
    for name, offset in flips.items():
        faults.flip_bit(damaged / name, offset % (damaged / name).stat().st_size)

    problems = problems_of(damaged)
    for path in [path for path in damaged.rglob("*") if path.is_file()]:
        flipped = str(path.relative_to(damaged)) in flips
        assert any(problem.startswith(f"{path} has SHA-256 ") for problem in problems) == flipped
    assert_named(problems, damaged / "train/b10/c/0/0/0/0", "the record of", record["key"], "has CRC-32C")
    assert_named(problems, damaged / "train/b20/c/1/0/0/0", "CRC-32C of the shard index")
    assert_named(problems, damaged / "train/b60/c/2/0/0/0", "CRC-32C of the shard index")
    assert_named(problems, damaged / "validation", "is not readable by zarr-python")
    assert_named(problems, damaged / "test/b20/c/0/0/0/0", "is not readable by zarr-python")
    assert not any("statistics" in problem or "differs from the pixels" in problem for problem in problems)


@pytest.mark.long
@KINDS
def test_shortened_files(kind: str, damaged: Path) -> None:
    """A file that was not copied whole goes unseen, wherever it was cut, or hides another one."""
    tars = "train-00000.tar validation-00000.tar test-00000.tar train-00001.tar train-00002.tar validation-00001.idx"
    arrays = (
        "train/b10/c/0/0/0/0 train/b20/c/1/0/0/0 validation/b60/c/0/0/0/0 test/b10/c/0/0/0/0 test/b20/c/1/0/0/0 "
        "validation/labels/c/0/0 test/key/zarr.json"
    )
    files = (tars if kind == "tar_store" else arrays).split()
    # Nothing, less than a header or footer, at a block, in the middle, without the end of the archive, without a byte.
    cuts = [0, 3, 512, 1_000_003, -1024, -1, -400]
    expected = {}
    for name, cut in zip(files, cuts, strict=False):
        size = (damaged / name).stat().st_size
        faults.truncate(damaged / name, cut % size if abs(cut) < size else size // 2)
        expected[damaged / name] = f"has {(damaged / name).stat().st_size} bytes, expected {size}"
    (damaged / "histograms.parquet").write_bytes(b"")
    problems = problems_of(damaged)
    for path, message in expected.items():
        assert f"{path} {message}" in problems
    assert_named(problems, damaged / "histograms.parquet", "has 0 bytes")
    whole = [name for name in ("test-00001", "validation-00001.tar", "validation/b10") if name not in "".join(files)]
    assert not any(str(damaged / name) in problem for problem in problems for name in whole)


@pytest.mark.long
@KINDS
def test_absent_files(kind: str, damaged: Path) -> None:
    """A lost file goes unseen, or hides what is wrong elsewhere."""
    lost = (
        ["train-00001.tar", "validation-00000.idx", "histograms.parquet"]
        if kind == "tar_store"
        else ["train/b20/c/1/0/0/0", "validation/labels/c/1/0", "test/key/zarr.json", "zarr.json", "histograms.parquet"]
    )
    for name in lost:
        (damaged / name).unlink()
    problems = problems_of(damaged)
    for name in lost:
        assert f"{damaged / name} cannot be read: No such file or directory" in problems
    named = [name for name in lost if any(str(damaged / name) in problem for problem in problems)]
    assert named == lost
    # One line a cause rather than one a patch.
    assert len(problems) < 3 * len(lost)


@KINDS
def test_a_damaged_index(damaged: Path) -> None:
    """Verifying trusts an index that is not the one of the build, or stumbles over it."""
    path = damaged / "index.parquet"
    sound = path.read_bytes()
    rng = random.Random(5)
    for _ in range(40):
        faults.flip_bit(path, rng.randrange(len(sound)), rng.randrange(8))
        problems = problems_of(damaged)
        assert len(problems) == 2
        assert_named(problems, path, "has SHA-256")
        assert_named(problems, path, "is needed to check the shards")
        path.write_bytes(sound)
    faults.truncate(path, len(sound) // 2)
    assert_named(problems_of(damaged), path, f"has {len(sound) // 2} bytes, expected {len(sound)}")
    path.unlink()
    assert_named(problems_of(damaged), path, "cannot be read")
    (damaged / "manifest.json").unlink()
    with pytest.raises(shards.UnfinishedStore, match="has not finished"):
        verify_store(damaged)


@pytest.mark.long
@KINDS
def test_wrong_numbers_in_the_manifest(damaged: Path) -> None:
    """A manifest whose counts, statistics or checksums are not those of the data is believed."""

    def change(raw: Any) -> None:
        splits = raw["splits"]
        splits["validation"]["statistics"]["B8A"]["mean"] *= 1 + 1e-12
        splits["test"]["statistics"]["B02"]["percentiles"]["99.9"] += 0.5
        counts = splits["train"]["class_counts"]
        counts["Arable land"], counts["Pastures"] = counts["Arable land"] + 1, counts["Pastures"] - 1
        splits["test"]["count"] -= 1
        splits["train"]["count"] += 1
        shard = {shard["name"]: shard for shard in raw["shards"]}
        shard["test-00001"]["count"] += 1
        shard["test-00000"]["count"] -= 1
        shard["train-00000"]["files"][0]["sha256"] = "0" * 64
        shard["train-00001"]["files"][1]["size_bytes"] += 1

    edit_manifest(damaged, change)
    raw = json.loads((damaged / "manifest.json").read_bytes())
    problems = problems_of(damaged)
    files = {shard["name"]: [damaged / file["path"] for file in shard["files"]] for shard in raw["shards"]}
    size = files["train-00001"][1].stat().st_size
    digest = hashlib.sha256(files["train-00000"][0].read_bytes()).hexdigest()
    assert problems == sorted(
        [
            "manifest.json: the statistics of B8A in split validation are not those of the pixels",
            "manifest.json: the statistics of B02 in split test are not those of the pixels",
            "manifest.json: the class counts of split train are not those of the index",
            "manifest.json: split test has 74 patches, the index 75",
            "manifest.json: split train has 151 patches, the index 150",
            "test-00000: the index has 64 rows, the manifest 63",
            "test-00001: the index has 11 rows, the manifest 12",
            f"{files['train-00000'][0]} has SHA-256 {digest}, expected {'0' * 64}",
            f"{files['train-00001'][1]} has {size} bytes, expected {size + 1}",
        ]
    )


@pytest.mark.long
@KINDS
def test_swapped_shards_and_lost_parts_of_the_manifest(kind: str, damaged: Path) -> None:
    """Shards under each other's names are read as each other's patches; a split that was dropped is not missed."""
    rows = rows_of(damaged)

    def change(raw: Any) -> None:
        shard = {shard["name"]: shard for shard in raw["shards"]}
        shard["train-00000"]["name"], shard["train-00001"]["name"] = "train-00001", "train-00000"
        del raw["splits"]["validation"]
        raw["files"] = [file for file in raw["files"] if file["path"] != "histograms.parquet"]

    edit_manifest(damaged, change)
    problems = problems_of(damaged)
    assert_named(problems, "manifest.json: split validation is missing, the index has 75 patches of it")
    assert_named(problems, "manifest.json lists no histograms.parquet")
    swapped = ("train-00000.tar", "train-00001.tar")
    if kind == "zarr_store":
        swapped = ("train/b10/c/0/0/0/0", "train/b10/c/1/0/0/0")
    for path, name in zip(swapped, ("train-00001", "train-00000"), strict=True):
        assert_named(problems, damaged / path, "index")
        keys = [row["key"] for row in rows[name]]
        assert sum(f"{damaged / path}: the record of {key} " in " ".join(problems) for key in keys) > 10
        assert_named(problems, f"{name}: {64 - MAX_PROBLEMS_A_SHARD} more problems like these")


@pytest.mark.long
@KINDS
def test_an_index_that_differs_from_the_shards(kind: str, damaged: Path) -> None:
    """Labels, splits, dates, places or byte ranges of other patches are believed since their checksum fits."""
    part = next(iter(PARTS[json.loads((damaged / "manifest.json").read_bytes())["format"]]))
    rows = rows_of(damaged)
    picked: dict[str, str] = {}

    def change(table: list[dict[str, Any]]) -> None:
        of_shard: dict[str, list[dict[str, Any]]] = {}
        for row in table:
            of_shard.setdefault(row["shard"], []).append(row)
        first = of_shard["validation-00000"][0]
        other = next(row for row in of_shard["validation-00000"] if row["label_mask"] != first["label_mask"])
        first["label_mask"], other["label_mask"] = other["label_mask"], first["label_mask"]
        of_shard["validation-00001"][3]["date"] += timedelta(days=1)
        of_shard["validation-00001"][4]["ulx"] += 10
        of_shard["validation-00001"][5]["cloud_or_shadow"] = True
        of_shard["train-00000"][6][f"{part}_crc32c"] ^= 1
        of_shard["train-00001"][7]["split"] = "test"
        of_shard["train-00002"][8][f"{part}_offset"] += 16
        one, two = of_shard["test-00000"][9:11]
        one["position"], two["position"] = two["position"], one["position"]
        picked["twice"] = of_shard["test-00001"][1]["key"]
        of_shard["test-00001"][2]["key"] = picked["twice"]
        picked["labels"], picked["other labels"] = first["key"], other["key"]

    edit_index(damaged, change)
    problems = problems_of(damaged)
    assert not any("SHA-256" in problem for problem in problems)
    assert_named(problems, f"the record of {rows['train-00000'][6]['key']} has CRC-32C")
    moved = rows["train-00001"][7]["key"]
    assert f"index.parquet: {moved} of split test lies in shard train-00001" in problems
    assert "manifest.json: split train has 150 patches, the index 149" in problems
    assert "manifest.json: split test has 75 patches, the index 76" in problems
    assert_named(problems, "manifest.json: the class counts of split test")
    assert_named(problems, f"the record of {rows['train-00002'][8]['key']} ")
    assert "test-00000: positions in the index are not 0 to 63 in order" in problems
    assert f"index.parquet: {picked['twice']} occurs 2 times" in problems
    if kind == "tar_store":
        for key in (picked["labels"], picked["other labels"]):
            assert f"{damaged / 'validation-00000.tar'}: {key}.labels differs from the index" in problems
            assert_named(problems, f"validation-00000.tar: {key}.json differs from the index in labels")
        for place, names in ((3, "date"), (4, "transform, bounds"), (5, "cloud_or_shadow")):
            key = rows["validation-00001"][place]["key"]
            path = damaged / "validation-00001.tar"
            assert f"{path}: {key}.json differs from the index in {names}" in problems
        assert_named(problems, damaged / "train-00002.tar", rows["train-00002"][8]["key"], "the index says otherwise")
        assert_named(problems, damaged / "test-00001.tar", "holds other members")
    else:
        assert f"{damaged / 'validation/labels'} differs from the index" in problems
        assert f"{damaged / 'test/key'} differs from the index" in problems
        assert_named(problems, damaged / "train/b10/c/2/0/0/0", "the shard index differs from index.parquet")


@pytest.mark.long
@KINDS
def test_wrong_small_files_with_fitting_checksums(kind: str, damaged: Path) -> None:
    """Histograms, DALI indices, labels or patches in the wrong shard are believed since their checksum fits."""
    histograms = pq.read_table(damaged / "histograms.parquet")
    counts = histograms["count"].to_pylist()
    counts[0] += 1  # Of the first split, train.
    pq.write_table(histograms.set_column(3, "count", pa.array(counts)), damaged / "histograms.parquet")
    seal(damaged, "histograms.parquet")
    rows = rows_of(damaged)
    if kind == "tar_store":
        path = damaged / "test-00000.idx"
        path.write_bytes(path.read_bytes().replace(b"s2 512 ", b"s2 513 ", 1))
        seal(damaged, path.name)
    else:
        shutil.copy(damaged / "test/labels/c/1/0", damaged / "validation/labels/c/1/0")
        seal(damaged, "validation/labels/c/1/0")

    def change(table: list[dict[str, Any]]) -> None:
        next(row for row in table if row["shard"] == "validation-00001")["shard"] = "validation-00000"

    edit_index(damaged, change)
    problems = problems_of(damaged)
    assert f"{damaged / 'histograms.parquet'}: split train differs from the pixels" in problems
    assert sum("differs from the pixels" in problem for problem in problems) == 1
    assert "validation-00000: the index has 65 rows, the manifest 64" in problems
    assert "validation-00001: the index has 10 rows, the manifest 11" in problems
    assert_named(problems, f"the record of {rows['validation-00001'][0]['key']} ")
    if kind == "tar_store":
        assert f"{damaged / 'test-00000.idx'} does not describe test-00000.tar" in problems
    else:
        assert "validation-00000: the index has 65 rows, expected 1 to 64" in problems
        assert f"{damaged / 'validation/labels'} differs from the index" in problems


@pytest.fixture
def changed_tree(scene_tree: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The scene tree with four patches that are not as they were, and their names by what has changed."""
    product = tmp_path / "tree" / "BigEarthNet-S2" / PRODUCT
    product.mkdir(parents=True)
    sound = scene_tree / "BigEarthNet-S2" / PRODUCT
    keys = sorted(folder.name for folder in sound.iterdir())
    lost, cut, pixel, moved = chosen = [keys[i] for i in (11, 57, 123, 288)]
    for key in keys:
        if key not in chosen:
            (product / key).symlink_to(sound / key)
    for key in (cut, pixel):
        shutil.copytree(sound / key, product / key)
    (product / cut / f"{cut}_B11.tif").unlink()
    for band, value in (("B05", 1), ("B09", 7)):
        with rasterio.open(product / pixel / f"{pixel}_{band}.tif", "r+") as source:
            pixels = source.read(1)
            pixels[-1, -1] += value
            source.write(pixels, 1)
    with TiffReader() as reader:
        reader.read_patch(str(sound / moved), moved, record := np.empty(shards.RECORD_VALUES, np.uint16))
    write_patch(product, moved, record, 600_010, 5_348_400)
    return tmp_path / "tree", {"lost": lost, "cut": cut, "pixel": pixel, "moved": moved}


@pytest.mark.long
@KINDS
def test_against_changed_geotiffs(
    kind: str, changed_tree: tuple[Path, dict[str, str]], request: pytest.FixtureRequest
) -> None:
    """A pixel, a place or a file of the source that differs from the store goes unseen."""
    tree, key = changed_tree
    findings = verify_store(request.getfixturevalue(kind), against=[tree], workers=2)
    assert (findings.patches, findings.compared) == (300, 298)
    assert len(findings.problems) == 4
    assert f"{key['lost']} has no folder in the source" in findings.problems
    assert f"{key['pixel']} differs from its GeoTIFFs in B05, B09" in findings.problems
    assert_named(findings.problems, f"source of {key['cut']}: ", f"{key['cut']}_B11.tif is missing")
    place = 390_000 + 1200 * 288
    assert (
        f"{key['moved']} lies at EPSG:32633 {place:.1f} 5348400.0 in the index, "
        "its GeoTIFF at EPSG:32633 600010.0 5348400.0"
    ) in findings.problems


def test_a_moved_place_in_the_index_of_a_zarr_store(zarr_store: Path, scene_tree: Path, tmp_path: Path) -> None:
    """A place in the index that is not that of the GeoTIFF is believed, where no tar repeats it."""
    damaged = faults.copy(zarr_store, tmp_path / "damaged")
    edit_index(damaged, lambda rows: rows[0].update(uly=rows[0]["uly"] + 60))
    key = rows_of(damaged)["train-00000"][0]["key"]
    product = tmp_path / "BigEarthNet-S2" / PRODUCT
    product.mkdir(parents=True)
    (product / key).symlink_to(scene_tree / "BigEarthNet-S2" / PRODUCT / key)
    problems = problems_of(damaged, against=[product])
    assert_named(problems, f"{key} lies at EPSG:32633 ")
    assert sum("has no folder in the source" in problem for problem in problems) == 299


@pytest.mark.long
def test_a_sample_compares_as_many_as_it_says(tar_store: Path, scene_tree: Path) -> None:
    """`--sample` compares fewer patches than it was asked for, or all, or leaves others undecoded."""
    findings = verify_store(tar_store, against=[scene_tree], sample=7, workers=2)
    assert (findings.problems, findings.patches, findings.compared) == ([], 300, 7)


def test_wrong_sources_are_refused(tar_store: Path, v1_tree: Path, tmp_path: Path) -> None:
    """A store is compared with the other version of BigEarthNet, or with nothing."""
    with pytest.raises(PipelineError, match=r"is BigEarthNet v1, but .* was built from v2"):
        verify_store(tar_store, against=[v1_tree])
    with pytest.raises(PipelineError, match="does not exist"):
        verify_store(tar_store, against=[tmp_path / "absent"])
    with pytest.raises(PipelineError, match="holds no BigEarthNet tree"):
        verify_store(tar_store, against=[tmp_path])


def run_verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bep verify` in a process of its own."""
    told = commands.run("verify", "--workers", 2, *arguments)
    # What it says of its progress depends on how busy the machine is.
    told.stderr = re.sub(r"^verifying: .*\n", "", told.stderr, flags=re.MULTILINE)
    return told


@pytest.mark.long
def test_the_command_tells_sound_from_damaged(tar_store: Path, scene_tree: Path, tmp_path: Path) -> None:
    """A script or a person takes a damaged store for a sound one, or the other way round."""
    sound = run_verify(tar_store, "--against", scene_tree, "--sample", 5)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.startswith(f"{tar_store} is sound: 300 patches, ")
    assert sound.stdout.endswith(" checked, 5 equal to their GeoTIFFs bit for bit\n")
    damaged = faults.copy(tar_store, tmp_path / "damaged")
    faults.flip_bit(damaged / "test-00001.idx", 10)
    told = run_verify(damaged)
    assert (told.returncode, told.stderr) == (1, f"Error: {damaged} has 2 problems\n")
    assert [line.partition(" ")[0] for line in told.stdout.splitlines()] == [f"{damaged / 'test-00001.idx'}"] * 2
    (damaged / "index.parquet").write_bytes(b"")
    as_json = run_verify(damaged, "--json")
    assert (as_json.returncode, as_json.stderr) == (1, f"Error: {damaged} has 2 problems\n")
    assert json.loads(as_json.stdout)["problems"] == problems_of(damaged)
    (damaged / "manifest.json").unlink()
    unfinished = run_verify(damaged)
    assert (unfinished.returncode, unfinished.stdout) == (1, "")
    assert unfinished.stderr == f"Error: {damaged} holds no manifest.json: its build has not finished\n"


@pytest.mark.long
@KINDS
def test_facts_of_the_manifest_that_no_pixel_shows(kind: str, damaged: Path) -> None:
    """Another codec, seed, version or size of shards, or a file that the manifest leaves out, is believed."""
    dropped = [] if kind == "tar_store" else ["zarr.json", "train/zarr.json", "test/labels/c/1/0"]

    def change(raw: Any) -> None:
        raw |= {"codec": "blosc-zstd", "seed": 1, "source_version": "v1"}
        raw["files"] = [file for file in raw["files"] if file["path"] not in dropped]

    edit_manifest(damaged, change)
    note = damaged / "build.json"
    problems = problems_of(damaged)
    assert_named(problems, "manifest.json: codec is blosc-zstd, but the Blosc frame of ")
    for name, there, now in (("version", "'v2'", "'v1'"), ("codec", "'blosc-lz4'", "'blosc-zstd'"), ("seed", "0", "1")):
        assert f"{note}: {name} is {there}, manifest.json says {now}" in problems
    for split in ("train", "validation", "test"):
        assert f"index.parquet: the patches of split {split} are not in the order of seed 1" in problems
    for path in dropped:
        assert f"manifest.json does not list {path}" in problems
    with shards.Store(damaged, compare=False) as store:
        for content, message in (
            (b"[]", "it is an array of 0"),
            (b"[" * 100_000, "nested too deeply"),
            (b"\xff", "UTF-8"),
        ):
            note.write_bytes(content)
            assert_named(list(check_build_note(store)), f"{note} is not the note on a build: ", message)
