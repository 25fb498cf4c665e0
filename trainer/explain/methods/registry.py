"""Methods that explain single patches, by name."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from trainer.explain.maps import Maps
from trainer.explain.methods.grad_cam import grad_cam
from trainer.explain.methods.integrated_gradients import integrated_gradients
from trainer.explain.methods.occlusion import SQUARE, band_occlusion, occlusion
from trainer.explain.names import BAND_OCCLUSION, GRAD_CAM, INTEGRATED_GRADIENTS, OCCLUSION
from trainer.explain.subject import Inputs, Subject

Method = Callable[[Subject, Inputs, Tensor], Maps]


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
