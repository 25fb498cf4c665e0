"""Records that DALI hands over to the kernel: the same bits as the reference, in any layout and order of bands."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.data.prepare.interpreter import images_interpreted
from tests.trainer.data.records import host_batch, percentile, random_records, standard
from trainer.data.augment.draw import draw
from trainer.data.bands import BAND_SETS
from trainer.data.batch import HostBatch, Layout
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali import record_graph
from trainer.data.prepare.dali.gpu_arguments import Plan
from trainer.data.prepare.dali.pipeline import DaliPreparation, graph_for_gpu
from trainer.data.prepare.dali.record_graph import RecordGraph
from trainer.data.prepare.reference import TorchPreparation, prepare
from trainer.definition.augmentation import RECIPES, Augmentation

CPU = torch.device("cpu")
STRONG = RECIPES["strong"]
BLENDED = Augmentation("d4", "resized", gain=0.3, offset=0.3, band_dropout=0.3, erase=0.7)
ORDERS = {
    "all": BAND_SETS["all"],
    "reversed": BAND_SETS["all"][::-1],
    "mixed": ("B09", "B12", "B02", "B11", "B01"),
    "one": ("B05",),
}


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """The kernel runs on the CPU."""
    with images_interpreted(record_graph):
        yield


def create(norm: Normalisation, layout: Layout, augmentation: Augmentation, batch_size: int = 2) -> DaliPreparation:
    """Return DALI's preparation with the graph for a GPU, on the CPU."""
    preparation = DaliPreparation(
        norm, batch_size=batch_size, device=CPU, num_threads=1, layout=layout, interpolation="bilinear",
        augmentation=augmentation, batched=True,
    )  # fmt: skip
    assert isinstance(preparation._graph, RecordGraph)
    return preparation


def batches(augmentation: Augmentation, num_bands: int, sizes: tuple[int, ...]) -> list[HostBatch]:
    """Return host batches of some sizes, each with records, rows and draws of its own."""
    return [
        host_batch(
            random_records(n, seed=i, high=65_536), draw(augmentation, np.arange(n) + 100 * i, num_bands, 3, 1), 100 * i
        )
        for i, n in enumerate(sizes)
    ]


@pytest.mark.product
@pytest.mark.parametrize("clamp", [False, True])
@pytest.mark.parametrize("bands", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("layout", ["stacked", "native"])
def test_bits_equal_those_of_the_reference(layout: Layout, bands: tuple[str, ...], clamp: bool) -> None:
    """Images differ from the reference, for a layout, an order of bands or a normalisation."""
    norm = percentile(bands) if clamp else standard(bands)
    (host,) = batches(BLENDED, len(bands), (1,))
    (prepared,) = create(norm, layout, BLENDED).run([host])
    expected = prepare(torch.from_numpy(host.records), host.draws, norm, layout, "bilinear")
    for name, image in expected.items():
        assert prepared.batch[name].is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(prepared.batch[name], image), name


@pytest.mark.long
@pytest.mark.parametrize("layout", ["stacked", "native"])
def test_batches_equal_those_of_torch(layout: Layout) -> None:
    """The short last batch shows other patches; labels or partners are mixed up; host memory is read too late."""
    bands = ("B02", "B8A", "B01")
    made = batches(STRONG, len(bands), (3, 3, 1))
    options: dict[str, Any] = {"layout": layout, "interpolation": "bilinear", "augmentation": STRONG}
    reference = TorchPreparation(standard(bands), batch_size=3, device=CPU, num_threads=1, **options)
    expected = [prepared.batch for prepared in reference.run(made)]
    found = []
    for prepared in create(standard(bands), layout, STRONG, 3).run(made):
        assert prepared.host is not None
        # As the loader does once a batch is out.
        prepared.host.buffer[:] = 999
        prepared.host.labels[:] = prepared.host.rows[:] = prepared.host.mask[:] = 1
        for name in STRONG.fields:
            getattr(prepared.host.draws, name)[:] = 1
        found.append(prepared.batch)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_an_iteration_that_is_broken_off_leaves_nothing() -> None:
    """Records that were prefetched come out in the next iteration, or an error ends the preparation for good."""
    bands = ("B01", "B05")
    preparation = create(standard(bands), "native", BLENDED)

    def failing() -> Iterator[HostBatch]:
        yield from batches(BLENDED, len(bands), (2, 1))
        raise OSError("disk gone")

    with closing(preparation.run(batches(BLENDED, len(bands), (2,) * 6))) as begun:
        next(begun)
    seen = []
    with pytest.raises(OSError, match="disk gone"):
        seen.extend(prepared.batch["row"].tolist() for prepared in preparation.run(failing()))
    assert seen == [[0, 1], [100]]
    made = batches(BLENDED, len(bands), (1, 2))[1:]
    (prepared,) = preparation.run(made)
    expected = prepare(torch.from_numpy(made[0].records), made[0].draws, standard(bands), "native", "bilinear")
    assert all(torch.equal(prepared.batch[name], image) for name, image in expected.items())


def test_records_need_no_preparation() -> None:
    """A loader of records is given images, or an obscure error."""
    with pytest.raises(ValueError, match="layout record"):
        graph_for_gpu(standard(), "record", "bilinear", BLENDED, CPU)


def test_operators_are_not_planned_for_it() -> None:
    """Crops that bilinear pixels should enlarge are enlarged with nearest ones, in silence."""
    with pytest.raises(ValueError, match="take RecordGraph"):
        Plan(BLENDED, "bilinear")
