"""The report of a store, read back from the HTML and compared with the store."""

import base64
import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import shards
from bigearth_pipeline.report.store.report import store_report
from shards import BANDS, CLASSES, SPLITS
from shards.layout.classes import decode_labels
from tests.bigearth_pipeline.report.conftest import COUNTS
from tests.bigearth_pipeline.report.pages import Html, number, words
from tests.support.data.faults import copy

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


@pytest.mark.long
def test_the_enlarged_part_of_the_map_says_where_it_is(page: Html) -> None:
    """A map without coasts shows squares of nobody knows where."""
    captions = page.captions()
    # Corners at 600,000 m E, 5,900,000 m N of UTM zone 29 lie around 53.2° N, 7.5° W.
    assert "km × 60 km around 53.23° N 7.49° W, Ireland, which hold" in captions["map-part"]
    assert captions["map"].endswith("The frame is around a part with many patches, which is drawn larger on the page.")


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
