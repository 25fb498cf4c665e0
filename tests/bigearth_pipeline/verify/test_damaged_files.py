"""Flipped bits, and files that are cut, absent or damaged: each is found and named."""

import random
from pathlib import Path

import pytest

import shards
from bigearth_pipeline.verify.store import verify_store
from tests.bigearth_pipeline.verify.damage import KINDS, assert_named, problems_of, rows_of
from tests.support.data import faults


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
