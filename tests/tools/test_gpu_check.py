"""The check for a GPU: its time is shared out, failures are reported and keep nothing else from being done."""

import json
import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import conftest
from tools.gpu.check.actions import gpu_tests, read_report, write_table
from tools.gpu.check.command import ROOT, Deadline, call
from tools.gpu.check.execute import Outcome, StepFailed, carry_out
from tools.gpu.check.logs import pack
from tools.gpu.check.plan import GPU, REHEARSAL, Size, Step, plan_steps
from tools.gpu.check.targets import Row, judge, render
from tools.gpu_check import main

STEPS = plan_steps(GPU)


class Acts:
    """Steps that take a part of their limit, by a clock of their own; some of them fail."""

    def __init__(self, part: float = 1.0, failing: tuple[str, ...] = ()) -> None:
        self.now, self.limits, self._part, self._failing = 0.0, dict[str, float](), part, failing

    def clock(self) -> float:
        """Return the seconds that steps have taken."""
        return self.now

    def __call__(self, step: Step, seconds: float) -> dict[str, Any]:
        """Do a step."""
        self.limits[step.name] = seconds
        self.now += self._part * seconds
        if step.name in self._failing:
            raise StepFailed("two\nlines", {"so far": 1})
        return {"name": step.name}

    def carry_out(self, total: float) -> dict[str, Outcome]:
        """Do all steps of the check on a GPU."""
        return {outcome.name: outcome for outcome in carry_out(STEPS, total, self, self.clock)}


@pytest.mark.parametrize("size", [GPU, REHEARSAL])
def test_the_plan_holds_together(size: Size) -> None:
    """A step needs one that comes later or never, two have one name, or they are given more time than there is."""
    steps = plan_steps(size)
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    for number, step in enumerate(steps):
        assert set(step.needs) <= set(names[:number])
    assert 0.9 < sum(step.share for step in steps) <= 0.98


@given(total=st.floats(10, 1000), part=st.floats(0, 1))
def test_no_step_takes_the_time_of_another(total: float, part: float) -> None:
    """Steps that use all they are given leave others less than their share, or the check takes longer than it may."""
    acts = Acts(part)
    outcomes = acts.carry_out(total)
    assert all(outcome.status == "done" for outcome in outcomes.values())
    assert all(acts.limits[step.name] >= step.share * total * (1 - 1e-9) for step in STEPS)
    assert acts.now <= total * (1 + 1e-9)
    # The last one gets all that was spared.
    assert acts.limits[STEPS[-1].name] * (1 - part) == pytest.approx(total - acts.now, abs=1e-6)


def test_steps_are_skipped_when_the_time_is_used_up() -> None:
    """The check runs for ever after a step that cannot be ended, or says nothing of what it left out."""
    acts = Acts(part=9.0)
    outcomes = list(acts.carry_out(600).values())
    assert outcomes[0].status == "done"
    for outcome in outcomes[1:]:
        assert outcome.status == "skipped"
        assert outcome.reason is not None
        assert "the time is used up: 0 s are left for it, expected at least" in outcome.reason


def test_a_failure_stops_only_what_needs_it() -> None:
    """One failure ends the whole check, or work is done on a store that is not there."""
    outcomes = Acts(part=0.1, failing=("store raw", "tests")).carry_out(600)
    status = {name: outcome.status for name, outcome in outcomes.items()}
    assert [name for name in status if status[name] == "failed"] == ["store raw", "tests"]
    assert [name for name in status if status[name] == "skipped"] == ["loader raw"]
    assert outcomes["tests"].reason == "two lines"
    assert outcomes["tests"].found == {"so far": 1}
    assert outcomes["loader raw"].reason == "needs store raw, which is not there"


def rates(**medians: float) -> dict[str, Any]:
    return {name: {"median": median} for name, median in medians.items()}


def recorded(fed: float = 9950.0, native: float = 70_000.0, gpu: float = 510_000.0) -> dict[str, Outcome]:
    """Outcomes in which resident steps and timm's loop reach 10,000 patches/s."""
    training = {
        "rates": {"fed": {"median": fed, "start_seconds": [0.1, 0.2]}, "resident": {"median": 10_000}},
        "saturation": fed / 10_000,
        "idle_share": 0.004,
        "host_cores": 3.25,
        "memory_bytes": 12_345_678_901,
        "epochs": [{"dataset": "v2 train", "seconds": {"steps": 23.87}}, {"dataset": "v2 train", "seconds": {}}],
    }
    loading = {
        "rates": rates(stacked=65_000, native=native, gpu_stacked=gpu, gpu_native=520_000),
        "missing": {},
    }
    resumed = {"bit_equal": False, "difference_before": 0.0001, "difference_behind": 0.0004}
    found: dict[str, dict[str, Any]] = {
        "tests": {"passed": 25, "skipped": 0, "failed": []},
        "resume": resumed,
        "timm resnet50": {"median": 9900.0},
    }
    found |= {step.name: training for step in STEPS if step.action == "train"}
    found |= {step.name: loading for step in STEPS if step.action == "loader"}
    return {step.name: Outcome(step.name, "done", 1.0, found=found.get(step.name, {})) for step in STEPS}


