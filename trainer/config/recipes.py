"""Recipes of published results, as options of a run.

Sources of `reben` and `reben-exact`: Clasen et al., "reBEN: Refined BigEarthNet dataset for remote sensing image
analysis" (arXiv:2407.03653); the model card of `BIFOLD-BigEarthNetv2-0/resnet50-all-v0.2.0` on the Hugging Face hub
(epochs, patience and its score, batch size, learning rate, dropout, drop path, warm-up, optimiser, seed); copies of the
authors' training scripts, git.tu-berlin.de/rsim/reben-training-scripts, of model version 0.1.1 (flips, weight decay,
start and end of the learning rate, precision); ConfigILM, whose data module they use (bands, statistics, nearest
pixels). Items in which runs still differ from the scripts are in the README, under "Recipes".
"""

from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from shards.text.named import ByRecipe
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

EXACT: Final[dict[str, Any]] = REBEN | {"precision": "fp32", "seed": 42, "statistics": Path("published")}
"""The same, with what `REBEN` leaves to a run: precision, seed and the constants of the normalisation."""


def augmentation_values(name: str) -> dict[str, Any]:
    """Return all options of the augmentation by key, as its recipe of that name has them."""
    recipe = RECIPES[name]
    return {f"{Augmentation.TABLE}.{part.name}": getattr(recipe, part.name) for part in fields(recipe)}


def _by_key(values: dict[str, Any]) -> dict[str, Any]:
    options = {KEYS[name]: value for name, value in values.items() if name != Augmentation.TABLE}
    return options | augmentation_values("flips")


AUGMENTATIONS: Final = ByRecipe(RECIPES)
"""Recipes of augmentation, as `trainer.RECIPES`."""
RUN_RECIPES: Final = ByRecipe({"reben": _by_key(REBEN), "reben-exact": _by_key(EXACT)})
"""Options of each recipe by key."""
