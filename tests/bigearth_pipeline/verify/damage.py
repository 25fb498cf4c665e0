"""Changes of stores whose checksums fit again, and the problems that are found."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigearth_pipeline.verify.store import verify_store
from tests.support.data import faults

KINDS = pytest.mark.parametrize("kind", ["tar_store", "zarr_store"])


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
