"""Computed cost of the preparation of a batch on a GPU, by engine. An engine adds itself to `ENGINES`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shards import BANDS, RECORD_VALUES
from shards.layout.bands import GROUP_OF, RECORD_BYTES
from tools.gpu.check.targets import GPU_CACHE, LOADER
from tools.gpu.predict.counts import Cost, TorchCost, copied, run_graph
from tools.gpu.predict.encoded import ENCODED_BYTES, unpacked
from trainer.data.augment.draw import draw
from trainer.data.augment.mix import complete, completed, rest
from trainer.data.batch import Batch, Draws, Layout
from trainer.data.device.transfer import send
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali.gpu_arguments import blends_boxes
from trainer.data.prepare.dali.pipeline import Graph, graph_for_gpu
from trainer.data.prepare.image_layout import images_of
from trainer.data.prepare.reference import prepare
from trainer.data.prepare.triton.images import drawn_arrays
from trainer.definition.augmentation import RECIPES
from trainer.definition.choices import INTERPOLATIONS, Interpolation

PATCHES: Final = 32
"""Patches that costs are the mean of: crops have areas of their own."""
DEVICE: Final = torch.device("cuda", 0)

LAUNCH_SECONDS: Final = 3e-6
"""Between two launches of short kernels from one thread: 2 to 4 µs by common experience; no data sheet states it."""
BUS: Final = 55e9
"""Bytes per second that PCIe 5.0 x16 carries in one direction: 63 GB/s by its specification (32 GT/s on 16 lanes, of
130 bits 128 of data), of which about 55 are left beside the headers of packets."""


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes:
        name: of it.
        bandwidth: bytes per second of its memory.
    """

    name: str
    bandwidth: float


CARDS: Final = (Card("H100", 3.35e12), Card("H200", 4.8e12))
"""With the SXM boards' bandwidth of NVIDIA's data sheets "H100 Tensor Core GPU" (HBM3) and "H200" (HBM3e)."""


@dataclass(frozen=True)
class Case:
    """A preparation whose cost is computed.

    Attributes:
        recipe: name of the augmentation.
        layout: of the images.
        interpolation: of the pixels.
        bands: in channel order.
    """

    recipe: str
    layout: Layout
    interpolation: Interpolation
    bands: tuple[str, ...] = BANDS

    @property
    def normalisation(self) -> Normalisation:
        """Any one of the bands."""
        return Normalisation.standard(self.bands, [1000.0] * len(self.bands), [500.0] * len(self.bands))

    def draws(self) -> Draws:
        """Return what is drawn for `PATCHES` patches."""
        return draw(RECIPES[self.recipe], np.arange(PATCHES), len(self.bands), seed=0, epoch=0)

    def graph(self, device: torch.device) -> Graph:
        """Return DALI's graph for a GPU, whose constants are on a device."""
        return graph_for_gpu(self.normalisation, self.layout, self.interpolation, RECIPES[self.recipe], device)


CASES: Final = tuple(
    Case(recipe, layout, interpolation)
    for recipe in RECIPES
    for layout in ("stacked", "native")
    for interpolation in INTERPOLATIONS
)


@dataclass(frozen=True)
class Found:
    """Cost of an engine for a batch of `PATCHES`.

    Attributes:
        images: from host memory to normalised images.
        rest: after that: erased boxes, labels and the like, MixUp and CutMix, which are the same for every engine.
        operators: cost of the images by operator, where it is known.
    """

    images: Cost
    rest: Cost
    operators: Mapping[str, Cost] = field(default_factory=dict)

    def patches_per_second(self, card: Card, batch_size: int) -> float:
        """Return how many patches a card could prepare at most.

        The slowest of three sets the pace, as they overlap: launches, device memory and the bus.
        """
        whole = self.images + self.rest
        share = batch_size / PATCHES
        return batch_size / max(
            whole.launches * LAUNCH_SECONDS,
            whole.device_bytes * share / card.bandwidth,
            whole.bus_bytes * share / BUS,
        )


def by_dali(case: Case) -> Found:
    """Return what the DALI graph for a GPU costs, with what writes its images: a pass of torch, or the kernel."""
    draws, graph = case.draws(), case.graph(torch.device("cpu"))
    records = np.zeros((PATCHES, RECORD_VALUES), np.uint16)
    operators, returned = run_graph(graph.define, {"records": records, **graph.feeds(draws)})
    costs = {"copy to the device": copied(PATCHES * RECORD_BYTES)}
    for operator in operators:
        if operator.cost.launches:
            costs[operator.schema] = costs.get(operator.schema, Cost()) + operator.cost
    if blends_boxes(RECIPES[case.recipe], case.interpolation):
        costs["kernel"], rest = _by_kernel(case, draws)
    else:
        shapes = [(PATCHES, *batch.shapes[0]) for batch in returned]
        costs["torch"], rest = _by_passes(case, draws, shapes)
    return Found(sum(costs.values(), Cost()), rest, costs)


