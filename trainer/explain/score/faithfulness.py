"""Deletion and insertion: probability of a class while parts of a patch go, or come, in the order of an explanation.

Source: Petsiuk, Das, Saenko, "RISE: Randomized input sampling for explanation of black-box models" (BMVC 2018,
arXiv:1806.07421), section 4.3. A faithful explanation has a small area under the curve of deletion and a large one
under that of insertion. Both are compared with random orders on the same patches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batch import CELLS
from trainer.explain.maps import Maps
from trainer.explain.score.units import Kind, mixed, values_of
from trainer.explain.side_by_side import side_by_side
from trainer.explain.subject import ROWS, Inputs, Subject

STEPS: Final = 16
"""Steps of a curve over the 400 cells; each band is a step of its own."""
RANDOM: Final = 8
"""Random orders of each patch."""
_KINDS: Final[tuple[Kind, ...]] = ("pixels", "bands")
_RESAMPLED: Final = 2000
_INTERVAL: Final = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Gain:
    """A mean over pairs of a patch and a class, with its interval of 95 % by bootstrap over patches.

    Attributes:
        mean: the mean.
        low: lower end; NaN for fewer than two patches.
        high: upper end; NaN likewise.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Faithfulness:
    """Areas under the curves of a method, 0 to 1, as means over pairs of a patch and a class.

    Attributes:
        kind: of the parts: `pixels` (cells of 60 m) or `bands`.
        deletion: area while parts go in the order of the explanation.
        deletion_gain: area in random orders less this one: above 0 if the explanation names parts that matter.
        insertion: area while parts come in this order.
        insertion_gain: this area less that in random orders: above 0 likewise.
        patches: number of patches.
    """

    kind: Kind
    deletion: float
    deletion_gain: Gain
    insertion: float
    insertion_gain: Gain
    patches: int


def faithfulness(
    subject: Subject,
    inputs: Inputs,
    targets: Tensor,
    patches: NDArray[np.int64],
    maps: Mapping[str, Maps],
    *,
    seed: int = 0,
    orders: int = RANDOM,
    done: Callable[[int], None] = lambda _: None,
) -> dict[str, list[Faithfulness]]:
    """Measure explanations by deletion and insertion.

    Args:
        subject: the network.
        inputs: n images of each kind.
        targets: (n,) int64, numbers of classes.
        patches: (n,) numbers of the patches, by which the bootstrap draws.
        maps: explanations of the same by name of method.
        seed: of the random orders and of the bootstrap.
        orders: random orders of each patch.
        done: is called with n after each order, `num_orders` in all.
    """
    found: dict[str, list[Faithfulness]] = {name: [] for name in maps}
    ends = _ends(subject, inputs, targets)
    for kind, values in _measured(maps).items():
        rng = np.random.default_rng([seed, _KINDS.index(kind)])
        shape = next(iter(values.values())).shape
        random = np.zeros((2, len(targets)))
        for _ in range(orders):
            random += np.array(_areas(subject, inputs, targets, rng.random(shape).argsort(1), kind, ends)) / orders
            done(len(targets))
        for name, part in values.items():
            deletion, insertion = _areas(subject, inputs, targets, order_of(part, seed), kind, ends)
            done(len(targets))
            found[name].append(
                Faithfulness(
                    kind=kind,
                    deletion=float(deletion.mean()),
                    deletion_gain=bootstrap(random[0] - deletion, patches, seed),
                    insertion=float(insertion.mean()),
                    insertion_gain=bootstrap(insertion - random[1], patches, seed),
                    patches=len(np.unique(patches)),
                )
            )
    return found


def order_of(values: NDArray[np.float32], seed: int = 0) -> NDArray[np.int64]:
    """Return the order in which parts go, (n, parts) int64: the largest value first.

    Args:
        values: (n, parts) float32, the attribution of each part.
        seed: of the order of equal values, as of the zeros of Grad-CAM: their place shall not decide it.
    """
    ties = np.random.default_rng([seed, len(_KINDS)]).random(values.shape)
    return np.lexsort((ties, -values), axis=1)


