"""Methods that explain single patches, by name."""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Final

from torch import Tensor

from trainer.explain.maps import Maps
from trainer.explain.methods.grad_cam import grad_cam
from trainer.explain.methods.integrated_gradients import integrated_gradients
from trainer.explain.methods.occlusion import SQUARE, band_occlusion, occlusion
from trainer.explain.names import BAND_OCCLUSION, GRAD_CAM, INTEGRATED_GRADIENTS, OCCLUSION
from trainer.explain.side_by_side import cores, side_by_side
from trainer.explain.subject import Inputs, Subject

Method = Callable[[Subject, Inputs, Tensor], Maps]
_AT_A_TIME: Final = 4
"""Pairs of a patch and a class that a thread explains at a time: seconds by most methods on a CPU."""


def methods(square: int = SQUARE) -> dict[str, Method]:
    """Return the methods by name.

    Args:
        square: side of the squares of occlusion, in metres.
    """
    return {
        GRAD_CAM: grad_cam,
        INTEGRATED_GRADIENTS: integrated_gradients,
        OCCLUSION: partial(occlusion, square=square),
        BAND_OCCLUSION: band_occlusion,
    }


def explained_by(
    name: str,
    method: Method,
    subject: Subject,
    inputs: Inputs,
    targets: Tensor,
    done: Callable[[int], None] = lambda _: None,
) -> Maps:
    """Return the attributions of a method, a few pairs at a time on each core.

    Args:
        name: of the method.
        method: see `methods`.
        subject: the network.
        inputs: n images of each kind.
        targets: (n,) int64, numbers of classes.
        done: is called with the number of pairs after each of its parts.

    Raises:
        CannotExplain: as the method raises it.
    """
    # Grad-CAM hooks into the network, which all threads share; it takes a single pass.
    at_a_time = len(targets) if name == GRAD_CAM else min(_AT_A_TIME, -(-len(targets) // cores(subject.device)))

    lock = Lock()

    def explain(part: tuple[Inputs, Tensor]) -> Maps:
        found = method(subject, *part)
        with lock:
            done(len(part[1]))
        return found

    return Maps.joined(side_by_side(explain, list(subject.parts(inputs, targets, at_a_time)), subject.device))
