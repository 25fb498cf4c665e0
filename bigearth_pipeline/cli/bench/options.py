"""Options that the benchmarks of the trainer share. Importing this file costs no more than click."""

from pathlib import Path

import click

LOADERS = click.Choice(["auto", "dali", "numba", "torch", "triton"])
RECIPES = click.Choice(["none", "flips", "standard", "strong"])
FILE = click.Path(path_type=Path, dir_okay=False, writable=True)
LEAST_SECONDS = "Seconds until which a timed pass repeats its lap."


def check_name(path: Path | None, suffix: str) -> None:
    """Raise if a result could not be written later, before minutes are spent on it."""
    from shards.errors import InvalidValue

    if path is None:
        return
    if path.suffix != suffix:
        raise InvalidValue(f"{path} ends in {path.suffix or 'nothing'}, expected {suffix}")
    if not path.absolute().parent.is_dir():
        raise InvalidValue(f"{path.absolute().parent} is no folder, expected one for {path.name}")
