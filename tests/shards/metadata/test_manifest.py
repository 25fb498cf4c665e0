"""Manifests that were damaged, made by hand, or made to harm."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shards
from shards.errors import CorruptShard, ShardError
from shards.metadata.manifest import MANIFEST, Manifest
from shards.metadata.seal import sealed
from shards.reporting import printable
from shards.testing.stores import make_store
from tests.support.data import faults


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two splits and three patches."""
    return make_store(tmp_path_factory.mktemp("small") / "store", {"train": 2, "validation": 1})


def raw_of(folder: Path) -> Any:
    """Return the fields of a manifest."""
    return json.loads((folder / MANIFEST).read_bytes())


def assert_one_line(err: ShardError) -> None:
    """Assert that the message is one line without control characters, and not endless."""
    line = str(err)
    assert printable(line) == line
    assert "\n" not in line
    assert len(line) < 1000


def open_store(folder: Path) -> Manifest:
    """Open a store, close it, and return its manifest."""
    with shards.open(folder, num_threads=1) as store:
        return store.manifest


def assert_refused(folder: Path, *parts: str) -> None:
    """Assert that opening ends in an error of one printable line that holds all parts."""
    with pytest.raises(ShardError) as caught:
        open_store(folder)
    assert_one_line(caught.value)
    line = str(caught.value)
    assert all(part in line for part in parts), (parts, line)


def read_mutated(folder: Path, content: bytes, expected: Manifest) -> bool:
    """Return whether a manifest of this content is refused; if it is read, it must be equal."""
    (folder / MANIFEST).write_bytes(content)
    try:
        found = Manifest.read(folder)
    except ShardError as err:
        assert_one_line(err)
        return True
    assert found == expected
    assert repr(found) == repr(expected)  # True is 1, and 1.0 too.
    return False


@pytest.mark.long
def test_any_flipped_bit_is_found_or_changes_nothing(small: Path, tmp_path: Path) -> None:
    """A flipped bit changes the normalisation, the classes or the splits in silence, or ends in a traceback."""
    expected = Manifest.read(small)
    content = (small / MANIFEST).read_bytes()
    # More of the first fields than of those that repeat them.
    end = content.index(b'"B03"')
    places = [*range(0, end, 5), *range(end, len(content), 31)]
    refused = 0
    for place in places:
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            refused += read_mutated(tmp_path, bytes(damaged), expected)
    assert refused > 6 * len(places)
    (tmp_path / MANIFEST).write_bytes(content)
    assert Manifest.read(tmp_path) == expected


def test_a_manifest_cut_off_anywhere_is_refused(small: Path, tmp_path: Path) -> None:
    """Half a manifest is read as a whole one."""
    expected = Manifest.read(small)
    content = (small / MANIFEST).read_bytes()
    for size in range(0, len(content) - 2, 97):
        assert read_mutated(tmp_path, content[:size], expected)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values within JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in items for inner in paths_of(item, (*path, key)))]


