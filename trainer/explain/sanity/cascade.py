"""Randomisation test of methods on a network: see `trainer.explain.sanity.randomise`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from trainer.explain.maps import Maps
from trainer.explain.methods.registry import Method, explained_by
from trainer.explain.sanity.likeness import Likeness, differing, likeness
from trainer.explain.sanity.randomise import layers, randomised
from trainer.explain.subject import CannotExplain, Inputs, Subject

FAILS_ABOVE: Final = 0.5
"""Rank correlation, either sign, with the explanations of an untrained network, above which a method fails.

Adebayo et al. set no bound. Two maps with half of this in common share a quarter of the variance of their ranks."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """Result of the test for a method.

    Attributes:
        layers: names of the layers in the order in which they are randomised, from the scores downwards.
        likeness: to the explanations of the trained network, after each of them; empty where nothing can be compared.
        pairs: number of pairs of a patch and a class that were compared. Those whose explanation by the trained
            network is the same everywhere are not: nothing could be like it.
    """

    layers: tuple[str, ...]
    likeness: tuple[Likeness, ...]
    pairs: int

    @property
    def fails(self) -> bool | None:
        """True if explanations of the untrained network are like those of the trained one; None if none is compared."""
        return None if not self.likeness else abs(self.likeness[-1].rank) > FAILS_ABOVE


def randomisation_test(
    subject: Subject,
    inputs: Inputs,
    targets: Tensor,
    methods: Mapping[str, Method],
    first: Mapping[str, Maps],
    *,
    seed: int = 0,
    done: Callable[[int], None] = lambda _: None,
) -> dict[str, Cascade]:
    """Test methods by cascading randomisation of a network.

    Args:
        subject: the trained network.
        inputs: n images of each kind.
        targets: (n,) int64, numbers of classes.
        methods: by name.
        first: explanations of the same by the trained network, by name of method.
        seed: of the random weights.
        done: is called with n after each method on each layer, `explanations` in all.
    """
    found: dict[str, list[Likeness]] = {name: [] for name in methods}
    rows = {name: np.flatnonzero(differing(first[name])) for name in methods}
    for _, network in randomised(subject.network, seed):
        changed = subject.with_network(network)
        for name, method in methods.items():
            if len(rows[name]):
                chosen = torch.from_numpy(rows[name]).to(targets.device)
                images = tuple(image[chosen] for image in inputs)
                before = first[name].rows(rows[name])
                found[name].append(_compared(name, before, method, changed, images, targets[chosen]))
            done(len(targets))
    names = tuple(reversed(layers(subject.network)))
    return {name: Cascade(names, tuple(each), len(rows[name])) for name, each in found.items()}


def explanations(subject: Subject, num_methods: int, pairs: int) -> int:
    """Return the number of explanations that the test of methods on pairs of a patch and a class makes."""
    return len(layers(subject.network)) * num_methods * pairs


def _compared(name: str, first: Maps, method: Method, changed: Subject, inputs: Inputs, targets: Tensor) -> Likeness:
    try:
        return likeness(first, explained_by(name, method, changed, inputs, targets))
    except CannotExplain:
        # An untrained classifier can be all zeros, so that nothing has a gradient.
        return Likeness(0.0, None)
