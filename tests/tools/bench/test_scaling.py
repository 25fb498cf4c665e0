"""The benchmark of builds by one and more workers, on a tiny tree."""

import json
from pathlib import Path

import pytest

from tests.support.data.small_tree import write_small_tree
from tools.bench.build import scaling
from tools.bench.build.scaling import Build


@pytest.mark.long
def test_a_build_is_measured(tmp_path: Path) -> None:
    """The benchmark cannot be repeated, counts no CPU time, or leaves files."""
    tree = write_small_tree(tmp_path / "tree", 8)
    out, work = tmp_path / "scaling.json", tmp_path / "work"
    arguments = [str(tree), "--work", str(work), "--workers", "2", "--repeats", "2", "--patches-per-shard", "2"]
    assert scaling.main([*arguments, "--out", str(out)]) == 0
    measured = json.loads(out.read_text())
    (figures,) = measured["workers"].values()
    assert list(measured["workers"]) == ["2"]
    assert 0 < figures["patches_per_second"]["lowest"] <= figures["patches_per_second"]["highest"]
    assert all(seconds > 0 for seconds in figures["cpu_seconds"].values())
    assert figures["speed_up"] == 1
    assert list(work.iterdir()) == []


def test_speed_ups_are_those_within_a_repeat() -> None:
    """A speed-up is that of medians, which other work on the machine moves apart, or is turned over."""
    one = [Build(rate, workers=4.0, driver=1.0, scheduler=0.5) for rate in (100.0, 10.0, 50.0)]
    two = [Build(rate, workers=5.0, driver=1.5, scheduler=0.5) for rate in (190.0, 18.0, 40.0)]
    found = scaling.summary({1: one, 2: two})
    assert found["1"]["speed_up"] == 1
    assert found["2"]["speed_up"] == pytest.approx(1.8)
    assert found["2"]["patches_per_second"] == {"median": 40.0, "lowest": 18.0, "highest": 190.0}
    assert found["2"]["cpu_seconds"] == {"workers": 5.0, "driver": 1.5, "scheduler": 0.5}


def test_large_clusters_wait_for_whole_shards() -> None:
    """The table on paper has workers share a shard, or another rate than it says."""
    rows = {int(line.split("|")[1]): line.split("|") for line in scaling.table()[2:]}
    assert list(rows) == list(scaling.TABLE)
    rates = {number: int(row[2].replace(",", "")) for number, row in rows.items()}
    seconds = {number: int(row[5].split()[0].replace(",", "")) for number, row in rows.items()}
    assert rates[64] == pytest.approx(64 * rates[1], rel=1e-3)
    # 235 shards: four rounds, the last of which is not full.
    assert seconds[64] == pytest.approx(4 * 2048 / rates[1], abs=0.6)
