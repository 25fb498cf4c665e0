"""Targets of the check: met, missed, or not measured."""

from typing import Any

import pytest

from tests.tools.gpu.check.steps import STEPS
from tools.gpu.check.execute import Outcome
from tools.gpu.check.plan import GPU, REHEARSAL, Size, plan_steps
from tools.gpu.check.targets import Row, judge, render


def rates(**medians: float) -> dict[str, Any]:
    return {name: {"median": median} for name, median in medians.items()}


def recorded(
    fed: float = 9950.0, native: float = 70_000.0, gpu: float = 510_000.0, encoded: float = 505_000.0
) -> dict[str, Outcome]:
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
        "rates": rates(
            stacked=65_000,
            native=native,
            gpu_stacked=gpu,
            gpu_native=520_000,
            gpu_encoded_stacked=515_000,
            gpu_encoded_native=encoded,
        ),
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
    assert len(found) == 18
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
        ({"gpu": 499_999.0}, 1),
        ({"encoded": 499_999.0}, 1),
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
    assert rows["loader, raw"].met == "no"
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
