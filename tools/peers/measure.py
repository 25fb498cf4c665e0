"""Conversions in sequence, then epochs of all peers in turns."""

import math
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tools.peers.client import PeerFailed, PeerProcess
from tools.peers.environments import find
from tools.peers.registry import LAYOUTS, PEERS, Layout
from tools.peers.work.patches import Patches

SLOW_SECONDS: Final = 5.0
"""A peer whose checked epoch takes longer needs no other one to warm up, and gets one epoch a turn."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of the measurements.

    Attributes:
        peers: names, in the order of the table.
        layouts: what batches hold.
        repeats: timed rounds.
        batch_size: patches of a batch.
        workers: processes or threads of each peer that work at a time.
        turn_seconds: a turn is as many epochs as take about so long, one at least.
        work: folder for the list of patches, stores and logs.
        venvs: folder of the environments.
    """

    peers: tuple[str, ...]
    layouts: tuple[Layout, ...] = LAYOUTS
    repeats: int
    batch_size: int
    workers: int
    turn_seconds: float
    work: Path
    venvs: Path

    def process(self, name: str, layout: Layout) -> PeerProcess:
        """Start a peer."""
        python = find(PEERS[name].requirements, self.venvs)
        return PeerProcess(name, python, self.work, layout, self.batch_size, self.workers)


class Results:
    """Measurements so far, as JSON values by peer; a peer that has failed is not asked any more."""

    def __init__(self, names: Sequence[str]) -> None:
        self.peers: dict[str, dict[str, Any]] = {name: {"title": PEERS[name].title, "errors": []} for name in names}

    @contextmanager
    def noting(self, *names: str, doing: str) -> Iterator[None]:
        """Take the failure of a peer as a result of those that it concerns."""
        try:
            yield
        except PeerFailed as err:
            for name in names:
                self.peers[name]["errors"].append(f"{doing}: {err}")

    def well(self, names: Sequence[str]) -> list[str]:
        """Return the names of those that have not failed."""
        return [name for name in names if not self.peers[name]["errors"]]


def convert(plan: Plan, patches: Patches, results: Results, say: Callable[[str], None]) -> None:
    """Convert the source to the format of each peer; what an earlier run has left is deleted."""
    for store in dict.fromkeys(PEERS[name].store for name in plan.peers):
        names = results.well([name for name in plan.peers if PEERS[name].store == store])
        if not names:
            continue
        converted = {"bytes_per_patch": patches.size_bytes() / len(patches)}
        if store:
            # ConfigILM reads what another peer has converted.
            writer = next(name for name, peer in PEERS.items() if peer.store == store)
            folder = plan.work / "stores" / store
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            say(f"converting for {', '.join(names)}")
            with results.noting(*names, doing="conversion"), plan.process(writer, "native") as peer:
                converted = {"seconds": peer.ask("convert", 600)["seconds"]}
                converted["patches_per_second"] = len(patches) / converted["seconds"]
                converted["bytes_per_patch"] = size_bytes(folder) / len(patches)
        for name in results.well(names):
            results.peers[name]["store"] = converted


def measure(plan: Plan, layout: Layout, num_patches: int, results: Results, say: Callable[[str], None]) -> None:
    """Check and time the peers that can deliver a layout; all stay alive, one works at a time."""
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        processes: dict[str, PeerProcess] = {}
        counts: dict[str, int] = {}
        for name in results.well([name for name in plan.peers if layout in PEERS[name].layouts]):
            say(f"{layout}: checking {name}")
            with results.noting(name, doing=layout):
                process = processes[name] = stack.enter_context(plan.process(name, layout))
                started = process.ask("start")
                results.peers[name] |= {key: started.pop(key) for key in ("settings", "versions")}
                seconds = started.pop("epoch_seconds")
                if seconds < SLOW_SECONDS:
                    seconds = process.ask("epochs 1 1")["seconds"]
                counts[name] = max(1, math.ceil(plan.turn_seconds / seconds))
                results.peers[name][layout] = {**started, "epochs_per_turn": counts[name], "patches_per_second": []}
        epochs = dict.fromkeys(processes, 2)
        for number in range(plan.repeats):
            for name in rng.permutation(results.well(list(processes))).tolist():
                say(f"{layout}: round {number + 1} of {plan.repeats}: {name}")
                with results.noting(name, doing=layout):
                    turn = processes[name].ask(f"epochs {epochs[name]} {counts[name]}")
                    results.peers[name][layout]["patches_per_second"].append(turn["patches"] / turn["seconds"])
                    epochs[name] += counts[name]
    for name in results.well(list(processes)):
        found = results.peers[name][layout]
        found["median"] = statistics.median(found["patches_per_second"])
        if PEERS[name].store:
            # Some unpack what they read.
            folder = plan.work / "stores" / PEERS[name].store
            found["bytes_per_patch_then"] = size_bytes(folder) / num_patches


def size_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
