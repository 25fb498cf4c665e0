"""The graph of DALI for a GPU that hands over the records, of which a Triton kernel makes the images.

It is for crops that bilinear pixels enlarge, each by a factor of its own. What DALI's operators return for uint16 is
uint16, in steps that are coarser than what images may be off by, or float32, of which they write and read 1.9 MB a
patch. The kernel reads a record once and writes an image once. DALI streams the records, prefetches them and copies
them to the device.
"""

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batch import Batch, Draws, Layout
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.triton.images import Drawn, ImageKernel, drawn_arrays
from trainer.definition.choices import Interpolation


class RecordGraph:
    """The graph without operators, and the kernel that makes the images on the current stream."""

    def __init__(
        self, normalisation: Normalisation, layout: Layout, interpolation: Interpolation, device: torch.device
    ) -> None:
        """Take the arguments of `trainer.data.prepare.dali.pipeline.graph_for_gpu`.

        Raises:
            ValueError: the layout is `record`, which leaves nothing to prepare.
        """
        self._kernel = ImageKernel(normalisation, layout, device, interpolation)

    def feeds(self, draws: Draws) -> dict[str, NDArray[Any]]:
        """Return the arguments of the operators by name: there are none."""
        return {}

    def define(self, records: Any, fed: dict[str, Any]) -> tuple[Any, ...]:
        """Return the records as they come, (80000) uint16."""
        return (records,)

    def arrays(self, draws: Draws) -> dict[str, NDArray[Any]]:
        """Return what `finish` needs on the device, by name."""
        return drawn_arrays(draws)

    def finish(self, tensors: list[Tensor], sent: Mapping[str, Tensor]) -> Batch:
        """Return the images by name, of the records, (n, 80000) uint16."""
        (records,) = tensors
        return self._kernel(records, Drawn.of(sent))
