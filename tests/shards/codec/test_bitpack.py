"""The codec `bitpack` against its specification."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import shards
from shards.codec.bitpack.decoder import decode, decode_rows, first_incomplete
from shards.codec.bitpack.encoder import encode
from shards.codec.registry import CODECS
from shards.layout.bands import RECORD_VALUES
from tests.support.data import bitpack_reference, faults
from tests.support.data.bitpack_reference import COEFFICIENTS, any_encoding, widths_of
from tests.support.examples import examples
from tests.support.strategies import records

# The first example compiles, and the reference takes a tenth of a second.
slowly = examples(25)


def decoded(data: bytes) -> NDArray[np.uint16]:
    out = np.full(RECORD_VALUES, 0xBEEF, np.uint16)
    assert decode(np.frombuffer(data, np.uint8), out)
    return out


@slowly
@given(records())
def test_the_encoding_is_that_of_the_specification(record: np.ndarray) -> None:
    """Whoever follows the specification reads other pixels."""
    np.testing.assert_array_equal(bitpack_reference.decode(encode(record)), record)


@st.composite
def encodings(draw: st.DrawFn) -> bytes:
    """Records that no encoder has made: any coefficients, any widths and any bits."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return any_encoding(rng, *sorted(draw(st.tuples(st.integers(0, 15), st.integers(0, 15)))))


@slowly
@given(encodings())
def test_whatever_has_the_right_length_is_decoded_as_specified(data: bytes) -> None:
    """The decoder is right only for what this encoder makes, or reads and writes where it must not."""
    np.testing.assert_array_equal(decoded(data), bitpack_reference.decode(data))


@slowly
@given(encodings(), st.integers(-3, 3))
def test_a_record_of_another_length_is_left_alone(data: bytes, change: int) -> None:
    """A record that is too short is read behind its end, or one that is too long is taken for whole."""
    data = data[: len(data) + change] if change < 0 else data + bytes(change)
    out = np.full(RECORD_VALUES, 0xBEEF, np.uint16)
    assert decode(np.frombuffer(data, np.uint8), out) == (change == 0)
    assert change == 0 or (out == 0xBEEF).all()


@pytest.mark.parametrize("bits", range(17))
def test_blocks_of_every_width(bits: int) -> None:
    """A width has its own shifts and masks, one of which is wrong."""
    # Only in first bands of groups, from which nothing is taken.
    rng = np.random.default_rng(bits)
    record = np.zeros(RECORD_VALUES, np.uint16)
    for first in (slice(0, 14_400), slice(57_600, 61_200), slice(79_200, 79_600)):
        record[first] = rng.choice([0, (1 << bits) - 1], first.stop - first.start)
    encoded = encode(record)
    np.testing.assert_array_equal(decoded(encoded), record)
    np.testing.assert_array_equal(bitpack_reference.decode(encoded), record)
    assert widths_of(encoded).max() == (0 if bits == 0 else bits + 1 if bits < 14 else 2 if bits == 16 else 16)


def test_the_bytes_of_a_record_never_change() -> None:
    """Stores of earlier versions cannot be read any more, or the same source gives other bytes than before."""
    x = np.arange(RECORD_VALUES, dtype=np.uint64)
    record = (x * x // 977 % 3001 + x % 7).astype(np.uint16)
    assert (
        hashlib.sha256(record.tobytes()).hexdigest()
        == "a2140f869abd287dbfe4975f859fbd69e89793e86b243393ae6f2a3963288189"
    )
    assert (
        hashlib.sha256(encode(record)).hexdigest() == "39aece47e80cd9979a87609cfde0ae420fd61975f81f5960cae04f42e2b8ce75"
    )


def test_bands_that_follow_from_others_take_no_bits() -> None:
    """Coefficients do not reach the decoder, or belong to other bands than they were made for."""
    rng = np.random.default_rng(0)
    record = np.zeros(RECORD_VALUES, np.uint16)
    first, second = rng.integers(0, 200, (2, 14_400)) * 8
    record[:28_800] = np.concatenate([first, second])
    expected = len(encode(record))
    record[28_800:43_200] = first // 2 + 2 * second
    assert len(encode(record)) == expected
    np.testing.assert_array_equal(decoded(encode(record)), record)
    record[28_800:43_200] = rng.integers(0, 200, 14_400)
    assert len(encode(record)) > 1.3 * expected


def test_several_records_in_a_call() -> None:
    """Records come in another order, or the number of the damaged one is wrong."""
    rng = np.random.default_rng(1)
    expected = rng.integers(0, 4000, (5, RECORD_VALUES), np.uint16)
    owners = [np.frombuffer(encode(record), np.uint8) for record in expected]
    addresses = np.array([owner.ctypes.data for owner in owners], np.uint64)
    lengths = np.array([len(owner) for owner in owners])
    out = np.zeros_like(expected)
    assert decode_rows(addresses, lengths, out) == first_incomplete(addresses, lengths) == 5
    np.testing.assert_array_equal(out, expected)
    lengths[3] -= 1
    out[:] = 0
    assert decode_rows(addresses, lengths, out) == first_incomplete(addresses, lengths) == 3
    np.testing.assert_array_equal(out[:3], expected[:3])
    assert not out[3:].any()
    assert decode_rows(addresses[:0], lengths[:0], out[:0]) == 0


@pytest.mark.parametrize("kept", [False, True])
def test_a_damaged_header_names_the_patch(packed_store: Path, tmp_path: Path, kept: bool) -> None:
    """A record whose widths were changed gives pixels of something else, or an error that does not say of which."""
    folder = faults.copy(packed_store, tmp_path / "store")
    with shards.open(folder) as store:
        row = 70
        key, offset = store.index.key(row), int(store.index.column("s2_offset")[row])
        path = folder / store.manifest.shards[int(store.shard_of([row])[0])].files[0].path
        with open(path, "r+b") as file:
            file.seek(offset + COEFFICIENTS)
            width = file.read(1)[0]
            file.seek(offset + COEFFICIENTS)
            file.write(bytes([width ^ 1]))
        if kept:
            store.keep_in_memory([row])
        with pytest.raises(shards.CorruptShard, match=rf"{path.name}: the record of {key} (holds|has CRC-32C)"):
            store.read_into([1, row, 2], np.empty((3, RECORD_VALUES), np.uint16))


def test_parts_of_records_are_refused() -> None:
    """Something else than a record is encoded as one."""
    with pytest.raises(ValueError, match="expected shape \\(80000,\\), got \\(100,\\)"):
        CODECS["bitpack"].encode(np.zeros(100, np.uint16))
