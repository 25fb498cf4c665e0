"""Cascading randomisation: a network whose layers get the weights of an untrained one, from the scores downwards.

Source: Adebayo et al., "Sanity checks for saliency maps" (NeurIPS 2018, arXiv:1810.03292), section 3.
"""

import copy
from collections.abc import Iterator
from typing import Final

import torch
from torch import nn

from trainer.models.classifier import Classifier
from trainer.models.create import create

_APART: Final = 1_810_032_920_000
"""Added to seeds: a run of the same seed would begin with the very weights that are drawn here."""
LEAST_LAYERS: Final = 5
"""Stages are opened into their parts until there are at least this many layers."""


def randomised(network: Classifier, seed: int = 0) -> Iterator[tuple[str, Classifier]]:
    """Yield (name of the layer, network) after each layer; the last one is untrained altogether.

    Each network is the same object, which changes with the next one.

    Args:
        network: trained; stays as it is.
        seed: of the new weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_APART + seed)
        fresh = create(network.spec).state_dict()
    changed = copy.deepcopy(network)
    state = changed.state_dict()
    groups = layers(network)
    for number, name in enumerate(reversed(groups), 1):
        is_last = number == len(groups)
        for key, value in state.items():
            # Parameters of no layer, such as places of tokens, lie below all layers.
            if key.startswith(f"{name}.") or (is_last and not key.startswith(tuple(f"{group}." for group in groups))):
                value.copy_(fresh[key])
        yield name, changed.eval()


def layers(network: Classifier) -> list[str]:
    """Return the names of the modules that are randomised in turn, from the images upwards.

    They are parts of the network that follow each other, as far as the order of its definition says so.
    """
    found: list[tuple[str, nn.Module]] = [("", network)]
    while len(found) < LEAST_LAYERS:
        sizes = [_size(module) if len(_children(name, module)) else 0 for name, module in found]
        largest = max(range(len(found)), key=lambda i: sizes[i])
        if not sizes[largest]:
            break
        found[largest : largest + 1] = _children(*found[largest])
    return [name for name, _ in found]


def _children(name: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    children = [(f"{name}.{child}" if name else child, part) for child, part in module.named_children() if _size(part)]
    # Opening a module that has parameters of its own would leave these out.
    return [] if name and next(module.parameters(recurse=False), None) is not None else children


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
