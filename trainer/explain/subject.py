"""Network that is to be explained, as a function of image tensors: the form in which Captum takes networks."""

from collections.abc import Iterator
from math import isqrt
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from trainer.data.batch import IMAGE_SIZE, Batch
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.image_layout import images_of
from trainer.errors import TrainError
from trainer.models.classifier import Classifier, Features

ROWS: Final = 16
"""Pairs of a patch and a class that are computed at a time."""

Inputs = tuple[Tensor, ...]
"""Images of a batch, in the order of `Subject.images`: (n, C, size, size) float32 each."""


class CannotExplain(TrainError):
    """A method cannot explain this network, whatever the patch."""


class Subject(nn.Module):
    """A network as a function of its images, without autocast: float32 in, logits out.

    Attributes:
        network: in evaluation mode.
        images: images that it takes: one for networks of timm, one for each resolution for our own.
        bands: names of the bands, in channel order.
        baseline: for each image the values of a patch that tells nothing, (1, C, size, size): the means of the bands
            in the train split. They are 0 after the standard normalisation, and above 0 after that by percentiles.
        grid: module through which the features pass as (n, channels, rows, columns), for hooks.
        frame: side in pixels of the image within the network, 120 or more: some networks get a frame of zeros.
    """

    def __init__(self, network: Classifier, normalisation: Normalisation) -> None:
        """Take a network on its device and the normalisation of its images."""
        super().__init__()
        self.network = network.eval()
        self.images = images_of(network.spec.bands, network.layout)
        self.bands = network.spec.bands
        self.normalisation = normalisation
        self.grid = nn.Identity()
        self.frame = int(getattr(network, "size", IMAGE_SIZE))
        self.baseline = tuple(
            torch.from_numpy(_means(normalisation.select(image.bands)))[None, :, None, None]
            .expand(1, -1, image.size, image.size)
            .to(self.device)
            for image in self.images
        )

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.network.parameters()).device

    def with_network(self, network: Classifier) -> "Subject":
        """Return another network for the same images."""
        return Subject(network, self.normalisation)

    def inputs(self, batch: Batch) -> Inputs:
        """Return the images of a batch, as `trainer.inference.Predictor.prepare` makes it."""
        return tuple(batch[image.name].to(self.device, torch.float32) for image in self.images)

    def forward(self, *images: Tensor) -> Tensor:
        """Return the logits, (n, 19) float32."""
        named = {image.name: values for image, values in zip(self.images, images, strict=True)}
        with torch.autocast(self.device.type, enabled=False):
            scores = self.network.scores(self._through_grid(self.network.features(named)))
            return self.network.without_ignored(scores).float()

    def probabilities(self, inputs: Inputs, targets: Tensor) -> Tensor:
        """Return the probability of a class of each patch, (n,) float32.

        Args:
            inputs: n images of each kind.
            targets: (n,) int64, numbers of classes.
        """
        with torch.no_grad():
            logits = self(*inputs)
        return logits.gather(1, targets[:, None])[:, 0].sigmoid()

    def parts(self, inputs: Inputs, targets: Tensor, rows: int = ROWS) -> Iterator[tuple[Inputs, Tensor]]:
        """Cut a batch into parts of up to a number of rows."""
        for start in range(0, len(targets), rows):
            yield tuple(image[start : start + rows] for image in inputs), targets[start : start + rows]

    @property
    def has_tokens(self) -> bool:
        """True for networks of timm with tokens beside those of the grid, such as a class token."""
        return self._prefix > 0

    def _through_grid(self, features: Features) -> Features:
        """Pass features through `grid` where they lie on one; others stay as they are."""
        if not isinstance(features, Tensor):
            return features
        if features.ndim == 4 and self._is_channels_last:
            return self.grid(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        if features.ndim == 4:
            return self.grid(features)
        if features.ndim != 3:
            return features
        before, tokens = features.split([self._prefix, features.shape[1] - self._prefix], 1)
        side = isqrt(tokens.shape[1])
        if side * side != tokens.shape[1]:
            return features
        grid = self.grid(tokens.transpose(1, 2).unflatten(2, (side, side)))
        return torch.cat([before, grid.flatten(2).transpose(1, 2)], 1)

    @property
    def _is_channels_last(self) -> bool:
        """True for networks of timm whose features are (n, rows, columns, channels), such as Swin."""
        return str(getattr(getattr(self.network, "net", None), "output_fmt", "NCHW")).endswith("NHWC")

    @property
    def _prefix(self) -> int:
        """Number of tokens before those of the grid: class token and registers of timm's transformers."""
        return int(getattr(getattr(self.network, "net", None), "num_prefix_tokens", 0))


def _means(normalisation: Normalisation) -> np.ndarray:
    """Return the means of the bands after normalisation, (bands,) float32."""
    mean, centre, scale = (
        np.array(values, np.float32) for values in (normalisation.mean, normalisation.centre, normalisation.scale)
    )
    found = (mean - centre) / scale
    return np.clip(found, 0, 1) if normalisation.clamp else found
