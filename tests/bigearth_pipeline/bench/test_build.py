"""The build benchmark: that its figures are what they are called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import real
from tests.support.data import faults
from tests.support.data.scene import PRODUCT, write_scene_tree


@pytest.fixture(scope="module")
def scene_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 windows of the real scene: every pass of the benchmark builds all of them."""
    folder = tmp_path_factory.mktemp("bench")
    write_scene_tree(real("scenes/199U_1099R"), folder, patches=60)
    return folder


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bigearth_pipeline", "bench", "build", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.long
def test_figures_fit_together(scene_tree: Path, tmp_path: Path) -> None:
    """A ratio is not that of the rates beside it, or a scratch folder stays behind."""
    result = bench(str(scene_tree), "--work", str(tmp_path), "--repeats", "2", "--workers", "2", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["patches"], found["workers"]) == (60, 2)
    assert set(found["stages"]) == {"read", "histograms", "encode", "crc32c", "write + sha256"}
    for rate in (*found["stages"].values(), found["gdal"], found["build"], found["build_shards"], found["peer"]):
        assert 0 < rate["lowest"] <= rate["median"] <= rate["highest"]
        assert rate["repeats"] == 2
    together = 1 / sum(1 / rate["median"] for rate in found["stages"].values())
    assert found["sum_of_stages"] == pytest.approx(together)
    assert found["share_of_stages"] == pytest.approx(found["build"]["median"] / together)
    assert found["build"]["median"] < found["build_shards"]["median"]
    assert found["times_peer"] > 0
    assert 0 < found["help_seconds"] < found["first_patch_seconds"]
    assert found["environment"]["cores"] == len(os.sched_getaffinity(0))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_source_is_one_clear_error(scene_tree: Path, tmp_path: Path) -> None:
    """A bad patch hangs the processes that wait for each other, or ends in a traceback."""
    tree = faults.copy(scene_tree, tmp_path / "tree")
    folder = min((tree / "BigEarthNet-S2" / PRODUCT).iterdir())
    (folder / f"{folder.name}_B03.tif").unlink()
    (tmp_path / "work").mkdir()
    result = bench(str(tree), "--work", str(tmp_path / "work"), "--repeats", "1", "--workers", "2", "--no-peer")
    assert result.returncode == 1
    assert "B03.tif is missing" in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "work").iterdir()) == []
