"""The benchmark at full size, at a small one."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigearth_pipeline.source.tree import find_source
from bigearth_pipeline.synth.dataset import write_dataset
from tools.bench.build.full_size import link_tree, main


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Tables of 120 patches, some of them with snow or clouds."""
    write_dataset(tmp_path / "named", patches=120, layout="v2", seed=5, workers=1)
    return sorted((tmp_path / "named").glob("*.parquet"))


def test_a_tree_of_links_is_a_source(tables: list[Path], tmp_path: Path) -> None:
    """Some of the patches are not there, or lack bands, or all are one patch."""
    names = pa.concat_tables([pq.read_table(table, columns=["patch_id"]) for table in tables])[0].to_pylist()
    (tmp_path / "tree").mkdir()
    root = link_tree(tmp_path / "tree", names, distinct=7)
    assert sorted(path.name for path in root.glob("*/*")) == sorted(names)
    assert len(list(root.glob("*/*/*.tif"))) == 12 * len(names)
    assert len({path.stat().st_ino for path in root.glob("*/*/*_B02.tif")}) == 7
    assert find_source(root).version == "v2"


@pytest.mark.long
def test_every_step_is_measured(tables: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An hour later a figure is missing."""
    tree = tmp_path / "tree"
    tree.mkdir()
    out = tmp_path / "figures.json"
    arguments = [*map(str, tables), "--tree", str(tree), "--work", str(tmp_path / "work"), "--out", str(out)]
    assert main([*arguments, "--patches", "60", "--workers", "1"]) == 0
    figures = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == figures
    assert figures["tree"]["patches"] == 120
    assert figures["build"]["patches"] == 60
    assert 0 < figures["epoch"]["patches"] < 60
    assert all(figures[step]["peak"]["driver_mb"] > 10 for step in ("build", "verify", "epoch"))
    assert not any((tmp_path / "work").iterdir())