def by_torch(case: Case) -> Found:
    """Return what the reference in torch costs."""
    draws = case.draws()
    with TorchCost() as made:
        records = torch.empty((PATCHES, RECORD_VALUES), dtype=torch.uint16, device=DEVICE)

        def images(drawn: Draws) -> Batch:
            return prepare(records, drawn, case.normalisation, case.layout, case.interpolation)

        plain = _counted(made, lambda: images(replace(draws, erase=None)))
        erased = _counted(made, lambda: images(draws))
        return Found(copied(PATCHES * RECORD_BYTES) + plain, erased - plain + _completion(images(draws), draws, made))


def by_triton(case: Case) -> Found:
    """Return what the kernel costs after the copy of the records."""
    images, rest = _by_kernel(case, case.draws())
    return Found(copied(PATCHES * RECORD_BYTES) + images, rest)


def by_cache(case: Case) -> Found:
    """Return what the kernel costs from decoded records on the device, where only their places are sent."""
    return Found(*_by_kernel(case, case.draws(), {"places": np.arange(PATCHES)}))


def by_encoded_cache(case: Case) -> Found:
    """Return what the kernels cost from encoded records on the device, where their places and lengths are sent."""
    images, rest = _by_kernel(case, case.draws(), {"begins": np.arange(PATCHES), "lengths": np.arange(PATCHES)})
    return Found(unpacked(PATCHES) + images, rest)


def by_encoded(case: Case) -> Found:
    """Return what the kernels cost after the copy of encoded records, as `--loader triton` does with `bitpack`."""
    found = by_encoded_cache(case)
    return Found(copied(PATCHES * ENCODED_BYTES) + found.images, found.rest)


CACHED: Final = ("cache=gpu", "cache=gpu-encoded")
ENGINES: Final[dict[str, Callable[[Case], Found]]] = {
    "cache=gpu": by_cache,
    "cache=gpu-encoded": by_encoded_cache,
    "triton": by_triton,
    "triton-bitpack": by_encoded,
    "dali": by_dali,
    "torch": by_torch,
}
"""Functions that return the cost of an engine, by the name of its `--loader`, with the codec where it decodes, or of
records on the device."""


def target(engine: str) -> int:
    """Return the patches per second that an engine is to reach when it is measured, see `tools.gpu_check`."""
    return GPU_CACHE if engine in CACHED else LOADER


def _by_passes(case: Case, draws: Draws, shapes: Sequence[tuple[int, ...]]) -> tuple[Cost, Cost]:
    """Return the cost of the passes of torch that make images of DALI's bands (uint16), and of what follows them.

    One copy for all that is not pixels is in the first cost.
    """
    with TorchCost() as made:
        graph = case.graph(DEVICE)  # Constants are there before the first batch.
        bands = [torch.empty(shape, dtype=torch.uint16, device=DEVICE) for shape in shapes]

        def images(drawn: Draws) -> tuple[Batch, Mapping[str, Tensor]]:
            sent = send(rest(*_no_labels(), draws) | graph.arrays(drawn), DEVICE)
            return graph.finish(bands, sent), sent

        plain = _counted(made, lambda: images(replace(draws, erase=None)))
        erased = _counted(made, lambda: images(draws)) - plain
        finished = images(draws)
        return plain, erased + _counted(made, lambda: completed(*finished))


def _by_kernel(case: Case, draws: Draws, more: Mapping[str, NDArray[Any]] = MappingProxyType({})) -> tuple[Cost, Cost]:
    """Return the cost of the kernel, a launch an image and one copy for all that is not pixels, and of what follows.

    `more` is copied too.
    """
    images = images_of(case.bands, case.layout)
    read = sum(GROUP_OF[band].band_values * 2 for image in images for band in image.bands)
    written = sum(len(image.bands) * image.size**2 * 2 for image in images)
    arrays = rest(*_no_labels(), draws)
    num_bytes = sum(array.nbytes for array in (*arrays.values(), *drawn_arrays(draws).values(), *more.values()))
    with TorchCost() as made:
        made_images = {
            image.name: torch.empty(
                (PATCHES, image.size, image.size, len(image.bands)), dtype=torch.float16, device=DEVICE
            ).permute(0, 3, 1, 2)
            for image in images
        }
        sent = {name: torch.from_numpy(array).to(DEVICE) for name, array in arrays.items()}
        mixed = _counted(made, lambda: completed(made_images, sent))
    return copied(num_bytes) + Cost(len(images), 0.0, PATCHES * (read + written)), mixed


def _counted(made: TorchCost, work: Callable[[], object]) -> Cost:
    """Return the cost of some work, within `made`."""
    before = made.cost
    work()
    return made.cost - before


def _completion(images: Batch, draws: Draws, made: TorchCost) -> Cost:
    """Return the cost of what follows the images, within `made`."""
    return _counted(made, lambda: complete(images, *_no_labels(), draws))


def _no_labels() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """Return labels, rows and mask of a batch."""
    return np.zeros((PATCHES, 19), np.float32), np.arange(PATCHES), np.ones(PATCHES, np.bool_)
