"""A network with all that comes before and after it: uint16 pixels in, probabilities out."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from shards.layout.bands import BAND_SLICES, GROUP_OF, GROUPS, RECORD_VALUES
from trainer.data.bands import runs
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.image_layout import Image, images_of
from trainer.definition.choices import Interpolation
from trainer.models.classifier import Classifier

Inputs: TypeAlias = Literal["records", "groups"]
INPUTS: Final[tuple[Inputs, ...]] = ("records", "groups")
OUTPUT: Final = "probabilities"

_GROUP_STARTS: Final = {group.name: BAND_SLICES[group.bands[0]].start for group in GROUPS}
"""Place of the first value of each group in a record."""


class Graph(nn.Module):
    """Records, or their three groups of bands, to the probabilities of the classes, in float32.

    What it computes is that of `trainer.data.prepare.reference.prepare` without random draws, followed by the network
    and a sigmoid, in operations that exporters know.

    Attributes:
        inputs: `records` for one input (n, 80000); `groups` for `b10` (n, 4, 120, 120), `b20` (n, 6, 60, 60) and
            `b60` (n, 2, 20, 20), with the bands of a group in the order of a record; all uint16.
        names: of the inputs, in order.
    """

    def __init__(
        self,
        network: Classifier,
        normalisation: Normalisation,
        interpolation: Interpolation = "nearest",
        inputs: Inputs = "records",
    ) -> None:
        """Take a network on the CPU, which is set to evaluation mode."""
        super().__init__()
        self.network = network.eval()
        self.inputs: Inputs = inputs
        self.names = ("records",) if inputs == "records" else tuple(group.name for group in GROUPS)
        self._interpolation: Interpolation = interpolation
        self._clamp = normalisation.clamp
        self._images = images_of(normalisation.bands, network.layout)
        for image in self._images:
            chosen = normalisation.select(image.bands)
            for name, values in (("centre", chosen.centre), ("scale", chosen.scale)):
                constant = torch.tensor(values, dtype=torch.float32)[:, None, None]
                self.register_buffer(f"_{image.name}_{name}", constant, persistent=False)

    def forward(self, *pixels: Tensor) -> Tensor:
        """Return the probabilities, (n, 19) float32, of the inputs that `names` lists."""
        found = {image.name: self._image(image, pixels) for image in self._images}
        # Not the network's own `forward`: it switches autocast off, which is off here, and exporters do not know that.
        return self.network.without_ignored(self.network.scores(self.network.features(found))).sigmoid()

    def _image(self, image: Image, pixels: Sequence[Tensor]) -> Tensor:
        """Return a normalised image, (n, bands, size, size) float32."""
        parts = [self._resized(self._bands(run, pixels), image.size) for run in runs(image.bands)]
        values = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        values = (values - self.get_buffer(f"_{image.name}_centre")) / self.get_buffer(f"_{image.name}_scale")
        return values.clamp(0, 1) if self._clamp else values

    def _bands(self, run: tuple[str, ...], pixels: Sequence[Tensor]) -> Tensor:
        """Return bands that are contiguous in a record, (n, bands, size, size) float32."""
        group = GROUP_OF[run[0]]
        if self.inputs == "groups":
            values, start = pixels[self.names.index(group.name)].flatten(1), _GROUP_STARTS[group.name]
        else:
            values, start = pixels[0], 0
        first = BAND_SLICES[run[0]].start - start
        # Sliced first: the bands that the network does not see are not converted.
        chosen = values[:, first : first + len(run) * group.band_values].to(torch.float32)
        return chosen.unflatten(1, (len(run), group.size, group.size))

    def _resized(self, values: Tensor, size: int) -> Tensor:
        """Return bands at the size of an image, by the formulas of `reference.prepare`."""
        here = values.shape[-1]
        if here == size:
            return values
        if self._interpolation == "nearest":
            times = size // here
            repeated = values[:, :, :, None, :, None].expand(-1, -1, -1, times, -1, times)
            return repeated.flatten(4, 5).flatten(2, 3)
        return interpolate(values, size=(size, size), mode="bilinear", align_corners=False)


def split(records: Tensor, inputs: Inputs) -> tuple[Tensor, ...]:
    """Return records, (n, 80000), as the inputs of a graph."""
    if inputs == "records":
        return (records,)
    if records.shape[1:] != (RECORD_VALUES,):
        raise ValueError(f"records {tuple(records.shape)}, expected (n, {RECORD_VALUES})")
    parts = []
    for group in GROUPS:
        start = _GROUP_STARTS[group.name]
        part = records[:, start : start + len(group.bands) * group.band_values]
        parts.append(part.unflatten(1, (len(group.bands), group.size, group.size)).contiguous())
    return tuple(parts)
