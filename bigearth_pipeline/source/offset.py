"""Digital numbers of Sentinel-2: missing pixels, and the radiometric offset since processing baseline 04.00.

Since 25 January 2022 a digital number DN of a Level-2A product stands for the reflectance
(DN + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE, with BOA_ADD_OFFSET = -1000 in every band of its metadata
(`MTD_MSIL2A.xml`, element BOA_ADD_OFFSET_VALUES_LIST; ESA, Sentinel-2 Products Specification Document,
S2-PDGS-TAS-DI-PSD, issue 14.9). Products of earlier baselines have none. Neither have those of N9999, which the authors
of BigEarthNet v2 made.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import BadPatch, PipelineError
from shards.layout.facts import OFFSET_BASELINES
from shards.layout.statistics import NODATA
from shards.text.words import counted

OffsetMode = Literal["auto", "none"]

REPROCESSED: Final = 9999
OFFSET: Final = 1000


def count_missing(record: NDArray[np.uint16]) -> int:
    """Return how many pixels of a record are marked as missing.

    Raises:
        BadPatch: all of them.
    """
    # Few patches have any, and the smallest value is found much faster than all zeros.
    missing = 0 if record.min() > NODATA else len(record) - int(np.count_nonzero(record))
    if missing == len(record):
        raise BadPatch(f"no valid pixel: all {missing:,} of the twelve bands are {NODATA}, which marks missing ones")
    return missing


def has_offset(baseline: int | None) -> bool:
    """Tell whether digital numbers of a processing baseline are 1000 higher; those of an unknown one are not."""
    return baseline is not None and baseline in OFFSET_BASELINES


def subtract_offset(record: NDArray[np.uint16], baseline: int | None) -> None:
    """Take the offset of a baseline, if it has one, from all pixels of a record in place.

    Missing pixels stay 0. Values up to the offset, which are reflectances of zero or less, become 1 and not 0, so that
    they do not pass for missing ones.
    """
    if has_offset(baseline):
        subtract(record, OFFSET)


def subtract(values: NDArray[np.uint16], offset: int) -> None:
    """Take an offset from all pixels in place, as `subtract_offset` does.

    Args:
        values: any shape.
        offset: above 0.
    """
    valid = values != NODATA
    np.maximum(values, offset + 1, out=values)
    np.subtract(values, offset, out=values)
    np.multiply(values, valid, out=values)


def refuse_mixture(baselines: Iterable[int | None]) -> None:
    """Refuse patches with and without the offset in one build.

    Raises:
        PipelineError: there are both.
    """
    counts = Counter(baselines)
    kinds = [
        [baseline_name(baseline) for baseline in sorted(counts, key=str) if has_offset(baseline) is kind]
        for kind in (True, False)
    ]
    if all(kinds):
        numbers = [
            sum(counts[baseline] for baseline in counts if has_offset(baseline) is kind) for kind in (True, False)
        ]
        raise PipelineError(
            f"{counted(numbers[0], 'patch is', 'patches are')} of processing baseline {_some(kinds[0])}, "
            f"whose digital numbers are {OFFSET} higher, and {numbers[1]:,} of {_some(kinds[1])}, without that offset: "
            "say `offset=auto` to subtract it, or `offset=none` to store both as they are"
        )


def baseline_name(baseline: int | None) -> str:
    """Return a baseline as product names write it, such as `N0400`."""
    return "an unknown one" if baseline is None else f"N{baseline:04d}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
