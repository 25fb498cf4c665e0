"""Facts that a build knows of its patches: splits, flags, dates, baselines, missing pixels, folders of others."""

import json
import os
import random
import re
import shutil
import tarfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import shards
from bigearth_pipeline.build.select import NO_SPLIT, SNOW, Rules, select_v1
from bigearth_pipeline.cli import main
from bigearth_pipeline.errors import BadPatch, PipelineError
from bigearth_pipeline.source.annotations import baseline_of_key, read_v1_annotation, utc_seconds
from bigearth_pipeline.source.offset import count_missing, has_offset, subtract_offset
from bigearth_pipeline.source.tables import read_exclusions, read_split_lists
from bigearth_pipeline.source.tree import find_source
from bigearth_pipeline.source.v1_flags import v1_flags
from bigearth_pipeline.verify.records import _check_missing
from bigearth_pipeline.verify.store import verify_store
from shards.layout.bands import RECORD_VALUES
from shards.layout.facts import ADDED
from shards.layout.patch import Patch
from tests.building import build_store
from tests.conftest import real
from tests.paths import GOLDEN
from tests.scene import write_patch, write_table
from trainer.data.subset.where import rows_where

PRODUCT = "S2A_MSIL2A_20170613T101031_{}_R022_T33UUP"


def write_tree(folder: Path, baselines: list[str], low: int = 1200) -> list[str]:
    """Write a v2 tree of small random patches, one for each baseline, with its table; return their names."""
    rng = np.random.default_rng(3)
    keys = [f"{PRODUCT.format(baseline)}_0_{i}" for i, baseline in enumerate(baselines)]
    for i, key in enumerate(keys):
        record = rng.integers(low, 9000, RECORD_VALUES, np.uint16)
        record[:i] = 0
        write_patch(folder / "BigEarthNet-S2" / key.rsplit("_", 2)[0], key, record, 1200.0 * i, 0.0)
    write_table(folder / "metadata.parquet", keys)
    return keys


# Splits.


def test_lists_replace_the_splits_of_v2_tables(tmp_path: Path, scheduler: str) -> None:
    """Lists of one's own are ignored for a v2 source, even a folder that does not exist."""
    keys = write_tree(tmp_path / "tree", ["N9999"] * 6)
    lists = tmp_path / "lists"
    with pytest.raises(PipelineError, match=r"splits folder .*lists does not exist"):
        build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    lists.mkdir()
    with pytest.raises(PipelineError, match=r"holds none of train\.csv"):
        build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    (lists / "train.csv").write_text("elsewhere_1\nelsewhere_2\n")
    with pytest.raises(PipelineError, match=f"none of its 2 names is in the source: .*elsewhere_1, .*{keys[0]}"):
        build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    (lists / "train.csv").write_text(f"{keys[3]}\n{keys[2]}\n")
    (lists / "test.csv").write_text(f"{keys[0]}\nelsewhere\n")
    summary = build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    assert summary.manifest.left_out == {NO_SPLIT: 3}
    assert sum(summary.unmatched.values()) == 1
    with shards.open(tmp_path / "s") as store:
        found = {row["key"]: row["split"] for row in store.index.table.to_pylist()}
    assert found == {keys[3]: "train", keys[2]: "train", keys[0]: "test"}
    rules = Rules(split_by=(0, 100, 0))
    summary = build_store(tmp_path / "t", tmp_path / "tree", scheduler=scheduler, splits=lists, rules=rules)
    assert {name: split.count for name, split in summary.manifest.splits.items()} == {
        "train": 2, "validation": 3, "test": 1,
    }  # fmt: skip


