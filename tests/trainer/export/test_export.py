"""Exports used in place of the run that they were made of; what an export may and may not replace."""

import json
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bigearth_pipeline.cli import main
from shards.errors import BepError, InvalidValue
from shards.reporting import one_line
from shards.storage.atomic import temporary_beside
from tests.trainer.conftest import Run
from tests.trainer.data.records import random_records
from trainer.errors import RunExists
from trainer.export.export import ExportConfig, Exported, export
from trainer.inference import load, load_ensemble
from trainer.runs.predictions import Predictions

NAMES = {"README.md", "config.json", "model.safetensors", "model.onnx", "model.pt2"}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_export_scores_as_its_run(exported: Exported, run: Run, tmp_path: Path) -> None:
    """Weights, thresholds, normalisation or precision got lost, or the export is changed by its use."""
    before = contents(exported.out)
    out = tmp_path / "scores.json"
    options = ("--shards", run.config.data.shards, "--device", "cpu", "--json")
    result = call("evaluate", exported.out, *options, "--out", out)
    assert result.exit_code == 0, result.output
    found, kept = json.loads(result.stdout), json.loads((run.config.run.out / "metrics-test.json").read_text())
    assert found == kept == json.loads(out.read_text())
    probabilities = [
        Predictions.read(path).probabilities
        for path in (out.with_suffix(".predictions.parquet"), run.config.run.out / "predictions-test.parquet")
    ]
    np.testing.assert_array_equal(*probabilities)
    assert contents(exported.out) == before


def test_an_export_predicts_as_its_run(exported: Exported, run: Run, tmp_path: Path) -> None:
    """Another network, other thresholds or other bands predict."""
    records = random_records(3)
    first, second = load(run.config.run.out, device="cpu"), load(exported.out, device="cpu")
    np.testing.assert_array_equal(first.probabilities(records), second.probabilities(records))
    assert first.thresholds == second.thresholds
    assert {name for name in first.about if first.about[name] != second.about[name]} == {"run", "checkpoint_sha256"}
    both = load_ensemble([run.config.run.out, exported.out], device="cpu")
    np.testing.assert_allclose(both.probabilities(records), first.probabilities(records), atol=1e-6)
    result = call("predict", exported.out, run.config.data.shards, "--out", tmp_path / "map", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "map" / "prediction.json").exists()


def test_an_export_tells_nothing_of_this_machine(exported: Exported, run: Run) -> None:
    """Folders of whoever trained are published."""
    assert set(exported.sizes) == NAMES == set(contents(exported.out))
    for name, content in contents(exported.out).items():
        for path in (run.config.run.out.parent, run.config.data.shards.parent, Path(__file__).parents[3]):
            assert os.fsencode(path) not in content, (name, path)


@pytest.mark.parametrize("command", ["report", "plot"])
def test_an_export_is_no_run_of_no_epochs(exported: Exported, tmp_path: Path, command: str) -> None:
    """An export is shown as a run that stopped before its first epoch."""
    result = call(command, exported.out, "--out", tmp_path / "page.svg")
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {exported.out} is an export, which holds no results; name the run that it was made of\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_export_is_not_among_runs(exported: Exported) -> None:
    """A list of runs has exports in it, as runs that stopped before their first epoch."""
    result = call("runs", exported.out.parent, "--json")
    assert result.exit_code == 0, result.output
    assert f"left out: {exported.out} is an export" in result.stderr
    assert str(exported.out) not in [run["name"] for run in json.loads(result.stdout)]


def test_results_of_a_run_are_in_its_folder_and_an_export_needs_shards(exported: Exported, run: Run) -> None:
    """Options that cannot be honoured are ignored."""
    for arguments, line in (
        ((run.config.run.out, "--out", "x.json"), "--out is for --weights and for exports"),
        ((exported.out,), "does not say where shards are, expected their folder, --shards DIR"),
    ):
        result = call("evaluate", *arguments)
        assert result.exit_code == 1
        assert line in result.stderr
        assert result.stderr.count("\n") == 1


