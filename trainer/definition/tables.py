"""All tables, and the options in them by key, such as `optimisation.lr`."""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any, Final

from trainer.definition.augmentation import DEFAULT_RECIPE, RECIPES, Augmentation
from trainer.definition.check import Checked, check, choices_of, hints_of, kinds_of, take_texts
from trainer.definition.data import DataConfig
from trainer.definition.machine import MachineConfig
from trainer.definition.model import ModelConfig
from trainer.definition.optimisation import OptimisationConfig
from trainer.definition.option import Option
from trainer.definition.run import RunConfig

TABLES: Final[dict[str, type[Checked]]] = {
    table.TABLE: table
    for table in (DataConfig, Augmentation, ModelConfig, OptimisationConfig, RunConfig, MachineConfig)
}
"""Classes of the tables by name, in the order of files and help."""


@dataclass(frozen=True)
class Entry:
    """An option in its table.

    Attributes:
        table: name of the table.
        name: of the option; no two tables have one of the same name.
        hint: type of its values.
        option: all else about it.
        default: of a run; MISSING for an option that must be given.
    """

    table: str
    name: str
    hint: Any
    option: Option
    default: Any

    @property
    def key(self) -> str:
        """Name in files and of `--set`."""
        return f"{self.table}.{self.name}"

    @cached_property
    def kinds(self) -> tuple[Any, ...]:
        """Types of its values."""
        return kinds_of(self.hint)

    @cached_property
    def choices(self) -> tuple[str | int, ...]:
        """Names or numbers that it takes; empty if it takes others."""
        return choices_of(self.hint)

    @property
    def is_clearable(self) -> bool:
        """True if the word `none` stands for no value: where it cannot be a text or a choice of its own."""
        return NoneType in self.kinds and not {str, Path} & set(self.kinds) and "none" not in self.choices


def check_fields(config: Any) -> None:
    """Check the fields of a dataclass that is no table: each as the option of its name is, and by its type.

    Raises:
        InvalidValue: a value is not allowed; the message names the field, the expectation and the value.
    """
    take_texts(config)
    kind: Any = type(config)
    hints = hints_of(kind)
    for part in fields(config):
        entry = OPTIONS.get(KEYS.get(part.name, ""))
        check(part.name, getattr(config, part.name), hints[part.name], entry.option if entry else Option(help=""))


AUGMENT: Final = "augmentation.augment"
"""Key of the recipe that sets all of the table; the other options of the table change parts of it."""
RECIPE: Final = "recipe"
"""Key of a run's recipe, in no table."""


def _entries() -> Iterable[Entry]:
    table: Any
    for name, table in TABLES.items():
        hints, recipe = hints_of(table), RECIPES[DEFAULT_RECIPE]
        for part in fields(table):
            default = getattr(recipe, part.name) if table is Augmentation else part.default
            yield Entry(name, part.name, hints[part.name], part.metadata["option"], default)


OPTIONS: Final = {entry.key: entry for entry in _entries()}
"""All options by key."""
KEYS: Final = {entry.name: entry.key for entry in OPTIONS.values()}
"""Keys of the options by their names alone."""
REQUIRED: Final = tuple(entry.key for entry in OPTIONS.values() if entry.default is MISSING)
RESUMABLE: Final = frozenset(entry.key for entry in OPTIONS.values() if entry.option.resumable)
"""Options that may change when a run is resumed: none of them changes a step.

`machine.loader` is among them for machines that lack the program that has prepared the batches so far: unless it is
given anew, a run keeps it. They agree to the last bit of a float or two, but not further.
"""
LENGTH: Final = frozenset({"optimisation.epochs", "run.max_steps"})
"""Options that may change when a run is resumed and say how long it is; the learning rate follows the new length."""
