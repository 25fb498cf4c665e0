"""The network. All of timm is in this file."""

from typing import Any, Final

import timm
import torch
from torch import Tensor, nn

from shards import BANDS, CLASSES

MODEL: Final = "resnet18"


def create(name: str = MODEL) -> nn.Module:
    """Return a timm model for 12 bands and 19 classes with random weights, channels-last in memory."""
    model: nn.Module = timm.create_model(name, pretrained=False, in_chans=len(BANDS), num_classes=len(CLASSES))
    return model.to(memory_format=torch.channels_last)


def logits(model: Any, images: Tensor) -> Tensor:
    """Return the (N, 19) float32 logits that a timm model gives for (N, 12, 120, 120) images of any float type.

    On a GPU the features are computed in bfloat16; CPUs without matrix units for it are faster in float32. The
    classifier is always float32: eight bits of mantissa would put many patches of a large split at the same score, and
    average precision is a matter of ranks.
    """
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        features = model.forward_features(images)
    return model.forward_head(features.float())
