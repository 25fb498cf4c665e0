"""Networks of an ensemble as the STAC extension mlm describes them."""

from typing import Any

from trainer.data.prepare.image_layout import images_of
from trainer.inference import Ensemble, Predictor


def describe_members(model: Ensemble) -> list[dict[str, Any]]:
    """Return `about` of each predictor, with its checkpoint, number of parameters and images."""
    return [
        {**member.about, "checkpoint": str(member.run.path), "network": _network(member)} for member in model.members
    ]


def _network(member: Predictor) -> dict[str, Any]:
    normalisation = member.normalisation
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
                "resize_type": "interpolation-nearest" if member.network.layout == "stacked" else None,
                "value_scaling": [
                    {"type": "z-score", "mean": normalisation.centre[i], "stddev": normalisation.scale[i]}
                    for i in places
                ],
            }
        )
    return {"parameters": sum(each.numel() for each in member.network.parameters()), "images": images}
