"""Averages of probabilities: over the eight flips and turns of a patch, and over several networks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from trainer.data.batch import Layout
from trainer.definition.choices import Tta
from trainer.models.classifier import Classifier

Turn: TypeAlias = tuple[bool, bool, bool]
TURNS: Final[tuple[Turn, ...]] = tuple((t, x, y) for t in (False, True) for x in (False, True) for y in (False, True))
"""The eight flips and turns: transposed, then mirrored left-right, then up-down; the first one changes nothing."""


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """Return the logits whose probabilities are the mean of those of several logits.

    With σ(x) the probability of x, it is log Σ σ(xᵢ) − log Σ σ(−xᵢ), which loses no digits near 0 and 1.

    Args:
        logits: tensors of one shape, at least one; a single one is returned as it is.
    """
    if len(logits) == 1:
        return logits[0]
    stacked = torch.stack(tuple(logits))
    return logsigmoid(stacked).logsumexp(0) - logsigmoid(-stacked).logsumexp(0)


def turned(images: Tensor, turn: Turn) -> Tensor:
    """Return images, (…, size, size), after one of `TURNS`, channels-last where they have four axes."""
    transposed, left_right, up_down = turn
    if transposed:
        images = images.transpose(-2, -1)
    axes = [axis for axis, is_turned in ((-1, left_right), (-2, up_down)) if is_turned]
    found = images.flip(axes)
    return found.contiguous(memory_format=torch.channels_last) if found.ndim == 4 else found.contiguous()


class Turned(nn.Module):
    """A network that averages its probabilities over the eight flips and turns of a patch.

    Each image of a batch is turned about its own centre, so bands of all resolutions stay aligned.

    Attributes:
        layout: of the network.
        network: the network.
    """

    def __init__(self, network: Classifier) -> None:
        """Take a network, which is kept as it is."""
        super().__init__()
        self.network = network

    @property
    def layout(self) -> Layout:
        """Layout of the batches that the network takes."""
        return self.network.layout

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of the mean probabilities, (n, 19) float32."""
        return mean_logits([self.network(batch) for batch in _all_turns(inputs)])


def with_tta(network: Classifier, tta: Tta) -> Classifier | Turned:
    """Return a network as the test-time augmentation has it."""
    return Turned(network) if tta == "d4" else network


def _all_turns(inputs: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    images = {name: values for name, values in inputs.items() if values.ndim == 4}
    for turn in TURNS:
        yield {name: turned(values, turn) for name, values in images.items()}
