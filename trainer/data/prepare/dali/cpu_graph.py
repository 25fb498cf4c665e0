"""The graph of DALI for a CPU: records as they are stored → images as the model wants them.

Bands are cropped and turned while they are small and upsampled after that, which commutes. On a GPU its operators would
launch thousands of kernels a batch: see `trainer.data.prepare.dali.gpu_graph`.
"""

from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray
from nvidia.dali import fn
from nvidia.dali.types import DALIDataType, DALIInterpType
from torch import Tensor

from shards.layout.bands import BAND_SLICES, GROUP_OF
from trainer.data.augment.boxes import box_masks, box_sides, erase
from trainer.data.bands import runs
from trainer.data.batch import Batch, Draws
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali.cpu_arguments import JITTER_SCALE, feeds_of
from trainer.data.prepare.image_layout import Image
from trainer.data.prepare.reference import fill_values
from trainer.definition.augmentation import Augmentation
from trainer.definition.choices import Interpolation

_INTERPOLATIONS: Final = {"nearest": DALIInterpType.INTERP_NN, "bilinear": DALIInterpType.INTERP_LINEAR}


class HostGraph:
    """The graph for a CPU: its operators, their inputs, and the steps that torch does after them."""

    def __init__(
        self,
        normalisation: Normalisation,
        images: tuple[Image, ...],
        interpolation: Interpolation,
        augmentation: Augmentation,
    ) -> None:
        """Take the arguments of `trainer.data.prepare.dali.pipeline.DaliPreparation`, and the images that are made."""
        self._normalisation, self._images = normalisation, images
        self._interpolation, self._augmentation = interpolation, augmentation

    def feeds(self, draws: Draws) -> dict[str, NDArray]:
        """Return the arguments of the operators by name, with one row for each patch."""
        return feeds_of(draws, self._augmentation, self._normalisation, self._images)

    def define(self, records: Any, fed: dict[str, Any]) -> tuple[Any, ...]:
        """Define the operators; images leave them as (size, size, C), which is what torch calls channels-last."""
        return _define(records, fed, self._images, self._normalisation, self._interpolation, self._augmentation)

    def arrays(self, draws: Draws) -> dict[str, NDArray[Any]]:
        """Return what `finish` needs as tensors, by name."""
        return {} if draws.erase is None else {"erase": box_sides(draws.erase)}

    def finish(self, tensors: list[Tensor], sent: Mapping[str, Tensor]) -> Batch:
        """Return the images by name, of what the operators have returned."""
        # No copy is needed: the dynamic executor gives every batch a buffer of its own.
        images = {image.name: tensor.permute(0, 3, 1, 2) for image, tensor in zip(self._images, tensors, strict=True)}
        for image in images.values():
            if self._normalisation.clamp:
                image.clamp_(0, 1)
            if "erase" in sent:
                erase(image, box_masks(sent["erase"]))
        return images


def _define(
    records: Any,
    fed: dict[str, Any],
    images: tuple[Image, ...],
    normalisation: Normalisation,
    interpolation: Interpolation,
    augmentation: Augmentation,
) -> tuple[Any, ...]:
    outputs = []
    for image in images:
        chosen = normalisation.select(image.bands)
        enlarged = augmentation.crop == "resized" or any(GROUP_OF[band].size < image.size for band in image.bands)
        # Between two pixels are numbers that are no integers.
        dtype = DALIDataType.FLOAT if enlarged and interpolation == "bilinear" else DALIDataType.UINT16
        parts = []
        for run in runs(image.bands):
            part = _bands(records, run, augmentation, fed, fill_values(chosen.select(run)))
            if augmentation.crop == "resized" or GROUP_OF[run[0]].size < image.size:
                part = fn.resize(
                    part,
                    size=[image.size] * 2,
                    interp_type=_INTERPOLATIONS[interpolation],
                    antialias=False,
                    dtype=dtype,
                )
            elif dtype != DALIDataType.UINT16:
                part = fn.cast(part, dtype=dtype)
            parts.append(part)
        jittered = f"mean_{image.name}" in fed
        outputs.append(
            fn.crop_mirror_normalize(
                fn.cat(*parts, axis=0),
                mean=fed[f"mean_{image.name}"] if jittered else list(chosen.centre),
                std=fed[f"std_{image.name}"] if jittered else list(chosen.scale),
                scale=JITTER_SCALE if jittered else 1.0,
                dtype=DALIDataType.FLOAT,
                output_layout="HWC",
            )
        )
    return tuple(outputs)


def _bands(records: Any, run: tuple[str, ...], augmentation: Augmentation, fed: dict[str, Any], fill: list[int]) -> Any:
    """Take a run of bands out of the records, cropped and turned, at native resolution."""
    group, first = GROUP_OF[run[0]], BAND_SLICES[run[0]].start
    pixels = records[first : first + len(run) * group.band_values]
    pixels = fn.reshape(pixels, shape=[len(run), group.size, group.size], layout="CHW")
    if augmentation.crop != "none":
        pixels = fn.slice(
            pixels,
            start=fed[f"start_{group.name}"],
            shape=fed[f"sides_{group.name}"],
            axis_names="HW",
            out_of_bounds_policy="pad",
            fill_values=fill,
        )
    if augmentation.turn == "d4" and fed["transposed"]:
        pixels = fn.transpose(pixels, perm=[0, 2, 1], transpose_layout=False)
    if augmentation.turn != "none":
        pixels = fn.flip(pixels, horizontal=fed["left_right"], vertical=fed["up_down"])
    return pixels
