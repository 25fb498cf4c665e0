"""`bep train --seed 0-4`: runs that differ in their seed, one folder each."""

import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.models.seeds import _table
from tests.trainer.training.comparing import assert_same_weights
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint
from trainer.runtime.stop import Request

WORDS = [
    "--set",
    "model.model=test_resnet",
    "--device",
    "cpu",
    "--loader",
    "torch",
    "--batch-size",
    "8",
    "--epochs",
    "1",
]


def call(store: Path, out: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["train", str(store), "--out", str(out), *WORDS, *more])


@pytest.fixture(scope="module")
def both(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of two runs, and what the command printed."""
    out = tmp_path_factory.mktemp("seeds") / "runs"
    result = call(tiny, out, "--seed", "3-4", "--test", "--json")
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


@pytest.mark.long
def test_each_run_is_that_of_its_seed(both: tuple[Path, dict[str, Any]], tiny: Path, tmp_path: Path) -> None:
    """A run of several has another seed than it says, or state of the run before."""
    out, printed = both
    assert sorted(path.name for path in out.iterdir()) == ["seed-3", "seed-4"]
    single = call(tiny, tmp_path / "single", "--seed", "4", "--test")
    assert single.exit_code == 0, single.output
    assert_same_weights(out / "seed-4", tmp_path / "single")
    assert [run["seed"] for run in printed["runs"]] == [3, 4]
    for split in ("validation", "test"):
        values = [run[split]["ap_macro"] for run in printed["runs"]]
        assert len(set(values)) == 2
        assert printed["summary"][split]["ap_macro"] == {"mean": fmean(values), "std": stdev(values)}
    test = json.loads((out / "seed-3/metrics-test.json").read_text())
    assert printed["runs"][0]["test"]["ap_macro"] == test["ap_macro"]


@pytest.mark.long
def test_the_same_command_trains_what_is_left(
    both: tuple[Path, dict[str, Any]], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished runs are trained again, or a run with other options passes for one of them."""
    out, printed = both
    before = [path.read_bytes() for path in sorted(out.rglob("last.pt"))]
    again = call(tiny, out, "--seed", "3-4", "--test")
    assert again.exit_code == 0, again.output
    assert again.stderr.count("finished already") == 2
    assert [path.read_bytes() for path in sorted(out.rglob("last.pt"))] == before
    summary = printed["summary"]["test"]["ap_macro"]
    assert f"{100 * summary['mean']:.2f} ± {100 * summary['std']:.2f}" in again.stdout
    other = call(tiny, out, "--seed", "2-4", "--lr", "0.5")
    assert (other.exit_code, other.stdout) == (1, "")
    assert "seed-3 holds a run with optimisation.lr 0.001; name a new folder" in other.stderr
    assert not (out / "seed-2").exists()


@pytest.mark.long
def test_ctrl_c_stops_all(
    both: tuple[Path, dict[str, Any]], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C stops one run, and the next one begins; or a run begins anew that was stopped."""
    out = tmp_path / "runs"
    requests = [Request.NONE, Request.SIGNAL]
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runtime.stop.Stop.request", lambda self: requests.pop(0))
        stopped = call(tiny, out, "--seed", "3-4", "--test")
    assert (stopped.exit_code, stopped.stdout) == (130, ""), stopped.output
    assert "interrupted: the state is saved in" in stopped.stderr
    assert [path.name for path in out.iterdir()] == ["seed-3"]
    progress = Checkpoint.read(out / "seed-3" / run_folder.LAST).progress
    assert progress is not None
    assert progress["state"]["step"] == 2
    resumed = call(tiny, out, "--seed", "3-4", "--test")
    assert resumed.exit_code == 0, resumed.output
    for seed in (3, 4):
        assert_same_weights(out / f"seed-{seed}", both[0] / f"seed-{seed}")


def test_f1_of_validation_says_where_its_thresholds_are_from() -> None:
    """F1 at thresholds that were tuned on the very patches looks like that on other ones."""
    scores = dict.fromkeys(("ap_macro", "ap_micro", "f1_macro", "f1_micro"), 0.5)
    for splits, has_validation in ((("validation", "test"), True), (("test",), False)):
        fact = {split: scores if split in splits else dict.fromkeys(scores) for split in ("validation", "test")}
        table = _table((3, 4), [fact, fact], Path("runs"))
        marked = [str(column.header) for column in table.columns if str(column.header).endswith("*")]
        assert all(header.startswith("validation\nF1") for header in marked)
        assert bool(marked) is has_validation
        assert ("tuned on these very patches" in str(table.caption)) is has_validation


def test_a_mark_in_the_list_of_columns_left_out_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a narrow table a column is named with an asterisk that nothing explains."""
    monkeypatch.setenv("COLUMNS", "40")
    fact = {split: dict.fromkeys(("ap_macro", "f1_macro"), 0.5) for split in ("validation", "test")}
    fact = {split: dict.fromkeys(("ap_micro", "f1_micro")) | scores for split, scores in fact.items()}
    table = _table((3, 4), [fact, fact], Path("runs"))
    assert not any(str(column.header).endswith("*") for column in table.columns)
    assert "validation F1 macro*" in str(table.caption)
    assert "* F1 tuned here" in str(table.caption)


@pytest.mark.parametrize(
    ("seed", "status", "words"),
    [
        ("a", 2, "'a' is no seed, expected an integer from 0, or a range such as 0-4"),
        ("-1", 2, "expected an integer from 0"),
        ("4-", 2, "expected an integer from 0"),
        ("9" * 5000, 2, "expected an integer from 0"),
        ("0-" + "9" * 20, 2, "expected 1 to 100"),
        ("4-3", 2, "'4-3' is reversed, expected the smaller seed first: 3-4"),
        ("0-100", 2, "'0-100' has 101 seeds, expected 1 to 100"),
        (str(2**63), 1, "--seed is 9223372036854775808, expected an integer of at least 0 and at most"),
    ],
)
def test_other_seeds_are_refused(tmp_path: Path, seed: str, status: int, words: str) -> None:
    """A range that is wrong trains something else."""
    result = call(tmp_path, tmp_path / "run", f"--seed={seed}")
    assert result.exit_code == status, result.output
    assert words in result.stderr
    assert not (tmp_path / "run").exists()


def test_ranges_are_for_new_runs_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A range beside --resume is ignored, or processes of torchrun train over each other."""
    result = CliRunner().invoke(main, ["train", "--resume", str(tmp_path), "--seed", "0-1"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "--resume is for one run" in result.stderr
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = call(tmp_path, tmp_path / "run", "--seed", "0-1")
    assert result.exit_code == 1
    assert "a range of --seed trains in one process; start torchrun for each seed" in result.stderr


@pytest.mark.long
def test_runs_of_several_seeds_lie_in_no_run_or_store(both: tuple[Path, dict[str, Any]], tiny: Path) -> None:
    """Runs are trained in the folder of another run, where `bep runs` does not look, or among the files of a store."""
    run = both[0] / "seed-3"
    for out, kind in ((run, "run"), (tiny, "store")):
        result = call(tiny, out, "--seed", "0-1")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            f"Error: {out} is a {kind}, expected a folder outside of one; name another"
        ]
        assert not list(out.glob("seed-*"))
