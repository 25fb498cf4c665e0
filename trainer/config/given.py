"""Options that somebody gave, and how: messages name them as they were written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainer.config.options import TrainConfig, changed
from trainer.config.toml import value_text
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.tables import AUGMENT, OPTIONS

Way = Literal["flag", "set", "code"] | Path
"""As a flag of the command line, by `--set`, in Python, or in a file."""


@dataclass(frozen=True)
class Given:
    """Options that somebody gave; those of a recipe or a default are no wish of anybody.

    Attributes:
        ways: how each was given, by key.
        other: the way in which options that were not given are named.
        recipe: name of the run's recipe; None for none.
        augment: name of the recipe of the augmentation, if somebody named one.
    """

    ways: Mapping[str, Way] = field(default_factory=dict)
    other: Literal["flag", "code"] = "flag"
    recipe: str | None = None
    augment: str | None = None

    @classmethod
    def by(cls, config: TrainConfig) -> "Given":
        """Return the options of a caller in Python: those that are not as they are by default."""
        keys = set(changed(config))
        augment = next((name for name, recipe in RECIPES.items() if recipe == config.augmentation), None)
        if augment is not None:
            # Somebody took the recipe, not each of its parts.
            parts = {key for key in keys if OPTIONS[key].table == Augmentation.TABLE}
            keys = keys - parts | ({AUGMENT} if parts else set())
        return cls(dict.fromkeys(keys, "code"), "code", augment=augment if AUGMENT in keys else None)

    def __contains__(self, key: str) -> bool:
        return key in self.ways

    def name(self, key: str) -> str:
        """Return an option as messages name it, see `shards.errors`: as it was written, or would be."""
        way = self.ways.get(key, self.other)
        return f"{key} in {way}" if isinstance(way, Path) else f"`{_name(key, way)}=`"

    def setting(self, key: str, value: Any) -> str:
        """Return an option with a value as messages name it: as it was written, or would be."""
        way = self.ways.get(key, self.other)
        if isinstance(way, Path):
            return f"{key} = {value_text(value)} in {way}"
        text = ",".join(value) if isinstance(value, tuple) else value if isinstance(value, str) else value_text(value)
        return f"`{_name(key, way)}={text}`"


def _name(key: str, way: Way) -> str:
    if way == "set":
        return key
    return Augmentation.TABLE if key == AUGMENT else OPTIONS[key].name
