"""Further groups of any layout, by every way of reading: their pixels, their checks, and what does not touch them."""

import pickle
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import shards
from bigearth_pipeline.verify.containers import check_codec, check_tar, check_zarr_shard
from bigearth_pipeline.verify.findings import Findings
from bigearth_pipeline.verify.records import check_records
from shards import RecordGroup
from shards.codec.registry import CODECS, GROUP_CODECS
from shards.layout.statistics import Histograms
from shards.metadata.consistency import differences
from shards.storage.local import LocalStorage
from shards.testing.faults import FaultyCache, FaultyStorage, Kind, each_fault
from shards.testing.stores import group_values, make_store
from tests.shards.conftest import read_rows
from tests.support.data import faults
from tests.support.running.descriptors import opened_files
from tests.support.running.processes import run_in_child
from tests.support.strategies import record_groups

COUNTS = {"train": 7, "test": 3}
ROWS = np.array([9, 0, 4, 4, 7, 1, 8])
"""Of several shards, more than are decoded in one call, and one twice."""
FORMATS = [*(("webdataset", codec) for codec in CODECS), *(("zarr", codec) for codec in GROUP_CODECS)]
GROUPS = [
    RecordGroup("clc", 10, ("CLC",), role="codes"),
    RecordGroup("s1", 40, ("VV", "VH"), "float32"),
    RecordGroup("odd", 48, ("x",), "uint8", codec="raw"),
]


def read_group(store: shards.Store, group: RecordGroup, rows: object = ROWS, **options: object) -> bytes:
    """Return a group of some rows, decoded into zeros."""
    rows = np.asarray(rows)
    return store.read_into(
        rows, np.zeros((len(rows), *group.shape), group.dtype), group=group.name, **options
    ).tobytes()


def wanted(store: shards.Store, group: RecordGroup, rows: object = ROWS) -> bytes:
    """Return what was written."""
    return b"".join(group_values(group, store.index.key(int(row))).tobytes() for row in np.asarray(rows))


def problems_of(store: shards.Store) -> list[str]:
    """Return what `bep verify` finds in the shards of a store, without its processes."""
    found = list(differences(store.manifest, store.index))
    check = check_tar if store.manifest.format == "webdataset" else check_zarr_shard
    for number, shard in enumerate(store.manifest.shards):
        rows = np.flatnonzero(store.shard_of(range(len(store))) == number).tolist()
        found += [*check(store, shard, rows), *check_codec(store, rows[:1])]
        found += check_records(store, rows, {}, Histograms(), Findings(), lambda _: None)
    return found


def _shared(store: shards.Store, group: RecordGroup) -> bytes:
    store.keep_in_memory(ROWS[:5], group=group.name)
    store.fetch(ROWS, group=group.name)
    with shards.open(store.folder, num_threads=2) as other:
        other.attach_memory(store.memory_handle())
        assert read_group(other, group) == read_group(store, group, verify="always")
        return read_group(other, group, verify="never")


def _decoded(store: shards.Store, group: RecordGroup) -> bytes:
    pieces = store.read_encoded(ROWS, group=group.name)
    packed = np.zeros(store.encoded_bytes(ROWS, group=group.name), np.uint8)
    assert store.read_encoded_into(ROWS, packed, group=group.name).tolist() == [len(piece) for piece in pieces]
    assert packed.tobytes() == b"".join(pieces)
    out = np.zeros((len(ROWS), *group.shape), group.dtype)
    codec = {known.name: known.codec for known in store.manifest.layout.extras}[group.name]
    for piece, values in zip(pieces, out, strict=True):
        CODECS[str(codec)].decode_into(piece, values)
    return out.tobytes()


def _pickled(store: shards.Store, group: RecordGroup) -> bytes:
    with pickle.loads(pickle.dumps(store)) as other:
        return read_group(other, group)


def _threads(store: shards.Store, group: RecordGroup) -> bytes:
    with ThreadPoolExecutor(4) as pool:
        (found,) = set(pool.map(lambda _: read_group(store, group), range(8)))
    return found


def _one_by_one(store: shards.Store, group: RecordGroup) -> bytes:
    found = []
    for row in ROWS.tolist():
        values = store.read(row).group(group.name)
        assert (values.shape, values.dtype) == (group.shape, np.dtype(group.dtype))
        found.append(values.tobytes())
    return b"".join(found)


