"""Interface that all networks have in common: how they are called, and in which precision."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Self, TypeAlias

import torch
from torch import Tensor, nn

from shards.errors import InvalidValue
from trainer.data.batch import Layout
from trainer.models.spec import ModelSpec
from trainer.models.weights import Loaded

Features: TypeAlias = Tensor | list[Tensor]
"""Features that a classifier makes its scores from; a few networks of timm have some at each of several resolutions."""


IGNORED: Final = -30.0
"""Logit of a class that a network is not trained for: a probability of 1e-13, which is 0 in float16."""


class Classifier(nn.Module):
    """A network that gives each class of its nomenclature a score.

    Attributes:
        layout: `stacked` or `native`, what its batches must hold.
        spec: what it was made from.
        loaded: what its weights were loaded from; None if they are random.
        is_ignored: (C,) bool, the classes that it is not trained for; absent if it is trained for all.
    """

    layout: Layout
    is_ignored: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.loaded: Loaded | None = None
        self._is_frozen = False
        if spec.ignored:
            # Beside the weights, but not among those that are saved: the spec says it all.
            ignored = torch.tensor([name in spec.ignored for name in spec.nomenclature.names])
            self.register_buffer("is_ignored", ignored, persistent=False)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of a batch, (n, C) float32.

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
            return self.without_ignored(self.scores(_convert(features, parameter.dtype))).float()

    def without_ignored(self, scores: Tensor) -> Tensor:
        """Return (n, C) logits with those of classes that the network is not trained for at `IGNORED`."""
        return scores.masked_fill(self.is_ignored, IGNORED) if self.spec.ignored else scores

    def features(self, inputs: Mapping[str, Tensor]) -> Features:
        """Return what the classifier looks at, in whatever type it was computed in."""
        raise NotImplementedError

    def scores(self, features: Features) -> Tensor:
        """Return the (n, C) logits of features of the parameters' type."""
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

    def freeze_backbone(self) -> None:
        """Train nothing but the classifier; the statistics of normalisation layers before it stay as they are.

        Raises:
            InvalidValue: the network has no classifier of its own.
        """
        heads = set(self.heads) & {name for name, _ in self.named_parameters()}
        if not heads:
            raise InvalidValue(f"`freeze=backbone` cannot be honoured: {self.spec.name} has no classifier to train")
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in heads)
        self._is_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all modules; frozen ones stay in that of evaluation, without their stochastic depth."""
        super().train(mode)
        if mode and self._is_frozen:
            for module in self.children():
                _evaluate_frozen(module)
        return self

    def set_checkpointing(self) -> None:
        """Compute the features again when gradients need them, in place of keeping them.

        A step has to keep the running statistics as they are meanwhile, see `still_statistics`.

        Raises:
            InvalidValue: the network cannot do that.
        """
        raise NotImplementedError

    def layer_scales(self, decay: float) -> dict[str, float]:
        """Return `decay` to the power of the distance in layers from the classifier, by name of parameter.

        Raises:
            InvalidValue: the network does not know its layers.
        """
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


def _evaluate_frozen(module: nn.Module) -> None:
    """Set modules to the mode of evaluation that have parameters or buffers, none of which is trained."""
    parameters = list(module.parameters())
    if any(parameter.requires_grad for parameter in parameters):
        for child in module.children():
            _evaluate_frozen(child)
    elif parameters or next(module.buffers(), None) is not None:
        module.eval()


@contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Keep the running statistics of BatchNorm as they are, while a backward pass computes features again.

    The first time has updated them already; batches are normalised by their own statistics as in the first time.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        # A share of 0 of the batch, not none at all: autograd must keep the same tensors as in the first time.
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