def test_exclusion_lists_of_v1_do_not_clear_flags_of_v2(tmp_path: Path, scheduler: str) -> None:
    """Lists of v1 in a folder for a v2 source let every patch with snow enter."""
    keys = write_tree(tmp_path / "tree", ["N9999"] * 3)
    write_table(tmp_path / "tree" / "metadata.parquet", keys, contains_seasonal_snow=[True, False, False])
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.csv").write_text("\n".join(keys))
    (lists / "patches_with_seasonal_snow.csv").write_text("S2A_MSIL2A_20170613T101031_0_0\n")
    with pytest.raises(PipelineError, match=r"patches_with_seasonal_snow\.csv: none of its 1 names is in the source"):
        build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    (lists / "patches_with_seasonal_snow.csv").write_text(f"{keys[1]}\n")
    summary = build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    assert summary.manifest.left_out == {SNOW: 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{tree}", "{tree}/BigEarthNet-S2"], "is named twice"),
        (["{tree}", "--metadata", "{tree}/metadata.parquet", "--metadata", "{tree}/metadata.parquet"], "named twice"),
        (["{tree}", "--seed", str(2**70)], "is not in the range"),
        (["{tree}", "--split-by", "hash:100/0/0"], "--split-by has no effect: the tables and lists give a split to"),
        (["{v1}", "--split-by", "hash:100/0/0", "--require-all"], "--require-all compares folders with split lists"),
        (["{v1}", "--split-by", "hash:100/0/0", "--metadata", "{plain}"], "--metadata .* has no effect"),
    ],
)
def test_options_without_an_effect_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    """An option is taken and does nothing."""
    write_tree(tmp_path / "tree", ["N9999"])
    v1 = tmp_path / "v1" / "S2A_MSIL2A_20170613T101031_0_1"
    v1.mkdir(parents=True)
    (v1 / f"{v1.name}_B02.tif").touch()
    write_table(tmp_path / "plain.parquet", ["a"], s2v1_name=[None])
    named = [
        option.format(tree=tmp_path / "tree", v1=v1.parent, plain=tmp_path / "plain.parquet") for option in options
    ]
    result = CliRunner().invoke(main, ["build-shards", *named, "--out", str(tmp_path / "s")])
    assert result.exit_code != 0
    assert re.search(message, result.output), result.output


# Flags of v1.


def test_flags_of_v1_are_those_of_the_official_lists(v1_splits: Path) -> None:
    """Snow and clouds of v1 without lists enter training, or clear patches are left out."""
    lists = read_split_lists(v1_splits)
    assert lists.snow is not None
    assert lists.cloud is not None
    keys = random.Random(0).sample(sorted(lists.split_of), 3000)
    keys += random.Random(1).sample(sorted(lists.snow), 1000) + random.Random(2).sample(sorted(lists.cloud), 1000)
    for key in keys:
        assert v1_flags(key) == (key in lists.snow, key in lists.cloud)
        column, row = key.rsplit("_", 2)[1:]
        assert v1_flags(f"{key.rsplit('_', 2)[0]}_0{column}_{row}") is None
    for key in (
        "",
        "patch_1",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43",
        "S2A_MSIL2A_20170613T101031_999_1",
    ):
        assert v1_flags(key) is None


@pytest.mark.long
def test_the_packed_flags_are_what_the_tool_makes(v1_splits: Path) -> None:
    """The file in the package is of other lists than the official ones."""
    from tools.pack_v1_flags import pack

    packed = Path(shards.__file__).parents[1] / "bigearth_pipeline" / "source" / "v1_flags.xz"
    assert pack(v1_splits) == packed.read_bytes()
    assert packed.stat().st_size < 150_000


def test_lists_come_before_what_the_package_knows(tmp_path: Path) -> None:
    """Lists beside the source are ignored, or what nothing tells counts as clear."""
    snowy, cloudy = "S2B_MSIL2A_20170831T095029_27_76", "S2A_MSIL2A_20170717T113321_35_89"
    folders = {key: f"/{key}" for key in (snowy, cloudy, "S2A_MSIL2A_20300101T000000_1_1")}

    def annotate(patches: Any) -> Any:
        return [(1, "2017-01-01T00:00:00")] * len(patches)

    def flags(lists: Any) -> list[tuple[bool | None, bool | None]]:
        rules = Rules(include_snow_cloud=True, split_by=(100, 0, 0))
        selection = select_v1(folders, annotate, lists, None, rules)
        return [(entry.seasonal_snow, entry.cloud_or_shadow) for entry in selection.entries]

    assert flags(None) == [(True, False), (False, True), (None, None)]
    assert flags(read_exclusions([tmp_path], None)) == flags(None)
    (tmp_path / "patches_with_seasonal_snow.csv").write_text(f"{cloudy}\n")
    assert flags(read_exclusions([tmp_path], None)) == [(False, False), (True, True), (False, None)]
    (tmp_path / "patches_with_cloud_and_shadow.csv").write_text("")
    assert flags(read_exclusions([tmp_path], None)) == [(False, False), (True, False), (False, False)]


