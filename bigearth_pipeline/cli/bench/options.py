"""Options that the benchmarks of the trainer share. Importing this file costs no more than click."""

from pathlib import Path

import click

LOADERS = click.Choice(["auto", "dali", "numba", "torch", "triton"])
RECIPES = click.Choice(["none", "flips", "standard", "strong"])
FILE = click.Path(path_type=Path, dir_okay=False, writable=True)
LEAST_SECONDS = "Seconds until which a timed pass repeats its lap."
