"""That the stores are what other programs take them for."""

import filecmp
import io
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import webdataset
import xarray
import zarr
from hypothesis import given
from hypothesis import strategies as st

import shards
from shards.container.tar import TarShardWriter, tar_header
from shards.layout.facts import MAX_KEY
from tests.support.strategies import keys


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,100}", fullmatch=True), st.integers(0, 8**11 - 1))
def test_header_equals_that_of_the_standard_library(name: str, size: int) -> None:
    """A tar header is not what POSIX says."""
    info = tarfile.TarInfo(name)
    info.size = size
    assert tar_header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)


@given(st.lists(st.tuples(keys, st.binary(max_size=1500)), max_size=5, unique_by=lambda pair: pair[0]))
def test_tar_is_read_back_by_the_standard_library(patches: list[tuple[str, bytes]]) -> None:
    """A tar of patches has another content, or other offsets, than it was given."""
    file = io.BytesIO()
    writer = TarShardWriter(file)
    offsets = [writer.add(key, data, b"l" * 19, b"{}")[0] for key, data in patches]
    writer.finish()
    file.seek(0)
    with tarfile.open(fileobj=file) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [f"{k}.{e}" for k, _ in patches for e in ("s2", "labels", "json")]
        assert [member.offset_data for member in members[::3]] == offsets
        assert [tar.extractfile(member).read() for member in members[::3]] == [data for _, data in patches]


def test_the_longest_key_fits() -> None:
    """A key that is allowed cannot be written."""
    assert len(f"{'k' * MAX_KEY}.labels") <= 100
    with pytest.raises(ValueError, match="at most 100"):
        tar_header("k" * 101, 0)


def test_dali_index_equals_that_of_dali(tar_store: Path, tmp_path: Path) -> None:
    """DALI's reader looks in the wrong places of a tar."""
    for tar in sorted(tar_store.glob("*.tar")):
        subprocess.run([sys.executable, "-m", "wds2idx", tar, tmp_path / "dali.idx"], check=True, capture_output=True)
        assert filecmp.cmp(tmp_path / "dali.idx", tar.with_suffix(".idx"), shallow=False)


@pytest.mark.parametrize("kind", ["tar_store", "packed_store", "raw_store"])
def test_webdataset_reads_the_tars(kind: str, request: pytest.FixtureRequest) -> None:
    """The webdataset library with our decoder sees other patches than our reader."""
    folder: Path = request.getfixturevalue(kind)
    with shards.open(folder) as store:
        urls = [str(folder / shard.files[0].path) for shard in store.manifest.shards]
        dataset = webdataset.WebDataset(urls, shardshuffle=False).decode(shards.record_decoder(store.manifest.codec))
        row = -1
        for row, sample in enumerate(dataset):
            patch = store.read(row)
            assert sample["__key__"] == patch.key
            np.testing.assert_array_equal(sample["s2"], patch.s2)
            np.testing.assert_array_equal(sample["labels"], store.index.labels()[row])
            facts = sample["json"]
            assert (facts["key"], facts["split"], tuple(facts["labels"])) == (patch.key, patch.split, patch.labels)
            assert (facts["country"], facts["date"]) == (patch.country, patch.date.isoformat())
            assert (facts["crs"], tuple(facts["transform"])) == (patch.crs, patch.transform())
            assert tuple(facts["bounds"]) == patch.bounds
        assert row == len(store) - 1


def test_dali_reads_raw_tars(raw_store: Path) -> None:
    """DALI's own WebDataset reader sees other pixels or labels than our reader."""
    dali = pytest.importorskip("nvidia.dali", reason="DALI has no wheel for this platform")
    with shards.open(raw_store) as store:
        tars = [str(raw_store / shard.files[0].path) for shard in store.manifest.shards]

        @dali.pipeline_def(batch_size=50, num_threads=2, device_id=None)
        def pipeline() -> tuple[object, ...]:
            return tuple(
                dali.fn.readers.webdataset(
                    paths=tars,
                    index_paths=[tar.replace(".tar", ".idx") for tar in tars],
                    ext=["s2", "labels"],
                    dtypes=[dali.types.UINT16, dali.types.UINT8],
                    missing_component_behavior="error",
                )
            )

        pipe = pipeline()
        pipe.build()
        for start in range(0, len(store), 50):
            records, labels = (output.as_array() for output in pipe.run())
            for row in range(start, start + 50):
                np.testing.assert_array_equal(records[row - start], store.read(row).s2)
            np.testing.assert_array_equal(labels, store.index.labels()[start : start + 50])


@pytest.mark.long
@pytest.mark.parametrize("codec", ["blosc-lz4", "blosc-zstd", "raw"])
def test_zarr_and_xarray_open_the_arrays(codec: str, scene_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A Zarr store needs our code to be read, or reads differently without it."""
    from bigearth_pipeline.build.select import Rules
    from tests.support.data.building import build_store

    build_store(
        tmp_path / "z", scene_tree, scheduler=scheduler, format="zarr", codec=codec, patches_per_shard=32,
        rules=Rules(limit=100),
    )  # fmt: skip
    with shards.open(tmp_path / "z") as store, warnings.catch_warnings():
        warnings.simplefilter("error")
        root = zarr.open_group(tmp_path / "z", mode="r")
        assert root.attrs["bands"] == list(shards.BANDS)
        for split, info in store.manifest.splits.items():
            data = xarray.open_zarr(tmp_path / "z", group=split, consolidated=False)
            assert data.sizes["patch"] == info.count
            assert data.attrs["statistics"]["B02"]["mean"] == info.statistics["B02"].mean
            rows = store.index.rows(split).tolist()
            pixels = {name: data[name].values for name in ("b10", "b20", "b60")}
            keys = [bytes(key).rstrip(b"\0").decode() for key in data["key"].values]
            for place, row in enumerate(rows):
                patch = store.read(row)
                assert keys[place] == patch.key
                for name, values in pixels.items():
                    np.testing.assert_array_equal(values[place], getattr(patch, name))
            np.testing.assert_array_equal(data["labels"].values, store.index.labels()[rows])
            for name in ("b10", "b20", "b60"):
                codecs = root[split][name].metadata.to_dict()["codecs"]
                assert {codec["name"] for codec in codecs} == {"sharding_indexed"}
                inner = codecs[0]["configuration"]["codecs"]
                assert {codec["name"] for codec in inner} <= {"bytes", "blosc"}
