"""A store with an index as long as BigEarthNet's, of the files of a small one.

The rows of the index are repeated, under other keys, until there are enough: the shards get as many names by links, so
that only index and manifest are as large as the real ones, and every patch has pixels.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shards.metadata.seal import sealed


def enlarge(store: Path, patches: int, out: Path, columns: Mapping[str, pa.Array] | None = None) -> None:
    """Make a store with more rows: further names of the files of another one, and an index that repeats its rows.

    Args:
        store: a WebDataset store.
        patches: rows of the new one, at least; whole copies are made.
        out: an empty folder on the same file system.
        columns: values of further columns by name, at least as many as rows.
    """
    manifest = json.loads((store / "manifest.json").read_text())
    table = pq.read_table(store / "index.parquet")
    of_row = np.array(table["shard"].to_pylist(), object)
    times = -(-patches // len(table))
    rows, keys, names, shards = [], [], [], []
    # Rows of a split lie together, and so do those of a shard, as in any store.
    for split, info in manifest["splits"].items():
        of_split = [shard for shard in manifest["shards"] if shard["split"] == split]
        for number, (copy, shard) in enumerate(itertools.product(range(times), of_split)):
            name = f"{split}-{number:06d}"
            files = [file | {"path": name + Path(file["path"]).suffix} for file in shard["files"]]
            for old, new in zip(shard["files"], files, strict=True):
                os.link(store / old["path"], out / new["path"])
            shards.append(shard | {"name": name, "files": files})
            rows.append(np.flatnonzero(of_row == shard["name"]))
            names += [name] * shard["count"]
            keys += [f"_{copy}"] * shard["count"]
        info["count"] *= times
        info["class_counts"] = {label: count * times for label, count in info["class_counts"].items()}
        for band in info["statistics"].values():
            band |= {"count": band["count"] * times, "nodata": band["nodata"] * times}
    table = table.take(pa.array(np.concatenate(rows)))
    keys = [key + copy for key, copy in zip(table["key"].to_pylist(), keys, strict=True)]
    changed = {name: values.slice(0, len(table)) for name, values in (columns or {}).items()}
    changed |= {"key": pa.array(keys), "shard": pa.array(names).dictionary_encode()}
    for column, values in changed.items():
        table = table.set_column(table.column_names.index(column), column, values)
    pq.write_table(table, out / "index.parquet")
    os.link(store / "histograms.parquet", out / "histograms.parquet")
    manifest |= {"count": len(table), "shards": shards}
    for info in manifest["files"]:
        if info["path"] == "index.parquet":
            content = (out / "index.parquet").read_bytes()
            info |= {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (out / "manifest.json").write_text(json.dumps(sealed(manifest)))
