"""The best epoch of a run, and its end when no better one comes."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.runs.state import State


def update_best(state: "State", ap_macro: float | None) -> bool:
    """Return True if the epoch that `state` has just ended is the best so far, and note it there.

    Args:
        state: after its epoch was counted.
        ap_macro: macro average precision on the validation split, 0 to 1; None if no class occurs there.
    """
    score = -math.inf if ap_macro is None else ap_macro
    is_best = state.best_epoch == 0 or score > state.best_score
    if is_best:
        state.best_score, state.best_epoch = score, state.epoch
    return is_best


def is_out_of_patience(epoch: int, best_epoch: int, patience: int | None) -> bool:
    """Return True if the last `patience` epochs were no better than the best before them; never if it is None."""
    return patience is not None and epoch - best_epoch >= patience
