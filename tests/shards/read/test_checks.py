"""Records are compared with their checksums when they are first read, however they are read."""

import multiprocessing
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shards
from shards.codec.registry import CODECS
from shards.layout.bands import RECORD_VALUES
from shards.metadata.parts import PARTS
from shards.read.checks import unchecked, verify_mode
from tests.shards.conftest import read_rows, shard_files
from tests.support.data import faults

WAYS: dict[str, Callable[..., object]] = {
    "read": lambda store, row, **how: store.read(row, **how),
    "read_into": lambda store, row, **how: read_rows(store, [row, (row + 1) % 300], **how),
    "many rows": lambda store, row, **how: read_rows(store, np.arange(row, row + 9) % 300, **how),
    "read_encoded": lambda store, row, **how: store.read_encoded([row], **how),
    "fetch": lambda store, row, **how: store.fetch([row], **how),
}


@pytest.fixture(params=["on disk", "mapped", "in files of a tmpfs"])
def copied(request: pytest.FixtureRequest, any_store: Path) -> tuple[Path, dict[str, bool]]:
    """A store that may be damaged, and how to open it."""
    kind = request.param
    folder: Path = request.getfixturevalue("tmp_path" if kind == "on disk" else "memory")
    return faults.copy(any_store, folder / "store"), {"mapped": kind == "mapped"}


def place(store: shards.Store, row: int, part: int, share: float) -> tuple[Path, int]:
    """Return a byte of a record: its file, and where it lies there."""
    name = list(PARTS[store.manifest.format])[part]
    offset, length = (int(store.index.column(f"{name}_{what}")[row]) for what in ("offset", "length"))
    return shard_files(store.folder)[int(store.shard_of([row])[0])][part], offset + int(share * length)


@pytest.mark.long
def test_every_flipped_bit_is_an_error_at_the_first_reading(copied: tuple[Path, dict[str, bool]]) -> None:
    """A damaged record trains in silence, by one way of reading at least."""
    folder, how = copied
    rng = np.random.default_rng(17)
    with shards.open(folder) as store:
        num_parts = len(PARTS[store.manifest.format])
    for number in range(60):
        way, row, part = list(WAYS)[number % len(WAYS)], int(rng.integers(300)), int(rng.integers(num_parts))
        with shards.open(folder, num_threads=2, **how) as store:
            path, offset = place(store, row, part, rng.random())
            bit = int(rng.integers(8))
            faults.flip_bit(path, offset, bit)
            for _ in range(2):  # What was found damaged is not taken for checked.
                with pytest.raises(shards.CorruptShard) as caught:
                    WAYS[way](store, row)
                assert str(caught.value).startswith(f"{path}: the record of {store.index.key(row)} has CRC-32C")
            faults.flip_bit(path, offset, bit)
            WAYS[way](store, row)


def test_a_sound_record_is_checked_once(copied: tuple[Path, dict[str, bool]]) -> None:
    """Every epoch pays for the check, `always` does not do what it says, or `never` checks."""
    folder, how = copied
    for row, (way, read) in zip((20, 50, 80, 110, 140), WAYS.items(), strict=True):
        with shards.open(folder, num_threads=2, **how) as store:
            # Some decoders find damage by themselves.
            is_silent = way in ("fetch", "read_encoded") or store.manifest.codec == "raw"
            path, offset = place(store, row, 0, 0.5)
            damaged = f"{path.name}: .*{store.index.key(row)} has CRC-32C"
            read(store, row)
            faults.flip_bit(path, offset)
            if is_silent:
                read(store, row)
                read(store, row, verify=False)
            for mode in ("always", True):
                with pytest.raises(shards.CorruptShard, match=damaged):
                    read(store, row, verify=mode)
        with shards.open(folder, num_threads=2, **how) as store:
            if is_silent:
                read(store, row, verify="never")
            with pytest.raises(shards.CorruptShard, match=damaged):
                read(store, row)


def test_groups_of_checked_and_unchecked_records(copied: tuple[Path, dict[str, bool]]) -> None:
    """A damaged record among ones that were read before is not looked at, or spoils its neighbours."""
    folder, how = copied
    with shards.open(folder, num_threads=2, **how) as store:
        expected = read_rows(store, range(30))
    with shards.open(folder, num_threads=2, **how) as store:
        read_rows(store, range(0, 30, 2))
        path, offset = place(store, 13, 0, 0.5)
        faults.flip_bit(path, offset)
        with pytest.raises(shards.CorruptShard, match=f"{store.index.key(13)} has CRC-32C"):
            read_rows(store, range(30))
        faults.flip_bit(path, offset)
        np.testing.assert_array_equal(read_rows(store, range(30)), expected)
        np.testing.assert_array_equal(read_rows(store, range(30)), expected)


