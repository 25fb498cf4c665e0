"""Processing baselines, their offset, and missing pixels."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shards
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.annotations import baseline_of_key
from bigearth_pipeline.source.offset import count_missing, has_offset, subtract_offset
from bigearth_pipeline.verify.records import _check_missing
from bigearth_pipeline.verify.store import verify_store
from shards.layout.bands import RECORD_VALUES
from shards.layout.facts import ADDED
from shards.layout.patch import Patch
from tests.bigearth_pipeline.build.facts.tree import PRODUCT, write_tree
from tests.conftest import real
from tests.support.data.building import build_store
from tests.support.data.scene import write_patch, write_table
from tests.support.paths import GOLDEN
from trainer.data.subset.where import rows_where


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