def test_v1_without_lists(v1_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """The summary does not tell of patches that may have snow or clouds."""
    tree = tmp_path / "tree"
    shutil.copytree(v1_tree / "BigEarthNet-S2-Example", tree)
    [first, *_] = sorted(path.name for path in tree.iterdir())
    renamed = "S2A_MSIL2A_20300101T000000_1_1"
    (tree / first).rename(tree / renamed)
    for path in (tree / renamed).iterdir():
        path.rename(path.with_name(path.name.replace(first, renamed)))
    rules = Rules(split_by=(100, 0, 0))
    summary = build_store(tmp_path / "s", tree, scheduler=scheduler, rules=rules)
    assert summary.facts.unknown_flags == 1
    assert any("unknown of 1 patches" in line for line in summary.facts.lines())
    assert verify_store(tmp_path / "s", against=[tree]).problems == []
    with shards.open(tmp_path / "s") as store:
        patch = next(store.read(row) for row in range(len(store)) if store.index.key(row) == renamed)
        assert (patch.seasonal_snow, patch.cloud_or_shadow, patch.baseline) == (None, None, None)
        assert len(rows_where("seasonal_snow is null", store.index)) == 1
        assert len(rows_where("not seasonal_snow", store.index)) == len(store) - 1


# Dates.

dates = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1))
zones = st.none() | st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda delta: timezone(timedelta(minutes=delta // timedelta(minutes=1)))
)


@given(dates, zones, st.sampled_from(["T", " "]))
def test_dates_are_whole_seconds_of_utc(date: datetime, zone: timezone | None, separator: str) -> None:
    """A date of v1 is stored otherwise than it is compared."""
    text = utc_seconds(date.replace(tzinfo=zone).isoformat(separator))
    expected = date.replace(tzinfo=zone or UTC).astimezone(UTC).replace(tzinfo=None, microsecond=0)
    assert text == expected.isoformat()
    assert utc_seconds(text) == text
    assert np.datetime64(text, "s").astype(datetime) == expected


@pytest.mark.parametrize(
    "date", [None, 5, "", "yesterday", "2017-02-30", "0001-01-01T00:00:00+02:00", ["2017-01-01"], {"a": 1}, True]
)
def test_what_is_no_date_is_a_bad_patch(tmp_path: Path, date: object) -> None:
    """A wrong date ends the build in a traceback."""
    (tmp_path / "p_labels_metadata.json").write_text(json.dumps({"labels": ["Pastures"], "acquisition_date": date}))
    with pytest.raises(BadPatch, match="p_labels_metadata"):
        read_v1_annotation("p", str(tmp_path))


def test_annotations_of_other_kinds_are_bad_patches(tmp_path: Path) -> None:
    """A pipe in place of an annotation holds the build for ever, or nested JSON ends it."""
    os.mkfifo(tmp_path / "p_labels_metadata.json")
    with pytest.raises(BadPatch, match="named pipe"):
        read_v1_annotation("p", str(tmp_path))
    for content in ("[" * 200_000, '{"labels": [{}], "acquisition_date": "2017-01-01"}', "x" * (2 << 20)):
        (tmp_path / "q_labels_metadata.json").write_text(content)
        with pytest.raises(BadPatch):
            read_v1_annotation("q", str(tmp_path))


@pytest.mark.long
@pytest.mark.parametrize(
    ("forms", "found"),
    [
        (
            ["2017-06-13T10:10:31Z", "2017-06-13 10:10:31.999999", "2017-06-13T12:10:31+02:00", "20170613T101031",
             "2017-06-13T10:10:31,5Z", "2017-06-13T00:10:31.25-10:00"],
            {datetime(2017, 6, 13, 10, 10, 31)},
        ),
        (
            ["0001-01-01", "0001-01-01T00:00:00.5", "0001-01-01T01:00:00+01:00", "9999-12-31T23:59:59.999999",
             "9999-12-31T23:59:59Z", "9999-12-31T22:59:59-01:00"],
            {datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)},
        ),
    ],
)  # fmt: skip
def test_a_store_with_odd_dates_is_sound(
    v1_tree: Path, scheduler: str, tmp_path: Path, forms: list[str], found: set[datetime]
) -> None:
    """A fresh store fails its own check for the dates of its source, or cannot be opened."""
    tree = tmp_path / "tree"
    shutil.copytree(v1_tree / "BigEarthNet-S2-Example", tree)
    for folder, date in zip(sorted(tree.iterdir()), forms, strict=True):
        path = folder / f"{folder.name}_labels_metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"acquisition_date": date}))
    rules = Rules(include_snow_cloud=True, split_by=(100, 0, 0))
    build_store(tmp_path / "s", tree, scheduler=scheduler, rules=rules)
    assert verify_store(tmp_path / "s", against=[tree]).problems == []
    with shards.open(tmp_path / "s") as store:
        assert {store.read(row).date for row in range(6)} == found