def test_records_in_memory_were_checked_when_they_were_put_there(any_store: Path, tmp_path: Path) -> None:
    """A damaged record is kept for all processes, or each of them checks what one has checked."""
    folder = faults.copy(any_store, tmp_path / "store")
    with shards.open(folder) as store, shards.open(folder) as other:
        path, offset = place(store, 3, 0, 0.5)
        store.keep_in_memory(range(8))
        other.attach_memory(store.memory_handle())
        faults.flip_bit(path, offset)
        for verify in ("first", "never"):
            with pytest.raises(shards.CorruptShard, match=f"{store.index.key(3)} has CRC-32C"):
                read_rows(store, range(8), verify=verify)
        faults.flip_bit(path, offset)
        read_rows(store, range(8))
        piece = store.read_encoded([0])[0]
        with open(store.memory_handle(), "r+b") as memory:
            at = memory.read(1 << 20).index(piece) + len(piece) - 20
            memory.seek(at)
            memory.write(bytes([piece[-20] ^ 1]))
        other.fetch([0])
        with pytest.raises(shards.CorruptShard, match="has CRC-32C"):
            other.fetch([0], verify="always")


def test_what_a_forked_process_has_checked_is_checked(any_store: Path, tmp_path: Path) -> None:
    """Workers that are forked for every epoch check every record in every epoch."""
    folder = faults.copy(any_store, tmp_path / "store")
    with shards.open(folder, num_threads=2) as store:
        for first in (0, 20):
            worker = multiprocessing.get_context("fork").Process(target=store.fetch, args=(range(first, first + 20),))
            worker.start()
            worker.join(60)
            assert worker.exitcode == 0
        path, offset = place(store, 30, 0, 0.5)
        faults.flip_bit(path, offset)
        store.fetch([30])
        other, offset = place(store, 50, 0, 0.5)
        faults.flip_bit(other, offset)
        with pytest.raises(shards.CorruptShard, match="has CRC-32C"):
            store.fetch([50])


@given(st.integers(0, 5000))
def test_marks_begin_unset_and_can_be_set(count: int) -> None:
    """A store without patches cannot be opened, or some records are never checked."""
    marks = unchecked(count)
    assert marks.shape == (count,)
    assert not marks.any()
    marks[:] = True
    assert marks.all()


def test_other_modes_are_refused(any_store: Path) -> None:
    """A misspelt mode checks nothing."""
    assert [verify_mode(value) for value in ("first", "always", "never", True, False)] == [
        "first", "always", "never", "always", "first"
    ]  # fmt: skip
    with closing(shards.open(any_store)) as store:
        for way, value in zip(WAYS.values(), ("", "sometimes", None, 1, 0.5), strict=True):
            with pytest.raises(shards.InvalidValue, match="expected one of first, always, never"):
                way(store, 0, verify=value)


@given(st.sampled_from(sorted(CODECS)), st.binary(max_size=400), st.integers(0, 2**32 - 1), st.booleans())
def test_a_decoder_has_one_error(codec: str, tail: bytes, size: int, fitting: bool) -> None:
    """Bytes that are no record end in the error of some library, which names neither file nor key."""
    header = bytes([2, 1, 0x35, 2]) + b"".join(
        value.to_bytes(4, "little") for value in (2 * RECORD_VALUES, size, 16 + len(tail))
    )
    out = np.empty(RECORD_VALUES, np.uint16)
    try:
        CODECS[codec].decode_into(header + tail if fitting else tail, out)
    except shards.CorruptShard as err:
        assert "\n" not in str(err)  # noqa: PT017  Some of them decode.


def test_damage_without_checks_is_pixels_or_one_error(any_store: Path, memory: Path) -> None:
    """Without checks, damage ends the process or in an error that names neither file nor key."""
    folder = faults.copy(any_store, memory / "store")
    rng = np.random.default_rng(23)
    with shards.open(folder, num_threads=2) as store:
        for _ in range(80):
            path, offset = place(store, 5, 0, float(rng.random() ** 3))
            with open(path, "r+b") as file:
                file.seek(offset)
                before = file.read(39)
                file.seek(offset)
                file.write(rng.bytes(int(rng.integers(1, 40))))
                file.flush()
                try:
                    read_rows(store, range(4, 8), verify="never")
                except shards.CorruptShard as err:
                    assert f"{path}: the record of {store.index.key(5)}" in str(err)  # noqa: PT017  Some decode.
                file.seek(offset)
                file.write(before)