WAYS: dict[str, Callable[[shards.Store, RecordGroup], bytes]] = {
    "one by one": _one_by_one,
    "first": read_group,
    "always": lambda store, group: read_group(store, group, verify="always"),
    "never": lambda store, group: read_group(store, group, verify="never"),
    "announced": lambda store, group: store.will_read(ROWS, group=group.name) or read_group(store, group),
    "encoded": _decoded,
    "pickled": _pickled,
    "threads": _threads,
    "shared": _shared,
}


_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # Each example takes a second, which is too long to shrink one.


@pytest.mark.long
@settings(max_examples=12, deadline=None, phases=_PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=record_groups(), kind=st.sampled_from(FORMATS), where=st.sampled_from(["disk", "mapped"]))
def test_any_layout_is_read_as_it_was_written(
    memory: Path, groups: list[RecordGroup], kind: tuple[str, str], where: str
) -> None:
    """A group of a name, type or size that the code has never seen is lost, or gets other pixels, by some way."""
    with tempfile.TemporaryDirectory(dir=memory if where == "mapped" else None) as folder:
        path = make_store(
            Path(folder) / "store", COUNTS, format=kind[0], codec=kind[1], patches_per_shard=4, extras=groups
        )
        with shards.open(path, num_threads=2, mapped=where == "mapped") as store:
            assert [group.name for group in store.manifest.layout.extras] == [group.name for group in groups]
            records = read_rows(store, ROWS)
            for name, way in WAYS.items():
                for group in groups:
                    assert way(store, group) == wanted(store, group), name
            assert np.array_equal(read_rows(store, ROWS), records)
            assert run_in_child(lambda: [_assert_equal(store, group) for group in groups]) == 0
            assert problems_of(store) == []


def _assert_equal(store: shards.Store, group: RecordGroup) -> None:
    assert read_group(store, group) == wanted(store, group)


