"""Batches pass through a preparation in order, with buffers that are used again, and past errors."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.trainer.data.prepare.ways import CPU, D4, KINDS, Kind, assert_same, create
from tests.trainer.data.records import ALL_TURNS, NOTHING, host_batch, identity, random_records, standard
from trainer.data.augment.draw import draw
from trainer.data.batch import CELLS, Draws
from trainer.data.prepare.backend import Preparation
from trainer.data.prepare.reference import TorchPreparation
from trainer.definition.augmentation import Augmentation

pytestmark = pytest.mark.usefixtures("interpreter")


@pytest.mark.parametrize("kind", KINDS)
def test_draws_of_another_augmentation_are_refused(kind: Kind) -> None:
    """Draws that the pipeline has no operators for are left out in silence."""
    preparation = create(kind, standard(), batch_size=2, augmentation=D4)
    crop = np.full((2, 4), CELLS, np.int32)
    with pytest.raises(ValueError, match="draws of crop, turn, expected turn"):
        list(preparation.run([host_batch(random_records(2), Draws(turn=ALL_TURNS[:2], crop=crop))]))
    # The pipeline is not broken by it.
    good = [host_batch(random_records(2), Draws(turn=ALL_TURNS[:2]))]
    assert len(list(preparation.run(good))) == 1


@pytest.fixture(scope="module", params=KINDS)
def preparation(request: pytest.FixtureRequest) -> Preparation:
    """A pipeline for batches of up to three patches, which several tests use in turn."""
    return create(request.param, identity(), batch_size=3)


@examples(25)
@given(sizes=st.lists(st.integers(1, 3), max_size=6), taken=st.integers(0, 7))
def test_batches_keep_order_and_size(preparation: Preparation, sizes: list[int], taken: int) -> None:
    """Batches are swapped, or what an iteration that was broken off has left comes out in the next one."""
    made = [host_batch(np.zeros((n, 80_000), np.uint16), NOTHING, 10 * i) for i, n in enumerate(sizes)]
    seen = 0
    with closing(preparation.run(made)) as batches:
        for i, prepared in enumerate(batches):
            host, batch = made[i], prepared.batch
            assert prepared.host is host
            assert prepared.done is None
            assert batch["row"].tolist() == host.rows.tolist()
            np.testing.assert_array_equal(batch["label"].numpy(), host.labels)
            np.testing.assert_array_equal(batch["mask"].numpy(), host.mask)
            assert len(batch["image"]) == len(host.rows)
            seen += 1
            if seen >= taken:
                break
    # An iteration begins before it can be broken off, so 0 takes one.
    assert seen == min(len(sizes), max(1, taken))


def test_images_stay_as_they_are(preparation: Preparation) -> None:
    """A later batch is written into the memory of one that the model still uses."""
    made = (host_batch(np.full((3, 80_000), i, np.uint16)) for i in range(8))
    kept = [prepared.batch for prepared in preparation.run(made)]
    assert [batch["image"].unique().tolist() for batch in kept] == [[i] for i in range(8)]


@pytest.mark.parametrize("kind", KINDS)
def test_buffers_may_be_reused_once_a_batch_is_out(kind: Kind) -> None:
    """A host buffer or draws are read when the loader fills them again, or a batch is a view of host memory."""
    augmentation = Augmentation(turn="d4", crop="pad", gain=0.5, erase=1.0, mixup=1.0)
    preparation = create(kind, standard(), batch_size=3, augmentation=augmentation)
    sources = [random_records(3, seed=i) for i in range(20)]
    draws = [draw(augmentation, np.arange(3 * i, 3 * i + 3), 12, 0, 0) for i in range(20)]
    reference = TorchPreparation(standard(), batch_size=3, device=CPU, num_threads=1, augmentation=augmentation)
    made = (host_batch(sources[i], draws[i], 3 * i) for i in range(20))
    expected = [prepared.batch for prepared in reference.run(made)]
    free = [np.empty((3, 80_000), np.uint16) for _ in range(4)]

    def refill() -> Iterator[Any]:
        for i, source in enumerate(sources):
            buffer = free.pop(0)
            buffer[:] = source
            copied = {name: getattr(draws[i], name) for name in Draws.__slots__}
            copied = {name: None if array is None else array.copy() for name, array in copied.items()}
            yield host_batch(buffer, Draws(**copied), 3 * i)

    kept = []
    for prepared in preparation.run(refill()):
        host = prepared.host
        assert host is not None
        host.buffer[:] = 999
        host.labels[:] = host.rows[:] = host.mask[:] = 1
        for name in augmentation.fields:
            getattr(host.draws, name)[:] = 1
        free.append(host.buffer)
        kept.append(prepared.batch)
    for ours, wanted in zip(kept, expected, strict=True):
        assert_same(ours, wanted, rtol=1e-6, atol=1e-5)


def test_an_error_comes_behind_the_batches_before_it(preparation: Preparation) -> None:
    """A damaged record loses good batches before it, or leaves the pipeline unusable."""

    def failing() -> Iterator[Any]:
        for i in range(3):
            yield host_batch(np.full((3, 80_000), i, np.uint16), NOTHING, i)
        raise OSError("disk gone")

    for _ in range(2):
        seen: list[int] = []
        with pytest.raises(OSError, match="disk gone"):
            seen.extend(int(prepared.batch["row"][0]) for prepared in preparation.run(failing()))
        assert seen == [0, 1, 2]
