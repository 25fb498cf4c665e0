"""A loss that is not a finite number ends a run: which patches it was of, and where the state is."""

from collections.abc import Sequence
from pathlib import Path

from trainer.errors import NonFiniteLoss
from trainer.runs import folder as run_folder


def error(folder: Path, epoch: int, step: int, keys: Sequence[str], *, writes: bool, is_saved: bool) -> NonFiniteLoss:
    """Write the names of a batch beside the state that was saved, and return the error that ends the run.

    Args:
        folder: of the run.
        epoch: number of the epoch, from 1.
        step: number of the step in it, from 1.
        keys: names of the patches of its batch.
        writes: whether this rank writes files.
        is_saved: whether the run saves its state; a benchmark does not.

    Raises:
        TrainError: the names cannot be written.
    """
    path = folder / run_folder.NON_FINITE
    more, saved = (f" and {len(keys) - 3} more" if len(keys) > 3 else ""), ""
    names = path.with_suffix(".json")
    if writes:
        with run_folder.written(folder, names):
            run_folder.write_json(names, {"epoch": epoch, "step": step, "keys": list(keys)})
    if is_saved:
        more, saved = f"{more} (all in {names})" if more else "", f"; the state is in {path}"
    return NonFiniteLoss(
        f"the loss of step {step} of epoch {epoch} is not finite; its batch holds {', '.join(keys[:3])}{more}{saved}; "
        "try a lower `lr=`, `clip=1`, `precision=fp32`, or `verify=always` if the shards may be damaged"
    )
