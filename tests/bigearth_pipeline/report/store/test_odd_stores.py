"""Reports of stores with few patches or facts, hostile names, damage, further bands, or an earlier version."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import shards
from bigearth_pipeline.report.page.blocks import Drawing, Figure, Text
from bigearth_pipeline.report.store.bands import bands
from bigearth_pipeline.report.store.contents import Contents
from bigearth_pipeline.report.store.origin import origin
from bigearth_pipeline.report.store.overview import overview
from bigearth_pipeline.report.store.report import store_report
from bigearth_pipeline.report.store.samples import samples
from shards import CLASSES, CorruptShard, RecordGroup
from shards.testing.stores import make_store
from shards.write import StoreWriter
from tests.bigearth_pipeline.report.pages import Html, number, words
from tests.support.data.faults import copy, edit_manifest, flip_bit
from tests.support.paths import GOLDEN


def _edit_index(folder: Path, **columns: pa.Array) -> None:
    """Replace columns of the index of a store, and give the manifest the checksum that fits."""
    import hashlib

    path = folder / "index.parquet"
    table = pq.read_table(path)
    for name, values in columns.items():
        i = table.column_names.index(name)
        table = table.set_column(i, table.schema.field(i).with_type(values.type), values)
    pq.write_table(table, path)
    size, sha256 = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()

    def describe(raw: dict[str, list[dict[str, object]]]) -> None:
        [info] = [info for info in raw["files"] if info["path"] == "index.parquet"]
        info.update(size_bytes=size, sha256=sha256)

    edit_manifest(folder, describe)


HOSTILE = "<script>alert('x')</script>&\"'"


@pytest.mark.long
def test_names_from_files_are_text(tmp_path: Path) -> None:
    """Whoever wrote a store runs a script in the browser of whoever looks at its report."""
    folder = make_store(tmp_path / "<b>store&", {"train": 3}, countries=(HOSTILE, "$\\frac{$"))
    _edit_index(folder, key=pa.array([f"{HOSTILE}{i}" for i in range(3)]))
    edit_manifest(folder, lambda raw: raw["left_out"].update({HOSTILE: 7}))
    line = {"key": HOSTILE, "folder": HOSTILE, "reason": HOSTILE + "\x1b[2J\u202e"}
    (folder / "quarantine.jsonl").write_text(json.dumps(line) + "\n")
    (folder / "unmatched.csv").write_text(f'what,patch\n"{HOSTILE.replace(chr(34), chr(34) * 2)}",x\n')
    page = Html.of(store_report(folder, per_class=1))
    assert len(page.all("script")) == 1
    assert "<script>alert" not in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    assert page.table("left-out-table")[HOSTILE][0] == "7"
    assert page.table("quarantine-table")[HOSTILE][0] == HOSTILE
    assert page.table("unmatched-table")[HOSTILE] == ["x"]
    assert HOSTILE in page.table("countries-table")
    assert HOSTILE in words(page.by_id("samples"))
    assert words(page.all("h1")[0]) == "Store <b>store&"


def test_a_store_of_one_patch_without_facts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A store of one patch, one split and no known flags, histograms or place ends in a traceback."""
    folder = make_store(tmp_path / "one", {"test": 1}, countries=(None,), source_version="v1")
    nothing = pa.array([None], pa.bool_())
    far = {"epsg": pa.array([999_999], pa.int32()), "ulx": pa.array([1e300]), "label_mask": pa.array([0], pa.uint32())}
    _edit_index(
        folder, seasonal_snow=nothing, cloud_or_shadow=nothing, nodata_pixels=pa.array([None], pa.int32()), **far
    )
    (folder / "histograms.parquet").unlink()

    def clear(raw: dict[str, dict[str, dict[str, dict[str, int]]]]) -> None:
        counts = raw["splits"]["test"]["class_counts"]
        counts.update(dict.fromkeys(counts, 0))

    edit_manifest(folder, clear)
    page = Html.of(store_report(folder, per_class=1))
    assert "1 patch cannot be placed on this map" in words(page.by_id("places"))
    assert capfd.readouterr().err == ""
    assert "no histograms.parquet" in words(page.by_id("bands"))
    assert page.captions()["classes-figure"] == "None of 1 patch has a class."
    assert "No patch has two classes." in words(page.by_id("pairs"))
    assert "of 1 patch it is not known" in words(page.by_id("left-out"))
    assert "No counts of the 19 classes by split are published for v1" in words(page.by_id("classes"))
    assert not {"map", "histograms-figure"} & set(page.captions())
    assert page.columns("classes-table") == ["class", "test", "all", "share"]
    assert number(page.table("bands-published")["B02, blue, 492 nm, 10 m"][1]) == pytest.approx(429.943, abs=1e-3)