def met(outcomes: dict[str, Outcome], size: Size = GPU) -> dict[str, str]:
    return {row.what: row.met for row in judge(size, outcomes)}


def test_targets_that_are_met() -> None:
    """A figure that reaches its target is not shown as such, or a target has no row."""
    found = met(recorded())
    assert len(found) == 21
    assert sorted(set(found.values())) == ["reported", "yes"]
    assert all((verdict == "reported") == what.startswith("what it takes") for what, verdict in found.items())
    text = render(judge(GPU, recorded()))
    assert "99.5% (9,950 of 10,000 patches/s; idle 0.4%)" in text
    assert "65,000/s at 10 m, 70,000/s native" in text
    assert "epoch of v2 train 23.9 s, peak 12.3 GB, 3.2 host cores, start 0.15 s" in text


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"fed": 9890.0}, 4),
        ({"fed": 9800.0}, 5),
        ({"native": 59_999.0}, 5),
        ({"gpu": 499_999.0}, 5),
    ],
)
def test_targets_that_are_missed(change: dict[str, float], missed: int) -> None:
    """A figure below its target passes, or another row takes it."""
    assert list(met(recorded(**change)).values()).count("no") == missed


def test_the_table_shows_failures() -> None:
    """A failed or skipped step looks like a target that is met, hides its reason, or breaks the table."""
    outcomes = recorded()
    outcomes["tests"] = Outcome(
        "tests", "failed", 1.0, "1 failed: a::b", {"passed": 9, "skipped": 0, "failed": ["a::b"]}
    )
    outcomes["resume"] = Outcome("resume", "failed", 1.0, "a reason")
    outcomes["timm resnet50"] = Outcome("timm resnet50", "skipped", reason="the time is used up")
    outcomes["loader raw"] = Outcome("loader raw", "failed", 1.0, "exit status 1: Error: no room")
    rows = {row.what: row for row in judge(GPU, outcomes)}
    assert rows["tests that need a GPU"].met == "no"
    assert rows["tests that need a GPU"].measured == "9 passed, 1 failed, 0 skipped"
    assert rows["killed and resumed"] == Row("killed and resumed", "losses as without", "resume failed: a reason", "no")
    assert rows["resnet50 fed from shards, of timm's rate"].met == "not measured"
    assert rows["loader, raw, --cache gpu"].met == "no"
    assert rows["loader, blosc-lz4"].met == "yes"
    assert "exit status 1: Error: no room" in render(list(rows.values()))


def test_tests_that_were_all_skipped_do_not_pass() -> None:
    """Tests of a GPU count as passed where torch sees none."""
    outcomes = recorded()
    outcomes["tests"] = Outcome("tests", "done", 1.0, found={"passed": 0, "skipped": 25, "failed": []})
    assert met(outcomes)["tests that need a GPU"] == "no"


def test_a_rehearsal_measures_nothing() -> None:
    """Figures of a CPU are taken for those of a GPU."""
    outcomes = {step.name: Outcome(step.name, "failed", 1.0, "a reason") for step in plan_steps(REHEARSAL)}
    assert set(met(outcomes, REHEARSAL).values()) <= {"not measured", "rehearsal"}
    same_names = Size(**{**vars(REHEARSAL), "networks": GPU.networks, "tiers": GPU.tiers})
    assert set(met(recorded(), same_names).values()) == {"rehearsal"}


def test_a_command_ends_in_time_with_its_children(tmp_path: Path) -> None:
    """A command that hangs takes all the time, or its children go on and disturb what is measured next."""
    script = "import os, sys, time; print(os.fork(), file=sys.stderr, flush=True); time.sleep(600)"

    class OnceStarted(Deadline):
        """A deadline that is over when parent and child have said that they run."""

        @property
        def left(self) -> float:
            """Seconds until then."""
            while (tmp_path / "log").read_text().count("\n") < 3:
                time.sleep(0.01)
            return 0.0

    with pytest.raises(StepFailed, match=r"not done within 1 s, see log"):
        call(("-c", script), tmp_path / "log", OnceStarted(1.0, 0.0))
    child = max(int(line) for line in (tmp_path / "log").read_text().splitlines()[1:])
    deadline = time.monotonic() + 60
    while running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(pid: int) -> bool:
    """True if a process is there and is not only waiting to be reaped."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    """Nobody learns what was wrong with a command."""
    with pytest.raises(StepFailed, match=r"^exit status 3: Error: no room$"):
        call(
            ("-c", "import sys; print('Error: no room\\n', file=sys.stderr); sys.exit(3)"),
            tmp_path / "log",
            Deadline.within(20),
        )


def test_the_report_of_pytest_is_read(tmp_path: Path) -> None:
    """Failed tests, or errors in their fixtures, are counted as passed or not named."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.fixture\ndef bad(): 1 / 0\n"
        "def test_good(): pass\n"
        "def test_wrong(): assert False\n"
        "def test_broken(bad): pass\n"
        "@pytest.mark.skip\ndef test_skipped(): pass\n"
    )
    report = tmp_path / "report.xml"
    options = (f"--rootdir={tmp_path}", f"--junitxml={report}", "-p", "no:cacheprovider", "-q")
    call(("-m", "pytest", *options, tmp_path / "test_it.py"), tmp_path / "log", Deadline.within(30), (1,))
    found = read_report(report)
    assert (found["passed"], found["skipped"]) == (1, 1)
    assert sorted(name.partition("::")[2] for name in found["failed"]) == ["test_broken", "test_wrong"]