@pytest.fixture(
    scope="module", params=[("webdataset", "bitpack"), ("webdataset", "raw"), ("zarr", "blosc-lz4")], ids="-".join
)
def grouped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with further groups, of each way of decoding."""
    kind, codec = request.param
    folder = tmp_path_factory.mktemp("grouped") / "store"
    return make_store(folder, COUNTS, format=kind, codec=codec, patches_per_shard=4, extras=GROUPS)


def test_records_are_the_same_as_without_further_groups(grouped: Path, tmp_path: Path) -> None:
    """A further group changes a Sentinel-2 record, its statistics, or what reading it takes."""
    with shards.open(grouped, num_threads=2) as store:
        kind, codec = store.manifest.format, store.manifest.codec
        plain = make_store(tmp_path / "plain", COUNTS, format=kind, codec=codec, patches_per_shard=4)
        with shards.open(plain, num_threads=2) as other:
            assert store.read_encoded(range(10)) == other.read_encoded(range(10))
            assert np.array_equal(read_rows(store, ROWS), read_rows(other, ROWS))
            assert store.manifest.splits == other.manifest.splits
            assert store.shard_of(ROWS).tolist() == other.shard_of(ROWS).tolist()
            assert store.encoded_bytes(ROWS) == other.encoded_bytes(ROWS)


def test_a_record_is_read_without_the_further_groups(grouped: Path, tmp_path: Path) -> None:
    """Reading Sentinel-2 alone touches, checks or keeps further groups, or a damaged group hides the record."""
    folder = faults.copy(grouped, tmp_path / "store")
    with shards.open(folder, num_threads=2) as store:
        expected = read_rows(store, range(10))
    for group in GROUPS:
        flip(folder, group.name, row=2)
    with shards.open(folder, num_threads=2) as store:
        assert np.array_equal(read_rows(store, range(10), verify="always"), expected)
        patch = store.read(2, groups=())
        assert np.array_equal(patch.s2, expected[2])
        assert patch.group("b20") is not None
        with pytest.raises(ValueError, match=r"has no group 'clc'; there are b10, b20, b60$"):
            patch.group("clc")
        assert list(store.read(3, groups=["s1"]).groups) == ["s1"]
        store.keep_in_memory(range(10))
        store.fetch(range(10))
        assert np.array_equal(read_rows(store, range(10)), expected)


def flip(folder: Path, name: str, row: int) -> Path:
    """Invert a bit of a group of a patch, and return the file."""
    with shards.open(folder) as store:
        (part,) = (part for part in store.manifest.parts if part.name == name)
        path = folder / store.manifest.shards[int(store.shard_of([row])[0])].files[part.file].path
        offset, length = (int(store.index.column(f"{name}_{what}")[row]) for what in ("offset", "length"))
    faults.flip_bit(path, offset + length - 1)
    return path


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_damaged_group_is_an_error_that_names_it(grouped: Path, tmp_path: Path, group: RecordGroup) -> None:
    """A flipped bit of a map trains in silence, or is said of another group, file or patch."""
    folder = faults.copy(grouped, tmp_path / "store")
    path = flip(folder, group.name, row=2)
    with shards.open(folder, num_threads=2) as store:
        message = f"{path}: the {group.name} record of {store.index.key(2)} has CRC-32C"
        for _ in range(2):
            for read in (
                lambda: store.read(2),
                lambda: read_group(store, group, range(8)),
                lambda: store.read_encoded([2], group=group.name),
                lambda: store.fetch([2], group=group.name),
            ):
                with pytest.raises(shards.CorruptShard) as caught:
                    read()
                assert str(caught.value).startswith(message)
        for other in GROUPS:
            if other != group:
                assert read_group(store, other, range(8)) == wanted(store, other, range(8))
        (problem,) = problems_of(store)
        assert problem.startswith(message)


@pytest.mark.product
@pytest.mark.parametrize("kind", ["io", "short", "flipped", "memory", "full"])
def test_every_effect_of_reading_a_group_fails_once(grouped: Path, kind: Kind) -> None:
    """A fault gives other pixels of a group, an error that names nothing, or a descriptor for ever."""
    group, fired = GROUPS[1], set()
    steps: list[Callable[[shards.Store], bytes]] = [
        lambda store: store.read(2, groups=["s1"]).group("s1").tobytes(),
        lambda store: store.will_read(ROWS, group="s1") or read_group(store, group, verify="always"),
        lambda store: store.keep_in_memory(ROWS[:3], group="s1") or b"",
        lambda store: read_group(store, group, verify="always"),
    ]
    with shards.open(grouped, num_threads=2) as store:
        every = wanted(store, group)
        expected = [wanted(store, group, [2]), every, b"", every]
    for nth in each_fault(kind):
        try:
            opened = shards.Store(grouped, num_threads=2, storage=FaultyStorage(LocalStorage(grouped), nth))
        except (shards.CorruptShard, MemoryError) as err:
            assert nth.fired == "read"
            assert isinstance(err, MemoryError) or str(grouped) in str(err)  # noqa: PT017
            continue
        with opened as store:
            store._readers.of("s1")._cache = FaultyCache(store._cache, nth)
            for step, right in zip(steps, expected, strict=True):
                is_fresh = nth.fired is None
                try:
                    found = step(store)
                except (shards.CorruptShard, shards.NotEnoughMemory, MemoryError) as err:
                    assert is_fresh, err  # noqa: PT017
                    assert nth.fired is not None, err  # noqa: PT017
                    assert isinstance(err, MemoryError | shards.NotEnoughMemory) or str(grouped) in str(err)  # noqa: PT017
                else:
                    assert found == right, nth.fired
        assert not [path for path in opened_files().values() if str(grouped) in path]
        fired.add(nth.fired)
    assert fired >= {"short": {"fetch"}, "flipped": {"fetch"}, "full": {"put"}}.get(kind, {"prepare", "fetch"})


def test_groups_that_there_are_not(grouped: Path) -> None:
    """A wrong name, shape or type of a group ends in a traceback, or in pixels."""
    room: NDArray[np.float32] = np.zeros((1, 2, 30, 30), np.float32)
    with shards.open(grouped) as store:
        for read in (
            lambda: store.read_into([0], room, group="s3"),
            lambda: store.read(0, groups=["b10"]),
            lambda: store.keep_in_memory([0], group="s3"),
            lambda: store.will_need([0], group="s3"),
        ):
            with pytest.raises(shards.InvalidValue, match=r"has no group '.*'.*; there are s2, clc, s1, odd"):
                read()
        for wrong in (room[0], room.astype(np.float64), room.view(np.int32), np.asfortranarray(room), room[..., ::-1]):
            with pytest.raises(ValueError, match=r"expected C-contiguous float32 of shape \(1, 2, 30, 30\)"):
                store.read_into([0], wrong, group="s1")
        assert store.encoded_bytes([0], group="odd") == 625
        assert store.encoded_bytes([0], group="s1") < store.encoded_bytes([0])
