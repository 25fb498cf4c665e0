"""`bep bench`: one file for each of its commands, and what they share.

How things are measured is in `bigearth_pipeline.bench`.
"""

from typing import Final

import click

from bigearth_pipeline.cli.lazy import LazyGroup


def _build() -> click.Command:
    from bigearth_pipeline.cli.bench.build import bench_build

    return bench_build


def _loader() -> click.Command:
    from bigearth_pipeline.cli.bench.loader import bench_loader

    return bench_loader


def _train() -> click.Command:
    from bigearth_pipeline.cli.bench.train import bench_train

    return bench_train


def _predict() -> click.Command:
    from bigearth_pipeline.cli.bench.predict import bench_predict

    return bench_predict


_COMMANDS: Final = {
    "build": (_build, "Building shards, beside each of its stages."),
    "loader": (_loader, "Loading batches, beside each of their stages."),
    "predict": (_predict, "Predicting a scene, beside the network alone."),
    "train": (_train, "Training from shards, beside training on one batch."),
}
"""For each command the function that imports it, and its line in the help."""


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def bench() -> None:
    """Measure speeds on this machine."""
