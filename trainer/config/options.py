"""The configuration of a run: all tables of options together; made once, never changed."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from shards.errors import InvalidValue
from shards.layout.classes import NINETEEN
from trainer.config import plain
from trainer.config.unknown_names import unknown
from trainer.data.bands import BandSelection
from trainer.definition.augmentation import DEFAULT_RECIPE, RECIPES, Augmentation
from trainer.definition.check import shown
from trainer.definition.data import DataConfig
from trainer.definition.machine import MachineConfig
from trainer.definition.model import ModelConfig
from trainer.definition.optimisation import OptimisationConfig
from trainer.definition.run import RunConfig
from trainer.definition.tables import KEYS, OPTIONS, REQUIRED, TABLES
from trainer.models.published import parse_channels


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Options of training: with the shards, enough to repeat a run. `trainer.definition` says what each option does.

    Attributes:
        data: the patches.
        augmentation: random variations of the training images.
        model: the network.
        optimisation: batches, optimiser, learning rate and loss.
        run: folder, seed and end.
        machine: the device, and how it is fed.
    """

    data: DataConfig
    augmentation: Augmentation = RECIPES[DEFAULT_RECIPE]
    model: ModelConfig = ModelConfig()
    optimisation: OptimisationConfig = OptimisationConfig()
    run: RunConfig
    machine: MachineConfig = MachineConfig()

    def __post_init__(self) -> None:
        for name, table in TABLES.items():
            if not isinstance(value := getattr(self, name), table):
                raise InvalidValue(f"{name} is {shown(value)}, expected a {table.__name__}")
        BandSelection(self.data.bands)
        model = self.model
        if model.pretrained and model.weights:
            raise InvalidValue("`pretrained=True` and `weights=` are two places to take weights from; name one")
        for name in ("weights_bands", "weights_classes"):
            if getattr(model, name) is not None and model.weights is None:
                raise InvalidValue(f"model.{name} describes the file of `weights=`; name that too")
        if model.weights_classes not in (None, "none") and self.data.classes != len(NINETEEN):
            raise InvalidValue(
                f"`weights_classes={model.weights_classes}` is an order of {len(NINETEEN)} classes, and the run has "
                f"{self.data.classes}, for which there is no classifier in the file; leave it out"
            )
        if model.weights_bands is not None:
            parse_channels(model.weights_bands)

    @classmethod
    def of(cls, **options: Any) -> "TrainConfig":
        """Return the configuration with some options by their names alone, such as `of(shards=…, out=…, lr=0.1)`.

        Texts are taken for paths, or for the address of a store, where an option is one.

        Args:
            options: values by name; `augmentation` is that table as a whole.

        Raises:
            InvalidValue: an option is unknown, missing or not allowed.
        """
        return cls.from_values(_by_key(options))

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Return the configuration with some options by key, such as `optimisation.lr`.

        Raises:
            InvalidValue: an option is unknown, missing or not allowed.
        """
        for key in values:
            if key not in OPTIONS:
                raise unknown(key)
        if missing := [key for key in REQUIRED if key not in values]:
            raise InvalidValue(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
        tables: dict[str, dict[str, Any]] = {name: {} for name in TABLES}
        for key, entry in OPTIONS.items():
            if (value := values.get(key, entry.default)) is not MISSING:
                tables[entry.table][entry.name] = value
        return cls(**{name: table(**tables[name]) for name, table in TABLES.items()})  # type: ignore[arg-type]

    def replace(self, **options: Any) -> "TrainConfig":
        """Return the configuration with other values of some options, by their names alone as for `of`."""
        return self.from_values(self.values() | _by_key(options))

    def values(self) -> dict[str, Any]:
        """Return all options by key."""
        return {key: getattr(getattr(self, entry.table), entry.name) for key, entry in OPTIONS.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the tables as JSON values."""
        return plain.nested({key: plain.to_plain(value) for key, value in self.values().items()})

    @classmethod
    def from_json(cls, values: object) -> "TrainConfig":
        """Return the configuration that `to_json` described; options that it lacks have their defaults.

        Options in one flat object, as runs of 0.1 before the tables wrote them, are read too.

        Raises:
            InvalidValue: an option is unknown, missing, or of another type or value than it may have.
        """
        return cls.from_values({key: plain.from_plain(key, value) for key, value in plain.flat(values).items()})


def _by_key(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by key that are named alone."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name == Augmentation.TABLE and isinstance(value, Augmentation):
            found |= {f"{name}.{part.name}": getattr(value, part.name) for part in fields(value)}
        elif name in KEYS:
            found[KEYS[name]] = value
        else:
            raise unknown(name)
    return found


def changed(config: TrainConfig) -> dict[str, Any]:
    """Return the options by key that are not as they are by default, required ones included."""
    return {key: value for key, value in config.values().items() if value != OPTIONS[key].default}
