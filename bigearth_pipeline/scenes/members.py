"""Networks of an ensemble as the STAC extension mlm describes them."""

from typing import Any, Final

from trainer.data.normalisation import Normalisation
from trainer.data.prepare.image_layout import images_of
from trainer.definition.choices import Interpolation
from trainer.inference import Ensemble, Predictor

_RESIZED: Final[dict[Interpolation, str]] = {"nearest": "interpolation-nearest", "bilinear": "interpolation-linear"}


def describe_members(model: Ensemble) -> list[dict[str, Any]]:
    """Return `about` of each predictor, with its checkpoint, number of parameters and images."""
    return [
        {**member.about, "checkpoint": str(member.run.path), "network": _network(member)} for member in model.members
    ]


def _network(member: Predictor) -> dict[str, Any]:
    normalisation = member.normalisation
    resized = _RESIZED[member.interpolation] if member.network.layout == "stacked" else None
    images = []
    for image in images_of(member.bands, member.network.layout):
        places = [normalisation.bands.index(band) for band in image.bands]
        images.append(
            {
                "name": image.name,
                "bands": list(image.bands),
                "input": {
                    "shape": [-1, len(image.bands), image.size, image.size],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": "float32",
                },
                "resize_type": resized,
                "value_scaling": [_scaling(normalisation, place) for place in places],
            }
        )
    return {"parameters": sum(each.numel() for each in member.network.parameters()), "images": images}


def _scaling(normalisation: Normalisation, place: int) -> dict[str, Any]:
    """Return how a band becomes numbers around 0 or 1; values outside of minimum and maximum are cut to them."""
    centre, scale = normalisation.centre[place], normalisation.scale[place]
    if normalisation.clamp:
        return {"type": "min-max", "minimum": centre, "maximum": centre + scale}
    return {"type": "z-score", "mean": centre, "stddev": scale}
