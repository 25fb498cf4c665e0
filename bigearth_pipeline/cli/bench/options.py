"""Options that the benchmarks of the trainer share. Importing this file costs no more than click."""

import click

from bigearth_pipeline.cli.places import Local

LOADERS = click.Choice(["auto", "dali", "numba", "torch", "triton"])
RECIPES = click.Choice(["none", "flips", "standard", "strong"])
FILE = Local(dir_okay=False, writable=True)
LEAST_SECONDS = "Seconds until which a timed pass repeats its lap."
LOADER = "Program that prepares the batches."
AUGMENT = "Recipe of the augmentation."
DEVICE = "Device to measure."
REPEATS = "Times that each pass is timed; the figures are medians."
