"""Actions of the steps of the plan."""

import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tools.gpu.check.command import BEP, Deadline, call
from tools.gpu.check.execute import StepFailed
from tools.gpu.check.plan import CODECS, Size, Step, loader_passes

_END_OF_TESTS: Final = 10.0
"""Seconds before the limit in which no further test is begun, so that there is a report of those that were."""
_PYTEST_REPORTS: Final = (0, 1, 2)
"""Exit statuses of pytest with which it leaves a report: passed, failed, interrupted."""


@dataclass(frozen=True)
class Workplace:
    """Does steps.

    Attributes:
        size: how much is measured.
        work: folder for data.
        logs: folder for what the commands say.
    """

    size: Size
    work: Path
    logs: Path

    def act(self, step: Step, seconds: float) -> dict[str, Any]:
        """Do a step within a number of seconds, and return what it has found.

        Raises:
            StepFailed: it fails, or is not done in time.
        """
        deadline, log = Deadline.within(seconds), self.logs / f"{step.name.replace(' ', '-')}.log"
        match step.action:
            case "synth":
                return self._synth(log, deadline)
            case "store":
                return self._build(step.about[0], log, deadline)
            case "tests":
                return run_tests(self.logs, log, deadline)
            case "kernels":
                return self._kernels(log, deadline)
            case "resume":
                # torch takes seconds to import, which no other step needs in this process.
                from tools.gpu.check.resume import check_resume

                return check_resume(self.size, self._store(CODECS[0]), self.work, log, deadline)
            case "train":
                return self._train(step, log, deadline)
            case "loader":
                return self._loader(step.about, log, deadline)
            case "timm":
                return self._timm(step.about[0], log, deadline)

    def _synth(self, log: Path, deadline: Deadline) -> dict[str, Any]:
        source = self.work / "synth"
        call((*BEP, "synth", "--out", source, "--patches", self.size.patches), log, deadline)
        num_patches = write_table(source / "metadata.parquet", self._table)
        return {"patches": num_patches}

    def _build(self, codec: str, log: Path, deadline: Deadline) -> dict[str, Any]:
        store = self._store(codec)
        source = self.work / "synth" / "BigEarthNet-S2"
        options: tuple[Any, ...] = ("--out", store, "--codec", codec, "--metadata", self._table, "--json")
        # As many shards as a small store needs for batches to come from several.
        options += ("--patches-per-shard", max(16, min(2048, self.size.patches // 8)))
        found: dict[str, Any] = json.loads(call((*BEP, "build-shards", source, *options), log, deadline))
        return found

    def _train(self, step: Step, log: Path, deadline: Deadline) -> dict[str, Any]:
        network, tier = step.about
        options: tuple[Any, ...] = (
            "--model",
            network,
            "--cache",
            tier,
            "--steps",
            self.size.steps,
            "--repeats",
            self.size.repeats,
            "--least-seconds",
            self.size.least_seconds,
        )
        options += ("--precision", self.size.precision, *self._common)
        command = (*BEP, "bench", "train", self._store(CODECS[0]), *options, "--json")
        found: dict[str, Any] = json.loads(call(command, log, deadline))
        return found

    def _kernels(self, log: Path, deadline: Deadline) -> dict[str, Any]:
        printed = call(("-m", "tools.gpu.measure.kernels", "--batch-size", self.size.batch_size), log, deadline)
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found

    def _loader(self, about: tuple[str, ...], log: Path, deadline: Deadline) -> dict[str, Any]:
        codec, *backend = about
        options: tuple[Any, ...] = ("--repeats", self.size.loader_repeats, "--loader", *(backend or ["auto"]))
        options += ("--least-seconds", self.size.least_seconds, *self._common, "--passes", *loader_passes(about))
        printed = call(("-m", "tools.gpu.measure.loading", self._store(codec), *options), log, deadline)
        found: dict[str, Any] = json.loads(printed)
        return found

    def _timm(self, network: str, log: Path, deadline: Deadline) -> dict[str, Any]:
        options: tuple[Any, ...] = ("--precision", self.size.precision, "--steps", self.size.steps)
        options += ("--repeats", self.size.repeats, "--least-seconds", self.size.least_seconds)
        printed = call(("-m", "tools.gpu.measure.timm_rate", network, *options, *self._common), log, deadline)
        found: dict[str, Any] = json.loads(printed)
        return found

    @property
    def _common(self) -> tuple[Any, ...]:
        return ("--batch-size", self.size.batch_size, "--device", self.size.device)

    @property
    def _table(self) -> Path:
        return self.work / "metadata.parquet"

    def _store(self, codec: str) -> Path:
        return self.work / codec


def write_table(source: Path, target: Path) -> int:
    """Write a table of patches anew, with 18 of 20 in the train split, which alone is measured with.

    Args:
        source: BigEarthNet v2's table, where about half of the patches are in that split.
        target: the new table.

    Returns:
        Number of patches.
    """
    table = pq.read_table(source)
    parts = {0: "validation", 1: "test"}
    splits = [parts.get(number % 20, "train") for number in range(len(table))]
    place = table.schema.get_field_index("split")
    pq.write_table(table.set_column(place, "split", pa.array(splits)), target)
    return len(table)


def run_tests(logs: Path, log: Path, deadline: Deadline) -> dict[str, Any]:
    """Run the tests that need a GPU.

    Args:
        logs: folder for pytest's report.
        log: file for its error output.
        deadline: when it has to end.

    Returns:
        Numbers of tests passed, failed and skipped, and the names of those that failed.

    Raises:
        StepFailed: a test failed, or not all were run in time.
    """
    report = logs.absolute() / "tests.xml"
    report.unlink(missing_ok=True)
    # A file that lacks what it imports is a failure of its own, and keeps no other from being run.
    options = ("-m", "gpu", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", f"--junitxml={report}")
    limit = f"--session-timeout={max(1.0, deadline.left - _END_OF_TESTS):.0f}"
    printed = call(("-m", "pytest", *options, limit, *gpu_tests()), log, deadline, _PYTEST_REPORTS)
    with open(log, "a") as file:
        file.write(printed)
    found = read_report(report)
    if found["failed"]:
        raise StepFailed(f"{len(found['failed'])} failed: {', '.join(found['failed'])}", found)
    if "session-timeout" in printed:
        raise StepFailed(f"not all were run within {deadline.seconds:.0f} s", found)
    return found


def gpu_tests(tests: Path = Path("tests")) -> list[Path]:
    """Return the files with a test that needs a GPU.

    They are named one by one because a folder is not entered then unless it has one: what the others prepare for their
    tests may need packages that such a machine lacks.
    """
    return sorted(path for path in tests.rglob("test_*.py") if "pytest.mark.gpu" in path.read_text())


def read_report(path: Path) -> dict[str, Any]:
    """Return how many tests passed and were skipped by pytest's report (JUnit's XML), and which ones failed.

    Raises:
        StepFailed: there is no report.
    """
    if not path.exists():
        raise StepFailed(f"pytest left no report at {path}")
    passed, skipped, failed = 0, 0, []
    for case in ET.parse(path).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return {"passed": passed, "skipped": skipped, "failed": failed}
