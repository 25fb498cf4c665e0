"""Write the versions with which the checks passed into `constraints.txt`, and try them.

    python tools/check.py --all && python tools/constraints.py
    python tools/constraints.py --try     # a fresh virtual environment from the file, `pip check` and `bep quickstart`

The file holds what the project and its extras need, directly and indirectly, as installed in the active environment.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[1]
FILE: Final = ROOT / "constraints.txt"
PROJECT: Final = "bigearth-pipeline"
EXTRAS: Final = ("cloud", "explain", "export", "report", "serve", "test")


def closure(name: str, extras: frozenset[str]) -> dict[str, str]:
    """Return name → version of all that an installed distribution with extras needs, without itself.

    Requirements whose markers do not hold here, and those of extras that nobody asks for, are left out.

    Raises:
        PackageNotFoundError: a requirement is not installed.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(name), extras)]
    while todo:
        current, wanted = todo.pop()
        for extra in ("", *sorted(wanted)):
            if (current, extra) in seen:
                continue
            seen.add((current, extra))
            for text in distribution(current).requires or ():
                requirement = Requirement(text)
                if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                    continue
                needed = canonicalize_name(requirement.name)
                found[needed] = distribution(needed).version
                todo.append((needed, frozenset(requirement.extras)))
    found.pop(canonicalize_name(name), None)
    return found


def try_constraints() -> None:
    """Install the project with the constraints into a fresh environment, and run it.

    Raises:
        CalledProcessError: something fails.
    """
    with tempfile.TemporaryDirectory(prefix="bep-constraints-") as folder:
        venv.create(Path(folder) / "venv", with_pip=True)
        python = Path(folder) / "venv/bin/python"
        extras = ",".join(EXTRAS)
        for words in (
            ["pip", "install", "--quiet", "--disable-pip-version-check", "-c", FILE, f"{ROOT}[{extras}]"],
            ["pip", "check"],
            ["bigearth_pipeline", "quickstart", "--out", Path(folder) / "quickstart"],
        ):
            print("$ python -m", *words, flush=True)
            # Not in the checkout, whose packages would be found first.
            subprocess.run([python, "-m", *map(str, words)], cwd=folder, check=True)


def main() -> int:
    """Write or try the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--try", dest="tried", action="store_true", help="install from the file and run the quickstart")
    if parser.parse_args().tried:
        try:
            try_constraints()
        except subprocess.CalledProcessError as err:
            print(f"failed with status {err.returncode}", file=sys.stderr)
            return 1
        return 0
    try:
        versions = closure(PROJECT, frozenset(EXTRAS))
    except PackageNotFoundError as err:
        parser.error(f"{err.name} is not installed; install the project with its extras first")
    head = (
        "# Versions with which the checks passed: pip install -c constraints.txt .\n"
        f"# Python {sys.version_info.major}.{sys.version_info.minor}, {sys.platform}, {datetime.now(UTC).date()}; "
        "written by tools/constraints.py.\n"
    )
    FILE.write_text(head + "".join(f"{name}=={version}\n" for name, version in sorted(versions.items())))
    print(f"{FILE}: {len(versions)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
