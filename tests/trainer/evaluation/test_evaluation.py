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
import timm
import torch
from click.testing import CliRunner, Result

import shards
from bigearth_pipeline.cli import main
from shards import CLASSES
from shards.metadata.index import read_table, write_table
from shards.metadata.manifest import INDEX
from shards.testing.stores import make_store
from tests import faults
from tests.paths import DATA
from tests.trainer.configs import edit_options, with_option
from tests.trainer.conftest import Run
from trainer.config import chosen
from trainer.evaluation import weights as weights_evaluation
from trainer.metrics.metrics import Metrics
from trainer.models.published import PAPER
from trainer.runs.checkpoint import Checkpoint

BANDS = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
OLD = ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A"]


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
        f"name their new folder: {copy} --shards DIR",
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


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    """A network with random weights that sees `BANDS` and gives the classes in alphabetical order."""
    torch.manual_seed(3)
    net = timm.create_model("test_resnet", in_chans=len(BANDS), num_classes=len(CLASSES))
    torch.nn.init.normal_(net.fc.weight)
    return net.eval()


def published(net: torch.nn.Module, folder: Path, channels: list[str], classes: list[str]) -> Path:
    """Write the same network with its channels and classes in another order, as the BigEarthNet v2.0 models are."""
    state = {name: value.clone() for name, value in net.state_dict().items()}
    first = state["conv1.0.weight"]
    by_band = {band: first[:, i] for i, band in enumerate(BANDS)} | {"VV": first[:, 0] * 9, "VH": first[:, 1] * 9}
    state["conv1.0.weight"] = torch.stack([by_band[name] for name in channels], 1)
    for name in ("fc.weight", "fc.bias"):
        state[name] = state[name][[CLASSES.index(label) for label in classes]]
    path = folder / "published.ckpt"
    torch.save({"state_dict": {f"model.vision_encoder.{name}": value for name, value in state.items()}}, path)
    return path


