"""Steps of the check: their plan, their time, and the commands that they run."""

import os
import tarfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigearth_pipeline.bench.loader.titles import TITLES
from tests.tools.gpu.check.steps import STEPS, Acts
from tools.gpu.check.actions import read_report, write_table
from tools.gpu.check.command import Deadline, call
from tools.gpu.check.execute import StepFailed
from tools.gpu.check.logs import pack
from tools.gpu.check.plan import GPU, IMAGES, REHEARSAL, Size, loader_passes, plan_steps


@pytest.mark.parametrize("size", [GPU, REHEARSAL])
def test_the_plan_holds_together(size: Size) -> None:
    """A step needs one that comes later or never, two have one name, or they are given more time than there is."""
    steps = plan_steps(size)
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    for number, step in enumerate(steps):
        assert set(step.needs) <= set(names[:number])
    assert 0.9 < sum(step.share for step in steps) <= 0.98


def test_what_is_timed_fits_into_ten_minutes() -> None:
    """A step is ended before it has its figures, however fast the GPU is: its passes alone take longer than it may."""
    minutes, start = 10, 15.0  # Imports, the first steps and batches, which compile or search, and untimed laps.
    passes = {
        # Steps on one batch, fed steps and the loader alone, of `bep bench train`.
        "train": 3 * GPU.repeats,
        "timm": GPU.repeats,
    }
    for step in plan_steps(GPU):
        if step.action == "loader":
            num_passes = len(loader_passes(step.about)) * GPU.loader_repeats
        elif (num_passes := passes.get(step.action, 0)) == 0:
            continue
        assert num_passes * GPU.least_seconds + start <= step.share * minutes * 60, step.name


def test_all_that_a_loader_is_to_reach_is_measured() -> None:
    """A target has no pass, or a pass that a step asks for is none of the benchmark's."""
    asked = [name for step in plan_steps(GPU) if step.action == "loader" for name in loader_passes(step.about)]
    assert set(asked) <= TITLES.keys()
    assert {f"{prefix}{name}" for prefix in ("", "gpu_", "gpu_encoded_") for name in IMAGES} == set(asked)
    # What a lead of Triton is judged by, see `trainer.data.prepare.leads`.
    assert GPU.loader_repeats >= 3


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
    acts = Acts(part=20.0)
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


def test_a_command_ends_in_time_with_its_children(tmp_path: Path) -> None:
    """A command that hangs takes all the time, or its children go on and disturb what is measured next."""
    # In one piece: where Python buffers nothing, `print` writes the end of a line by itself, between those of others.
    script = "import os, time; os.write(2, b'%d\\n' % os.fork()); time.sleep(600)"

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


@pytest.mark.long
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
