"""Batches for models."""

import torch
from torch import Tensor

from shards.layout.bands import GROUP_OF
from trainer.data.bands import BandSelection
from trainer.models.classifier import Classifier


def random_batch(model: Classifier, n: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """Return n random patches as the model wants them, beside entries that it must ignore."""
    random = torch.Generator().manual_seed(seed)
    bands = model.spec.bands
    batch = {"row": torch.arange(n), "label": torch.zeros(n, 19)}
    if model.layout == "stacked":
        return batch | {"image": _images(n, len(bands), 120, random)}
    groups = BandSelection(bands).by_group()
    return batch | {group: _images(n, len(names), GROUP_OF[names[0]].size, random) for group, names in groups.items()}


def _images(n: int, channels: int, size: int, random: torch.Generator) -> Tensor:
    return torch.randn(n, channels, size, size, generator=random).contiguous(memory_format=torch.channels_last)
