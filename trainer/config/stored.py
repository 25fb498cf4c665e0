"""The configuration in the folder of a run: `config.toml`, or the `config.json` of a run of before."""

from pathlib import Path

from shards.errors import InvalidValue
from shards.metadata.manifest import BUILD_NOTE, MANIFEST
from shards.storage.atomic import atomic_write
from shards.storage.places import hint_of
from shards.storage.remote.address import address_in
from trainer.config import toml
from trainer.config.assemble import of_tables
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.definition.augmentation import Augmentation
from trainer.definition.tables import AUGMENT, RECIPE
from trainer.errors import TrainError
from trainer.runs.folder import CONFIG, OLD_CONFIG, config_path, read_json


def write(folder: Path, config: TrainConfig, given: Given) -> None:
    """Write the configuration of a new run, whole or not at all."""
    with atomic_write(folder / CONFIG) as file:
        file.write(toml.write_text(config, given.recipe, given.augment).encode())


def read_given(folder: Path) -> Given:
    """Return the recipes that the configuration of a run names, to write it again."""
    path = config_path(folder)
    tables = {} if path.name == OLD_CONFIG else toml.read(path)
    name = AUGMENT.partition(".")[2]
    return Given({}, recipe=tables.get(RECIPE), augment=tables.get(Augmentation.TABLE, {}).get(name))


def read(folder: Path) -> TrainConfig:
    """Read the configuration of a run.

    Raises:
        TrainError: there is no run, or the file is not one that a run has written.
        OSError: the file cannot be read.
    """
    path = config_path(folder)
    try:
        if path.name == OLD_CONFIG:
            options = read_json(path)
            if "library_name" in options:
                raise TrainError(f"{folder} is an export, which holds no results; name the run that it was made of")
            if "options" not in options:
                raise TrainError(f"{path} is not the configuration of a run: it has no `options`")
            return TrainConfig.from_json(options["options"])
        return of_tables(toml.read(path))
    except (FileNotFoundError, NotADirectoryError):
        if address := address_in(folder):
            raise TrainError(f"{address} is an address, expected the folder of a run on this machine") from None
        if not folder.is_dir():
            fact = "is a file" if folder.exists() else "does not exist"
            raise TrainError(f"{folder} {fact}, expected the folder of a run") from None
        if any((folder / name).is_file() for name in (MANIFEST, BUILD_NOTE)):
            raise TrainError(f"{folder} holds no run: it is a store") from None
        raise TrainError(f"{folder} holds no run: there is no {CONFIG}{hint_of(folder, CONFIG)}") from None
    except InvalidValue as err:
        raise TrainError(f"{path} is not the configuration of a run: {err}") from err
