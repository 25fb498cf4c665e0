"""The source of these builds, and a store made of it, which tests copy before they change it."""

from pathlib import Path

import pytest

from tests.bigearth_pipeline.build.resume.building import Build
from tests.support.data.scene import PRODUCT, scene_records, write_patch, write_table


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patches with a table."""
    from tests.conftest import real

    tree = tmp_path_factory.mktemp("resume") / "tree"
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(8)]
    for i, (key, record) in enumerate(zip(keys, scene_records(real("scenes/199U_1099R"), len(keys)), strict=True)):
        write_patch(tree / "BigEarthNet-S2" / PRODUCT, key, record, 1200.0 * i, 0.0)
    write_table(tree / "metadata.parquet", keys)
    return tree


@pytest.fixture(scope="session")
def store(tree: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store."""
    out = tmp_path_factory.mktemp("finished") / "s"
    Build(tree, scheduler)(out)
    return out
