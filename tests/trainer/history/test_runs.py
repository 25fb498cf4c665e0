"""Listing runs: what `bep runs` reads, selects and shows."""

import json
import math
import re
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.display.fitting import Column, fitting_table
from shards.storage.lock import exclusive
from tests.support.paths import ROOT
from tests.support.running import commands
from tests.trainer.conftest import Run
from trainer.history.find import find
from trainer.history.query import query
from trainer.history.record import RunRecord


def listed(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["runs", *map(str, arguments)])


def found(*arguments: object) -> list[dict]:  # type: ignore[type-arg]
    result = listed(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def runs(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs in folders of different depths: one of today, two of the first version, and what is none."""
    folder = tmp_path_factory.mktemp("listing")
    shutil.copytree(run.config.run.out, folder / "deep/er/today")
    with tarfile.open(ROOT / "tests/golden/0.1/runs.tar.xz") as archive:
        archive.extractall(folder / "first", filter="data")
    (folder / "empty").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken/config.toml").write_text("[model\n")
    return folder


def test_a_run_is_what_its_files_say(runs: Path, run: Run) -> None:
    record = RunRecord.read(runs / "deep/er/today")
    assert record.config == run.config
    assert record.state == "finished"
    assert [epoch["epoch"] for epoch in record.epochs] == [1, 2, 3, 4]
    assert record.best is not None
    assert record.best["epoch"] == run.result.best_epoch
    values = record.to_json()
    assert run.result.validation is not None
    assert run.result.test is not None
    assert values["validation"]["ap_macro"] == run.result.validation.ap_macro
    assert values["test"]["f1_macro"] == run.result.test.tuned.macro.f1  # type: ignore[union-attr]
    assert values["parameters"] == json.loads((run.config.run.out / "description.json").read_text())["parameters"]
    assert 0 < values["seconds"] < 3600


def test_runs_are_found_at_any_depth_and_broken_ones_named(runs: Path) -> None:
    reports: list[str] = []
    names = [str(record.folder.relative_to(runs)) for record in find(runs, reports.append)]
    assert names == ["deep/er/today", "first/finished", "first/stopped"]
    assert len(reports) == 1
    assert str(runs / "broken/config.toml") in reports[0]
    assert [record.state for record in find(runs, reports.append)] == ["finished", "finished", "stopped"]


def test_a_link_to_a_run_is_that_run(runs: Path, tmp_path: Path) -> None:
    """A run that is linked into a folder is not found, one is listed twice, or a link to all of a disk is searched."""
    (tmp_path / "some").mkdir()
    (tmp_path / "some/linked").symlink_to(runs / "deep/er/today")
    (tmp_path / "some/again").symlink_to(tmp_path / "some/linked")
    (tmp_path / "some/loop").symlink_to(tmp_path / "some")
    (tmp_path / "some/others").symlink_to(runs / "first")
    (tmp_path / "some/gone").symlink_to(tmp_path / "gone")
    assert [record.folder.name for record in find(tmp_path, pytest.fail)] == ["again"]
    shutil.copytree(runs / "first/stopped", tmp_path / "some/run")
    (tmp_path / "some/a").symlink_to(tmp_path / "some/run")
    assert [record.folder.name for record in find(tmp_path, pytest.fail)] == ["again", "run"]
    assert [record.folder.name for record in find(tmp_path / "some/a", pytest.fail)] == ["a"]


def test_conditions_and_order(runs: Path) -> None:
    lr = {Path(one["name"]).name: one["optimisation"]["lr"] for one in found(runs)}
    assert lr["finished"] == lr["stopped"] == 0.05
    assert {Path(one["name"]).name for one in found(runs, "--where", "optimisation.lr > 0.04")} == {
        "finished",
        "stopped",
    }
    assert found(runs, "--where", "len(data.bands) < 3") == []
    scores = [one["validation"]["ap_macro"] for one in found(runs)]
    assert scores == sorted(scores, reverse=True)
    assert [one["epoch"] for one in found(runs, "--sort", "epoch")] == [1, 3, 4]
    # A run without a value comes last, whichever way.
    for sort in ("test.ap_macro", "-test.ap_macro"):
        assert Path(found(runs, "--sort", sort)[-1]["name"]).name == "stopped"


@pytest.mark.parametrize(
    "expression",
    [
        "optimisation.lrr > 1",
        "1; drop table runs",
        "epoch +",
        "read_text('/etc/passwd') = ''",
        "",
        "\x00",
        "unknown",
        "count(*) > 1",
        "random() < 0.5)--",
    ],
)
def test_wrong_expressions_are_one_line(runs: Path, expression: str) -> None:
    for option in ("--where", "--sort"):
        result = listed(runs, option, expression)
        assert result.exit_code == 1, (result.output, option)
        (line,) = [line for line in result.stderr.splitlines() if not line.startswith("left out")]
        assert line.startswith("Error: "), line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_expression_that_takes_long(runs: Path, number: int) -> None:
    """Ctrl-C in the middle of a query ends in a traceback, and in a request to report it."""
    endless = "(with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c) > 0"
    process = commands.start("runs", runs, "--where", endless)
    try:
        assert process.stderr is not None
        # Runs are read before the expression is evaluated.
        assert process.stderr.readline().startswith("left out")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + number
    assert err.strip() == "interrupted"


def test_folders_without_runs(tmp_path: Path) -> None:
    assert listed(tmp_path).stdout == f"no run in {tmp_path}\n"
    assert json.loads(listed(tmp_path, "--json").stdout) == []
    result = listed(tmp_path / "absent")
    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path / 'absent'} does not exist, expected a folder of runs\n")  # noqa: E501  # fmt: skip


def test_a_file_is_no_folder_of_runs(tmp_path: Path) -> None:
    """A file that is there is said not to exist."""
    (tmp_path / "file").write_text("mine")
    result = listed(tmp_path / "file")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'file'} is no folder, expected a folder of runs\n"


def test_a_run_under_way_is_seen_and_not_disturbed(run: Run, tmp_path: Path) -> None:
    """Asking for the state of a run takes its lock, or a killed run counts as under way for ever."""
    folder = shutil.copytree(run.config.run.out, tmp_path / "run")
    with exclusive(folder / ".lock", "the run"):
        content = (folder / ".lock").read_bytes()
        assert RunRecord.read(folder).state == "running"
        assert (folder / ".lock").read_bytes() == content
    assert RunRecord.read(folder).state == "finished"
    dead = json.loads(content) | {"process": 2**22 - 1}
    (folder / ".lock").write_text(json.dumps(dead))
    assert RunRecord.read(folder).state == "finished"


def test_a_line_that_is_being_written_is_left_out(run: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(run.config.run.out, tmp_path / "run")
    path = folder / "metrics.jsonl"
    content = path.read_bytes()
    last = content.rstrip().rindex(b"\n") + 1
    for length in (last, last + 1, len(content) - 1):
        path.write_bytes(content[:length])
        record = RunRecord.read(folder)
        assert (len(record.epochs), record.state) == (3, "stopped")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab", max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text("ab", max_size=3), values, max_size=3),
    max_leaves=4,
)


@given(values=st.dictionaries(st.sampled_from(["parameters", "device"]), json_values), lines=st.lists(
    st.dictionaries(
        st.sampled_from(["step", "seconds", "validation", "train_loss", "is_best", "patches_per_second"]), json_values
    ), max_size=3))  # fmt: skip
def test_foreign_values_are_no_figures(run: Run, tmp_path_factory: pytest.TempPathFactory, values, lines) -> None:  # type: ignore[no-untyped-def]
    """A hand-made file of a run ends the table of all runs."""
    folder = tmp_path_factory.mktemp("foreign")
    shutil.copy(run.config.run.out / "config.toml", folder)
    (folder / "description.json").write_text(json.dumps(values))
    text = "".join(json.dumps({**line, "epoch": number}) + "\n" for number, line in enumerate(lines, 1))
    (folder / "metrics.jsonl").write_text(text)
    records = find(folder, lambda text: None)
    if any(name in text + json.dumps(values) for name in ("NaN", "Infinity")):
        # No number of JSON: the file counts as damaged.
        assert records == []
        return
    (record,) = records
    facts = record.to_json()
    assert all(facts[name] is None or math.isfinite(facts[name]) for name in ("parameters", "seconds", "train_loss"))
    assert query([record, record], "epoch >= 0 and (seconds > 0 or true)") == [record, record]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_tables_fit(runs: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    result = listed(runs)
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= width
    for name in ("deep/er/today", "first/finished", "first/stopped"):
        assert any(line.strip().startswith(name) for line in lines), result.stdout
    assert "…" not in result.stdout


def test_scores_on_other_classes_are_not_ranked(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on 43 classes stands below one on 19 as if it were worse, and its state has no room."""
    for name, classes in (("a", 19), ("b", 43), ("c", 19)):
        shutil.copytree(run.config.run.out, tmp_path / name)
        text = (tmp_path / name / "config.toml").read_text()
        (tmp_path / name / "config.toml").write_text(text.replace("classes = 19", f"classes = {classes}"))
    monkeypatch.setenv("COLUMNS", "80")
    before, after = re.split(r"43\s+classes", listed(tmp_path).stdout)
    assert re.search(r"19\s+classes", before)
    assert re.findall(r"(?m)^ ?([abc]) ", before) == ["a", "c"]
    assert re.findall(r"(?m)^ ?([abc]) ", after) == ["b"]
    assert before.count("finished") == 2
    shutil.rmtree(tmp_path / "b")
    assert "19 classes" not in listed(tmp_path).stdout


@given(
    texts=st.lists(st.lists(st.text("ab \n", max_size=9), min_size=2, max_size=2), min_size=1, max_size=6),
    width=st.integers(20, 120),
)
def test_the_least_important_columns_go_first(texts: list[list[str]], width: int) -> None:
    columns = [Column(f"c{number}", values, number or None) for number, values in enumerate(texts)]
    table = fitting_table("t", columns, width)
    shown = [column.header for column in table.columns]
    kept = [column for column in columns if column.heading in shown]
    dropped = [column for column in columns if column not in kept and any(column.values)]
    assert "c0" in shown
    assert all(a.importance < b.importance for a in dropped for b in kept if a.importance and b.importance)
    named = str(table.caption).partition("left out: ")[2].split("; ")
    assert [name for name in named if name] == [column.heading for column in dropped]


def test_a_long_name_leaves_room_for_scores(run: Run, tmp_path: Path) -> None:
    """The name of a run takes a terminal's width, and the table has no column but it."""
    shutil.copytree(run.config.run.out, tmp_path / ("n" * 90))
    result = CliRunner().invoke(main, ["runs", str(tmp_path)], env={"COLUMNS": "80"})
    assert result.stdout.count("n" * 24) == 3
    assert "finished" in result.stdout
    assert re.search(r"validation\s", result.stdout.partition("───")[0])
    assert max(map(len, result.stdout.splitlines())) <= 80
