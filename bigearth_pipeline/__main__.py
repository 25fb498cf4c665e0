"""`python -m bigearth_pipeline` is `bep`."""

import os
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
            from bigearth_pipeline.cli import main

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


if __name__ == "__main__":
    run()
