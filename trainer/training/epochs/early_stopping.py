"""The end of a run when no better epoch comes."""


def is_out_of_patience(epoch: int, best_epoch: int, patience: int | None) -> bool:
    """Return True if the last `patience` epochs were no better than the best before them; never if it is None."""
    return patience is not None and epoch - best_epoch >= patience
