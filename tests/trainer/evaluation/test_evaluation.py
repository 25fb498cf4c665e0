"""Evaluation: a file for each selection of patches, and weights without a run."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

import shards
from bigearth_pipeline.cli import main
from shards.metadata.index import read_table, write_table
from shards.metadata.manifest import INDEX
from shards.testing.stores import make_store
from tests.support.data import faults
from tests.support.paths import DATA
from tests.trainer.configs import edit_options, with_option
from tests.trainer.conftest import Run
from trainer.config import chosen
from trainer.evaluation import weights as weights_evaluation
from trainer.metrics.metrics import Metrics
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.results import _may_replace


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def evaluated(*arguments: object) -> dict[str, Any]:
    """Return the JSON of an evaluation."""
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return shutil.copytree(run.config.run.out, tmp_path / "run")


def results(folder: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in folder.glob("metrics-*.json")}


def test_no_result_replaces_one_of_other_patches(copy: Path, run: Run, tmp_path: Path) -> None:
    """The result on some patches stands where that on others was, with nothing to tell them apart."""
    before = results(copy)["metrics-test.json"]
    with shards.open(run.config.data.shards) as store:
        keys = [store.index.key(int(row)) for row in store.index.rows("test")]
    some, others = tmp_path / "some.txt", tmp_path / "others.txt"
    some.write_text("\n".join(keys[:7]))
    others.write_text("\n".join(keys[7:14]))
    other_store = make_store(tmp_path / "store", {"train": 4, "validation": 4, "test": 20}, seed=5)
    selections = [["--patches", some], ["--patches", others], ["--shards", other_store], ["--where", "month = 6"]]
    found = [evaluated(copy, *selection) for selection in selections]
    assert results(copy)["metrics-test.json"] | {"where": None} == before
    # Every patch is of June, so the last selection is the run's own.
    assert found[3]["rows_sha256"] == before["rows_sha256"]
    written = results(copy)
    assert set(written) == {"metrics-test.json", *(f"metrics-test-{f['rows_sha256'][:12]}.json" for f in found[:3])}
    for one in found[:3]:
        assert written[f"metrics-test-{one['rows_sha256'][:12]}.json"] == one
    assert [one["count"] for one in found] == [7, 7, 20, 20]
    assert (found[0]["patches"], found[2]["shards"]) == (str(some), str(other_store))
    assert len({one["rows_sha256"] for one in found}) == 4
    assert all(one.keys() == before.keys() for one in found)


def test_results_of_the_first_version_are_kept(copy: Path) -> None:
    """A result that does not say which patches it is of is replaced by one of perhaps other patches."""
    path = copy / "metrics-test.json"
    path.write_text('{"epoch": 3, "count": 7}')
    found = evaluated(copy)
    assert path.read_text() == '{"epoch": 3, "count": 7}'
    assert results(copy)[f"metrics-test-{found['rows_sha256'][:12]}.json"] == found


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"[]", b"9" * 10_000])
def test_results_that_cannot_be_read_are_kept(copy: Path, content: bytes) -> None:
    """A file of results that nests 100,000 times ends a run in a traceback once all its epochs are trained."""
    path = copy / "metrics-test.json"
    path.write_bytes(content)
    (copy / "predictions-test.parquet").unlink(missing_ok=True)
    assert not _may_replace(path, copy / "predictions-test.parquet", "0" * 64)
    assert path.read_bytes() == content


def test_the_whole_split_is_not_the_subset_of_the_run(copy: Path) -> None:
    """Without conditions a run on a subset is evaluated on the whole split, under the name of its own result."""
    best = Checkpoint.read(copy / "checkpoints/best.pt")
    replace(best, config=with_option(best.config, "data.where", "country = 'Finland'")).write(
        copy / "checkpoints/best.pt"
    )
    (copy / "metrics-test.json").unlink()
    found = evaluated(copy)
    assert list(results(copy)) == [f"metrics-test-{found['rows_sha256'][:12]}.json"]


def test_validation_says_that_thresholds_were_tuned_there(copy: Path, run: Run) -> None:
    """F1 at thresholds tuned on the validation split is reported of that split without a word."""
    found = evaluated(copy, "--split", "validation")
    assert found["thresholds_tuned_here"] is True
    assert evaluated(copy)["thresholds_tuned_here"] is False
    assert run.result.validation is not None
    assert run.result.validation.thresholds_tuned_here is True
    assert found["tuned"] == json.loads(json.dumps(run.result.validation.to_json()))["tuned"]
    assert "F1 tuned here" in call(copy, "--split", "validation").stdout
    assert "tuned here" not in call(copy).stdout


def with_keys(folder: Path, keys: list[str]) -> Path:
    """Give the patches of a store other names, in the index alone."""
    table = read_table(folder / INDEX)
    write_table(table.set_column(table.column_names.index("key"), "key", pa.array(keys)), folder / INDEX)
    content = (folder / INDEX).read_bytes()
    described = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def describe(raw: Any) -> None:
        raw["files"][0] |= described

    faults.edit_manifest(folder, describe)
    return folder


@pytest.mark.long
def test_thresholds_are_tuned_on_patches_and_not_on_names_of_splits(copy: Path, run: Run, tmp_path: Path) -> None:
    """With other splits, F1 at tuned thresholds on the very patches they were tuned on looks like that on others."""
    validation = [f"validation_{i}" for i in range(40)]
    other = make_store(tmp_path / "other", {"validation": 20, "test": 20})
    with_keys(other, [f"train_{i}" for i in range(20)] + validation[:20])
    found = {split: evaluated(copy, "--shards", other, "--split", split) for split in ("validation", "test")}
    assert {split: one["thresholds_tuned_here"] for split, one in found.items()} == {"validation": False, "test": True}
    assert "F1 tuned here" in call(copy, "--shards", other, "--split", "test").stdout
    best = copy / "checkpoints/best.pt"
    alone = ("--weights", best, "--shards", other)
    assert evaluated(*alone, "--split", "test")["thresholds_tuned_here"] is True
    # The shards of the run are gone: nobody knows.
    checkpoint = Checkpoint.read(best)
    replace(checkpoint, config=with_option(checkpoint.config, "data.shards", str(tmp_path / "gone"))).write(best)
    for split in ("validation", "test"):
        assert evaluated(copy, "--shards", other, "--split", split)["thresholds_tuned_here"] is None
        assert "may have been tuned on some of these" in call(copy, "--shards", other, "--split", split).stdout
    # Its own shards tell by themselves.
    assert evaluated(copy, "--shards", run.config.data.shards)["thresholds_tuned_here"] is False


@pytest.mark.long
def test_patches_that_a_run_left_out_were_not_tuned_on(copy: Path, run: Run, tmp_path: Path) -> None:
    """All of a split counts as tuned on whatever the run's own conditions, or a changed list as its own."""
    with shards.open(run.config.data.shards) as store:
        keys = [store.index.key(int(row)) for row in store.index.rows("validation")]
    used, rest = tmp_path / "used.txt", tmp_path / "rest.txt"
    used.write_text("\n".join(keys[:10]))
    rest.write_text("\n".join(keys[10:]))
    best, last = copy / "checkpoints/best.pt", copy / "checkpoints/last.pt"
    checkpoint = Checkpoint.read(best)
    replace(checkpoint, config=with_option(checkpoint.config, "data.patches", str(used))).write(best)
    validation = ("--split", "validation", "--patches")
    # The run's record is of the whole split, so this list was not the one that it used.
    assert evaluated(copy, *validation, used)["thresholds_tuned_here"] is None
    resumable = Checkpoint.read(last)
    assert resumable.progress is not None
    with shards.open(run.config.data.shards) as store:
        digest = chosen.digest(store.index.rows("validation")[:10])
    kept = resumable.progress["chosen"] | {"rows": {"validation": digest}}
    replace(resumable, progress=resumable.progress | {"chosen": kept}).write(last)
    assert evaluated(copy, *validation, used)["thresholds_tuned_here"] is True
    assert evaluated(copy, *validation, rest)["thresholds_tuned_here"] is False
    assert evaluated(copy, "--split", "validation")["thresholds_tuned_here"] is True
    used.write_text("\n".join(keys[5:15]))
    assert evaluated(copy, *validation, used)["thresholds_tuned_here"] is None


