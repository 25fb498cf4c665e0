"""`bep`, which notes what each rank trains on: `python -m tests.bigearth_pipeline.hosts.recorded train …`.

A line of JSON for each batch of the train split goes to a file of this process in the folder `RANK_RECORDS`: epoch,
step, rank, number of ranks, and rows. At the places in `RANK_KILLED_AT`, such as `1.3 2.0` for step 3 of epoch 1, the
second rank kills itself, once at each.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from bigearth_pipeline.cli import main
from trainer.data.batch import Batch
from trainer.data.loader import Loader

_plain = Loader.__iter__


def iterate(self: Loader) -> Iterator[Batch]:
    """Iterate over the batches, in place of the loader's own method."""
    if self.config.order == "sequential":  # Of another split.
        yield from _plain(self)
        return
    folder = Path(os.environ["RANK_RECORDS"])
    rank, num_ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    with open(folder / f"{os.uname().nodename}-{os.getpid()}.jsonl", "a") as file:
        for batch in _plain(self):
            state = {"epoch": self._epoch, "step": self._step - 1}
            place = f"{state['epoch']}.{state['step']}"
            mark = folder / f"killed-{place}"
            if rank == 1 and place in os.environ.get("RANK_KILLED_AT", "").split() and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            rows = batch["row"][batch["mask"]].tolist()
            file.write(json.dumps(state | {"rank": rank, "num_ranks": num_ranks, "rows": rows}) + "\n")
            file.flush()
            yield batch


if __name__ == "__main__":
    Loader.__iter__ = iterate  # type: ignore[method-assign]
    main()
