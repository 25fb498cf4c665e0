"""Run the checks in the active environment: `python tools/check.py [--all] [pytest arguments]`.

Tests that are marked `long` are left out, unless `--all` is given; those marked `soak` always are. The tests run in one
process for each core, a file of them at a time, unless the arguments say otherwise (`-n 0`).
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKS = (
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["lint-imports"],
    ["codespell"],
    ["python", "tools/language.py"],
)
MAX_PROCESSES = 4
"""Each has stores of its own for its tests, and takes up to 2.5 GB."""


def run(command: list[str]) -> int:
    """Run a tool of this interpreter's environment, whether or not that is on the PATH; return its exit status."""
    print("$", *command, flush=True)
    return subprocess.run([Path(sys.executable).parent / command[0], *command[1:]], cwd=ROOT).returncode


def main() -> int:
    """Return 0 if the checks pass; the tests come last."""
    failed = [command[0] for command in CHECKS if run(command)]
    if failed:
        print("failed:", *failed, flush=True)
    arguments = sys.argv[1:]
    if "--all" in arguments:
        arguments.remove("--all")
    else:
        arguments = ["-m", "not long and not soak", *arguments]
    processes = min(len(os.sched_getaffinity(0)), MAX_PROCESSES)
    command = ["pytest", "-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder", *arguments]
    return run(command) or bool(failed)


if __name__ == "__main__":
    sys.exit(main())
