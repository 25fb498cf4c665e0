"""Described stores, as other programs read them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas
import mlcroissant
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

import shards
from bigearth_pipeline.describe.facts import Facts
from bigearth_pipeline.describe.write import describe
from shards.layout.classes import FORTY_THREE
from shards.storage.atomic import atomic_write
from shards.storage.remote.address import place_of
from shards.testing.stores import make_store
from tests.bigearth_pipeline.cli.calls import assert_one_error, invoke
from tests.bigearth_pipeline.scenes.stac import validated
from tests.support.data.building import contents

CORNERS = ((600_000.0, 5_900_000.0), (500_000.0, 4_000_000.0), (350_000.0, 7_000_000.0))
DATES = (datetime(2017, 6, 13, 11, 2, 3), datetime(2018, 5, 1, 10), datetime(2017, 8, 2))


@pytest.fixture(scope="module", params=["webdataset", "zarr"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of patches at three places."""
    folder = tmp_path_factory.mktemp("describe") / "store"
    counts = {"train": 7, "test": 4}
    return make_store(folder, counts, format=request.param, corners=CORNERS, dates=DATES, countries=("Ireland", None))


@pytest.fixture(scope="module")
def out(store: Path) -> Path:
    """The folder with the files that describe it."""
    folder = store.parent / "about"
    describe(store, folder)
    return folder


@pytest.fixture
def opened(store: Path) -> Iterator[shards.Store]:
    """The store, open."""
    with shards.open(store) as found:
        yield found


def test_geopandas_finds_each_patch_where_it_is(opened: shards.Store, out: Path) -> None:
    """A square lies elsewhere than its patch, or in another system than the file says."""
    table = geopandas.read_parquet(out / "patches.parquet")
    assert table.crs.to_epsg() == 4326
    assert len(table) == len(opened)
    for row, patch in enumerate(opened):
        found = table.iloc[[row]].to_crs(patch.crs).geometry.iloc[0]
        assert found.is_valid
        # To a millimetre.
        assert found.symmetric_difference(shapely.box(*patch.bounds)).area < 5
        assert np.allclose(found.bounds, patch.bounds, atol=1e-3)
        assert (table["key"][row], tuple(table["labels"][row])) == (patch.key, patch.labels)
    for name in opened.index.table.column_names:
        assert pq.read_table(out / "patches.parquet")[name].to_pylist() == opened.index.table[name].to_pylist()