def test_a_run_of_the_first_version(tmp_path: Path) -> None:
    """A run of the first version cannot be read any more."""
    archive = DATA.parent / "golden" / "0.1-dae5bc1" / "run.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive.name} of the first version is absent")
    shutil.unpack_archive(archive, tmp_path, filter="data")
    best = Checkpoint.read(tmp_path / "run/checkpoints/best.pt")
    assert best.metrics is not None
    metrics = Metrics.from_json(best.metrics)
    assert metrics.thresholds_tuned_here is True
    assert metrics.f1_macro_all is None
    assert best.metrics["f1_macro"] == metrics.f1_macro


def test_a_store_that_was_moved(copy: Path, run: Run, tmp_path: Path) -> None:
    """A user is not told where the old path comes from, nor how to give the new one."""
    edit_options(copy, lambda tables: tables["data"].update(shards=str(tmp_path / "gone")))
    result = call(copy)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.output
    for part in (
        f"{tmp_path / 'gone'} holds no manifest.json",
        f"{copy / 'config.toml'} names it",
        f"name their new folder: bep evaluate {copy} --shards DIR",
    ):
        assert part in result.stderr
    assert evaluated(copy, "--shards", run.config.data.shards)["count"] == 20


@pytest.fixture
def read_only(copy: Path) -> Iterator[Path]:
    """A copy of a finished run in a folder that cannot be written to."""
    if os.geteuid():
        copy.chmod(0o555)
        yield copy
        copy.chmod(0o755)
        return
    for options in (["--bind", str(copy)], ["-o", "remount,bind,ro"]):
        if subprocess.run(["mount", *options, str(copy)], capture_output=True, check=False).returncode:
            subprocess.run(["umount", str(copy)], capture_output=True, check=False)
            pytest.skip("root can write everywhere, and may not mount a file system here")
    yield copy
    subprocess.run(["umount", str(copy)], check=True)


