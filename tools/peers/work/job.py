"""The work given to a peer, and the batches that it hands over."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tools.peers.registry import Layout
from tools.peers.work.patches import Patches


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work for a peer.

    Attributes:
        patches: all that it loads.
        store: folder of its format.
        option: which variant of it.
        layout: what a batch holds.
        batch_size: patches of a batch.
        workers: processes or threads that work at a time.
    """

    patches: Patches
    store: Path
    option: str
    layout: Layout
    batch_size: int
    workers: int


Batch: TypeAlias = tuple[Any, Any]
"""Numbers of n patches, (n,), and their pixels as tensor or array in the memory of this process: (n, 80000) uint16, or
(n, 12, 120, 120) float32."""

Epochs: TypeAlias = Callable[[int], Iterable[Batch]]
"""Returns the batches of epoch i. What works for it may stay alive in between, but must not work ahead for the next."""
