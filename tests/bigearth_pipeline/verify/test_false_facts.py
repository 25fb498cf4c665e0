"""Manifest, index and small files with fitting checksums that say something false."""

import hashlib
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shards
from bigearth_pipeline.verify.store import MAX_PROBLEMS_A_SHARD
from bigearth_pipeline.verify.tables import check_build_note
from shards.metadata.parts import PARTS
from tests.bigearth_pipeline.verify.damage import (
    KINDS,
    assert_named,
    edit_index,
    edit_manifest,
    problems_of,
    rows_of,
    seal,
)


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
