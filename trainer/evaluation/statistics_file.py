"""Mean and standard deviation of bands from a file, for weights that were trained on others than a store has."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from shards.metadata.published import published
from shards.storage.safe_open import read_regular
from trainer.data.normalisation import Normalisation
from trainer.errors import TrainError

_BYTES: Final = 1 << 22


PUBLISHED: Final = Path("published")
"""In place of a file: the published figures of the version of BigEarthNet that the shards hold."""


def statistics_at(place: Path, bands: Sequence[str], version: str) -> Normalisation:
    """Return (value − mean) / std of these bands by a file, or by published figures.

    Args:
        place: of the file, see `read_statistics`, or `PUBLISHED`.
        bands: in channel order.
        version: of BigEarthNet, `v1` or `v2`.

    Raises:
        TrainError: the file cannot be used.
        OSError: it cannot be read.
    """
    if place != PUBLISHED:
        return read_statistics(place, bands)
    figures = published(version).bands
    return Normalisation.standard(bands, *zip(*(figures[band] for band in bands), strict=True))


def read_statistics(path: Path, bands: Sequence[str]) -> Normalisation:
    """Return (value − mean) / std of these bands by a JSON file.

    The file holds `{"B02": {"mean": …, "std": …}, …}`, as `statistics.json` of a run, or `{"mean": {"B02": …}, "std":
    {…}}`, in the units of the pixels. What else is in it is ignored.

    Raises:
        TrainError: it is no such file, or a band is missing, or a value is no number or no positive deviation.
        OSError: it cannot be read.
    """
    try:
        values = json.loads(read_regular(path, _BYTES))
    except (ValueError, RecursionError) as err:
        raise TrainError(f"statistics {path} are no JSON: {err}") from err
    if not isinstance(values, dict):
        raise TrainError(
            f"statistics {path} hold a {type(values).__name__}, expected mean and std of each band by name"
        )
    mean = [_number(path, values, band, "mean") for band in bands]
    std = [_number(path, values, band, "std") for band in bands]
    for band, value in zip(bands, std, strict=True):
        if value <= 0:
            raise TrainError(f"statistics {path}: the std of {band} is {value:g}, expected a number above 0")
    return Normalisation.standard(bands, mean, std)


def _number(path: Path, values: Mapping[str, Any], band: str, what: str) -> float:
    by_band = values.get(what)
    of_band = values.get(band)
    value = by_band.get(band) if isinstance(by_band, dict) else of_band.get(what) if isinstance(of_band, dict) else None
    # Not `<`: a comparison with NaN is false, and NaN must not pass.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        found = "nothing" if value is None else repr(value)[:40]
        raise TrainError(f"statistics {path}: expected a number as {what} of {band}, found {found}")
    return float(value)