def logits_of(net: torch.nn.Module, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and labels of the test split, computed without the trainer."""
    with shards.open(folder) as store, torch.no_grad():
        statistics = store.manifest.splits["train"].statistics
        images, labels = [], []
        for row in store.index.rows("test"):
            patch = store.read(int(row))
            bands = []
            for band in BANDS:
                pixels = torch.from_numpy(patch.band(band).astype("float32"))
                pixels = (pixels - statistics[band].mean) / statistics[band].std
                bands.append(pixels.repeat_interleave(120 // len(pixels), 0).repeat_interleave(120 // len(pixels), 1))
            images.append(torch.stack(bands))
            labels.append(torch.tensor([float(name in patch.labels) for name in CLASSES]))
        return net(torch.stack(images)), torch.stack(labels)


@pytest.mark.parametrize(
    ("channels", "classes", "said"),
    [
        (BANDS, CLASSES, ["--weights-bands", "reben-s2-v0.2.0"]),
        (OLD, CLASSES, ["--weights-bands", "reben-s2-v0.1.1"]),
        (["VV", "VH", *BANDS], CLASSES, ["--weights-bands", "reben-all-v0.2.0"]),
        (OLD, PAPER, ["--weights-bands", ",".join(OLD), "--weights-classes", "paper"]),
    ],
)
def test_published_weights_give_their_own_scores(
    net: torch.nn.Module, folder: Path, tmp_path: Path, channels: list[str], classes: list[str], said: list[str]
) -> None:
    """Published weights are evaluated on wrong bands or wrong classes."""
    path, out = published(net, tmp_path, channels, list(classes)), tmp_path / "results.json"
    options = ["--weights", path, "--model", "test_resnet", "--bands", "s2-10", "--shards", folder, *said]
    found = evaluated(*options, "--out", out)
    logits, labels = logits_of(net, folder)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert found["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert (found["count"], found["tuned"], found["thresholds"]) == (20, None, None)
    assert (found["epoch"], found["trained_on"], found["weights"]["file"]) == (None, None, str(path))
    assert found["weights"]["dropped"] == [name for name in channels if name not in BANDS]
    assert json.loads(out.read_text()) == found


def test_statistics_of_a_file_count(net: torch.nn.Module, folder: Path, run: Run, tmp_path: Path) -> None:
    """Pixels are normalised by other statistics than those that were named."""
    path = published(net, tmp_path, BANDS, list(CLASSES))
    options = ["--weights", path, "--model", "test_resnet", "--bands", "s2-10", "--shards", folder]
    options += ["--weights-bands", "reben-s2-v0.2.0"]
    expected = evaluated(*options)
    assert evaluated(*options, "--statistics", run.config.run.out / "statistics.json")["loss"] == expected["loss"]
    statistics = json.loads((run.config.run.out / "statistics.json").read_text())
    turned = {what: {band: values[what] for band, values in statistics.items()} for what in ("mean", "std")}
    file = tmp_path / "statistics.json"
    file.write_text(json.dumps(turned))
    assert evaluated(*options, "--statistics", file)["loss"] == expected["loss"]
    turned["mean"]["B8A"] += 1000
    file.write_text(json.dumps(turned))
    assert evaluated(*options, "--statistics", file)["loss"] != expected["loss"]


def test_a_checkpoint_of_ours_knows_all(run: Run, folder: Path) -> None:
    """A checkpoint outside of its run gives other results than in it."""
    before = json.loads((run.config.run.out / "metrics-test.json").read_text())
    path = run.config.run.out / "checkpoints/best.pt"
    found = evaluated("--weights", path, "--shards", folder)
    # One in a batch of 256 and in batches of 8: the last bits differ.
    assert found["ap_macro"] == pytest.approx(before["ap_macro"], abs=1e-6)
    assert (found["thresholds"], found["rows_sha256"]) == (before["thresholds"], before["rows_sha256"])
    assert found.keys() == before.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected either the folder of a run, RUN, or a file of --weights"),
        (["{run}", "--weights", "{weights}"], "expected either the folder of a run"),
        (["{run}", "--model", "resnet18"], "--model is for --weights; a run knows it"),
        (["{run}", "--out", "{tmp}/o.json"], "--out is for --weights"),
        (["--weights", "{weights}"], "--shards DIR, are missing"),
        (["--weights", "{weights}", "--shards", "{store}"], "give --model and --bands"),
        (["{all}"], "look at 10 channels and do not say which bands they look at; say it by --weights-bands"),
        (["{all}", "--weights-bands", "B02"], "look at 10 channels, but 1 are named"),
        (["{all}", "--weights-bands", "configilm-s2"], "say it with --weights-classes alphabetical"),
        (["{all}", "--weights-bands", "reben-s2-v0.2.0", "--out", "{weights}"], "exists already; name a new file"),
        (["{all}", "--weights-bands", "reben-s2-v0.2.0", "--out", "{tmp}/no/o.json"], "there is no folder"),
        (["{all}", "--weights-bands", "reben-s2-v0.2.0", "--statistics", "{weights}"], "statistics"),
        (["{all}", "--weights-bands", "reben-s2-v0.2.0", "--statistics", "{tmp}"], "it is a folder"),
        (
            ["--weights", "{best}", "--shards", "{store}", "--bands", "rgb"],
            "of ours, which knows its bands; do not",
        ),
    ],
)
def test_errors_are_one_line(
    net: torch.nn.Module, run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """A mistake about weights ends in a traceback, or in results of something else."""
    weights, store = published(net, tmp_path, BANDS, list(CLASSES)), run.config.data.shards
    names = {"run": run.config.run.out, "weights": weights, "store": store, "tmp": tmp_path}
    names["best"] = run.config.run.out / "checkpoints/best.pt"
    if arguments[:1] == ["{all}"]:
        known = ["--weights", "{weights}", "--shards", "{store}", "--model", "test_resnet", "--bands", "s2-10"]
        arguments = known + arguments[1:]
    result = call(*(argument.format(**names) for argument in arguments))
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        "{}",
        '{"B02": 3}',
        '{"B02": {"mean": 1}}',
        '{"B02": {"mean": 1, "std": 0}}',
        '{"B02": {"mean": NaN, "std": 1}}',
        '{"B02": {"mean": true, "std": 1}}',
        '{"mean": {"B02": "1"}, "std": {"B02": 1}}',
        '{"B02": {"mean": 1e999, "std": 1}}',
        "[" * 100_000,
    ],
)
def test_statistics_that_are_none(net: torch.nn.Module, folder: Path, tmp_path: Path, content: str) -> None:
    """Pixels are normalised by something that is no number."""
    path, file = published(net, tmp_path, BANDS, list(CLASSES)), tmp_path / "statistics.json"
    file.write_text(content)
    options = ["--weights", path, "--model", "test_resnet", "--bands", "B02", "--shards", folder]
    result = call(*options, "--weights-bands", "reben-s2-v0.2.0", "--statistics", file)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert "statistics.json" in result.stderr
    # A note on the weights may come first.
    assert result.stderr.splitlines()[-1].startswith("Error: statistics ")
