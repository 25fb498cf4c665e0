"""Recipes of published results, as options of a run."""

from dataclasses import fields
from typing import Any, Final

from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.tables import KEYS

REBEN: Final[dict[str, Any]] = {
    "model": "resnet50",
    "drop_rate": 0.15,
    "drop_path_rate": 0.15,
    "bands": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "normalise": "standard",
    "interpolation": "nearest",
    "augmentation": RECIPES["flips"],
    "loss": "bce",
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.01,
    "decay": "all",
    "schedule": "cosine",
    "warmup_steps": 1000,
    "epochs": 100,
    "batch_size": 512,
    "patience": 5,
}
"""The recipe of the published results of BigEarthNet v2 (Clasen et al., "reBEN", 2024), for `TrainConfig.of`."""


def augmentation_values(name: str) -> dict[str, Any]:
    """Return all options of the augmentation by key, as its recipe of that name has them."""
    recipe = RECIPES[name]
    return {f"{Augmentation.TABLE}.{part.name}": getattr(recipe, part.name) for part in fields(recipe)}


RUN_RECIPES: Final = {
    "reben": {KEYS[name]: value for name, value in REBEN.items() if name != Augmentation.TABLE}
    | augmentation_values("flips"),
}
"""Options of each recipe by key."""
