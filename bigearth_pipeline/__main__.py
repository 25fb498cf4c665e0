"""`python -m bigearth_pipeline` is `bep`."""

import os
from collections.abc import Callable
from contextlib import suppress

from bigearth_pipeline.signals import PROGRAM


def run() -> None:
    """Run `bep` as a program, and end it.

    A signal that ends it is heard while commands are still imported, and its status is the same at any moment:
    128 + its number, or that of the command where that has finished all the same.
    """
    status = 1
    try:
        try:
            PROGRAM.listen()
            main = _command()
            main(prog_name="bep")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if status and PROGRAM.came:
                # Libraries may have turned the interruption into an error of theirs.
                status = PROGRAM.status
                raise SystemExit(status) from None
            raise
        finally:
            PROGRAM.finish(status)
    except KeyboardInterrupt:
        PROGRAM.finish(PROGRAM.status)
        with suppress(OSError):
            os.write(2, b"\ninterrupted\n")
        raise SystemExit(PROGRAM.status) from None


def _command() -> Callable[..., object]:
    """Import the command, or end where a file of the user's is imported in place of a library."""
    try:
        from bigearth_pipeline.cli import main
    except Exception as err:
        from bigearth_pipeline.shadowed import shadowed_library

        if line := shadowed_library(err):
            raise SystemExit(f"Error: {line}") from None
        raise
    return main


if __name__ == "__main__":
    run()
