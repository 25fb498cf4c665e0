"""Places of the bands of a patch: all twelve at the same place, and at one that there is."""

import json
import math
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.georeference import utm_descriptions
from bigearth_pipeline.source.tiff.reader import TiffReader
from bigearth_pipeline.verify.store import verify_store
from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, GROUPS
from tests.conftest import real
from tests.support.data import faults
from tests.support.data.building import build_store
from tests.support.data.scene import PRODUCT, write_band, write_table
from tests.support.data.tiffs import DOUBLE, SHORT, Tag, Tiff, geo_keys, official, with_tag

KEY = f"{PRODUCT}_00_00"
Change = Callable[[Tiff, int], Tiff]


def tie_point(*values: float) -> Change:
    return lambda tiff, _: with_tag(tiff, Tag(33922, DOUBLE, values))


def keys(**changes: int | None) -> Change:
    numbers = {int(key[1:]): value for key, value in changes.items()}
    return lambda tiff, _: with_tag(tiff, Tag(34735, SHORT, geo_keys(numbers)))


def scale(*factors: float) -> Change:
    return lambda tiff, metres: with_tag(tiff, Tag(33550, DOUBLE, [metres * factor for factor in factors]))


def without(*numbers: int) -> Change:
    return lambda tiff, _: replace(tiff, tags=tuple(tag for tag in tiff.tags if tag.number not in numbers))


def matrix(tiff: Tiff, metres: int) -> Tiff:
    rows = [metres, 1.0, 0, 399_960, 1.0, -metres, 0, 5_300_040, *[0] * 7, 1]
    return with_tag(without(33550, 33922)(tiff, metres), Tag(34264, DOUBLE, rows))


# Changes of one band, and what the reason says.
ELSEWHERE: dict[str, tuple[Change, str]] = {
    "shifted": (tie_point(0, 0, 0, 499_960, 5_300_040, 0), "EPSG:32633 499960.0 5300040.0"),
    "a metre off": (tie_point(0, 0, 0, 399_960, 5_300_041, 0), "EPSG:32633 399960.0 5300041.0"),
    "a hair off": (tie_point(0, 0, 0, 399_960, math.nextafter(5_300_040, 0), 0), "399960.0 5300039.999"),
    "another point of the grid": (tie_point(1, 0, 0, 399_960, 5_300_040, 0), "EPSG:32633 3999"),
    "another zone": (keys(k3072=32634), "EPSG:32634 399960.0 5300040.0"),
    "another datum": (keys(k3072=25833), "EPSG:25833 399960.0 5300040.0"),
    "points": (keys(k1025=2), "EPSG:32633 3999"),
    "no system": (without(34735, 34737), "no georeference"),
    "no grid": (without(33550, 33922), "has pixels of 1 × -1 m"),
    "larger pixels": (scale(2, 2, 0), "has pixels of"),
    "a hair larger": (scale(1 + 1e-12, 1, 0), "has pixels of"),
    "flat pixels": (scale(1, 0.5, 0), "has pixels of"),
    "south up": (scale(1, -1, 0), "has pixels of"),
    "west first": (scale(-1, 1, 0), "has pixels of -"),
    "rotated": (matrix, "rotated or sheared"),
}
NOWHERE: dict[str, tuple[Change, str]] = {
    "degrees": (keys(k1024=2, k3072=None, k2048=4326), "lies in EPSG:4326, expected a projected EPSG system in metres"),
    "code of degrees": (keys(k3072=4326), "lies in EPSG:4326"),
    "feet": (keys(k3072=2225, k3076=9003), "lies in "),
    "UTM in feet": (keys(k3076=9002), "lies in PROJCS"),
    "unknown code": (keys(k3072=1), "lies in LOCAL_CS"),
    "no code": (keys(k3072=None), "lies in LOCAL_CS"),
    "geocentric": (keys(k1024=3), "lies in EPSG:4978"),
    **{
        f"{'easting' if axis == 3 else 'northing'} {value}": (
            tie_point(*[0, 0, 0, 399_960, 5_300_040, 0][:axis], value, *[0, 0, 0, 399_960, 5_300_040, 0][axis + 1 :]),
            "expected an easting from 0 to 1000000 and a northing from -10000 to 9400000 m",
        )
        for axis in (3, 4)
        for value in (math.nan, math.inf, -math.inf, 1e300, -1e9, 2.5e7, -20_000.0)
    },
    "row nan": (tie_point(0, math.nan, 0, 399_960, 5_300_040, 0), "lies at EPSG:32633 399960.0 nan"),
    "column inf": (tie_point(math.inf, 0, 0, 399_960, 5_300_040, 0), "lies at EPSG:32633 -inf"),
    "southern": (
        lambda tiff, metres: tie_point(0, 0, 0, 399_960, 100.0, 0)(keys(k3072=32733)(tiff, metres), metres),
        "northing from 1000000 to 10010000 m",
    ),
    "another system": (
        lambda tiff, metres: tie_point(0, 0, 0, 3e7, 100.0, 0)(keys(k3072=3035)(tiff, metres), metres),
        "an easting from -20100000 to 20100000",
    ),
}


