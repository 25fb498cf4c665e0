"""Weights & Biases: where to is what its own settings say (`WANDB_PROJECT`, `WANDB_DIR`, `WANDB_MODE=offline` …)."""

import math
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import wandb

from shards.errors import InvalidValue
from shards.text.json_fields import shown

PROJECT: Final = "bigearthnet"
"""Name of the project unless WANDB_PROJECT says otherwise."""
STEP: Final = "step"
_WAIT_SECONDS: Final = 30
"""Seconds to wait for the server, unless WANDB_INIT_TIMEOUT says otherwise; by itself the library waits for 90."""


class WandbLogger:
    """A run of Weights & Biases; its files are in the folder `wandb` of the run, or of WANDB_DIR where that is set."""

    def __init__(self, run: "wandb.Run") -> None:
        self.id = str(run.id)
        self._run = run
        # By a number of ours: a run that is resumed goes back to a step before the last that was logged.
        run.define_metric("*", step_metric=STEP)

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """See `Logger`."""
        self._run.log({STEP: step, **scalars})

    def end(self, *, failed: bool) -> None:
        """See `Logger`."""
        self._run.finish(exit_code=int(failed))
        wandb.teardown()


def open_logger(folder: Path, options: dict[str, Any], known: str | None) -> WandbLogger:
    """See `Opener`."""
    seconds = _wait_seconds()
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=os.environ.get("WANDB_DIR") or str(folder),
            id=known or secrets.token_hex(4),
            resume="allow",
            name=os.environ.get("WANDB_NAME", folder.name),
            config=options,
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                disable_job_creation=True,
                init_timeout=seconds,
            ),
        )
    except BaseException:
        # Its process would write on into the folder.
        wandb.teardown()
        raise
    return WandbLogger(run)


def _wait_seconds() -> float:
    given = os.environ.get("WANDB_INIT_TIMEOUT")
    if given is None:
        return _WAIT_SECONDS
    with suppress(ValueError):
        if 0 < (seconds := float(given)) < math.inf:
            return seconds
    raise InvalidValue(f"the variable WANDB_INIT_TIMEOUT is {shown(given)}, expected seconds to wait for the server")