def num_orders(maps: Mapping[str, Maps], pairs: int, orders: int = RANDOM) -> int:
    """Return the number of orders of pairs of a patch and a class that `faithfulness` takes parts away in."""
    return pairs * sum(orders + len(values) for values in _measured(maps).values())


def _measured(maps: Mapping[str, Maps]) -> dict[Kind, dict[str, NDArray[np.float32]]]:
    """Return the attributions of parts by kind and method; a kind with a single part is left out."""
    found = {
        kind: {name: part for name, each in maps.items() if (part := values_of(each, kind)) is not None}
        for kind in _KINDS
    }
    return {kind: values for kind, values in found.items() if values and next(iter(values.values())).shape[1] > 1}


def bootstrap(values: NDArray[np.float64], patches: NDArray[np.int64], seed: int = 0) -> Gain:
    """Return the mean of values with its interval; patches are drawn with all their values.

    Args:
        values: (n,) float64, at least one.
        patches: (n,) number of the patch of each.
        seed: of the draws.
    """
    _, places = np.unique(patches, return_inverse=True)
    counts, sums = np.bincount(places), np.bincount(places, values)
    mean = float(values.mean())
    if len(counts) < 2:
        return Gain(mean, np.nan, np.nan)
    drawn = np.random.default_rng(seed).integers(0, len(counts), (_RESAMPLED, len(counts)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, _INTERVAL).tolist()
    return Gain(mean, low, high)


Curve = NDArray[np.float32]


def _ends(subject: Subject, inputs: Inputs, targets: Tensor) -> tuple[Curve, Curve]:
    """Return the probabilities with all parts and with none, (n,) each: the ends of every curve."""
    rows = torch.arange(len(targets), device=subject.device)
    all_parts = torch.ones((2 * len(rows), CELLS * CELLS), dtype=torch.bool, device=subject.device)
    all_parts[len(rows) :] = False
    whole, empty = _probabilities(subject, inputs, targets, all_parts, "pixels").reshape(2, -1)
    return whole, empty


def _areas(
    subject: Subject,
    inputs: Inputs,
    targets: Tensor,
    order: NDArray[np.int64],
    kind: Kind,
    ends: tuple[Curve, Curve],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the areas under the curves of deletion and of insertion, (n,) each."""
    parts, (whole, empty) = order.shape[1], ends
    ranks = torch.from_numpy(order.argsort(1)).to(subject.device)
    steps = np.unique(np.linspace(0, parts, min(STEPS, parts) + 1).round()).astype(int)
    between = steps[1:-1].tolist()
    kept = torch.cat([ranks >= step for step in between] + [ranks < step for step in between])
    found = _probabilities(subject, inputs, targets, kept, kind).reshape(2, len(between), -1)
    deletion, insertion = (
        np.trapezoid(np.stack([start, *curve, end]), steps / parts, axis=0)
        for start, curve, end in ((whole, found[0], empty), (empty, found[1], whole))
    )
    return deletion, insertion


def _probabilities(subject: Subject, inputs: Inputs, targets: Tensor, kept: Tensor, kind: Kind) -> Curve:
    """Return the probabilities of n pairs with only some parts, (k · n,).

    Args:
        subject: the network.
        inputs: n images of each kind.
        targets: (n,) int64, numbers of classes.
        kept: (k · n, parts) bool: all pairs, k times.
        kind: of the parts.
    """
    rows = torch.arange(len(kept), device=subject.device) % len(targets)

    def probabilities(part: tuple[Tensor, Tensor]) -> Curve:
        chosen, mask = part
        images = mixed(subject, tuple(image[chosen] for image in inputs), mask, kind)
        found: Curve = subject.probabilities(images, targets[chosen]).cpu().numpy()
        return found

    batches = list(zip(rows.split(ROWS), kept.split(ROWS), strict=True))
    return np.concatenate(side_by_side(probabilities, batches, subject.device))