def test_a_damaged_store_is_refused(tar: Path, tmp_path: Path) -> None:
    """Pictures of damaged records, or lists of damaged files, pass for those of the store."""
    folder = copy(tar, tmp_path / "damaged")
    with pq.ParquetFile(folder / "index.parquet") as index:
        table = index.read()
    for row in table.to_pylist():
        flip_bit(folder / f"{row['shard']}.tar", row["s2_offset"] + row["s2_length"] // 2)
    flip_bit(folder / "histograms.parquet", 100)
    with shards.open(folder) as store:
        with pytest.raises(CorruptShard, match="CRC-32C"):
            samples(Contents(store), 1)
        assert samples(Contents(store), 0).blocks == (Text("Pictures were left out on request."),)
        with pytest.raises(CorruptShard, match=r"histograms\.parquet"):
            bands(Contents(store))


@pytest.mark.long
@pytest.mark.real
@pytest.mark.parametrize("name", ["webdataset-blosc-lz4", "zarr-blosc-zstd"])
def test_stores_of_earlier_versions_have_reports(name: str, tmp_path: Path) -> None:
    """A store of the first writer, whose index lacks columns, has no report; or real pixels look like nothing."""
    import tarfile

    found = sorted(GOLDEN.glob(f"*/{name}.tar.xz")) if GOLDEN.exists() else []
    if not found:
        pytest.skip("stores of earlier versions are absent")
    with tarfile.open(found[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    [manifest] = tmp_path.rglob("manifest.json")
    page = Html.of(store_report(manifest.parent, per_class=1))
    assert "Processing baselines: unknown" in words(page.by_id("left-out"))
    image = next(image for image in page.all("img") if "true colour" in image.attrib["alt"])
    content = base64.b64decode(image.attrib["src"].removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    assert 20 < pixels.mean() < 235
    assert pixels.std() > 5


def test_a_split_has_its_colour_in_every_store(tmp_path: Path) -> None:
    """The test split of one store looks like the validation split of another."""
    with shards.open(make_store(tmp_path / "two", {"train": 2, "test": 2})) as store:
        [figure, *_] = origin(Contents(store)).blocks
    assert isinstance(figure, Figure)
    [panel] = figure.panels
    assert isinstance(panel, Drawing)
    assert "var(--series-1)" in panel.svg
    assert "var(--series-3)" in panel.svg
    assert "var(--series-2)" not in panel.svg


def test_further_groups_are_named(tmp_path: Path) -> None:
    """A store with bands beside Sentinel-2 has no report, or one that does not say so."""
    codes = RecordGroup("codes", 20, ("CLC",), role="codes")
    make = make_store(tmp_path / "plain", {"train": 2})
    with (
        shards.open(make) as source,
        StoreWriter(tmp_path / "more", groups=[codes]) as store,
        store.shard("train", 0) as out,
    ):
        for row in range(2):
            patch = source.read(row)
            out.add(patch, patch.s2, {"codes": np.zeros((1, 60, 60), np.uint16)})
    with shards.open(tmp_path / "more") as found:
        contents = Contents(found)
        text = overview(contents).blocks[0]
        assert len(samples(contents, 1).blocks) == 2
    assert isinstance(text, Text)
    assert "Beside them it has codes (1 band, 20 m, uint16)" in text.text


@pytest.mark.long
def test_the_only_one_is_not_the_rarest_too(tmp_path: Path) -> None:
    """A store of one country, day and pair of classes says which of them is most and which least."""
    folder = make_store(tmp_path / "store", {"train": 2}, countries=("Austria",))
    dates = pq.read_table(folder / "index.parquet")["date"]
    date = dates[0].as_py()
    _edit_index(folder, date=pa.array([date] * 2, dates.type), label_mask=pa.array([3, 3], pa.uint32()))

    def count(raw: dict[str, dict[str, dict[str, dict[str, int]]]]) -> None:
        counts = raw["splits"]["train"]["class_counts"]
        counts.update({name: 2 * (name in CLASSES[:2]) for name in counts})

    edit_manifest(folder, count)
    captions = Html.of(store_report(folder, per_class=0)).captions()
    assert captions["countries-figure"] == "1 country. Austria: 2 (100.0 %)."
    assert captions["months-figure"].startswith(f"All on {date:%Y-%m-%d} (UTC). ")
    assert "lowest" not in captions["pairs-lift-figure"]