def test_results_of_a_run_that_cannot_be_written_are_printed(read_only: Path) -> None:
    """Everything is computed, and nothing of it shown, since its file cannot be written."""
    before = results(read_only)
    for options in ([], ["--json"]):
        result = call(read_only, *options)
        last = result.stderr.splitlines()[-1]
        assert result.exit_code == 1, result.output
        assert last.startswith(f"Error: {read_only / 'metrics-test.json'} cannot be written: ")
        assert last.endswith("; the results are in no file")
        assert ".part" not in result.output
        if options:
            assert json.loads(result.stdout) == before["metrics-test.json"]
        else:
            assert "test, epoch" in result.stdout
            assert "written to" not in result.stdout
    assert results(read_only) == before


def test_results_of_weights_that_cannot_be_written_are_printed(
    run: Run, folder: Path, read_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results are lost since their file cannot be written, or was written by another process meanwhile."""
    options = ["--weights", run.config.run.out / "checkpoints/best.pt", "--shards", folder]
    expected = evaluated(*options)
    result = call(*options, "--out", read_only / "out.json", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, expected)
    assert f"Error: {read_only / 'out.json'} cannot be written: " in result.stderr
    path, compute = tmp_path / "out.json", weights_evaluation.compute

    def slow(*arguments: Any, **more: Any) -> Metrics:
        path.write_text("other")
        return compute(*arguments, **more)

    monkeypatch.setattr(weights_evaluation, "compute", slow)
    result = call(*options, "--out", path, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, expected)
    assert "exists already" in result.stderr
    assert path.read_text() == "other"
