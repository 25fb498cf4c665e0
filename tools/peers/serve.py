"""The process of a peer: takes commands, a line each, and answers each with a line of JSON.

    python -m tools.peers.serve NAME PATCHES STORE LAYOUT BATCH_SIZE WORKERS

`convert` converts the source; `start` opens the store, and checks an epoch; `epochs FIRST COUNT` times some.
"""

import json
import os
import sys
import time
import traceback
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.peers.registry import PEERS
from tools.peers.work.checks import check_epoch, check_numbers
from tools.peers.work.job import Epochs, Job
from tools.peers.work.patches import Patches


class Session:
    """A peer at work."""

    def __init__(self, name: str, job: Job) -> None:
        """Import the peer's module, which needs its packages.

        Args:
            name: of the peer.
            job: what it has to do.
        """
        self._peer, self._job = PEERS[name], job
        self._module: Any = import_module(f"tools.peers.systems.{self._peer.module}")
        self._epochs: Epochs | None = None

    def answer(self, command: str) -> dict[str, Any]:
        """Carry out a command, and return what is to be told of it."""
        verb, *arguments = command.split()
        if verb == "convert":
            return self._convert()
        if verb == "start":
            return self._start()
        if verb == "epochs":
            return self._time_epochs(*map(int, arguments))
        raise ValueError(f"unknown command {command!r}")

    def _convert(self) -> dict[str, Any]:
        start = time.perf_counter()
        self._module.convert(self._job)
        return {"seconds": time.perf_counter() - start}

    def _start(self) -> dict[str, Any]:
        start = time.perf_counter()
        self._epochs = self._module.open_epochs(self._job)
        arrivals: list[float] = []
        sizes = check_epoch(self._epochs(0), self._job, lambda: arrivals.append(time.perf_counter()))
        return {
            "first_batch_seconds": arrivals[0] - start,
            "epoch_seconds": time.perf_counter() - start,
            "batch_sizes": sizes,
            "settings": self._module.SETTINGS,
            "versions": {name: version(name) for name in ("numpy", *self._peer.packages)},
        }

    def _time_epochs(self, first: int, count: int) -> dict[str, Any]:
        """Time whole epochs, each from asking for it to its last batch. What was delivered is checked afterwards."""
        assert self._epochs is not None, "`start` comes first"
        start = time.perf_counter()
        delivered = [[numbers for numbers, _ in self._epochs(epoch)] for epoch in range(first, first + count)]
        seconds = time.perf_counter() - start
        for batches in delivered:
            check_numbers(batches, len(self._job.patches))
        return {"seconds": seconds, "patches": count * len(self._job.patches)}


def main() -> None:
    """Serve until the end of the input."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, patches, store, layout, batch_size, workers = sys.argv[1:]
    job = Job(
        patches=Patches.load(Path(patches)),
        store=Path(store),
        option=PEERS[name].option,
        layout=layout,  # type: ignore[arg-type]
        batch_size=int(batch_size),
        workers=int(workers),
    )
    session: Session | None = None
    for line in sys.stdin:
        try:
            session = session or Session(name, job)
            answer = session.answer(line)
        except Exception as err:
            traceback.print_exc()
            answer = {"error": f"{type(err).__name__}: {err}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    # Threads and workers of a library that do not end by themselves must not keep this process.
    os._exit(0)


if __name__ == "__main__":
    main()
