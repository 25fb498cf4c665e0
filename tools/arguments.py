"""Arguments of the tools, and how a tool ends: one line for what a person can mend, a traceback for a bug."""

import argparse
import math
import signal
import sys
from collections.abc import Callable

from shards.reporting import bug_report, one_line


def count(text: str) -> int:
    """Return an integer of at least 1; for `type=` of argparse.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected an integer of at least 1")
    return value


def positive(text: str) -> float:
    """Return a finite number above 0; for `type=` of argparse.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number above 0")
    return value


def run(main: Callable[[], object]) -> None:
    """Call `main`, and end the program with what it returns, or with status 1 and a line on what was wrong.

    SIGTERM ends it as an exception does, so that folders for temporary data are removed.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        status = main()
    except Exception as err:
        if (line := one_line(err)) is None:
            print(bug_report(), file=sys.stderr)
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
