"""The report of a store, read back from the HTML and compared with the store."""

import base64
import io
import json
import re
from collections import Counter
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
from shards import BANDS, CLASSES, SPLITS, CorruptShard, RecordGroup
from shards.layout.classes import decode_labels
from shards.testing.stores import make_store
from shards.write import StoreWriter
from tests.bigearth_pipeline.report.conftest import COUNTS
from tests.bigearth_pipeline.report.pages import Html, number, words
from tests.faults import copy, edit_manifest, flip_bit
from tests.paths import GOLDEN

FIGURES = [
    "map",
    "map-part",
    "classes-figure",
    "labels-figure",
    "pairs-counts-figure",
    "pairs-lift-figure",
    "countries-figure",
    "months-figure",
    "seasons-figure",
    "histograms-figure",
    "samples-sheet",
    "bands-of-a-patch",
]
SECTIONS = ["overview", "places", "classes", "pairs", "origin", "bands", "samples", "left-out", "rebuild"]


def rows(folder: Path) -> list[dict[str, object]]:
    """Return the index of a store, read without the package."""
    found: list[dict[str, object]] = pq.read_table(folder / "index.parquet").to_pylist()
    return found


def test_the_enlarged_part_of_the_map_says_where_it_is(page: Html) -> None:
    """A map without coasts shows squares of nobody knows where."""
    captions = page.captions()
    # Corners at 600,000 m E, 5,900,000 m N of UTM zone 29 lie around 53.2° N, 7.5° W.
    assert "km × 60 km around 53.23° N 7.49° W, Ireland, which hold" in captions["map-part"]
    assert captions["map"].endswith("The frame is where the next map lies.")


def test_all_sections_and_figures_are_there(page: Html) -> None:
    """A part of the report is lost, has no caption, or its caption tells no number."""
    assert [section.attrib["id"] for section in page.all("section")] == SECTIONS
    captions = page.captions()
    assert list(captions) == FIGURES
    assert all(re.search(r"\d", caption) and caption.endswith(".") for caption in captions.values())
    for figure in page.all("figure"):
        assert list(figure.iter("{http://www.w3.org/2000/svg}svg")) or list(figure.iter("img")), figure.attrib


def test_nothing_is_asked_for(page: Html) -> None:
    """Opening the page makes requests, which tell others what is looked at and fail without a network."""
    targets = list(page.links())
    assert len(targets) > 60
    ids = {element.get("id") for element in page.root.iter()}
    for tag, target in targets:
        assert target.startswith("data:") or (target.startswith("#") and target[1:] in ids), (tag, target)
    assert not re.search(r"@import|url\((?!#)", page.text)
    assert all(element.get("src") is None for element in page.all("script"))


def test_identifiers_are_unique(page: Html) -> None:
    """A link or a clip of one chart leads into another one."""
    counts = Counter(element.attrib["id"] for element in page.root.iter() if "id" in element.attrib)
    assert [name for name, times in counts.items() if times > 1] == []
    used = set(re.findall(r"url\(#([^)]+)\)", page.text))
    assert used <= set(counts)


def test_classes_are_those_of_the_index(page: Html, tar: Path) -> None:
    """The report tells other numbers of labels than the store has, or other published ones than were published."""
    found = page.table("classes-table")
    counts = Counter((row["split"], label) for row in rows(tar) for label in decode_labels(int(str(row["label_mask"]))))
    place = {name: i for i, name in enumerate(page.columns("classes-table")[1:])}
    for label in CLASSES:
        for split in SPLITS:
            assert number(found[label][place[split]]) == counts[split, label]
        assert number(found[label][place["all"]]) == sum(counts[split, label] for split in SPLITS)
    assert number(found["Arable land"][place["train, published"]]) == 88_236
    assert number(found["patches"][place["train, published"]]) == 237_871
    assert number(found["patches"][place["all"]]) == sum(COUNTS.values())
    mean = sum(counts.values()) / sum(COUNTS.values())
    assert f"A patch has {mean:.2f} labels on average" in page.captions()["labels-figure"]