# Baselines, offset, missing pixels.


def test_baselines_are_those_of_real_products() -> None:
    """A product with the offset is taken for one without, or the other way round."""
    with tarfile.open(next(real("real/safe-metadata").glob("*.tar.xz"))) as archive:
        seen = set()
        for member in archive:
            if not member.name.endswith(("MTD_MSIL2A.xml", "MTD_MSIL2a.xml")):
                continue
            text = archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            product = text.partition("<PRODUCT_URI>")[2].partition("<")[0]
            baseline = baseline_of_key(product)
            assert f"<PROCESSING_BASELINE>{baseline // 100:02d}.{baseline % 100:02d}<" in text  # type: ignore[operator]
            assert has_offset(baseline) == ('<BOA_ADD_OFFSET band_id="0">-1000<' in text)
            seen.add(baseline)
    assert {212, 400, 509} <= seen


@given(st.sampled_from([None, 1, 214, 399, 400, 509, 511, 9998, 9999]), st.integers(0, 2**32))
@settings(max_examples=30)
def test_the_offset_is_subtracted_where_there_is_one(baseline: int | None, seed: int) -> None:
    """Missing pixels get a value, dark ones wrap round, or patches without the offset are changed."""
    record = np.random.default_rng(seed).integers(0, 3000, RECORD_VALUES, np.uint16)
    record[:5] = (0, 1, 999, 1000, 65_535)
    found = record.copy()
    subtract_offset(found, baseline)
    shift = 1000 if baseline is not None and 400 <= baseline < 9999 else 0
    assert np.array_equal(found, np.where(record == 0, 0, np.maximum(record.astype(np.int64) - shift, 1)))


