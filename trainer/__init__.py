"""Training on shards: subset → order → decode → prepare (DALI) → network → metrics, checkpoints.

`trainer.training.start.train` does for a program what the command `bep train` does. What training code of others needs
is here by name; it is imported on first use, so that the command line can show its help without torch or DALI.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.config.recipes import AUGMENTATIONS as RECIPES
    from trainer.data.bands import BandSelection
    from trainer.data.dataset import PatchDataset
    from trainer.data.loader import Loader
    from trainer.data.loader_config import LoaderConfig
    from trainer.data.normalisation import Normalisation
    from trainer.data.subset.rows import Subset, select
    from trainer.definition.augmentation import Augmentation

__all__ = [
    "RECIPES",
    "Augmentation",
    "BandSelection",
    "Loader",
    "LoaderConfig",
    "Normalisation",
    "PatchDataset",
    "Subset",
    "select",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    # Each import is a statement, and no module named as text, so that tools that look for imports see it.
    if name == "RECIPES":
        from trainer.config.recipes import AUGMENTATIONS

        return AUGMENTATIONS
    if name == "Augmentation":
        from trainer.definition.augmentation import Augmentation

        return Augmentation
    if name == "Loader":
        from trainer.data.loader import Loader

        return Loader
    if name == "LoaderConfig":
        from trainer.data.loader_config import LoaderConfig

        return LoaderConfig
    if name in ("Subset", "select"):
        from trainer.data.subset import rows

        return getattr(rows, name)
    if name == "BandSelection":
        from trainer.data.bands import BandSelection

        return BandSelection
    if name == "PatchDataset":
        from trainer.data.dataset import PatchDataset

        return PatchDataset
    if name == "Normalisation":
        from trainer.data.normalisation import Normalisation

        return Normalisation
    raise AttributeError(f"module 'trainer' has no attribute {name!r}")
