"""Training on shards: subset → order → decode → prepare (DALI) → network → metrics, checkpoints.

`trainer.training.start.train` does for a program what the command `bep train` does. What training code of others needs
is here by name; it is imported when it is asked for, so that the command line can show its help without torch or DALI.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trainer.data.bands import BandSelection
    from trainer.data.loader import Loader, LoaderConfig
    from trainer.data.normalisation import Normalisation
    from trainer.data.subset.rows import Subset, select
    from trainer.definition.augmentation import RECIPES, Augmentation

__all__ = [
    "RECIPES",
    "Augmentation",
    "BandSelection",
    "Loader",
    "LoaderConfig",
    "Normalisation",
    "Subset",
    "select",
]

_PLACES: Final = {
    "RECIPES": "trainer.definition.augmentation",
    "Augmentation": "trainer.definition.augmentation",
    "BandSelection": "trainer.data.bands",
    "Loader": "trainer.data.loader",
    "LoaderConfig": "trainer.data.loader",
    "Normalisation": "trainer.data.normalisation",
    "Subset": "trainer.data.subset.rows",
    "select": "trainer.data.subset.rows",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
