"""The graph of DALI for a GPU, of operators that launch a constant number of kernels for a batch.

DALI takes the bands out of the records, turns and crops them, and enlarges crops with nearest pixels; `interleave`
normalises them into the images, and enlarges what is enlarged by the same factor in all patches. `flip` would launch
one kernel for each patch, and `resize` two for each 32 bands unless configured otherwise. Crops that bilinear pixels
enlarge are made without these operators: see `record_graph`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from nvidia.dali import fn
from nvidia.dali.types import DALIDataType, DALIInterpType
from torch import Tensor

from shards import RECORD_VALUES
from trainer.data.batch import Batch, Draws
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali.gpu_arguments import Plan, Span, feeds_of, spans_of
from trainer.data.prepare.dali.interleave import Interleave
from trainer.data.prepare.image_layout import Image
from trainer.data.prepare.reference import fill_values
from trainer.definition.augmentation import Augmentation
from trainer.definition.choices import Interpolation


class BatchedGraph:
    """The graph for a GPU: its operators, their inputs, and the pass of torch that writes the images."""

    def __init__(
        self,
        normalisation: Normalisation,
        images: tuple[Image, ...],
        interpolation: Interpolation,
        augmentation: Augmentation,
        device: torch.device,
    ) -> None:
        """Take the arguments of `trainer.data.prepare.dali.pipeline.DaliPreparation`, and the images that are made.

        Raises:
            ValueError: boxes are enlarged with bilinear pixels, which `RecordGraph` is for.
        """
        self._spans = spans_of(images)
        self._plan = Plan(augmentation, interpolation)
        self._fills = [_fill(span, normalisation) for span in self._spans]
        self._last = Interleave(normalisation, images, self._spans, self._plan, device)

    def feeds(self, draws: Draws) -> dict[str, NDArray]:
        """Return the arguments of the operators by name, with one row for each patch."""
        return feeds_of(draws, self._spans, self._plan)

    def define(self, records: Any, fed: dict[str, Any]) -> tuple[Any, ...]:
        """Define the operators; the bands of each span leave them as (bands, s, s)."""
        # DALI rewrites this function, and has a `zip` of its own that knows no `strict`.
        return tuple(_bands(records, fed, span, self._fills[i], self._plan) for i, span in enumerate(self._spans))

    def arrays(self, draws: Draws) -> dict[str, NDArray[Any]]:
        """Return what `finish` needs on the device, by name."""
        return self._last.arrays(draws)

    def finish(self, tensors: list[Tensor], sent: Mapping[str, Tensor]) -> Batch:
        """Return the images by name, of what the operators have returned."""
        return self._last.images(tensors, sent)


def _fill(span: Span, normalisation: Normalisation) -> list[int]:
    """Return what pixels outside of the patch are filled with; a band that is not selected is not looked at."""
    known = dict(zip(normalisation.bands, fill_values(normalisation), strict=True))
    return [known.get(band, 0) for band in span.bands]


def _bands(records: Any, fed: dict[str, Any], span: Span, fill: list[int], plan: Plan) -> Any:
    """Define the operators that prepare a span."""
    name, (num, size) = span.group.name, (len(span.bands), span.group.size)
    if plan.warps:
        bands = _warp(
            fn.reinterpret(records, dtype=DALIDataType.INT16, shape=[1, 1, RECORD_VALUES, 1], layout="DHWC"),
            fed[f"take_{name}"],
            fed[f"size_{name}"] if plan.resized else [num, size, size],
        )
    else:
        values = fn.slice(records, start=[span.first], shape=[span.num_values], axes=[0])
        bands = fn.reshape(values, shape=[num, size, size], layout="CHW")
    if plan.slices:
        bands = fn.slice(
            bands,
            start=fed[f"start_{name}"],
            shape=fed[f"sides_{name}"],
            axes=[1, 2],
            out_of_bounds_policy="pad",
            fill_values=fill,
        )
    if plan.resized:
        bands = fn.reinterpret(bands, dtype=DALIDataType.INT16, src_dims=[0, 1, 2, -1], layout="DHWC")
        bands = _warp(bands, fed[f"grow_{name}"], [num, span.size, span.size])
    return bands


def _warp(volume: Any, matrix: Any, size: Any) -> Any:
    """Return the nearest pixels of volumes (D, H, W, 1) int16 as bands, (size[0], size[1], size[2]) uint16.

    DALI warps no uint16. Nothing is computed with nearest pixels, so int16 stands for the same bits.
    """
    warped = fn.warp_affine(volume, matrix=matrix, size=size, interp_type=DALIInterpType.INTERP_NN)
    return fn.reshape(fn.squeeze(fn.reinterpret(warped, dtype=DALIDataType.UINT16), axes=[3]), layout="CHW")