@pytest.mark.long
def test_baselines_are_not_mixed_without_a_word(tmp_path: Path, scheduler: str) -> None:
    """Patches with and without the offset are trained on as if they were of one kind."""
    tree = tmp_path / "tree"
    keys = write_tree(tree, ["N9999", "N0209", "N0400", "N0511"], low=900)
    message = r"2 patches are of processing baseline N0400, N0511, .* 2 of N0209, N9999, .*`offset=auto`"
    with pytest.raises(PipelineError, match=message):
        build_store(tmp_path / "s", tree, scheduler=scheduler)
    plain = build_store(tmp_path / "none", tree, scheduler=scheduler, rules=Rules(offset="none"))
    less = build_store(tmp_path / "auto", tree, scheduler=scheduler, rules=Rules(offset="auto"))
    assert (plain.manifest.offset, less.manifest.offset) == ("none", "auto")
    assert less.facts.baselines == {"N0209": 1, "N0400": 1, "N0511": 1, "N9999": 1}
    assert (less.facts.with_offset, less.facts.with_nodata, less.facts.nodata_pixels) == (2, 3, 6)
    assert any("subtracted 1000 from the 2 patches" in line for line in less.facts.lines())
    for out in ("none", "auto"):
        assert verify_store(tmp_path / out, against=[tree]).problems == []
    with shards.open(tmp_path / "none") as before, shards.open(tmp_path / "auto") as after:
        for row in range(4):
            old, new = before.read(row), after.read(row)
            shift = 1000 if old.baseline in (400, 511) else 0
            assert np.array_equal(new.s2, np.where(old.s2 == 0, 0, np.maximum(old.s2.astype(np.int64) - shift, 1)))
            assert old.nodata_pixels == new.nodata_pixels == keys.index(old.key)
        assert [after.index.key(row) for row in rows_where("baseline between 400 and 500", after.index)] == [keys[2]]
        assert len(rows_where("nodata_pixels > 1", after.index)) == 2
    with pytest.raises(PipelineError, match="`offset=` was auto, now none"):
        build_store(tmp_path / "auto", tree, scheduler=scheduler, rules=Rules(offset="none"))
    # Patches of one kind alone need no `offset`.
    alone = tmp_path / "alone"
    write_tree(alone, ["N0400", "N0510"])
    facts = build_store(tmp_path / "alone-store", alone, scheduler=scheduler).facts
    assert any("is not subtracted from the 2 patches" in line and "`offset=auto`" in line for line in facts.lines())


def test_another_number_of_missing_pixels_is_found(tmp_path: Path, scheduler: str) -> None:
    """The index tells another number of missing pixels than the record has."""
    tree = tmp_path / "tree"
    write_tree(tree, ["N9999"] * 2)
    build_store(tmp_path / "s", tree, scheduler=scheduler)
    with shards.open(tmp_path / "s") as store:
        patch = store.read(1)
    assert list(_check_missing(patch, False)) == []
    fields = {name: getattr(patch, name) for name in Patch.__dataclass_fields__}
    wrong = Patch(**(fields | {"nodata_pixels": (patch.nodata_pixels or 0) + 1}))
    assert len(list(_check_missing(wrong, False))) == len(list(_check_missing(wrong, True))) == 1


def test_a_patch_without_any_valid_pixel_is_bad(tmp_path: Path, scheduler: str) -> None:
    """A patch of nothing but missing pixels is trained on."""
    assert count_missing(np.ones(RECORD_VALUES, np.uint16)) == 0
    tree = tmp_path / "tree"
    keys = write_tree(tree, ["N9999"] * 2)
    empty = f"{PRODUCT.format('N9999')}_9_9"
    write_patch(tree / "BigEarthNet-S2" / PRODUCT.format("N9999"), empty, np.zeros(RECORD_VALUES, np.uint16), 0.0, 0.0)
    write_table(tree / "metadata.parquet", [*keys, empty])
    with pytest.raises(PipelineError, match=f"1 bad patch, .*{empty}: no valid pixel: all 80,000"):
        build_store(tmp_path / "s", tree, scheduler=scheduler)
    assert build_store(tmp_path / "s", tree, scheduler=scheduler, allow_bad=1).manifest.count == 2


# Foreign folders, links, suffixes.


