"""From GeoTIFFs to a trained CNN, as a user does it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from tests.support.data.building import build_store


@pytest.mark.long
def test_quickstart_learns(tmp_path: Path) -> None:
    """The first command that a user runs fails, warns, or trains a network that has learnt nothing."""
    command = [sys.executable, "-m", "bigearth_pipeline", "quickstart", "--patches", "600", "--epochs", "3"]
    result = subprocess.run([*command, "--out", "q"], cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    assert "warn" not in (result.stdout + result.stderr).lower()
    for line in ("bep synth --out q/data", "bep build-shards q/data --out q/shards", "bep train q/shards --out q/run"):
        assert line in result.stdout
    # A step of several leaves what comes next to the whole.
    assert "next:" not in result.stdout
    assert "bep verify q/shards --against q/data" in result.stdout.splitlines()[-1]
    epochs = [json.loads(line) for line in (tmp_path / "q/run/metrics.jsonl").read_text().splitlines()]
    best = max(epoch["validation"]["ap_macro"] for epoch in epochs)
    guessing = epochs[0]["validation"]["label_frequency"]
    assert 0.1 < guessing < 0.25
    assert best > 1.8 * guessing
    test = json.loads((tmp_path / "q/run/metrics-test.json").read_text())
    assert test["ap_macro"] > 1.5 * test["label_frequency"]
    assert {path.name for path in (tmp_path / "q/run/checkpoints").iterdir()} == {"best.pt", "last.pt"}
    again = subprocess.run([*command, "--out", "q"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1
    assert again.stderr == "Error: q is not empty; name another directory with --out, or delete it\n"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tar_store", "zarr_store"])
def test_training_on_real_windows(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A store of real pixels cannot be trained on."""
    store = str(request.getfixturevalue(kind))
    options = ["--epochs", "1", "--batch-size", "64", "--verify", "--test", "--json"]
    result = CliRunner().invoke(main, ["train", store, "--out", str(tmp_path / "run"), *options])
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert 0 < metrics["validation"]["ap_macro"] <= 1
    assert 0 < metrics["test"]["ap_macro"] <= 1


@pytest.mark.smoke
def test_training_on_the_official_v1_patches(v1_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A store of the official files cannot be trained on."""
    names = sorted(path.name for path in (v1_tree / "BigEarthNet-S2-Example").iterdir())
    (tmp_path / "train.csv").write_text("\n".join(names[:4]))
    (tmp_path / "val.csv").write_text("\n".join(names[4:]))
    build_store(tmp_path / "s", v1_tree, scheduler=scheduler, splits=tmp_path)
    run = tmp_path / "run"
    result = CliRunner().invoke(main, ["train", str(tmp_path / "s"), "--out", str(run), "--epochs", "2", "--json"])
    assert result.exit_code == 0, result.output
    description = json.loads((run / "description.json").read_text())
    assert description["source_version"] == "v1"
    # The package knows that the sixth is in the official list of patches with seasonal snow.
    assert description["patches"] == {"train": 4, "validation": 1}
    # Test patches are requested, and there are none.
    result = CliRunner().invoke(main, ["train", str(tmp_path / "s"), "--out", str(tmp_path / "other"), "--test"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "the store has no patch in its test split" in result.stderr
