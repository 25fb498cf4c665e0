"""DALI's preparation against plain torch and NumPy."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shards import GROUPS
from trainer.dali import HostBatch, Preparation
from trainer.normalisation import Normalisation
from trainer.reference import prepare, upsample

CPU = torch.device("cpu")
IDENTITY = Normalisation((0.0,) * 12, (1.0,) * 12)
TYPICAL = Normalisation(tuple(400.0 + 200 * i for i in range(12)), tuple(500.0 + 70 * i for i in range(12)))
ALL_FLIPS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.uint8)


def host_batch(records: NDArray[np.uint16], flips: NDArray[np.uint8], first_row: int = 0) -> HostBatch:
    """Return a host batch of consecutive rows, with a label each."""
    n = len(flips)
    labels = np.zeros((n, 19), np.float32)
    labels[np.arange(n), np.arange(n) % 19] = 1
    return HostBatch(records, flips, labels, np.arange(first_row, first_row + n))


def random_records(n: int, seed: int = 0) -> NDArray[np.uint16]:
    """Return records of independent pixels over the whole range."""
    return np.random.default_rng(seed).integers(0, 65_536, (n, 80_000), np.uint16)


def run_dali(records: NDArray[np.uint16], normalisation: Normalisation, device: torch.device = CPU) -> torch.Tensor:
    """Prepare four records with the four flips."""
    preparation = Preparation(normalisation, 4, device, 2)
    ((_, batch),) = preparation.run([host_batch(records, ALL_FLIPS)])
    return batch.images


def test_upsampling_repeats_pixels_exactly() -> None:
    """A pixel at 10 m has another value than the pixel of the 20 m or 60 m band around it."""
    records = random_records(4)
    expected = np.concatenate(
        [
            records[:, group.slice].reshape(4, *group.shape).repeat(120 // group.size, 2).repeat(120 // group.size, 3)
            for group in GROUPS
        ],
        1,
    )
    np.testing.assert_array_equal(upsample(torch.from_numpy(records).int()).numpy(), expected)
    # With mean 0 and deviation 1 the output is the value itself, which float32 holds exactly.
    images = run_dali(records, IDENTITY).numpy()
    for image, (left_right, up_down), values in zip(images, ALL_FLIPS, expected, strict=True):
        values = values[:, :, ::-1] if left_right else values
        values = values[:, ::-1] if up_down else values
        np.testing.assert_array_equal(image, values)


def test_dali_equals_the_reference() -> None:
    """Images are normalised by another band's statistics, or flipped otherwise than drawn."""
    records = random_records(4)
    images = run_dali(records, TYPICAL)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    expected = prepare(torch.from_numpy(records), torch.from_numpy(ALL_FLIPS), TYPICAL)
    # Both round to float32 a few times; DALI multiplies by the reciprocal.
    torch.testing.assert_close(images, expected, rtol=1e-6, atol=2e-5)


@pytest.mark.gpu
def test_gpu_equals_cpu() -> None:
    """The GPU trains on other images than the tests on the CPU have seen."""
    records = random_records(4)
    images = run_dali(records, TYPICAL, torch.device("cuda", 0))
    assert images.is_cuda
    assert images.dtype == torch.float16
    assert images.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(images.cpu().float(), run_dali(records, TYPICAL), rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def preparation() -> Preparation:
    """A pipeline for batches of up to three patches, which several tests use one after the other."""
    return Preparation(IDENTITY, 3, CPU, 2)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 3), max_size=6), taken=st.integers(0, 7))
def test_batches_keep_order_and_size(preparation: Preparation, sizes: list[int], taken: int) -> None:
    """Batches are swapped, or what an iteration that was broken off has left comes out in the next one."""
    records = np.zeros((3, 80_000), np.uint16)
    made = [host_batch(records, np.zeros((n, 2), np.uint8), 10 * i) for i, n in enumerate(sizes)]
    seen = 0
    with closing(preparation.run(made)) as batches:
        for i, (host, batch) in enumerate(batches):
            assert host is made[i]
            assert batch.rows.tolist() == host.rows.tolist()
            np.testing.assert_array_equal(batch.labels.numpy(), host.labels)
            seen += 1
            if seen >= taken:
                break
    # An iteration begins before it can be broken off, so 0 takes one.
    assert seen == min(len(sizes), max(1, taken))


def test_images_stay_as_they_are(preparation: Preparation) -> None:
    """DALI writes a later batch into the memory of one that the model still uses."""
    buffers = [np.full((3, 80_000), i, np.uint16) for i in range(8)]
    kept = [batch for _, batch in preparation.run(host_batch(b, np.zeros((3, 2), np.uint8)) for b in buffers)]
    assert [batch.images.unique().tolist() for batch in kept] == [[i] for i in range(8)]


def test_buffers_may_be_reused_once_a_batch_is_out(preparation: Preparation) -> None:
    """DALI still reads a host buffer that the loader fills again, or a batch is a view of host memory."""
    kept = []
    free = [np.empty((3, 80_000), np.uint16) for _ in range(4)]

    def refill() -> Iterator[HostBatch]:
        for i in range(20):
            buffer = free.pop(0)
            buffer[:] = i
            yield host_batch(buffer, np.zeros((3, 2), np.uint8), 3 * i)

    for i, (host, batch) in enumerate(preparation.run(refill())):
        host.buffer[:] = 999
        host.labels[:] = host.rows[:] = 999
        free.append(host.buffer)
        assert batch.images.unique().tolist() == [i]
        kept.append(batch)
    assert torch.cat([batch.rows for batch in kept]).tolist() == list(range(60))
    assert torch.cat([batch.labels for batch in kept]).sum() == 60


def test_an_error_comes_behind_the_batches_before_it(preparation: Preparation) -> None:
    """A damaged record loses good batches before it, or leaves the pipeline unusable."""

    def failing() -> Iterator[HostBatch]:
        for i in range(3):
            yield host_batch(np.full((3, 80_000), i, np.uint16), np.zeros((3, 2), np.uint8), i)
        raise OSError("disk gone")

    for _ in range(2):
        seen: list[int] = []
        with pytest.raises(OSError, match="disk gone"):
            seen.extend(int(batch.rows[0]) for _, batch in preparation.run(failing()))
        assert seen == [0, 1, 2]
