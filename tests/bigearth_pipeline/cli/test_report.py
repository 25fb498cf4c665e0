"""`bep report` as a user meets it."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from shards.testing.stores import make_store
from tests.bigearth_pipeline.cli.calls import assert_one_error, call, invoke
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three patches."""
    return make_store(tmp_path_factory.mktemp("report") / "store", {"train": 3})


def phases_of(told: str) -> dict[str, str]:
    """Return what there is to do in each phase that a command says, by its title; any other line is an error."""
    found = {}
    for line in told.splitlines():
        match = re.fullmatch(r"([a-z -]+): 0 of ([\d,]+ [a-z ]+)|[a-z -]+: [\d,]+ of [\d,]+ [a-z ]+(, .* left)?", line)
        assert match is not None, line
        if match[1]:
            found[match[1]] = match[2]
    return found


def test_a_report_is_written(small: Path, tmp_path: Path) -> None:
    """The command writes no page, is silent while it works, or prints anything but where the page is on stdout."""
    out = tmp_path / "page.html"
    told = call("report", small, "--out", out, "--samples", 1)
    assert told.returncode == 0, told.stderr
    assert phases_of(told.stderr) == {"charts and tables": "8 sections", "pictures": "1 patch"}
    assert told.stdout.startswith(f"{out}: ")
    assert told.stdout.count("\n") == 1
    assert out.read_bytes().startswith(b"<!DOCTYPE html>")
    assert out.stat().st_size > 100_000
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_wrong_folders_are_one_line(small: Path, tmp_path: Path) -> None:
    """A folder that has no report ends in a traceback, leaves half a page, or does not say what is wrong with it."""
    out = tmp_path / "page.html"
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("")
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "build.json").write_text("{}")
    empty = tmp_path / "empty"
    empty.mkdir()
    for folders, message in (
        ([run], "config.toml is not the configuration of a run"),
        ([small, run], "write a report of each"),
        ([small, small], "2 stores, expected one"),
        ([unfinished], "its build has not finished"),
        ([empty], "is no folder of a store (manifest.json) or of a run"),
        ([tmp_path / "absent"], "it does not exist"),
        ([tmp_path], f"is a folder of runs, expected one run or several by their names: {run}"),
        ([small / "manifest.json"], "it is a file"),
    ):
        result = invoke("report", *folders, "--out", out)
        assert result.exit_code == 1
        assert_one_error(result.stderr, message)
        assert not out.exists()


def test_reports_of_runs_are_written(tmp_path: Path) -> None:
    """A run, or several runs, have no report by the command; or it writes among the files of one."""
    with tarfile.open(ROOT / "tests/golden/0.1/runs.tar.xz") as archive:
        archive.extractall(tmp_path / "runs", filter="data")
    runs = [tmp_path / "runs/finished", tmp_path / "runs/stopped"]
    without = f"{runs[0]} has no predictions of the test split, so the page is without scores by class; they are "
    without += f"written by: bep evaluate {runs[0]} --split test --shards DIR"
    for folders, title, left_out in (
        (runs[:1], "<title>Run finished</title>", [without]),
        (runs, "<title>2 runs compared</title>", []),
    ):
        out = tmp_path / "page.html"
        result = invoke("report", *folders, "--out", out)
        assert result.exit_code == 0
        *others, last = result.stderr.splitlines()
        assert others == left_out
        assert phases_of(last) == {"charts and tables": "3 sections"}
        assert title in out.read_text()
    result = invoke("report", *runs, "--out", runs[1] / "page.html")
    assert result.exit_code == 1
    assert_one_error(result.stderr, "--out", "lies in")


def test_options_without_effect_are_one_line(small: Path, tmp_path: Path) -> None:
    """An option of the report of a run is ignored for stores, or for several runs."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("")
    for arguments, message in (
        ([small, "--split", "test"], "--split test is for reports of runs"),
        ([small, "--shards", small], f"--shards {small} is for reports of runs"),
        ([run, run, "--shards", small], "is for the report of a single run"),
    ):
        result = invoke("report", *arguments, "--out", tmp_path / "page.html")
        assert result.exit_code == 1
        assert_one_error(result.stderr, message)


def test_a_file_of_another_kind_is_kept(small: Path, tmp_path: Path) -> None:
    """`--out` replaces a file that is no report, or writes among the files of the store."""
    out = tmp_path / "notes.html"
    out.write_text("mine")
    result = invoke("report", small, "--out", out)
    assert result.exit_code == 1
    assert_one_error(result.stderr, "notes.html exists and is no report; name another file by --out")
    assert out.read_text() == "mine"
    result = invoke("report", small, "--out", small / "report.html")
    assert_one_error(result.stderr, "--out", "lies in")


def _without(module: str) -> str:
    """Return code that runs `bep` as if a module were not installed."""
    return (
        f"import runpy, sys; sys.modules['{module}'] = None; runpy.run_module('bigearth_pipeline', run_name='__main__')"
    )


@pytest.mark.parametrize("module", ["matplotlib", "jinja2", "PIL"])
def test_an_absent_library_is_one_line(module: str, small: Path, tmp_path: Path) -> None:
    """A traceback says, after the work, that the extra is not installed."""
    command = [sys.executable, "-c", _without(module), "report", str(small), "--out", str(tmp_path / "page.html")]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert told.returncode == 1
    assert_one_error(told.stderr, "is not installed", "pip install 'bigearth-pipeline[report]'")
    assert list(tmp_path.iterdir()) == []


def test_a_plot_without_matplotlib_is_one_line(small: Path, tmp_path: Path) -> None:
    """`bep bench loader --plot` measures for minutes before it says that it cannot draw."""
    command = [
        sys.executable,
        "-c",
        _without("matplotlib"),
        "bench",
        "loader",
        str(small),
        "--plot",
        str(tmp_path / "plot.png"),
    ]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert told.returncode == 1
    assert_one_error(told.stderr, "matplotlib is not installed", "pip install 'bigearth-pipeline[report]'")


def test_building_needs_no_library_of_reports() -> None:
    """A build imports what only reports need, which costs each of its processes time."""
    code = (
        "import sys, bigearth_pipeline.cli.stores.build_shards\n"
        "import bigearth_pipeline.build.run, bigearth_pipeline.build.task\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('matplotlib', 'PIL')\n"
        "       or name.startswith(('bigearth_pipeline.report', 'bigearth_pipeline.pictures'))])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (told.stdout, told.stderr) == ("[]\n", "")
