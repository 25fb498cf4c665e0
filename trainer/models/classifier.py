"""Interface that all networks have in common: how they are called, and in which precision."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from trainer.data.batch import Layout
from trainer.models.spec import ModelSpec
from trainer.models.weights import Loaded

Features: TypeAlias = Tensor | list[Tensor]
"""Features that a classifier makes its scores from; a few networks of timm have some at each of several resolutions."""


class Classifier(nn.Module):
    """A network that gives each of the 19 classes a score.

    Attributes:
        layout: `stacked` or `native`, what its batches must hold.
        spec: what it was made from.
        loaded: what its weights were loaded from; None if they are random.
    """

    layout: Layout

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.loaded: Loaded | None = None

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of a batch, (n, 19) float32.

        The features are computed under whatever autocast is active. What follows them, from the pooling on, is always
        float32: eight bits of mantissa would give many patches of a large split the same score, and average precision
        is a matter of ranks.

        Args:
            inputs: the images of a `trainer.data.batch.Batch` of this model's layout, of any float type; other entries
                are ignored.
        """
        parameter = next(self.parameters())
        features = self.features(inputs)
        with torch.autocast(parameter.device.type, enabled=False):
            return self.scores(_convert(features, parameter.dtype)).float()

    def features(self, inputs: Mapping[str, Tensor]) -> Features:
        """Return what the classifier looks at, in whatever type it was computed in."""
        raise NotImplementedError

    def scores(self, features: Features) -> Tensor:
        """Return the (n, 19) logits of features of the parameters' type."""
        raise NotImplementedError

    def filter_bands(self, bands: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return which bands each convolution over pixels looks at in a network of this kind for these bands.

        Returns:
            Name of the weight in the state dict → bands by input channel.
        """
        raise NotImplementedError

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the classifier's entries in the state dict."""
        raise NotImplementedError

    def images(self, inputs: Mapping[str, Tensor], name: str) -> Tensor:
        """Return images by name, of the parameters' type unless autocast chooses the types."""
        images = inputs[name]
        if torch.is_autocast_enabled(images.device.type):
            return images
        return images.to(next(self.parameters()).dtype)


def _convert(features: Features, dtype: torch.dtype) -> Features:
    if isinstance(features, Tensor):
        return features.to(dtype)
    return [part.to(dtype) for part in features]