def test_countries_months_and_seasons_are_those_of_the_index(page: Html, tar: Path) -> None:
    """Patches count for another country, month or season, or those without a country for none."""
    expected = Counter(row["country"] or "unknown" for row in rows(tar))
    table = page.table("countries-table")
    assert {name: number(row[-2]) for name, row in table.items()} == {**expected, "all": sum(COUNTS.values())}
    months = Counter(f"{row['date']:%Y-%m}" for row in rows(tar))
    assert {name: number(row[-2]) for name, row in page.table("months-table").items()} == {
        **months,
        "all": sum(COUNTS.values()),
    }
    winter = sum(count for month, count in months.items() if month[-2:] in ("12", "01", "02"))
    assert f"winter {winter} (" in page.captions()["seasons-figure"]
    assert winter > 0


def test_pairs_are_those_of_the_index(page: Html, tar: Path) -> None:
    """Co-occurrence or lift is wrong."""
    labels = [set(decode_labels(int(str(row["label_mask"])))) for row in rows(tar)]
    cells = [[words(cell) for cell in row] for row in page.by_id("pairs-table").iter("tr")][1:]
    assert len(cells) == 171
    for first, second, count, lift in cells:
        both = sum({first, second} <= each for each in labels)
        assert number(count) == both
        alone = [sum(name in each for each in labels) for name in (first, second)]
        if all(alone):
            assert number(lift) == pytest.approx(len(labels) * both / (alone[0] * alone[1]), abs=6e-4)
        else:
            assert lift == "–"


def test_statistics_are_those_of_the_pixels(page: Html, tar: Path) -> None:
    """Means and standard deviations are others than those of the pixels, or beside the wrong published ones."""
    with shards.open(tar) as store:
        pixels = {band: np.stack([store.read(int(i)).band(band) for i in store.index.rows("train")]) for band in BANDS}
    table = {name.partition(",")[0]: row for name, row in page.table("bands-published").items()}
    assert set(table) == set(BANDS)
    for band, values in pixels.items():
        assert number(table[band][0]) == pytest.approx(values.mean(), abs=1e-4)
        assert number(table[band][3]) == pytest.approx(values.std(), abs=1e-4)
    assert [number(table["B8A"][i]) for i in (1, 4)] == [2235.5566, 1356.5441]


def test_pictures_are_those_of_the_patches(page: Html, tar: Path) -> None:
    """A picture is of another patch than its words say, or cannot be read."""
    images = page.all("img")
    names = Counter(image.attrib["alt"] for image in images)
    assert max(names.values()) == 1
    present = {label for row in rows(tar) for label in decode_labels(int(str(row["label_mask"])))}
    assert len(images) == 3 * len(present) + 12
    for image in images:
        content = base64.b64decode(image.attrib["src"].removeprefix("data:image/png;base64,"))
        assert Image.open(io.BytesIO(content)).size in ((120, 120), (60, 60), (20, 20))


def test_files_and_checksums_are_listed(page: Html, tar: Path) -> None:
    """A checksum is missing or wrong."""
    manifest = json.loads((tar / "manifest.json").read_text())
    listed = {name: (number(row[0]), row[1]) for name, row in page.table("files-table").items()}
    files = [file for shard in manifest["shards"] for file in shard["files"]] + manifest["files"]
    assert listed == {file["path"]: (file["size_bytes"], file["sha256"]) for file in files}
    assert manifest["sha256"] in words(page.by_id("rebuild"))


@pytest.mark.long
def test_the_same_store_gives_the_same_bytes(content: bytes, tar: Path, zarr: Path, tmp_path: Path) -> None:
    """A report differs from one time to the next, by the folder's place, or between formats by more than these."""
    again = store_report(copy(tar, tmp_path / "tar"), per_class=1)
    assert again == content
    ours, other = Html.of(again), Html.of(store_report(zarr, per_class=1))
    for section in set(SECTIONS) - {"overview", "rebuild"}:
        assert words(other.by_id(section)) == words(ours.by_id(section))
    assert [image.attrib for image in other.all("img")] == [image.attrib for image in ours.all("img")]
    assert "format zarr" in words(other.by_id("overview"))


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
