"""The source that tests of builds damage."""

from pathlib import Path

import pytest

from tests.support.data.scene import PRODUCT, scene_records, write_patch, write_table


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """Twelve patches with a table, to be damaged."""
    from tests.conftest import real

    tree = tmp_path / "tree"
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(12)]
    records = scene_records(real("scenes/199U_1099R"), len(keys))
    for i, (key, record) in enumerate(zip(keys, records, strict=True)):
        write_patch(tree / "BigEarthNet-S2" / PRODUCT, key, record, 1200.0 * i, 0.0)
    write_table(tree / "metadata.parquet", keys)
    return tree