def write(folder: Path, key: str, changes: dict[str, Change]) -> np.ndarray:
    """Write a patch of random pixels with changed bands, and return its record."""
    record = np.random.default_rng(len(key)).integers(0, 10_000, 80_000).astype(np.uint16)
    (folder / key).mkdir(parents=True, exist_ok=True)
    for band, values in BAND_SLICES.items():
        group = GROUP_OF[band]
        tiff = official(group, record[values].tobytes())
        tiff = changes[band](tiff, group.metres) if band in changes else tiff
        (folder / key / f"{key}_{band}.tif").write_bytes(tiff.encode())
    return record


def readers(tmp_path: Path) -> list[TiffReader]:
    """Readers that have seen nothing, a sound patch, and that take no short way."""
    seen = TiffReader()
    write(tmp_path / "sound", KEY, {})
    seen.read_patch(str(tmp_path / "sound" / KEY), KEY, np.empty(80_000, np.uint16))
    return [TiffReader(), seen, TiffReader(always_gdal=True)]


@pytest.mark.parametrize("change", ELSEWHERE)
def test_a_band_that_lies_elsewhere_is_named(tmp_path: Path, change: str) -> None:
    """A band of another patch, system or resolution is stored as if it belonged to this one."""
    alter, says = ELSEWHERE[change]
    for reader in readers(tmp_path):
        for band in random.Random(change).sample(BANDS[1:], 3):
            write(tmp_path, KEY, {band: alter})
            with pytest.raises(BadPatch) as caught:
                reader.read_patch(str(tmp_path / KEY), KEY, np.empty(80_000, np.uint16))
            message = str(caught.value)
            assert f"{KEY}_{band}.tif" in message
            assert says in message
            assert message.endswith("; B02 lies at EPSG:32633 399960.0 5300040.0")


@pytest.mark.parametrize("change", NOWHERE)
def test_a_place_that_no_patch_can_have_is_refused(tmp_path: Path, change: str) -> None:
    """A place that is no number or no place enters a store, which then fails its own check, or lies in the sea."""
    alter, says = NOWHERE[change]
    for reader in readers(tmp_path):
        for changed in (BANDS, BANDS[:1], BANDS[5:6]):
            write(tmp_path, KEY, dict.fromkeys(changed, alter))
            with pytest.raises(BadPatch) as caught:
                reader.read_patch(str(tmp_path / KEY), KEY, np.empty(80_000, np.uint16))
            assert f"{KEY}_{changed[0]}.tif" in str(caught.value)
            assert says in str(caught.value)


def test_files_of_different_kinds_agree(tmp_path: Path) -> None:
    """A patch whose bands were written by different programs at one place is refused."""
    record = np.random.default_rng(3).integers(0, 10_000, 80_000).astype(np.uint16)
    options = [{}, {"compress": "deflate"}, {"endianness": "big"}, {"nodata": None}, {"tiled": True, "blockxsize": 16}]
    (tmp_path / KEY).mkdir()
    for i, (band, values) in enumerate(BAND_SLICES.items()):
        group, chosen = GROUP_OF[band], options[i % len(options)]
        pixels = record[values].reshape(group.size, group.size)
        chosen = {**chosen, **({"blockysize": 16} if "tiled" in chosen else {})}
        write_band(tmp_path / KEY / f"{KEY}_{band}.tif", pixels, group.metres, 399_960, 5_300_040, **chosen)
    for reader in readers(tmp_path):
        read = np.empty(80_000, np.uint16)
        place = reader.read_patch(str(tmp_path / KEY), KEY, read)
        assert (place.epsg, place.ulx, place.uly) == (32633, 399_960, 5_300_040)
        np.testing.assert_array_equal(read, record)


