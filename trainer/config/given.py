"""Options that somebody gave, and how: messages name them as they were written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from trainer.config.options import TrainConfig, changed
from trainer.config.toml import value_text
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.tables import AUGMENT, OPTIONS

Way = Literal["flag", "set", "code"] | Path
"""As a flag of the command line, by `--set`, in Python, or in a file."""
_FLAGS: Final = {"data.shards": "DIR", AUGMENT: "--augment"}
"""Options whose flag has another name than the option."""


@dataclass(frozen=True)
class Given:
    """Options that somebody gave; those of a recipe or a default are no wish of anybody.

    Attributes:
        ways: how each was given, by key.
        other: the way in which options that were not given are named: `flag` for flags where there are some.
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
        """Return an option as it was written, or would be."""
        way = self.ways.get(key, self.other)
        if way == "flag":
            return flag(key)
        if way == "code":
            return Augmentation.TABLE if key == AUGMENT else key
        return f"--set {key}" if way == "set" else f"{key} in {way}"

    def setting(self, key: str, value: Any) -> str:
        """Return an option with a value as it was written, or would be."""
        way = self.ways.get(key, self.other)
        if way == "flag" and has_flag(key):
            if value is True:
                return flag(key)
            return f"{flag(key)} {','.join(value) if isinstance(value, tuple) else value}"
        if way in ("flag", "set"):
            return f"--set {key}={value if isinstance(value, str) else value_text(value)}"
        return f"{key} = {value_text(value)}{'' if way == 'code' else f' in {way}'}"


def has_flag(key: str) -> bool:
    """Whether the command line has a flag of its own for an option."""
    return key in _FLAGS or OPTIONS[key].option.flag


def flag(key: str) -> str:
    """Return an option as it is written on the command line."""
    return _FLAGS.get(key) or (OPTIONS[key].flag if has_flag(key) else f"--set {key}")
