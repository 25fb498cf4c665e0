"""Runs whose processes `torchrun` starts again, by the same command, when one of them has died.

It numbers its launches by an ID, and hands to each process how often the processes were started again. That number
may be lower on a host where all was well.
"""

import os
from typing import Any, Final

from trainer.config import stored
from trainer.config.options import TrainConfig
from trainer.runs import folder as run_folder
from trainer.runtime.ranks import Ranks

_ID: Final = "TORCHELASTIC_RUN_ID"
_RESTARTS: Final = "TORCHELASTIC_RESTART_COUNT"
_NAME: Final = "launch"


def describe() -> dict[str, Any]:
    """Return what the description of a new run says of its launch."""
    return {_NAME: os.environ[_ID]} if _ID in os.environ else {}


def has_begun(config: TrainConfig, ranks: Ranks) -> bool:
    """Return whether this launch has begun the run before and saved a state of it. All ranks call it.

    A run with other options, or of another launch, is not this one: to begin in its folder is an error.

    Raises:
        TrainError: the folder holds files that no run has written.
        OSError: they cannot be read.
    """
    if not ranks.agree(int(os.environ.get(_RESTARTS, "0") not in ("", "0"))):
        return False
    # The files of the first rank count: it writes them.
    answer: bool = ranks.all(_is_ours(config) if ranks.is_first else False)[0]
    return answer


def _is_ours(config: TrainConfig) -> bool:
    folder = config.run.out
    if not (folder / run_folder.LAST).exists():
        return False
    described = run_folder.read_json(run_folder.description_path(folder))
    return described.get(_NAME) == os.environ.get(_ID) and stored.read(folder).values() == config.values()