def test_the_descriptions_of_all_utm_zones_are_those_of_gdal(tmp_path: Path) -> None:
    """A zone is taken for another, or its files take the slow way."""
    descriptions = utm_descriptions()
    assert len(descriptions) == 120
    zones = [32601, 32609, 32610, 32629, 32660, 32701, 32733, 32760]
    for epsg in zones:
        write_band(tmp_path / "a.tif", np.ones((20, 20), np.uint16), 60, 5e5, 5e6, crs=f"EPSG:{epsg}")
        content = (tmp_path / "a.tif").read_bytes()
        assert [code for text, code in descriptions.items() if text in content] == [epsg]
        reader = TiffReader()
        place = reader.read_band(str(tmp_path / "a.tif"), GROUPS[2], np.empty(400, np.uint16))
        assert (place.epsg, reader._gdal._started) == (epsg, False)


def test_all_bands_of_the_real_patches_agree(v1_tree: Path) -> None:
    """The comparison of places refuses official patches, or has them read by GDAL."""
    folders = [*(v1_tree / "BigEarthNet-S2-Example").iterdir(), *real("v2/BigEarthNet-S2").glob("*/*")]
    with TiffReader() as short, TiffReader(always_gdal=True) as gdal:
        for folder in folders:
            records = np.empty((2, 80_000), np.uint16)
            places = [r.read_patch(str(folder), folder.name, o) for r, o in zip((short, gdal), records, strict=True)]
            assert places[0] == places[1]
            np.testing.assert_array_equal(records[0], records[1])
        assert not short._gdal._started


@pytest.mark.long
def test_a_build_quarantines_them_and_a_check_names_them(scheduler: str, tmp_path: Path) -> None:
    """A store is built of bands of other patches, or a check against such a source hangs or ends early."""
    tree = tmp_path / "tree"
    product = tree / "BigEarthNet-S2" / PRODUCT
    chosen = {**ELSEWHERE, "nan": NOWHERE["northing nan"], "degrees": NOWHERE["code of degrees"]}
    sound = [f"{PRODUCT}_00_{i:02d}" for i in range(len(chosen) + 8)]
    bad = {f"{PRODUCT}_01_{i:02d}": name for i, name in enumerate(chosen)}
    for key in (*sound, *bad):
        write(product, key, {"B08": chosen[bad[key]][0]} if key in bad else {})
    write_table(tree / "metadata.parquet", [*sound, *bad])
    build_store(tmp_path / "store", tree, scheduler=scheduler, allow_bad=len(bad))
    lines = [json.loads(line) for line in (tmp_path / "store" / "quarantine.jsonl").read_text().splitlines()]
    assert {line["key"] for line in lines} == bad.keys()
    for line in lines:
        assert f"{line['key']}_B08.tif" in line["reason"]
        assert chosen[bad[line["key"]]][1] in line["reason"]
    assert verify_store(tmp_path / "store", against=[tree], workers=1).problems == []

    # Afterwards the same happens to sources of patches that are in the store, and worse to seven others.
    files = [product / key / f"{key}_B08.tif" for key in sound]
    for path, (alter, _) in zip(files, chosen.values(), strict=False):
        path.write_bytes(alter(official(GROUPS[0], bytes(28_800)), 10).encode())
    pipe, folder, device, loop, damaged, cut, double, _ = files[len(chosen) :]
    for path in (pipe, folder, device, loop, damaged, cut):
        path.unlink()
    os.mkfifo(pipe)
    folder.mkdir()
    device.symlink_to("/dev/zero")
    loop.symlink_to(loop)
    damaged.write_bytes(b"II*\0" + bytes(100))
    cut.write_bytes(official(GROUPS[0], bytes(28_800)).encode()[:-1])
    shutil.copy(double, double.with_suffix(".TIFF"))
    found = verify_store(tmp_path / "store", against=[tree], workers=1)
    assert found.compared == 1
    for problem in found.problems:
        assert "\n" not in problem
        assert any(problem.startswith(f"source of {p.parent.name}: ") and p.name in problem for p in files), problem
    assert len(found.problems) == len(files) - 1


def test_a_band_of_another_place_in_a_real_patch(tmp_path: Path) -> None:
    """The band of another real patch is stored in silence."""
    folder = next(real("v2/BigEarthNet-S2").glob("*/*"))
    copied = faults.copy(folder, tmp_path / folder.name)
    place = TiffReader().read_patch(str(copied), folder.name, np.empty(80_000, np.uint16))
    pixels = np.random.default_rng(1).integers(0, 3000, (120, 120)).astype(np.uint16)
    write_band(copied / f"{folder.name}_B08.tif", pixels, 10, place.ulx + 100_000, place.uly)
    with pytest.raises(BadPatch, match=rf"_B08.tif: B08 lies at EPSG:32633 {place.ulx + 100_000} .*; B02 lies at EPSG"):
        TiffReader().read_patch(str(copied), folder.name, np.empty(80_000, np.uint16))
