"""The loop over units: they are read and predicted by the same threads, and each finished unit is kept."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.progress import Progress
from bigearth_pipeline.scenes.work.source import Part, Source
from bigearth_pipeline.scenes.work.threads import SceneThreads
from bigearth_pipeline.scenes.work.units import UnitResult, Units

QUEUED: Final = 256
"""Patches that wait in memory for a thread: a scene is decoded in rows of blocks, some hundred windows at a time, and a
thread that finds no more to read must find one to predict."""
Probabilities: TypeAlias = NDArray[np.float32]


class Model(Protocol):
    """Any predictor of `trainer.inference`."""

    def probabilities(self, records: NDArray[np.uint16]) -> Probabilities:
        """Return the probabilities of (n, 80000) records, (n, 19)."""


@dataclass(slots=True)
class _Unit:
    """A unit under way."""

    number: int
    parts: list[tuple[Part, NDArray[np.bool_], Future[Probabilities]]] = field(default_factory=list)
    picture: NDArray[np.uint16] | None = None


def predict_parts(
    source: Source, units: Iterable[int], model: Model, *, threads: SceneThreads, max_missing: float
) -> Iterator[tuple[int, UnitResult]]:
    """Read and predict units; yield each with its number as soon as it is done, in their order.

    What a unit gives does not depend on the number of threads, nor on the units before it.

    Args:
        source: the patches.
        units: numbers of the units.
        model: predicts records; called in several threads.
        threads: that predict; also those that the source reads with, if it reads in threads.
        max_missing: share of a patch's area beyond which it gets no result.

    Raises:
        PipelineError: the source cannot be read.
    """
    pending: deque[_Unit] = deque()
    waiting: deque[Future[Probabilities]] = deque()
    try:
        for number in units:
            unit = _Unit(number)
            pending.append(unit)
            for part in source.parts(number):
                usable = part.missing <= max_missing
                usable[list(part.faults)] = False
                records = part.records if usable.all() else part.records[usable]
                future = threads.predict(model.probabilities, records)
                unit.parts.append((_without_records(part), usable, future))
                waiting.append(future)
                while len(waiting) > threads.count + QUEUED // max(1, len(part)):
                    waiting.popleft().result()
            unit.picture = source.picture(number)
            while len(pending) > 1 and all(future.done() for _, _, future in pending[0].parts):
                yield _finished(pending.popleft())
        while pending:
            yield _finished(pending.popleft())
    finally:
        rest = [future for unit in pending for _, _, future in unit.parts if not future.cancel()]
        wait(rest)


def predict_units(
    source: Source, units: Units, model: Model, *, threads: SceneThreads, max_missing: float, progress: Progress
) -> None:
    """Predict the units that are not there yet, and keep them."""
    counts = [source.count(unit) for unit in range(source.num_units)]
    todo = [unit for unit, count in enumerate(counts) if units.read(unit, count) is None]
    progress.start(sum(counts), sum(counts) - sum(counts[unit] for unit in todo))
    for number, result in predict_parts(source, todo, model, threads=threads, max_missing=max_missing):
        units.write(number, result)
        progress.advance(counts[number])


def _without_records(part: Part) -> Part:
    """Return all of a part but the pixels, which take most of the memory."""
    return Part(
        records=np.empty((len(part.records), 0), np.uint16),
        missing=part.missing,
        epsg=part.epsg,
        ulx=part.ulx,
        uly=part.uly,
        faults=part.faults,
    )


def _finished(unit: _Unit) -> tuple[int, UnitResult]:
    parts = [part for part, _, _ in unit.parts]
    probabilities = []
    for part, usable, future in unit.parts:
        found = future.result()
        whole = np.full((len(part), found.shape[1]), np.nan, np.float32)
        whole[usable] = found
        probabilities.append(whole)
    faults = [part.faults.get(i, "") for part in parts for i in range(len(part))]
    return unit.number, UnitResult(
        probabilities=np.concatenate(probabilities),
        missing=np.concatenate([part.missing for part in parts]),
        epsg=np.concatenate([part.epsg for part in parts]),
        ulx=np.concatenate([part.ulx for part in parts]),
        uly=np.concatenate([part.uly for part in parts]),
        faults=np.array(faults, np.str_),
        picture=np.zeros((3, 0, 0), np.uint16) if unit.picture is None else unit.picture,
    )