def weights_alone(run: Run, out: Path, **options: object) -> Exported:
    return export(ExportConfig(run=run.config.run.out, out=out, formats=(), **options))


def test_only_exports_are_replaced(run: Run, tmp_path: Path) -> None:
    """A folder of something else is overwritten, or an export without being told to."""
    out = tmp_path / "net"
    out.mkdir()
    assert set(weights_alone(run, out).sizes) == NAMES - {"model.onnx", "model.pt2"}
    before = contents(out)
    with pytest.raises(InvalidValue, match="holds an export"):
        weights_alone(run, out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InvalidValue, match=r"holds notes\.txt, which is of no export"):
        weights_alone(run, out, overwrite=True)
    (out / "notes.txt").unlink()
    weights_alone(run, out, overwrite=True, license="mit")
    assert {name for name, content in contents(out).items() if content != before[name]} == {"README.md"}
    with pytest.raises(RunExists, match="which is a run, expected a folder outside of one"):
        weights_alone(run, run.config.run.out.parent / run.config.run.out.name / "checkpoints", overwrite=True)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(out)
    for name in ("file", "link"):
        with pytest.raises(InvalidValue, match="is no folder"):
            weights_alone(run, tmp_path / name, overwrite=True)
    with pytest.raises(InvalidValue, match="is the folder that is exported"):
        export(ExportConfig(run=out, out=out, formats=(), overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "net"]


def test_weights_of_others_are_not_replaced(run: Run, tmp_path: Path) -> None:
    """Weights that were fetched from the hub, in files of the same names, are deleted by `overwrite`."""
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = contents(tmp_path)
    with pytest.raises(InvalidValue, match=r"holds config\.json, which is of no export"):
        weights_alone(run, tmp_path, overwrite=True)
    assert contents(tmp_path) == before


def test_an_export_that_fails_leaves_nothing(run: Run, exported: Exported, tmp_path: Path) -> None:
    """A folder without its programs looks finished, or the export before is gone."""
    config = ExportConfig(run=run.config.run.out, out=tmp_path / "new", shards=tmp_path / "absent")
    with pytest.raises(BepError, match="absent"):
        export(config)
    assert list(tmp_path.iterdir()) == []
    weights_alone(run, tmp_path / "net")
    before = contents(tmp_path / "net")
    with pytest.raises(BepError, match="absent"):
        export(ExportConfig(run=config.run, out=tmp_path / "net", shards=config.shards, overwrite=True))
    assert contents(tmp_path / "net") == before
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_what_a_killed_export_left_is_removed(run: Run, tmp_path: Path) -> None:
    """Each killed export leaves its weights in a hidden folder for ever; or that of another export is removed."""
    left = temporary_beside(tmp_path / "net")
    others = [temporary_beside(tmp_path / "network"), tmp_path / ".net.part", tmp_path / ".net.mine.part"]
    for folder in (left, *others):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x")
    weights_alone(run, tmp_path / "net")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "net", *others])


def test_an_export_is_exported_again(exported: Exported, tmp_path: Path) -> None:
    """A folder of the hub does not hold all that an export needs."""
    export(ExportConfig(run=exported.out, out=tmp_path / exported.out.name, formats=()))
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / exported.out.name / name).read_bytes() == (exported.out / name).read_bytes()


@pytest.mark.parametrize(("formats", "name"), [((), "model.safetensors"), (("pt2",), "model.pt2")])
def test_a_full_disk_names_the_file(
    formats: tuple[Any, ...], name: str, exported: Exported, run: Run, tmp_path: Path
) -> None:
    """An error says neither file nor reason, or names a temporary one; or a part of the export stays."""
    limit = exported.sizes["model.safetensors"] + (100 if formats else -100)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk, but for the number of the error: EFBIG in place of ENOSPC.
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            export(ExportConfig(run=run.config.run.out, out=tmp_path / "net", formats=formats))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert one_line(caught.value) == f"{tmp_path / 'net' / name}: File too large"
    assert list(tmp_path.iterdir()) == []