def test_bounds_leave_out_what_lies_elsewhere(opened: shards.Store, out: Path) -> None:
    """A reader that skips rows by their bounds misses patches, or the bounds of the file are not those of its rows."""
    path = out / "patches.parquet"
    everything = geopandas.read_parquet(path)
    box = everything.iloc[1].geometry.bounds
    found = geopandas.read_parquet(path, bbox=box)
    assert 0 < len(found) < len(everything)
    assert sorted(found["key"]) == sorted(everything[everything.intersects(shapely.box(*box))]["key"])
    geo = json.loads(pq.read_schema(path).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["bbox"] == pytest.approx(everything.total_bounds.tolist())


def test_mlcroissant_reads_it(opened: shards.Store, out: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The official library finds a mistake, or other records than the index has."""
    found = mlcroissant.Dataset(jsonld=out / "croissant.json")
    assert not found.metadata.issues.errors
    assert "not standard" not in caplog.text
    records = list(found.records("records"))
    assert len(records) == len(opened)
    for record, patch in zip(records, opened, strict=True):
        assert record["records/key"] == patch.key.encode()
        assert record["records/date"].to_pydatetime() == patch.date
        assert record["records/epsg"] == int(patch.crs.removeprefix("EPSG:"))
    values = json.loads((out / "croissant.json").read_text())
    assert values["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/geo/1.0"]
    assert values["temporalCoverage"] == "2017-06-13/2018-05-01"
    south, west, north, east = map(float, values["spatialCoverage"]["sc:geo"]["sc:box"].split())
    assert (west, south, east, north) == pytest.approx(geopandas.read_parquet(out / "patches.parquet").total_bounds)


def test_checksums_are_those_of_the_files(opened: shards.Store, out: Path) -> None:
    """A file of the store is not listed, is elsewhere, or has another checksum."""
    files = json.loads((out / "croissant.json").read_text())["distribution"]
    for file in files:
        content = (out / file["contentUrl"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        assert file["contentSize"] == f"{len(content)} B"
    assert {file["@id"] for file in files} == opened.manifest.paths | {"patches"}


def test_pystac_finds_the_collection_valid(out: Path) -> None:
    """The collection breaks a rule of STAC or of its extensions, or leads to no file."""
    found = validated(out / "collection.json")
    assert found["extent"]["temporal"]["interval"] == [["2017-06-13T11:02:03Z", "2018-05-01T10:00:00Z"]]
    box = geopandas.read_parquet(out / "patches.parquet").total_bounds.tolist()
    assert found["extent"]["spatial"]["bbox"] == [pytest.approx(box)]
    assert len(found["assets"]["patches"]["classification:bitfields"]) == 19
    for asset in found["assets"].values():
        content = (out / asset["href"]).read_bytes()
        if "file:checksum" in asset:
            assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()


def test_the_store_stays_as_it_is(store: Path, tmp_path: Path) -> None:
    """Describing a store changes it, or the same store gives other bytes."""
    before = contents(store)
    describe(store, tmp_path / "first")
    describe(store, tmp_path / "second")
    assert contents(store) == before
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert sorted(contents(tmp_path / "first")) == ["collection.json", "croissant.json", "patches.parquet"]


@pytest.mark.parametrize("inside", ["", "about", "train/../about"])
def test_a_folder_in_the_store_is_refused(store: Path, inside: str) -> None:
    """Files that are no part of a store get into it, and `bep verify` fails."""
    before = contents(store)
    result = invoke("describe", store, "--out", store / inside)
    assert result.exit_code == 1
    assert_one_error(result.stderr, "is in the store", "expected a folder beside it; name another: --out DIR")
    assert contents(store) == before


def test_a_patch_without_a_place_has_no_square(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One patch of a system that PROJ does not know takes the others along."""
    monkeypatch.setattr("shards.testing.stores._EPSG", 999_999)
    lost = make_store(tmp_path / "lost", {"train": 2})
    describe(lost, tmp_path / "about")
    table = geopandas.read_parquet(tmp_path / "about/patches.parquet")
    assert table.geometry.isna().all()
    assert validated(tmp_path / "about/collection.json")["extent"]["spatial"]["bbox"] == [[-180, -90, 180, 90]]
    assert "spatialCoverage" not in json.loads((tmp_path / "about/croissant.json").read_text())


def test_no_collection_stays_beside_files_of_another_store(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a full disk a collection describes a table that is no longer there."""
    describe(store, tmp_path)

    def full(path: Path) -> Any:
        if path.name == "croissant.json":
            raise OSError(28, "No space left on device")
        return atomic_write(path)

    monkeypatch.setattr("bigearth_pipeline.describe.write.atomic_write", full)
    with pytest.raises(OSError, match="No space"):
        describe(store, tmp_path)
    assert not (tmp_path / "collection.json").exists()


def test_the_command_says_what_it_wrote(store: Path, tmp_path: Path) -> None:
    """The names of the files are to be guessed."""
    result = invoke("describe", store, "--out", tmp_path / "about")
    assert (result.exit_code, result.stderr) == (0, "")
    names = ["patches.parquet", "croissant.json", "collection.json"]
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == [f"{tmp_path}/about/{n}" for n in names]


def test_files_on_object_storage_have_addresses(opened: shards.Store, out: Path) -> None:
    """The files of a store on object storage are looked for on this machine."""
    facts = replace(Facts.of(opened, None, out / "patches.parquet"), place=place_of("s3://bucket/some/store"))
    assert facts.link("train/b10/c/0/0/0/0") == "s3://bucket/some/store/train/b10/c/0/0/0/0"
    assert facts.name == "store"


def test_labels_of_v1_are_described(tmp_path: Path) -> None:
    """A catalogue knows nothing of the labels of the 43 classes, or takes one class for another."""
    folder = make_store(tmp_path / "store", {"train": 4}, source_version="v1", labels43=True)
    describe(folder, tmp_path / "about")
    table = geopandas.read_parquet(tmp_path / "about/patches.parquet")
    with shards.open(folder) as opened:
        patches = list(opened)
    assert [tuple(names) for names in table["names43"]] == [patch.names43 for patch in patches]
    records = mlcroissant.Dataset(jsonld=tmp_path / "about/croissant.json").records("records")
    assert [record["records/labels43"] for record in records] == [patch.labels43 for patch in patches]
    asset = validated(tmp_path / "about/collection.json")["assets"]["patches"]
    bits = asset["classification:bitfields"]
    assert len({bit["name"] for bit in bits}) == len(bits) == 19 + 43
    names = [bit["description"].removeprefix("labels43: ") for bit in bits if bit["name"].startswith("labels43_")]
    places = [bit["offset"] for bit in bits if bit["name"].startswith("labels43_")]
    assert (names, places) == (list(FORTY_THREE.names), list(range(43)))


def test_the_data_of_others_is_named(tmp_path: Path) -> None:
    """BigEarthNet is described without its licence, address and paper."""
    folder = make_store(tmp_path / "store", {"train": 2})
    describe(folder, tmp_path / "about")
    values = json.loads((tmp_path / "about/croissant.json").read_text())
    assert values["license"] == "https://spdx.org/licenses/CDLA-Permissive-1.0.html"
    assert values["url"] == "https://zenodo.org/records/10891137"
    assert "2407.03653" in values["citeAs"]
    assert values["creator"][0] == {"@type": "sc:Person", "name": "Kai Norman Clasen"}
