"""The kernels that decode `bitpack`, in Triton's interpreter against the specification, and compiled for an H100."""

import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shards.codec.bitpack.decoder import COEFFICIENTS, HEADER
from shards.codec.bitpack.encoder import encode
from shards.layout.bands import RECORD_VALUES
from tests.conftest import real
from tests.support.data import bitpack_reference
from tests.support.data.bitpack_reference import any_encoding
from tests.support.data.scene import scene_records
from tests.trainer.data.prepare.compiler import launches_compiled
from tests.trainer.data.prepare.interpreter import interpreted
from trainer.data.prepare.triton import unpack as kernels
from trainer.data.prepare.triton.unpack import unpack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")

GUARD = 64
"""Bytes around a record in the arena."""


def unpacked(encoded: Sequence[bytes], lengths: Sequence[int] | None = None) -> NDArray[np.uint16]:
    """Decode records that lie in an arena in reverse order, with other bytes around each."""
    arena, begins = b"\xa5" * GUARD, []
    for data in reversed(encoded):
        begins.insert(0, len(arena))
        arena += data + b"\xa5" * GUARD
    out = torch.full((len(encoded) + 2, RECORD_VALUES), 0xBEEF, dtype=torch.int32).to(torch.uint16)
    with interpreted(kernels):
        unpack(
            torch.frombuffer(bytearray(arena), dtype=torch.uint8),
            torch.tensor(begins),
            torch.tensor([len(data) for data in encoded] if lengths is None else lengths),
            out[1:-1],
        )
    assert (out[0].numpy() == 0xBEEF).all()
    assert (out[-1].numpy() == 0xBEEF).all()
    return out[1:-1].numpy()


def varied_record() -> NDArray[np.uint16]:
    """Return a record with constant, smooth, noisy and extreme parts in every group."""
    rng = np.random.default_rng(3)
    x = np.arange(RECORD_VALUES)
    record = 1000 + 400 * np.sin(x / 50) + rng.integers(0, 1 << rng.integers(0, 13, RECORD_VALUES // 80).repeat(80))
    record[x % 7000 < 500] = 0
    record[x % 9000 < 700] = 65_535
    wild = x % 5000 < 400
    record[wild] = rng.choice([0, 1, 32_767, 32_768, 65_535], wild.sum())
    return record.astype(np.uint16)


@pytest.mark.long
def test_any_widths_coefficients_and_bits_are_decoded_as_specified() -> None:
    """The device decodes only what our encoder makes, or overflows where the specification wraps."""
    data = any_encoding(np.random.default_rng(0))
    assert set(bitpack_reference.widths_of(data).tolist()) == {*range(15), 16}
    np.testing.assert_array_equal(unpacked([data])[0], bitpack_reference.decode(data))


@pytest.mark.long
def test_encoded_records_are_restored() -> None:
    """Pixels differ from those that were stored, or records are mixed up."""
    record = varied_record()
    data = encode(record)
    assert set(bitpack_reference.widths_of(data).tolist()) >= {0, 2, 3, 8, 16}
    np.testing.assert_array_equal(unpacked([encode(np.zeros_like(record)), data]), [np.zeros_like(record), record])


@pytest.mark.long
def test_real_patches_are_restored() -> None:
    """Pixels of real patches differ from those that were stored."""
    record = scene_records(real("scenes/199U_1099R"), 1)[0]
    np.testing.assert_array_equal(unpacked([encode(record)])[0], record)


@pytest.mark.long
def test_a_record_that_lies_about_its_length_reads_nothing_else() -> None:
    """Damage that nobody checked makes the device read beyond the record, and ends the process."""
    data = any_encoding(np.random.default_rng(2), 0, 3)
    # All widths say 16 or 13 now: the blocks would end 160,000 or 130,000 bytes on, far behind the arena.
    wide, odd = (
        data[:COEFFICIENTS] + widths * (bitpack_reference.BLOCKS // 2) + data[HEADER:] for widths in (b"\xff", b"\xdd")
    )
    # The last byte is the first of two that a value of 16 bits lies in, or the second of three of one of 13 bits.
    cut = [wide[: HEADER + 2 * 4001 + 1], odd[: HEADER + 13 * 700 + 6]]
    assert all(len(record) < len(data) for record in cut)
    # What lies behind a record counts as 0, and not as the bytes that are there.
    sizes = [HEADER + width * bitpack_reference.BLOCKS + bitpack_reference.PADDING for width in (16, 13)]
    padded = [record.ljust(size, b"\0") for record, size in zip(cut, sizes, strict=True)]
    expected = [bitpack_reference.decode(record) for record in padded]
    np.testing.assert_array_equal(unpacked(cut), expected)


@pytest.mark.long
def test_the_kernels_compile_for_an_h100() -> None:
    """Code that the interpreter accepts is not valid Triton, which would first show on a GPU."""
    with launches_compiled(kernels) as compiled:
        unpack(
            torch.zeros(64, dtype=torch.uint8),
            torch.zeros(1, dtype=torch.int64),
            torch.zeros(1, dtype=torch.int64),
            torch.zeros((1, RECORD_VALUES), dtype=torch.uint16),
        )
    assert [name for name, _ in compiled] == ["_find_lines", "_restore"]
