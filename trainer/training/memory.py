"""What is said when memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainer.errors import OutOfMemory


@contextmanager
def out_of_memory_reported(batch_size: int, accumulate: int | None = None) -> Iterator[None]:
    """Turn a lack of memory, on the device or the host, into an error that says what to try.

    Args:
        batch_size: patches of a batch.
        accumulate: parts that a training step is computed in; None where nothing is trained.

    Raises:
        OutOfMemory: in place of what torch or NumPy raise.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as err:
        where = "GPU" if isinstance(err, torch.OutOfMemoryError) else "host"
        raise _error(where, batch_size, accumulate) from err
    except RuntimeError as err:
        # torch has no class of its own for a lack of host memory.
        if "can't allocate memory" not in str(err):
            raise
        raise _error("host", batch_size, accumulate) from err


def _error(where: str, batch_size: int, accumulate: int | None) -> OutOfMemory:
    tries = [f"--batch-size {max(1, batch_size // 2)}", "--cache none if records are kept in memory"]
    if accumulate is not None:
        tries.insert(1, f"--accumulate {2 * accumulate} (the same steps, computed in smaller parts)")
    return OutOfMemory(f"the {where} has not enough memory for a batch size of {batch_size}: try {', or '.join(tries)}")
