"""A built network of timm: its first and last modules, and whether it sees every pixel."""

from typing import Any

import torch
from torch import nn


def loses_pixels(net: Any, size: int) -> bool:
    """Tell whether the image is cut into patches that do not divide it, in each branch that looks at it."""
    convs = [conv for name in first_convs(net) if isinstance(conv := net.get_submodule(name), nn.Conv2d)]
    lossy = [conv.kernel_size == conv.stride and size % conv.stride[0] > 0 for conv in convs]
    return bool(lossy) and all(lossy)


def try_once(net: Any, channels: int, size: int, classes: int) -> None:
    """Run a network once, so that one that does not take these images fails here and not in a run."""
    net.eval()  # Neither statistics nor random numbers change.
    with torch.no_grad():
        shape = tuple(net.forward_head(net.forward_features(torch.zeros(1, channels, size, size))).shape)
    net.train()
    if shape != (1, classes):
        raise ValueError(f"it returns {shape} for one image, expected (1, {classes})")


def first_convs(net: Any) -> tuple[str, ...]:
    """Return the names of the modules that see the image."""
    names = net.pretrained_cfg["first_conv"]
    return (names,) if isinstance(names, str) else tuple(names or ())


def head_entries(net: Any) -> list[str]:
    """Return the names of the classifier's entries in a network's state dict."""
    found = net.get_classifier()
    modules = list(found) if isinstance(found, tuple | list | nn.ModuleList) else [found]
    prefixes = [f"{name}." for name, module in net.named_modules() if any(module is m for m in modules)]
    return [name for name in net.state_dict() if name.startswith(tuple(prefixes))]
