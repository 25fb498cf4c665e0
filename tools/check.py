"""Run the checks in the active environment: `python tools/check.py [--all] [pytest arguments]`.

Without `--all` the tests that are marked `long`, `process`, `server` or `train` are left out, unless they are marked
`smoke` as well, and Hypothesis tries a quarter of its examples; those marked `soak` always are left out. The tests run
in one process for each core, a file of them at a time, unless the arguments say otherwise (`-n 0`).
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

try:
    from tests.support.examples import QUICK
except ModuleNotFoundError as err:
    raise SystemExit(f"{err.name} is not installed, and the checks need it: pip install -e '.[test]'") from None

CHECKS = (
    ["mypy"],
    ["lint-imports"],
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["codespell"],
    ["python", "tools/language.py"],
)
"""The longest first: they run beside each other."""
QUICK_TESTS = "not soak and (smoke or not (long or process or server or train))"
MAX_PROCESSES = 4
"""Each has stores of its own for its tests, and takes up to 2.5 GB."""


def tool(command: list[str]) -> list[str | Path]:
    """Return a command with the tool of this interpreter's environment, whether or not that is on the PATH."""
    return [Path(sys.executable).parent / command[0], *command[1:]]


def check(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a tool; return its exit status and all that it printed."""
    return subprocess.run(tool(command), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main() -> int:
    """Return 0 if the checks pass; the tests come last."""
    processes = min(len(os.sched_getaffinity(0)), MAX_PROCESSES)
    # Every process of the tests, of which there are hundreds, would compile all modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    failed = []
    with ThreadPoolExecutor(processes) as pool:
        for command, done in zip(CHECKS, pool.map(check, CHECKS), strict=True):
            print("$", *command, flush=True)
            print(done.stdout, end="", flush=True)
            if done.returncode:
                failed.append(command[0])
    if failed:
        print("failed:", *failed, flush=True)
    arguments = sys.argv[1:]
    if "--all" in arguments:
        arguments.remove("--all")
    else:
        arguments = ["-m", QUICK_TESTS, "--hypothesis-profile", QUICK, *arguments]
    command = ["pytest", "-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder", *arguments]
    print("$", *command, flush=True)
    return subprocess.run(tool(command), cwd=ROOT).returncode or bool(failed)


if __name__ == "__main__":
    sys.exit(main())
