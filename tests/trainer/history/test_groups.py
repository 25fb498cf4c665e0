"""Groups of runs whose scores compare."""

import json
import shutil
import string
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import shards
from bigearth_pipeline.cli import main
from shards.testing.stores import make_store
from tests.trainer.conftest import Run
from trainer.config.options import TrainConfig
from trainer.history.find import find
from trainer.history.groups import grouped, letters_of, scored_words
from trainer.history.record import RunRecord
from trainer.runs.scored import SCORED, patches_digest
from trainer.training.start import train


def trained(store: Path, out: Path, **options: object) -> RunRecord:
    train(TrainConfig.of(shards=store, out=out, epochs=1, batch_size=8, **options))
    return RunRecord.read(out)


def test_scores_compare_by_patches_and_labels(tiny: Path, run: Run, tmp_path: Path) -> None:
    """A condition that takes all patches sets a run apart, or one that leaves some out does not."""
    first = trained(tiny, tmp_path / "first")
    same = trained(tiny, tmp_path / "same", where="num_labels >= 0", validation=False)
    fewer = trained(tiny, tmp_path / "fewer", where="right(key, 1) <> '3'")
    ignoring = trained(tiny, tmp_path / "ignoring", ignore_labels=("Arable land",))
    other = RunRecord.read(run.config.run.out)
    assert grouped([first, other, same, fewer, ignoring]) == [[first, same], [other], [fewer], [ignoring]]
    assert scored_words(fewer).endswith("where right(key, 1) <> '3'; 19 classes")
    assert scored_words(ignoring) == f"8 validation and 5 test patches of {tiny}; 19 classes without Arable land"
    tables = CliRunner().invoke(main, ["runs", str(tmp_path)], env={"COLUMNS": "160"}).stdout.split(" of 3 groups")
    shown = [[name for name in ("first", "same", "fewer", "ignoring") if f" {name} " in table] for table in tables]
    assert sorted(shown) == [
        [], ["fewer"], ["first", "same"], ["ignoring"],
    ]  # fmt: skip
    listed = json.loads(CliRunner().invoke(main, ["runs", str(tmp_path), "--json"]).stdout)
    assert {Path(each["name"]).name: each["scored_on"] == first.scored_on for each in listed} == {
        "first": True, "same": True, "fewer": False, "ignoring": False,
    }  # fmt: skip


def test_the_format_of_a_store_does_not_count(tmp_path: Path) -> None:
    """Runs on the tars and on the Zarr groups of the same patches are set apart, or patches of other labels are not."""
    found = []
    for name in ("webdataset", "zarr"):
        with shards.open(make_store(tmp_path / name, {"train": 12}, format=name)) as store:
            labels, rows = store.index.labels(), np.arange(12)
            found.append(patches_digest(store.index, rows, labels))
            assert patches_digest(store.index, rows[::-1].copy(), labels) == found[-1]
            assert patches_digest(store.index, rows[1:], labels) != found[-1]
            assert patches_digest(store.index, rows, 1 - labels) != found[-1]
    assert found[0] == found[1]


@pytest.mark.parametrize("value", [None, 7, [], {"test": [{}]}])
def test_runs_that_do_not_say_their_patches(run: Run, tmp_path: Path, value: object) -> None:
    """Old runs of one store are set apart, or those of two are not; foreign values end in a traceback."""
    for name in ("a", "b", "c"):
        shutil.copytree(run.config.run.out, tmp_path / name)
        path = tmp_path / name / "description.json"
        described = json.loads(path.read_text()) | {SCORED: value}
        if name == "c":
            described["manifest_sha256"] = "other"
        if value is None:
            del described[SCORED]
        path.write_text(json.dumps(described))
    groups = grouped(find(tmp_path, pytest.fail))
    names = [[record.folder.name for record in group] for group in groups]
    assert names == ([["a", "b"], ["c"]] if value is None else [["a", "b", "c"]])


def test_letters_go_on_after_z() -> None:
    """The 27th group has no letter, that of another one, or one that is no letter."""
    one = list(string.ascii_uppercase)
    two = [first + second for first in one for second in one]
    three = [first + second for first in one for second in two]
    expected = one + two + three
    assert [letters_of(number) for number in range(len(expected))] == expected
