"""Small stores of synthetic patches whose labels follow from their pixels, so that a network can learn them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards.codec.registry import DEFAULT_CODEC
from shards.layout.bands import BAND_SLICES, BANDS, RECORD_VALUES
from shards.layout.classes import CLASSES, CLC43_TO_19, FORTY_THREE
from shards.layout.facts import Facts
from shards.layout.record import RecordGroup
from shards.layout.shuffle import shuffle_rank
from shards.metadata.entries import SPLITS
from shards.metadata.manifest import StoreFormat
from shards.write.store import StoreWriter

NUM_CLASSES: Final = 6
"""The first classes of the nomenclature occur; the others have no patch in any split."""
PATCHES_PER_SHARD: Final = 64

_EPSG: Final = 32629
_UPPER_LEFT: Final = (600_000.0, 5_900_000.0)


def make_store(
    folder: Path,
    counts: Mapping[str, int],
    seed: int = 0,
    *,
    format: StoreFormat = "webdataset",  # noqa: A002 (its name in manifests)
    codec: str = DEFAULT_CODEC,
    patches_per_shard: int = PATCHES_PER_SHARD,
    source_version: str = "v2",
    countries: Sequence[str | None] = ("Ireland",),
    dates: Sequence[datetime] = (datetime(2017, 6, 13),),
    corners: Sequence[tuple[float, float]] = (_UPPER_LEFT,),
    extras: Sequence[RecordGroup] = (),
    labels43: bool = False,
) -> Path:
    """Write a store of synthetic patches and return its folder. Equal arguments give equal bytes.

    Patches are named `SPLIT_0`, `SPLIT_1` and so on; their order in the store is that of the shuffle.

    Args:
        folder: where to write; made here.
        counts: patches by split; a split that is not named, or has 0, is absent.
        seed: of labels, pixels and the shuffle.
        format: `webdataset` or `zarr`.
        codec: of the records.
        patches_per_shard: patches of a full shard.
        source_version: version of BigEarthNet that the manifest names.
        countries: row i of the index is from country i, again and again from the first one.
        dates: likewise when a patch was taken.
        corners: likewise easting and northing of its upper-left corner, m.
        extras: further groups of each patch; `group_values` gives their pixels.
        labels43: keep labels of the 43 classes: one class for each of the 19 that a patch has, and now and then a road.
    """
    rng = np.random.default_rng(seed)
    # What each class adds to each band.
    spectra = rng.normal(0, 500, (NUM_CLASSES, len(BANDS)))
    row = 0
    with StoreWriter(
        folder,
        format=format,
        codec=codec,
        patches_per_shard=patches_per_shard,
        seed=seed,
        source_version=source_version,
        groups=extras,
        labels43=labels43,
    ) as store:
        for split in SPLITS:
            keys = shuffled_keys(split, counts.get(split, 0), seed)
            present = rng.random((len(keys), NUM_CLASSES)) < 0.3
            for number, start in enumerate(range(0, len(keys), patches_per_shard)):
                members = slice(start, start + patches_per_shard)
                with store.shard(split, number) as shard:
                    for key, classes, levels in zip(
                        keys[members], present[members], present[members] @ spectra, strict=True
                    ):
                        record = shard.next_record()
                        _fill(record, levels, rng)
                        country, date = countries[row % len(countries)], dates[row % len(dates)]
                        corner = corners[row % len(corners)]
                        further = {group.name: group_values(group, key, seed) for group in extras}
                        mask = _mask_of_43(classes, row) if labels43 else None
                        shard.add(_facts(key, split, classes, country, date, corner, record, mask), record, further)
                        row += 1
    return folder


def shuffled_keys(split: str, count: int, seed: int = 0) -> list[str]:
    """Return the names that `make_store` gives to the patches of a split, in the order of the store."""
    return sorted((f"{split}_{i}" for i in range(count)), key=lambda key: shuffle_rank(key, seed))


def group_values(group: RecordGroup, key: str, seed: int = 0) -> NDArray[Any]:
    """Return the pixels that `make_store` gives to a further group of a patch, (bands, rows, columns) of its type.

    Any bits occur in them, so floats hold infinities and NaN, too; each second row repeats one value.
    """
    rng = np.random.default_rng([seed, *f"{key}.{group.name}".encode()])
    values = np.frombuffer(rng.bytes(group.bytes), group.dtype).reshape(group.shape).copy()
    values[:, ::2] = values[:, :1, :1]
    return values


def _fill(record: NDArray[np.uint16], levels: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Fill a record, (80000,) uint16, with noise about the levels of its bands, (12,)."""
    record[:] = rng.integers(0, 300, RECORD_VALUES, np.uint16)
    for values, level in zip(BAND_SLICES.values(), levels, strict=True):
        record[values] += np.uint16(max(0, 3000 + level))


def _mask_of_43(classes: NDArray[np.bool_], row: int) -> int:
    """Return labels of the 43 classes from which those of the 19 follow, (6,) of the first ones."""
    names = [] if row % 4 else ["Road and rail networks and associated land"]
    for bit in np.flatnonzero(classes).tolist():
        of_it = [name for name, kept in CLC43_TO_19.items() if kept == CLASSES[bit]]
        names.append(of_it[row % len(of_it)])
    return FORTY_THREE.encode(names)


def _facts(
    key: str,
    split: str,
    classes: NDArray[np.bool_],
    country: str | None,
    date: datetime,
    corner: tuple[float, float],
    record: NDArray[np.uint16],
    labels43: int | None,
) -> Facts:
    return Facts(
        key=key,
        split=split,
        label_mask=sum(1 << bit for bit in np.flatnonzero(classes).tolist()),
        country=country,
        date=date,
        epsg=_EPSG,
        ulx=corner[0],
        uly=corner[1],
        seasonal_snow=False,
        cloud_or_shadow=False,
        nodata_pixels=len(record) - int(np.count_nonzero(record)),
        labels43=labels43,
    )
