"""`bep bench`."""

from typing import Final

import click

from bigearth_pipeline.cli.lazy import LazyGroup

_COMMANDS: Final = {
    "build": ("bigearth_pipeline.cli.bench.build:bench_build", "Building shards, beside each of its stages."),
    "loader": ("bigearth_pipeline.cli.bench.trainer:bench_loader", "Loading batches, beside each of their stages."),
    "train": ("bigearth_pipeline.cli.bench.trainer:bench_train", "Training from shards, beside training on one batch."),
}


@click.group(cls=LazyGroup, places=_COMMANDS)
def bench() -> None:
    """Measure how fast it is here."""
