"""Grad-CAM: which places of the last grid raise the score of a class.

Source: Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization" (ICCV
2017, arXiv:1610.02391), equations 1 and 2: ReLU(Σₖ αₖ Aₖ), αₖ the mean over the places of ∂logit/∂Aₖ.
"""

import torch
from captum.attr import LayerGradCam
from torch import Tensor
from torch.nn.functional import interpolate

from trainer.data.batch import IMAGE_SIZE
from trainer.explain.maps import Maps
from trainer.explain.subject import CannotExplain, Inputs, Subject


def grad_cam(subject: Subject, inputs: Inputs, targets: Tensor) -> Maps:
    """Return maps at the last grid of features, stretched linearly over the patch.

    Args:
        subject: the network.
        inputs: n images of each kind.
        targets: (n,) int64, numbers of classes.

    Returns:
        `pixels`, at least 0; the unit has no meaning.

    Raises:
        CannotExplain: the features are on no grid, or the scores do not depend on them.
    """
    method = LayerGradCam(subject, subject.grid)
    return Maps.joined([_of_part(subject, method, *part) for part in subject.parts(inputs, targets)])


def _of_part(subject: Subject, method: LayerGradCam, inputs: Inputs, targets: Tensor) -> Maps:
    name = subject.network.spec.name
    try:
        found = method.attribute(inputs, target=targets)
    except (AssertionError, IndexError, KeyError) as err:
        if _reaches_grid(subject, inputs):
            raise
        raise CannotExplain(
            f"grad-cam needs features on a grid, those of {name} are on none; use another method"
        ) from err
    except RuntimeError as err:
        if "not to have been used in the graph" not in str(err):
            raise
        raise CannotExplain(_no_gradient(name)) from err
    assert isinstance(found, Tensor)
    if subject.has_tokens and not found.any():
        raise CannotExplain(_no_gradient(name))
    side = subject.frame
    edge = (side - IMAGE_SIZE) // 2
    stretched = interpolate(found.detach().relu(), (side, side), mode="bilinear", align_corners=False)
    pixels = stretched[:, 0, edge : edge + IMAGE_SIZE, edge : edge + IMAGE_SIZE]
    return Maps(pixels=pixels.float().cpu().numpy())


def _no_gradient(name: str) -> str:
    fact = f"grad-cam has no gradient at the last grid of {name}, whose scores use its class token alone"
    return f"{fact}; use another method"


def _reaches_grid(subject: Subject, inputs: Inputs) -> bool:
    """True if features of the network pass through `Subject.grid`."""
    seen: list[bool] = []
    handle = subject.grid.register_forward_hook(lambda *_: seen.append(True))
    try:
        with torch.no_grad():
            subject(*inputs)
    finally:
        handle.remove()
    return bool(seen)
