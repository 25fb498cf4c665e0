"""Index and histograms of other columns, types or values than a store has."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shards
from bigearth_pipeline.verify.store import verify_store
from shards.errors import ShardError
from tests.shards.conftest import replace_index
from tests.shards.metadata.columns import put
from tests.support.data import faults

SPOILT: dict[str, Callable[[pa.Table], pa.Table]] = {
    "no column": lambda table: table.drop(["s2_offset"]),
    "text for numbers": lambda table: put(table, "s2_offset", pa.array(["a", "b", "c"])),
    "fractions": lambda table: put(table, "position", pa.array([0.5, 1.0, 0.0])),
    "nulls": lambda table: put(table, "label_mask", pa.array([1, None, 1], pa.uint32())),
    "no split": lambda table: put(table, "split", pa.array(["train", None, "validation"])),
    "too large": lambda table: put(table, "s2_length", pa.array([2**40, 1, 1])),
    "bytes": lambda table: put(table, "key", pa.array([b"\xff", b"\xfe", b"a"])),
    "lists": lambda table: put(table, "epsg", pa.array([[1], [2], [3]])),
    "swapped positions": lambda table: put(table, "position", pa.array([1, 0, 0], pa.int32())),
    "order": lambda table: table.take(pa.array([2, 0, 1])),
    "other split": lambda table: put(table, "split", pa.array(["train", "test", "validation"])),
    "unknown shard": lambda table: put(table, "shard", pa.array(["train-00000", "x\x1b[2J", "validation-00000"])),
    "other shard": lambda table: put(table, "shard", pa.array(["train-00000", *["validation-00000"] * 2])),
    "a column twice": lambda table: table.append_column("key", table["key"]),
    "other labels": lambda table: put(table, "label_mask", pa.array([1 << 18] * 3, pa.uint32())),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_an_index_of_other_columns_or_values(three: Path, tmp_path: Path, kind: str) -> None:
    """An index that another program wrote ends in a traceback, or gives a patch the labels or the split of another."""
    folder = faults.copy(three, tmp_path / "store")
    pq.write_table(SPOILT[kind](pq.read_table(folder / "index.parquet")), folder / "index.parquet")
    if kind not in ("no column", "a column twice"):
        replace_index(folder)
    seal(folder, "index.parquet")
    with pytest.raises(ShardError) as caught:
        shards.open(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_columns_of_equal_values_but_other_types_are_read(three: Path, tmp_path: Path) -> None:
    """An index that went through pandas or polars is refused although it holds the same."""
    folder = faults.copy(three, tmp_path / "store")
    table = pq.read_table(folder / "index.parquet")
    for name, kind in (("key", pa.large_string()), ("split", pa.string()), ("position", pa.int64()),
                       ("date", pa.timestamp("us")), ("s2_crc32c", pa.int64())):  # fmt: skip
        table = put(table, name, table[name].cast(kind))
    pq.write_table(table, folder / "index.parquet")
    seal(folder, "index.parquet")
    with shards.open(folder) as found, shards.open(three) as expected:
        assert found.index.table.equals(expected.index.table)
        assert found.read(2, verify=True).key == expected.read(2).key


def seal(folder: Path, name: str) -> None:
    """Write size and checksum of a file into the manifest."""
    content = (folder / name).read_bytes()

    def change(raw: Any) -> None:
        for info in raw["files"]:
            if info["path"] == name:
                info |= {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    faults.edit_manifest(folder, change)


HISTOGRAMS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "no column": lambda table: table.drop(["count"]),
    "other names": lambda table: table.rename_columns(["a", "b", "c", "d"]),
    "text": lambda table: put(table, "count", pa.array(["x"] * len(table))),
    "large values": lambda table: put(table, "value", pa.array([70_000] * len(table))),
    "nulls": lambda table: put(table, "value", pa.nulls(len(table), pa.uint16())),
    "unknown band": lambda table: put(table, "band", pa.array(["B10"] * len(table))),
    "unknown split": lambda table: put(table.slice(0, 100), "split", pa.array(["dev"] * 100)),
    "negative": lambda table: put(table, "count", pa.array([-1] * len(table))),
    "twice": lambda table: pa.concat_tables([table, table.slice(0, 1)]),
    "no rows": lambda table: table.slice(0, 0),
    "more columns": lambda table: put(table, "value", pa.array([[1]] * len(table))),
}


def test_histograms_of_other_columns_or_types(tar_store: Path, tmp_path: Path) -> None:
    """`bep verify` ends in a traceback on histograms that another program wrote, or does not see what is wrong."""
    from bigearth_pipeline.verify.tables import read_histograms

    table = pq.read_table(tar_store / "histograms.parquet")
    path = tmp_path / "histograms.parquet"
    pq.write_table(table, path)
    assert list(read_histograms(path)) == ["test", "train", "validation"]
    for kind, change in HISTOGRAMS.items():
        pq.write_table(change(table), path)
        if kind in ("unknown split", "no rows"):  # What these say differs from the manifest.
            assert list(read_histograms(path)) == (["dev"] if kind == "unknown split" else [])
            continue
        with pytest.raises(shards.CorruptShard, match=str(path)) as caught:
            read_histograms(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"PAR1" * 100)
    with pytest.raises(shards.CorruptShard, match="is not readable as Parquet"):
        read_histograms(path)


def test_verify_reads_what_opening_refuses(three: Path, tmp_path: Path) -> None:
    """`bep verify` ends at the first of several differences between manifest and index."""
    folder = faults.copy(three, tmp_path / "store")
    with shards.open(folder) as store:
        offsets, first = store.index.column("s2_offset").copy(), store.index.key(0)
    offsets[0] = 2**63 - 1
    replace_index(folder, s2_offset=pa.array(offsets))
    faults.edit_manifest(folder, lambda raw: raw["splits"]["train"]["class_counts"].update({"Pastures": 1}))
    problems = "\n".join(verify_store(folder, workers=1).problems)
    for part in (
        f"lies at {2**63 - 1} + ",
        "class counts of split train are not those",
        f"{first} cannot be read",
    ):
        assert part in problems
