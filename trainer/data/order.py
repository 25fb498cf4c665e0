"""In which order an epoch visits the patches, and which of them each rank takes: pure functions, without state.

The order follows from (seed, epoch, selected rows, their repeats, batch size) alone. A global batch therefore holds the
same patches whatever the number of ranks, threads or the format of the store is, and a run resumes at (epoch, step) on
any of them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from trainer.data.random import bits, uniform

Kind = Literal["global", "block", "sequential"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""An exact permutation, windows of whole shards that are permuted within, or ascending rows."""

# What draws are for: names as numbers, so that no two purposes share one.
_ROWS: Final = int.from_bytes(b"order")
_SHARDS: Final = int.from_bytes(b"shards")
_REPEATS: Final = int.from_bytes(b"repeats")
_START: Final = int.from_bytes(b"start")
_COPIES: Final = 1 << 14
"""Limit of the visits of a patch, whose numbers are above those of rows."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleOrder:
    """The order of some rows of an index in every epoch.

    Attributes:
        rows: (n,) int64, distinct and ascending: the patches that are visited, each exactly once an epoch, or by
            `repeats`.
        batch_size: patches of a global batch, over all ranks; only the last one of an epoch may have fewer.
        kind: `global` for an exact permutation: that of a subset is that of the whole with the others left out; `block`
            for permuted shards, read some at a time and mixed; `sequential` for ascending rows in every epoch.
        seed: of the permutations.
        shards: (n,) integers, the shard of each row; needed for `block`.
        window: shards that are mixed with each other in `block`.
        repeats: (n,) float64 from 1, visits of each patch in an epoch in the mean; None for one. In each epoch a patch
            gets the next lower or the next higher whole number of them, drawn anew. So that all epochs are of one
            length, what is above 1 is scaled down by less than one visit in all.
    """

    rows: NDArray[np.int64]
    batch_size: int
    kind: Kind
    seed: int = 0
    shards: NDArray[np.int32] | None = None
    window: int = 8
    repeats: NDArray[np.float64] | None = None

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
        if self.repeats is not None:
            if self.kind == "sequential":
                raise InvalidValue("repeats are for shuffled orders, and kind is sequential")
            if self.repeats.shape != self.rows.shape or not ((self.repeats >= 1) & (self.repeats < _COPIES)).all():
                raise InvalidValue(f"repeats are no numbers from 1 to {_COPIES:,} for each of {len(self.rows)} rows")

    def __len__(self) -> int:
        """Return the global batches of an epoch."""
        return -(-self.num_visits // self.batch_size)

    @cached_property
    def num_visits(self) -> int:
        """Visits of an epoch: the patches, and what of them is repeated."""
        return num_visits(len(self.rows), self.repeats)

    def batch_count(self, step: int) -> int:
        """Return the patches of the global batch number `step`, which are the same in every epoch."""
        return min(self.batch_size, self.num_visits - step * self.batch_size)

    def epoch(self, epoch: int) -> "Epoch":
        """Return the order of an epoch, numbered from 0."""
        rows, copies = self._ordered(epoch)
        return Epoch(rows=rows, batch_size=self.batch_size, copies=copies)

    def largest_part(self, num_ranks: int) -> int:
        """Return how many rows a rank gets of a batch at most.

        Raises:
            ValueError: there are more ranks than rows.
        """
        length = min(self.batch_size, self.num_visits)
        cuts = [_cut(length, self.num_visits, rank, num_ranks) for rank in range(num_ranks)]
        return max([1, *(stop - start for start, stop in cuts)])

    def _ordered(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Return the rows in the order of their visits, and which visit of its patch each is, from 0."""
        if self.kind == "sequential":
            return self.rows, None
        visits = self._visits(epoch)
        rows, copies = (self.rows, None) if visits is None else (self.rows[visits[0]], visits[1])
        draws = bits(_numbers(rows, copies), self.seed, epoch, _ROWS)
        if self.kind == "global":
            order = np.argsort(draws)
        else:
            numbers, shard = np.unique(np.asarray(self.shards), return_inverse=True)
            shard = shard if visits is None else shard[visits[0]]
            # The smallest type, because NumPy sorts small integers by counting them.
            window = np.empty(len(numbers), np.min_scalar_type(len(numbers)))
            permuted = np.argsort(bits(numbers.astype(np.int64), self.seed, epoch, _SHARDS))
            window[permuted] = np.arange(len(numbers)) // self.window
            mixed = np.argsort(draws)
            order = mixed[np.argsort(window[shard[mixed]], kind="stable")]
        return rows[order], None if copies is None else copies[order]

    def _visits(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return the place in `rows` of each visit of an epoch, and which visit of its patch it is, from 0.

        Systematic sampling: further visits are laid end to end along a line, in an order that is drawn, and each whole
        number from a start that is drawn is one. A patch gets floor or ceil of its share, which is its mean.
        """
        further = self.num_visits - len(self.rows)
        if self.repeats is None or not further:
            return None
        permuted = np.argsort(bits(self.rows, self.seed, epoch, _REPEATS))
        ends = np.cumsum((self.repeats - 1)[permuted])
        ends *= further / ends[-1]
        # Sums of fractions that should be whole numbers are off by rounding.
        ends[-1] = further
        start = float(uniform(np.zeros(1, np.int64), self.seed, epoch, _START)[0])
        counts = np.empty(len(self.rows), np.int64)
        counts[permuted] = 1 + np.diff(np.floor(np.minimum(ends, further) + start).astype(np.int64), prepend=0)
        places = np.repeat(np.arange(len(self.rows)), counts)
        return places, np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)


@dataclass(frozen=True, eq=False, kw_only=True)
class Epoch:
    """The order of one epoch, cut into global batches and these into the parts of ranks.

    Attributes:
        rows: (n,) int64, in the order of their visit.
        batch_size: as in `SampleOrder`.
        copies: (n,) int64, which visit of its patch each is, from 0; None if all are the only one.
    """

    rows: NDArray[np.int64]
    batch_size: int
    copies: NDArray[np.int64] | None = None

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

    def numbers(self, step: int, rank: int, num_ranks: int) -> NDArray[np.int64]:
        """Return a number for each row of `part`, by which visits of one patch differ: for draws, (n,) int64."""
        rows, mask = self.part(step, rank, num_ranks)
        if self.copies is None:
            return rows
        begin = step * self.batch_size
        if mask.any():
            begin += _cut(len(self.batch(step)), len(self.rows), rank, num_ranks)[0]
        return _numbers(rows, self.copies[begin : begin + len(rows)])


def num_visits(count: int, repeats: NDArray[np.float64] | None) -> int:
    """Return the visits of an epoch of `count` patches, see `SampleOrder.repeats`."""
    return count + (0 if repeats is None else int(np.floor((repeats - 1).sum())))


def _numbers(rows: NDArray[np.int64], copies: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return a number for each visit, which is the row for the first one of a patch."""
    return rows if copies is None else rows + copies * (1 << 48)


def _cut(length: int, num_rows: int, rank: int, num_ranks: int) -> tuple[int, int]:
    """Return from where to where a rank's part of a batch reaches; parts differ by a pair at most."""
    if not 0 <= rank < num_ranks:
        raise InvalidValue(f"rank is {rank}, expected 0 or more and below {num_ranks}, the number of ranks")
    if num_ranks > num_rows:
        raise InvalidValue(f"{num_ranks} ranks share {num_rows} patches, expected at least one patch a rank")
    pairs = -(-length // 2)
    # The last rank gets no fewer pairs than any other, so the one that lacks its second half is no loss to the balance.
    return 2 * (pairs * rank // num_ranks), min(length, 2 * (pairs * (rank + 1) // num_ranks))