def replaced(raw: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of JSON with another value at a path."""
    if not path:
        return value
    raw = copy.deepcopy(raw)
    at = raw
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return raw


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**31 - 1, 2**31, 2**62, 2**63, 2**64, 10**400, 1e300, 1e400, -0.0, float("nan")])
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.sampled_from(["../x", "/etc/passwd", "a/../../x", "\0", "\x1b[2J", "\ud800", "v1", "zarr", "raw", "test"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.long
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_fields_of_other_types_and_values_are_refused(small: Path, tmp_path: Path, data: st.DataObject) -> None:
    """A field of another type or value ends in a traceback, or is taken although its checksum does not fit."""
    raw = raw_of(small)
    path = data.draw(st.sampled_from(paths_of(raw)))
    value = data.draw(JSON_VALUES)
    changed = replaced(raw, path, value)
    read_mutated(tmp_path, json.dumps(changed).encode(), Manifest.read(small))
    if isinstance(changed, dict):
        # With a checksum that fits, the values count; whatever is read can be written again.
        (tmp_path / MANIFEST).write_text(json.dumps(sealed(changed)))
        try:
            found = Manifest.read(tmp_path)
        except ShardError as err:
            assert_one_line(err)
        else:
            (tmp_path / MANIFEST).write_text(json.dumps(found.to_json(), allow_nan=False))
            assert Manifest.read(tmp_path) == found


def set_field(*path: Any, value: Any) -> Callable[[Any], None]:
    """Return a change of one field."""

    def change(raw: Any) -> None:
        for step in path[:-1]:
            raw = raw[step]
        raw[path[-1]] = value

    return change


TRAIN = ("splits", "train", "statistics", "B02")
NUMBERS = [
    *(("patches_per_shard", value) for value in (0, -1, 2**62, 2**31, True, 2048.0, "2048", None)),
    *(("count", value) for value in (0, -3, 2**62, True, 3.0, "3")),
    *(("seed", value) for value in (1.0, True, "0", 10**400)),
    *(("source_bytes", value) for value in (-1, 2**63, 1.5)),
    *(("source_version", value) for value in ("v0", "", 2, None, ["v1"])),
    *(("format", value) for value in ("tar", None, ["zarr"], "zarr")),
    *(("codec", value) for value in ("lz5", 3, None, ["raw"])),
    *(("left_out", value) for value in ([], {"bad": -1}, {"bad": 1.0}, {"\x1b[2J": 1}, {"\ud800": 1})),
    *(("splits", value) for value in ({}, [], {"dev": {}})),
    *((("splits", "train", "count"), value) for value in (0, 3, -2, True, 2.0)),
    *((("splits", "train", "class_counts", "Pastures"), value) for value in (-1, 3, 1.0, True, "1")),
    *(((*TRAIN, "mean"), value) for value in (-1.0, 1e5, float("nan"), float("inf"), "3000", True, None)),
    *(((*TRAIN, "std"), value) for value in (-1.0, 1e5, float("nan"), 10**400)),
    *(((*TRAIN, "min"), value) for value in (-1, 65_536, 60_000, 1.0)),
    *(((*TRAIN, "max"), value) for value in (-1, 65_536, 1, True)),
    *(((*TRAIN, "nodata"), value) for value in (-1, 1, 2**62)),
    *(((*TRAIN, "count"), value) for value in (0, 28_799, 2**62, 28_800.0)),
    *(((*TRAIN, "percentiles", "50"), value) for value in (0.0, 65_535.0, float("nan"), None)),
    *((("shards", 0, "count"), value) for value in (0, 1, 3, 2**31, -2)),
    *((("shards", 0, "name"), value) for value in ("train", "test-000000", "train-1/../2", "train-000001")),
    *((("shards", 0, "split"), value) for value in ("test", "dev", 3)),
    *((("shards", 0, "files"), value) for value in ([], {}, [None])),
    *((("shards", 0, "files", 0, "size_bytes"), value) for value in (-1, 7000, 2**63, 1.0, True)),
    *((("shards", 0, "files", 0, "sha256"), value) for value in ("", "0" * 63, "G" * 64, 0)),
    *((("files", 0, "size_bytes"), value) for value in (0, 2**62, -1)),
    *((("files", 0, "path"), value) for value in ("histograms.parquet", "other.parquet", MANIFEST)),
]


@pytest.mark.parametrize(("path", "value"), NUMBERS)
def test_values_that_no_store_has_are_refused(small: Path, tmp_path: Path, path: Any, value: Any) -> None:
    """Counts, sizes or statistics that cannot be are believed since a checksum fits, or since there is none."""
    folder = faults.copy(small, tmp_path / "store")
    change = set_field(*((path,) if isinstance(path, str) else path), value=value)
    faults.edit_manifest(folder, change)
    assert_refused(folder)
    raw = raw_of(folder)
    del raw["sha256"]
    (folder / MANIFEST).write_text(json.dumps(raw))
    assert_refused(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe{\x00}\x00", "byte 0 is no UTF-8"),
        (b'{"format_version": 1, "codec": "\xe9"}', "is no UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"format_version": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"format_version": ' + b"9" * 5_000 + b"}", "limit"),
        (b'{"format_version": 1, "format_version": 1}', "'format_version' occurs twice"),
        (b'{"format_version": NaN}', "NaN is no number of JSON"),
        (b'{"format_version": true}', "format_version is True, expected an integer"),
        (b'{"format_version": 1}', "bands is absent"),
        (b"[]", "is an array of 0, expected an object"),
        (b'"\\u001b[2J"', "expected an object"),
        (b'{"format_version": 1, "bands": ["\\u001b[2J\\ud800"], "classes": []}', "has bands \\x1b[2J\\ud800"),
    ],
    ids=range(14),
)
def test_what_is_no_manifest_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    """JSON that was made to harm, or no JSON at all, ends in a traceback or is printed raw."""
    (tmp_path / MANIFEST).write_bytes(content)
    assert_refused(tmp_path, str(tmp_path / MANIFEST), message)


ESCAPES = ["../secret.tar", "/etc/passwd", "shards/../../secret.tar", "./shards/a.tar", "shards//a.tar", "", ".", "..",
           "shards/", "a\0b", "a\nb", "\x1b[2J", "\ud800", "ä.tar", MANIFEST, "build.json", "x" * 300]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES, ids=range(len(ESCAPES)))
def test_paths_that_leave_the_store_are_refused(small: Path, tmp_path: Path, path: str) -> None:
    """A file outside the store is opened, or one file is read under two names."""
    folder = faults.copy(small, tmp_path / "store")
    faults.edit_manifest(folder, set_field("shards", 0, "files", 0, "path", value=path))
    assert_refused(folder, str(folder / MANIFEST))


@pytest.mark.parametrize("where", ["file", "folder", "within"])
def test_links_are_refused(small: Path, tmp_path: Path, where: str) -> None:
    """A link in a store makes a file outside of it, or another one of it, be read as its own."""
    if where == "folder":
        folder = make_store(tmp_path / "store", {"train": 2}, format="zarr")
    else:
        folder = faults.copy(small, tmp_path / "store")
    path = folder / raw_of(folder)["shards"][0]["files"][0]["path"]
    if where == "folder":
        path.parent.rename(tmp_path / "elsewhere")
        path.parent.symlink_to(tmp_path / "elsewhere")
    else:
        target = folder / "copy" if where == "within" else tmp_path / "secret"
        path.rename(target)
        path.symlink_to(target)
    with shards.open(folder) as store, pytest.raises(CorruptShard, match=f"{path} cannot be opened: it leads out of"):
        store.read(0)


def test_a_linked_store_is_read(small: Path, tmp_path: Path) -> None:
    """A store behind a link to its folder, such as on another disk, is refused."""
    (tmp_path / "link").symlink_to(small)
    with shards.open(tmp_path / "link") as store:
        assert store.read(0, verify=True).split == "train"


def test_an_edited_statistic_is_found_by_its_checksum(small: Path, tmp_path: Path) -> None:
    """Statistics that were edited by hand, and are possible, are trained with."""
    folder = faults.copy(small, tmp_path / "store")
    raw = raw_of(folder)
    raw["splits"]["train"]["statistics"]["B02"]["mean"] += 1e-9
    (folder / MANIFEST).write_text(json.dumps(raw))
    assert_refused(folder, "it has changed: SHA-256", f"expected '{raw['sha256']}'")
    (folder / MANIFEST).write_text(json.dumps(raw | {"sha256": None}))
    assert_refused(folder, "it has changed")


def test_writing_leaves_no_temporary_file_on_errors(tmp_path: Path) -> None:
    """A manifest that cannot be written leaves half of itself behind."""
    from shards.storage.atomic import atomic_write

    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "x") as file:
        file.write(bytes([1 // 0]))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "y").touch()
    with pytest.raises(OSError, match="folder"), atomic_write(tmp_path / "folder") as file:
        file.write(b"whole")
    assert sorted(os.listdir(tmp_path)) == ["folder"]
