"""Is what a peer delivers the same as what all others deliver?"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tools.peers.work.job import Batch, Job
from tools.peers.work.pixels import DTYPES, SHAPES, reference

PROBES: Final = 48
"""Patches whose pixels are compared: with fair flips, one of four kinds is missing once in 250,000 times."""
FLIPS: Final = ((1, 1), (1, -1), (-1, 1), (-1, -1))


class WrongBatch(Exception):
    """A peer delivers something else than it should."""


def check_epoch(batches: Iterable[Batch], job: Job, arrived: Callable[[], None]) -> list[int]:
    """Check shapes and types of an epoch, the pixels of some patches, and that each patch comes once.

    Args:
        batches: the epoch.
        job: what was asked for.
        arrived: is called when a batch has come.

    Returns:
        Sizes of the batches.

    Raises:
        WrongBatch: something is not as it should be; the message says what.
    """
    probes = set(np.random.default_rng(1).permutation(len(job.patches))[:PROBES].tolist())
    flips = set()
    seen = []
    for numbers, batch in batches:
        arrived()
        numbers, pixels = np.asarray(numbers), np.asarray(batch)
        expected = (len(numbers), *SHAPES[job.layout])
        if pixels.shape != expected or pixels.dtype != DTYPES[job.layout] or len(numbers) > job.batch_size:
            raise WrongBatch(f"a batch is {pixels.shape} {pixels.dtype}, expected {expected} {DTYPES[job.layout]}")
        for i in np.flatnonzero(np.isin(numbers, list(probes))):
            flips.add(_check_patch(job, int(numbers[i]), pixels[i]))
        seen.append(numbers.copy())
    check_numbers(seen, len(job.patches))
    if job.layout == "float32" and len(job.patches) >= PROBES and len(flips) < len(FLIPS):
        raise WrongBatch(f"only {len(flips)} of the {len(FLIPS)} flips were seen in {PROBES} patches")
    return [len(numbers) for numbers in seen]


def check_numbers(batches: list[NDArray[np.int64]], count: int) -> None:
    """Raise WrongBatch unless each patch came exactly once, and in an order that was shuffled."""
    numbers = np.concatenate([np.asarray(batch).ravel() for batch in batches])
    times = np.bincount(numbers, minlength=count)
    if len(times) > count or (times != 1).any():
        missing, twice = int((times[:count] == 0).sum()), int((times > 1).sum())
        raise WrongBatch(f"an epoch of {count} patches has {len(numbers)}: {missing} missing, {twice} more than once")
    if count > 16 and (np.diff(numbers) == 1).mean() > 0.5:
        raise WrongBatch("the patches come in the order of the source")


def _check_patch(job: Job, number: int, pixels: NDArray[Any]) -> tuple[int, int]:
    """Compare a patch with the source; return which flip it is."""
    record = job.patches.read(number)
    if job.layout == "native":
        if not np.array_equal(pixels, record):
            raise WrongBatch(f"the record of patch {job.patches.keys[number]} differs from its band files")
        return FLIPS[0]
    image = reference(record)
    for up_down, left_right in FLIPS:
        if np.allclose(pixels, image[:, ::up_down, ::left_right], rtol=1e-4, atol=1e-4):
            return up_down, left_right
    raise WrongBatch(f"the image of patch {job.patches.keys[number]} is none of the flips of what was expected")
