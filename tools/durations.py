"""`python tools/durations.py LOG`: write the longest tests and files of a run into `tools/records/tests/`.

The log is what `python tools/check.py --all --durations=0 --durations-min=0.5` printed.
"""

import argparse
import os
import platform
import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

RECORD: Final = Path(__file__).resolve().parent / "records" / "tests" / "durations.txt"
FILES: Final = RECORD.with_name("files.txt")
"""Seconds of each file of tests, by which `tests/conftest.py` orders them."""
_LINE: Final = re.compile(r"^([0-9.]+)s (?:call|setup|teardown) +(\S.*)$", re.MULTILINE)
_LONGEST: Final = 50
_SHORT_FILE: Final = 2.0
"""Seconds; files below are run in any order."""


def summary(log: str) -> list[tuple[float, str]]:
    """Return (seconds, test) of a log, fixtures that a test was the first to use included, the longest first."""
    seconds: dict[str, float] = defaultdict(float)
    for value, test in _LINE.findall(log):
        seconds[test.rstrip()] += float(value)
    return sorted(((value, test) for test, value in seconds.items()), reverse=True)


def by_file(log: str) -> list[tuple[float, str]]:
    """Return (seconds, file) of a log, the longest first."""
    seconds: dict[str, float] = defaultdict(float)
    for value, test in summary(log):
        seconds[test.partition("::")[0]] += value
    return sorted(((value, file) for file, value in seconds.items()), reverse=True)


def main() -> None:
    """Write the records and print its first line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="output of the run")
    parser.add_argument("--load", default="not noted", help="what else ran on the machine")
    arguments = parser.parse_args()
    text = arguments.log.read_text(errors="replace")
    found = summary(text)
    if not found:
        parser.error(f"{arguments.log} has no durations; run `python tools/check.py --all --durations=0`")
    ended = re.findall(r"^=* ?(\d[^=\n]* in [0-9.]+s[^=\n]*?) ?=*$", text, re.MULTILINE)
    date = datetime.fromtimestamp(arguments.log.stat().st_mtime, UTC).date()
    head = [
        f"{ended[-1] if ended else 'the run has no end'}; {date}, {len(os.sched_getaffinity(0))} cores, "
        f"Python {platform.python_version()}; load by other work: {arguments.load}",
        f"Seconds of the {_LONGEST} longest tests, with the fixtures that each was the first to use:",
    ]
    RECORD.write_text("\n".join([*head, *(f"{value:7.1f} {test}" for value, test in found[:_LONGEST])]) + "\n")
    FILES.write_text("".join(f"{value:7.1f} {file}\n" for value, file in by_file(text) if value >= _SHORT_FILE))
    print(head[0])


if __name__ == "__main__":
    main()
