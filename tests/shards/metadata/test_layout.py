"""The layout in the manifest: it comes back as it was, and one that was made to harm is one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import shards
from shards.codec.registry import CODECS, GROUP_CODECS
from shards.errors import InvalidValue
from shards.layout.bands import GROUPS, LAYOUT
from shards.layout.record import RecordGroup, RecordLayout
from shards.metadata.layout import layout_from_json, layout_to_json, resolved
from shards.metadata.manifest import MANIFEST, Manifest
from shards.reporting import printable
from shards.testing.stores import make_store
from shards.text.json_fields import Fields
from tests.support.data import faults
from tests.support.strategies import record_groups

CLC = RecordGroup("clc", 40, ("CLC",), role="codes")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two patches with a further group."""
    return make_store(tmp_path_factory.mktemp("small") / "store", {"train": 2}, extras=[CLC])


@given(record_groups())
def test_a_layout_comes_back_from_the_manifest(groups: list[RecordGroup]) -> None:
    """A group has another type, place or codec after it was written."""
    for codec in CODECS:
        layout = resolved(LAYOUT.with_groups(groups), codec)
        raw = json.loads(json.dumps({"layout": layout_to_json(layout)}))
        found = layout_from_json(Fields(raw, ""), "layout")
        assert found == layout
        assert [group.start for group in found.groups] == [group.start for group in layout.groups]
        for given_, group in zip(groups, found.extras, strict=True):
            # The codec of the store, or one that encodes groups where that does not.
            assert group.codec == (given_.codec or (codec if codec in GROUP_CODECS else "blosc-zstd"))


def test_only_a_store_with_further_groups_is_of_version_2(small: Path, tmp_path: Path) -> None:
    """A reader of version 1 refuses a store that it could read, or takes one that it cannot."""
    raw = json.loads((small / MANIFEST).read_bytes())
    assert (raw["format_version"], [group["name"] for group in raw["layout"]]) == (2, ["b10", "b20", "b60", "clc"])
    assert raw["layout"][3] == {
        "name": "clc", "role": "codes", "metres": 40, "bands": ["CLC"], "dtype": "uint16", "codec": "blosc-lz4"
    }  # fmt: skip
    plain = json.loads((make_store(tmp_path / "plain", {"train": 2}) / MANIFEST).read_bytes())
    assert plain["format_version"] == 1
    assert "layout" not in plain
    # In version 1 that is one of the further fields which are allowed.
    faults.edit_manifest(tmp_path / "plain", lambda fields: fields.update(layout=raw["layout"]))
    assert Manifest.read(tmp_path / "plain").layout == LAYOUT


def _last(**fields: Any) -> Callable[[Any], object]:
    return lambda raw: raw["layout"][-1].update(fields)


CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "absent": (lambda raw: raw.pop("layout"), "layout is absent"),
    "no array": (lambda raw: raw.update(layout={}), "layout is an object of 0, expected an array"),
    "empty": (lambda raw: raw.update(layout=[]), "the layout has 0 groups"),
    "record alone": (lambda raw: raw["layout"].pop(), "expected a group beside those of the Sentinel-2 record"),
    "endless": (lambda raw: raw.update(layout=raw["layout"][-1:] * 100_000), "expected at most 16 groups"),
    "twice": (lambda raw: raw["layout"].append(raw["layout"][-1]), "two groups of the layout are named clc"),
    "no object": (lambda raw: raw["layout"].append(3), "layout[4] is 3, expected an object"),
    "no record": (lambda raw: raw.update(layout=raw["layout"][3:]), "another Sentinel-2 record than b10, b20, b60"),
    "other record": (lambda raw: raw["layout"][0].update(metres=20), "another Sentinel-2 record than b10, b20, b60"),
    "other order": (lambda raw: raw["layout"].reverse(), "not the first ones"),
    "moved into s2": (
        lambda raw: (raw["layout"][-1].update(role="s2"), raw["layout"][-1].pop("codec")),
        "another Sentinel-2 record than b10, b20, b60",
    ),
    "unknown field": (_last(start=7), "layout[3] has a field 'start', which is unknown"),
    "codec of s2": (lambda raw: raw["layout"][0].update(codec="raw"), "layout[0] has a field 'codec'"),
    "no codec": (lambda raw: raw["layout"][-1].pop("codec"), "layout[3].codec is absent"),
    "codec null": (_last(codec=None), "layout[3].codec is None, expected one of blosc-lz4, blosc-zstd, raw"),
    "bitpack": (_last(codec="bitpack"), "layout[3].codec is 'bitpack', expected one of"),
    "path": (_last(name="../../etc"), "group name '../../etc'"),
    "member": (_last(name="labels"), "group name 'labels'"),
    "escape": (_last(name="\x1b[2J"), "group name"),
    "name no text": (_last(name=["clc"]), "layout[3].name is an array of 1"),
    "metres": (_last(metres=10**30), "layout[3].metres is 1000"),
    "metres true": (_last(metres=True), "layout[3].metres is True"),
    "metres none": (_last(metres=0), "layout[3].metres is 0"),
    "no divisor": (_last(metres=7), "metres of group clc is 7, expected a divisor of 1200"),
    "object": (_last(dtype="object"), "layout[3].dtype is 'object'"),
    "dtype list": (_last(dtype=["u2"]), "layout[3].dtype is an array"),
    "role": (_last(role="mask"), "layout[3].role is 'mask'"),
    "bands": (_last(bands="CLC"), "layout[3].bands is 'CLC', expected an array"),
    "many bands": (_last(bands=["x"] * 2**20), "layout[3].bands is an array of 1048576, expected at most 1024 names"),
    "band no text": (_last(bands=[["CLC"]]), "band 0 of group clc"),
    "large": (_last(metres=1, bands=[f"B{i}" for i in range(1024)]), "bytes a patch, expected at most"),
    "larger": (_last(metres=10), ""),
    "other type": (_last(dtype="uint8"), ""),
}


@pytest.mark.long
@pytest.mark.parametrize("name", CHANGES)
def test_a_layout_that_was_made_to_harm_is_one_line(small: Path, tmp_path: Path, name: str) -> None:
    """A hostile layout ends in a traceback, in memory that is taken, or in pixels of another shape."""
    folder = faults.copy(small, tmp_path / "store")
    change, message = CHANGES[name]
    faults.edit_manifest(folder, change)
    with pytest.raises(shards.ShardError) as caught, shards.open(folder, num_threads=1) as store:
        # Nothing but the bytes themselves tells that they are those of another size.
        store.read(0)
    line = str(caught.value)
    assert message in line
    assert printable(line) == line
    assert len(line) < 1000


def test_too_few_or_too_many_files_are_refused(tmp_path: Path) -> None:
    """A shard of a Zarr store lacks the file of a group, and another's is read for it."""
    folder = make_store(tmp_path / "store", {"train": 2}, format="zarr", extras=[CLC])
    for change, found in ((lambda files: files.pop(), 3), (lambda files: files.append({**files[0], "path": "x"}), 5)):
        damaged = faults.copy(folder, tmp_path / str(found))
        faults.edit_manifest(damaged, lambda raw, change=change: change(raw["shards"][0]["files"]))
        with pytest.raises(shards.CorruptShard, match=f"shard train-00000 has {found} files, expected 4"):
            Manifest.read(damaged)


def test_a_layout_that_this_program_does_not_write(tmp_path: Path) -> None:
    """Another Sentinel-2 record, or a codec of whole records, is accepted before patches are written."""
    with pytest.raises(InvalidValue, match="codec of group clc is 'bitpack', expected one of blosc-lz4"):
        make_store(tmp_path / "store", {"train": 1}, extras=[RecordGroup("clc", 40, ("x",), codec="bitpack")])
    with pytest.raises(InvalidValue, match="another Sentinel-2 record"):
        resolved(RecordLayout(GROUPS[:2]), "raw")
    assert not (tmp_path / "store").exists()
