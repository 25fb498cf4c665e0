"""In which order an epoch visits the patches, and which of them each rank takes: pure functions, without state.

The order follows from (seed, epoch, selected rows, batch size) alone. A global batch therefore holds the same patches
whatever the number of ranks, threads or the format of the store is, and a run resumes at (epoch, step) on any of them.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from trainer.data.random import bits

Kind = Literal["global", "block", "sequential"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""An exact permutation, windows of whole shards that are permuted within, or ascending rows."""

# What draws are for: names as numbers, so that no two purposes share one.
_ROWS: Final = int.from_bytes(b"order")
_SHARDS: Final = int.from_bytes(b"shards")


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleOrder:
    """The order of some rows of an index in every epoch.

    Attributes:
        rows: (n,) int64, distinct and ascending: the patches that are visited, each exactly once an epoch.
        batch_size: patches of a global batch, over all ranks; only the last one of an epoch may have fewer.
        kind: `global` for an exact permutation: that of a subset is that of the whole with the others left out; `block`
            for permuted shards, read some at a time and mixed; `sequential` for ascending rows in every epoch.
        seed: of the permutations.
        shards: (n,) integers, the shard of each row; needed for `block`.
        window: shards that are mixed with each other in `block`.
    """

    rows: NDArray[np.int64]
    batch_size: int
    kind: Kind
    seed: int = 0
    shards: NDArray[np.int32] | None = None
    window: int = 8

    def __post_init__(self) -> None:
        if self.rows.ndim != 1 or self.rows.dtype != np.int64 or not len(self.rows):
            raise InvalidValue(
                f"rows are {self.rows.dtype} of shape {self.rows.shape}, expected int64 of shape (1 or more,)"
            )
        if self.rows[0] < 0 or (np.diff(self.rows) <= 0).any():
            raise ValueError("rows are not ascending from 0 or more, each once")
        for name, value in (("batch_size", self.batch_size), ("window", self.window)):
            if value < 1:
                raise InvalidValue(f"{name} is {value}, expected at least 1")
        if self.kind not in KINDS:
            raise InvalidValue(f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        if self.kind == "block" and (self.shards is None or self.shards.shape != self.rows.shape):
            found = "absent" if self.shards is None else f"of shape {self.shards.shape}"
            raise ValueError(f"shards are {found}, expected one for each of {len(self.rows)} rows")

    def __len__(self) -> int:
        """Return the global batches of an epoch."""
        return -(-len(self.rows) // self.batch_size)

    def batch_count(self, step: int) -> int:
        """Return the patches of the global batch number `step`, which are the same in every epoch."""
        return min(self.batch_size, len(self.rows) - step * self.batch_size)

    def epoch(self, epoch: int) -> "Epoch":
        """Return the order of an epoch, numbered from 0."""
        return Epoch(rows=self._ordered(epoch), batch_size=self.batch_size)

    def largest_part(self, num_ranks: int) -> int:
        """Return how many rows a rank gets of a batch at most.

        Raises:
            ValueError: there are more ranks than rows.
        """
        length = min(self.batch_size, len(self.rows))
        cuts = [_cut(length, len(self.rows), rank, num_ranks) for rank in range(num_ranks)]
        return max([1, *(stop - start for start, stop in cuts)])

    def _ordered(self, epoch: int) -> NDArray[np.int64]:
        if self.kind == "sequential":
            return self.rows
        draws = bits(self.rows, self.seed, epoch, _ROWS)
        if self.kind == "global":
            return self.rows[np.argsort(draws)]
        numbers, shard = np.unique(np.asarray(self.shards), return_inverse=True)
        # The smallest type, because NumPy sorts small integers by counting them.
        window = np.empty(len(numbers), np.min_scalar_type(len(numbers)))
        permuted = np.argsort(bits(numbers.astype(np.int64), self.seed, epoch, _SHARDS))
        window[permuted] = np.arange(len(numbers)) // self.window
        mixed = np.argsort(draws)
        return self.rows[mixed[np.argsort(window[shard[mixed]], kind="stable")]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Epoch:
    """The order of one epoch, cut into global batches and these into the parts of ranks.

    Attributes:
        rows: (n,) int64, in the order of their visit.
        batch_size: as in `SampleOrder`.
    """

    rows: NDArray[np.int64]
    batch_size: int

    def __len__(self) -> int:
        """Return the global batches of the epoch."""
        return -(-len(self.rows) // self.batch_size)

    def batch(self, step: int) -> NDArray[np.int64]:
        """Return the rows of a global batch, (at most batch_size,) int64.

        Raises:
            IndexError: the epoch has no such step.
        """
        if not 0 <= step < len(self):
            raise IndexError(f"step {step} of an epoch of {len(self)}")
        return self.rows[step * self.batch_size : (step + 1) * self.batch_size]

    def part(self, step: int, rank: int, num_ranks: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return what a rank takes of a global batch.

        The parts of all ranks, concatenated, are the batch. Places p and p XOR 1 of it are never parted, because
        MixUp and CutMix pair them.

        Args:
            step: number of the batch, from 0.
            rank: number of the rank, from 0.
            num_ranks: how many there are.

        Returns:
            Rows, (n,) int64, and their mask, (n,) bool. A rank for which nothing is left takes one row that another
            rank has as well, with a mask of False; elsewhere the mask is True.

        Raises:
            IndexError: the epoch has no such step.
            ValueError: there is no such rank, or there are more ranks than rows in the epoch.
        """
        batch = self.batch(step)
        start, stop = _cut(len(batch), len(self.rows), rank, num_ranks)
        if start == stop:
            return batch[:1], np.zeros(1, np.bool_)
        return batch[start:stop], np.ones(stop - start, np.bool_)


def _cut(length: int, num_rows: int, rank: int, num_ranks: int) -> tuple[int, int]:
    """Return from where to where a rank's part of a batch reaches; parts differ by a pair at most."""
    if not 0 <= rank < num_ranks:
        raise InvalidValue(f"rank is {rank}, expected 0 or more and below {num_ranks}, the number of ranks")
    if num_ranks > num_rows:
        raise InvalidValue(f"{num_ranks} ranks share {num_rows} patches, expected at least one patch a rank")
    pairs = -(-length // 2)
    # The last rank gets no fewer pairs than any other, so the one that lacks its second half is no loss to the balance.
    return 2 * (pairs * rank // num_ranks), min(length, 2 * (pairs * (rank + 1) // num_ranks))
