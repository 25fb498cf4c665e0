"""Trees of a few patches, with any names, tables and baselines."""

from pathlib import Path

import numpy as np

from shards.layout.bands import RECORD_VALUES
from tests.support.data.scene import write_patch, write_table

PRODUCT = "S2A_MSIL2A_20170613T101031_{}_R022_T33UUP"


def write_tree(folder: Path, baselines: list[str], low: int = 1200) -> list[str]:
    """Write a v2 tree of small random patches, one for each baseline, with its table; return their names."""
    rng = np.random.default_rng(3)
    keys = [f"{PRODUCT.format(baseline)}_0_{i}" for i, baseline in enumerate(baselines)]
    for i, key in enumerate(keys):
        record = rng.integers(low, 9000, RECORD_VALUES, np.uint16)
        record[:i] = 0
        write_patch(folder / "BigEarthNet-S2" / key.rsplit("_", 2)[0], key, record, 1200.0 * i, 0.0)
    write_table(folder / "metadata.parquet", keys)
    return keys
