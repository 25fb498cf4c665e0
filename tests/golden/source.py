"""The source of the golden stores: a small BigEarthNet v2 tree whose pixels are integer arithmetic that packs well."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bigearth_pipeline.synth.tiff import encode_band
from shards.layout.bands import GROUPS
from shards.layout.classes import CLASSES
from tests.support.data import tiffs

MODIFIED = 1_500_000_000
"""Modification time of every file, in seconds, so that the fingerprints of a build are the same everywhere."""
PLAIN = 22
"""Patches that have labels, a split and neither snow nor clouds; those after them have a `role`."""
ROLES = ("snow", "cloud", "no split", "no split", "no class", "null labels", "damaged", "no row")

_PRODUCTS = (
    ("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP", "Austria", 300_000, 5_400_000),
    ("S2B_MSIL2A_20180421T114349_N9999_R123_T29UNV", "Ireland", 499_980, 5_900_040),
    ("S2A_MSIL2A_20171208T093351_N0206_R136_T34VER", "Finland", 499_980, 7_000_020),
    ("S2B_MSIL2A_20220712T094549_N0400_R079_T35VNK", None, 499_980, 6_700_020),
    ("S2A_MSIL2A_20230301T100031_N0509_R122_T33UWP", "Austria", 499_980, 5_400_000),
)
_SPLITS = ("train", "train", "validation", "train", "train", "test", "val")


@dataclass(frozen=True)
class Item:
    """A patch of the source: its facts as the name and the table tell them, and what is special about it."""

    number: int
    key: str
    role: str
    labels: tuple[str, ...] | None
    split: str | None
    country: str | None
    date: str
    baseline: int
    epsg: int
    ulx: int
    uly: int
    snow: bool | None
    cloud: bool | None

    @property
    def folder(self) -> str:
        """Folder of the patch below that of the products."""
        return f"{self.key.rsplit('_', 2)[0]}/{self.key}"

    @property
    def has_offset(self) -> bool:
        """True if the digital numbers are 1000 higher."""
        return 400 <= self.baseline < 9999


def items() -> list[Item]:
    """Return the patches of the source."""
    return [_item(number) for number in range(PLAIN + len(ROLES))]


def _item(number: int) -> Item:
    name, country, ulx, uly = _PRODUCTS[number % 5]
    column, row = 3 * number, 80 - number
    stamp = name.split("_")[2]
    item = Item(
        number=number,
        key=f"{name}_{column:02d}_{row:02d}",
        role="",
        labels=tuple(sorted({CLASSES[(7 * number + 5 * j) % 19] for j in range(1 + number % 5)})),
        split=_SPLITS[number % 7],
        country=country,
        date=f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T{stamp[9:11]}:{stamp[11:13]}:{stamp[13:15]}",
        baseline=int(name.split("_")[3][1:]),
        epsg=32600 + int(name.split("_")[5][1:3]),
        ulx=ulx + 1200 * column,
        uly=uly - 1200 * row,
        snow=None if number in (5, 9) else False,
        cloud=None if number in (9, 14) else False,
    )
    if number < PLAIN:
        return item
    item = replace(item, role=ROLES[number - PLAIN])
    changes = {"snow": {"snow": True}, "cloud": {"cloud": True}, "no split": {"split": None}}
    changes |= {"no class": {"labels": ()}, "null labels": {"labels": None}}
    return replace(item, **changes.get(item.role, {}))  # type: ignore[arg-type]


def record(item: Item) -> NDArray[np.uint16]:
    """Return the digital numbers of a patch in the order of a record, (80000,) uint16."""
    places = [(group.size, number) for group in GROUPS for number in range(len(group.bands))]
    bands = [_band(item.number, band, size) for band, (size, _) in enumerate(places)]
    values = np.concatenate([band.ravel() for band in bands])
    if item.has_offset:
        values = np.where(values == 0, 0, np.minimum(values + 1000, 65_535))
        values[::997] = 640  # Reflectance below zero.
    return values.astype(np.uint16)


def _band(number: int, band: int, size: int) -> NDArray[np.int64]:
    """Return a band, (size, size); its pixels lie on the grid of the 10 m bands."""
    y, x = np.indices((size, size), np.int64) * (120 // size)
    level = 400 + 130 * band + 41 * number
    match number % 8:
        case 0:
            return level + (x + 2 * y) // 4
        case 1:
            return level + 200 * ((x // 15 + y // 15 + number) % 3)
        case 2:
            return np.full_like(x, level)
        case 3:
            return level + x * y // 32
        case 4:
            noisy = (y < 40) & (x < 60)
            return level + np.where(noisy, _noise(number, band, x, y), y // 8)
        case 5:
            return np.where(x + y < 20 + number, 0, level + 2 * x)
        case 6:
            return np.select([x < 24, x < 48, x < 72], [np.int64(1), np.int64(65_535), 256 * (y // 4)], level)
        case _:
            return level + 3 * np.abs(x - 60)


def _noise(number: int, band: int, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers from 0 to 1023 that no neighbour foretells."""
    mixed = (x * 73_856_093) ^ (y * 19_349_663) ^ ((number * 12 + band) * 83_492_791)
    mixed = (mixed & 0xFFFF_FFFF) * 2_654_435_761 & 0xFFFF_FFFF
    return (mixed ^ mixed >> 15) >> 8 & 1023


def write_source(folder: Path) -> None:
    """Write the tree, its table and what a tree may hold beside them."""
    for item in items():
        _write_patch(folder / "BigEarthNet-S2" / item.folder, item)
    (folder / "BigEarthNet-S2/@eaDir").mkdir()
    (folder / "BigEarthNet-S2/@eaDir/thumbs.db").write_bytes(b"of a file server")
    rows = [item for item in items() if item.role != "no row"]
    table = {
        "patch_id": [*(item.key for item in rows), f"{_PRODUCTS[0][0]}_88_01"],
        "labels": [*(item.labels for item in rows), CLASSES[:1]],
        "split": [*(item.split for item in rows), "test"],
        "country": [*(item.country for item in rows), "Austria"],
        "s1_name": [None] * (len(rows) + 1),
        "s2v1_name": [None] * (len(rows) + 1),
        "contains_seasonal_snow": [*(item.snow for item in rows), False],
        "contains_cloud_or_shadow": [*(item.cloud for item in rows), False],
    }
    types = {"labels": pa.list_(pa.string()), "s1_name": pa.string(), "s2v1_name": pa.string()}
    columns = {name: pa.array(values, types.get(name)) for name, values in table.items()}
    pq.write_table(pa.table(columns), folder / "metadata.parquet")
    for path in folder.rglob("*"):
        os.utime(path, (MODIFIED, MODIFIED))


def _write_patch(folder: Path, item: Item) -> None:
    folder.mkdir(parents=True)
    values = record(item)
    for group in GROUPS:
        for band, pixels in zip(group.bands, values[group.slice].reshape(group.shape), strict=True):
            if item.number == 0:  # Big-endian, which is read in another way.
                place = {"ulx": item.ulx, "uly": item.uly}
                content = replace(tiffs.official(group, pixels.astype(">u2").tobytes(), **place), order=">").encode()
            else:
                content = encode_band(pixels, layout="v2", epsg=item.epsg, ulx=item.ulx, uly=item.uly)
            if item.role == "damaged" and band == "B8A":
                content = content[: len(content) // 2]
            (folder / f"{item.key}_{band}.tif").write_bytes(content)
