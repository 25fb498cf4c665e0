"""Run all checks in the active environment: `python tools/check.py [pytest arguments]`."""

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
)


def main() -> int:
    """Return 0 if all checks pass; the tests come last."""
    failed = []
    for command in CHECKS:
        print("$", *command, flush=True)
        # The tools of this interpreter's environment, whether or not it is on the PATH.
        tool = Path(sys.executable).parent / command[0]
        if subprocess.run([tool, *command[1:]], cwd=ROOT).returncode:
            failed.append(command[0])
    if failed:
        print("failed:", *failed, flush=True)
    tests = subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], cwd=ROOT)
    return tests.returncode or bool(failed)


if __name__ == "__main__":
    sys.exit(main())