def test_foreign_folders_are_ignored_and_named(tmp_path: Path, scheduler: str) -> None:
    """A folder of a file server, a link in a circle or a folder that cannot be read stops a build, or counts as bad."""
    tree = tmp_path / "tree"
    keys = write_tree(tree, ["N9999"] * 2)
    root = tree / "BigEarthNet-S2"
    product = root / PRODUCT.format("N9999")
    for folder in (
        *(root / name for name in ("@eaDir", "__MACOSX", "splits", ".ipynb_checkpoints", "lost+found")),
        product / "@eaDir",
        root / "Reference_Maps" / product.name / keys[0],
        root / "S1A_IW_GRDH_1SDV_20170613T165043" / "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_75_43",
    ):
        folder.mkdir(parents=True)
    (root / "circle").symlink_to("circle")
    (root / "above").symlink_to(tree)
    (root / "nothing").symlink_to(tmp_path / "absent")
    found = find_source(tree).scan()
    assert sorted(key for key, _ in found.patches) == keys
    assert found.unreadable == []
    expected = ["S1A_IW_GRDH_1SDV_20170613T165043", f"{product.name}/@eaDir", "@eaDir", "__MACOSX", "above"]
    expected += [".ipynb_checkpoints", "Reference_Maps", "lost+found", "splits"]
    assert set(expected) <= set(found.foreign)
    summary = build_store(tmp_path / "s", tree, scheduler=scheduler)
    assert (summary.manifest.count, summary.bad) == (2, 0)
    assert set(expected) <= set(summary.foreign)


def test_a_patch_folder_without_files_is_bad(tmp_path: Path, scheduler: str) -> None:
    """A patch that lost its files, or leads to nothing, is ignored as a foreign folder."""
    tree = tmp_path / "tree"
    keys = write_tree(tree, ["N9999"] * 2)
    product = tree / "BigEarthNet-S2" / PRODUCT.format("N9999")
    lost = [f"{PRODUCT.format('N9999')}_8_{i}" for i in range(3)]
    (product / lost[0]).mkdir()
    (product / lost[1]).symlink_to(tmp_path / "absent")
    (product / lost[2]).symlink_to(lost[2])
    other = tree / "BigEarthNet-S2" / PRODUCT.format("N0205")
    other.symlink_to(other.name)
    write_table(tree / "metadata.parquet", [*keys, *lost])
    summary = build_store(tmp_path / "s", tree, scheduler=scheduler, allow_bad=4)
    assert (summary.manifest.count, summary.bad, summary.foreign) == (2, 4, ())


def test_one_tree_by_two_ways_is_one(tmp_path: Path) -> None:
    """A link to the folder above makes two trees of one."""
    write_tree(tmp_path / "data" / "tree", ["N9999"])
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data")
    assert find_source(tmp_path / "data").scan().patches


@pytest.mark.parametrize("suffix", [".tiff", ".TIF", ".TIFF"])
def test_trees_of_other_suffixes_are_found(tmp_path: Path, suffix: str) -> None:
    """A tree whose band files end otherwise is taken for none."""
    [key] = write_tree(tmp_path, ["N9999"])
    for path in list((tmp_path / "BigEarthNet-S2").rglob("*.tif")):
        path.rename(path.with_suffix(suffix))
    source = find_source(tmp_path)
    assert source.version == "v2"
    assert [found for found, _ in source.scan().patches] == [key]


def test_a_flat_tree_of_tiff_files_is_found() -> None:
    """The layout of rico-hdl's v2 sample is taken for none."""
    source = find_source(real("v2-tiff/S2"))
    assert source.version == "v2"
    assert len(source.scan().patches) == 1


# Stores of the first version.


@pytest.mark.parametrize("name", ["webdataset-blosc-lz4", "zarr-blosc-lz4"])
def test_stores_without_the_columns_are_read(tmp_path: Path, name: str) -> None:
    """A store of the first version cannot be opened, checked or searched any more."""
    golden = GOLDEN / "0.1-dae5bc1" / f"{name}.tar.xz"
    if not golden.exists():
        pytest.skip(f"{golden} is absent")
    with tarfile.open(golden) as archive:
        archive.extractall(tmp_path, filter="data")
    [folder] = [path.parent for path in tmp_path.rglob("manifest.json")]
    with shards.open(folder) as store:
        patch = store.read(0)
        assert [getattr(patch, column) for column in ADDED] == [None, None]
        assert store.manifest.offset == "none"
        assert len(rows_where("baseline is null and nodata_pixels is null", store.index)) == len(store)
    assert verify_store(folder).problems == []