def test_the_logs_are_one_file(tmp_path: Path) -> None:
    """The output of a command is lost, or stays in a folder that a later step fills further."""
    logs, target = tmp_path / "logs", tmp_path / "logs.tar.gz"
    pack(logs, target)
    with tarfile.open(target) as tar:
        assert tar.getnames() == []
    logs.mkdir()
    for name in ("a.log", "b.log"):
        (logs / name).write_text(name)
        pack(logs, target)
    with tarfile.open(target) as tar:
        assert {name: tar.extractfile(name).read() for name in tar.getnames()} == {  # type: ignore[union-attr]
            "logs/a.log": b"a.log",
            "logs/b.log": b"b.log",
        }


@pytest.mark.parametrize("expression", ["gpu", "not gpu", ""])
def test_only_files_with_tests_of_a_gpu_are_collected(expression: str) -> None:
    """Minutes on a GPU go by before the first test, or it is never run; or a file is left out elsewhere."""
    config = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
    files = [path for path in (ROOT / "tests").rglob("*") if path.suffix == ".py" or path.is_dir()]
    left_out = {path for path in files if conftest.pytest_ignore_collect(path, config)}  # type: ignore[arg-type]
    # As a decorator, for a whole file, or for a case of a table. Not in one piece: this file has none.
    marked = {path for path in files if path.is_file() and re.search("mark[.]gpu", path.read_text())}
    assert {"test_ema.py", "test_gpu_kernels.py", "test_preparations.py"} <= {path.name for path in marked}
    assert not left_out & marked
    # A folder without any is not entered: its conftest.py may import what is not installed there.
    entered = {folder for path in marked for folder in path.parents}
    assert left_out == (set(files) - marked - entered if expression == "gpu" else set())


def test_tests_of_a_gpu_need_no_package_of_the_builds(tmp_path: Path) -> None:
    """A machine that is there for its GPU, and lacks what builds stores or reads foreign ones, runs no test at all."""
    absent = ("distributed", "dask", "rasterio", "webdataset", "nvidia", "zstandard", "rapidgzip", "obstore", "captum")
    for name in (
        *absent,
        "geopandas",
        "html5lib",
        "jsonschema",
        "moto",
        "playwright",
        "pystac",
        "rio_cogeo",
        "shapely",
    ):
        (tmp_path / f"{name}.py").write_text("raise ImportError('made to look absent')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    files = gpu_tests(ROOT / "tests")
    assert {"test_ema.py", "test_gpu_kernels.py", "test_benchmarks.py"} <= {path.name for path in files}
    folders = {folder for file in files for folder in file.relative_to(ROOT).parents}
    modules = sorted(".".join((*f.parts, "conftest")) for f in folders if (ROOT / f / "conftest.py").exists())
    assert {"tests.conftest", "tests.trainer.conftest"} <= set(modules)
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_table_of_patches_is_for_training(tmp_path: Path) -> None:
    """Too few patches are in the train split for a pass, or a split is empty and nothing can be trained."""
    table = pa.table({"patch_id": [str(i) for i in range(100)], "split": ["test"] * 100, "country": ["Ireland"] * 100})
    pq.write_table(table, tmp_path / "old.parquet")
    assert write_table(tmp_path / "old.parquet", tmp_path / "new.parquet") == 100
    found = pq.read_table(tmp_path / "new.parquet")
    assert found.column_names == table.column_names
    assert found["patch_id"] == table["patch_id"]
    counts = {row["values"]: row["counts"] for row in found["split"].combine_chunks().value_counts().to_pylist()}
    assert counts == {"train": 90, "validation": 5, "test": 5}


def test_a_session_without_time_still_leaves_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no table or no file when nothing could be done, or it looks like success, or data stays behind."""
    work = tmp_path / "work"
    options = ["--device", "cpu", "--minutes", "1e-9", "--out", str(tmp_path / "out"), "--work", str(work)]
    assert main(options) == 1
    # Machines with a GPU may return a few files only.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gpu-check.json", "logs.tar.gz"]
    found = json.loads((tmp_path / "out/gpu-check.json").read_text())
    assert {step["status"] for step in found["steps"]} == {"skipped"}
    assert {row["met"] for row in found["targets"]} == {"not measured"}
    assert found["environment"]["cores"] >= 1
    assert {"torch", "timm"} <= found["environment"]["versions"].keys()
    assert "saturation, bepnet-s, --cache ram" in capsys.readouterr().out
    assert not any(work.iterdir())
    # The results of one check are not replaced by those of the next.
    before = (tmp_path / "out/gpu-check.json").read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
    assert "holds the results of an earlier check" in capsys.readouterr().err
    assert (tmp_path / "out/gpu-check.json").read_bytes() == before
