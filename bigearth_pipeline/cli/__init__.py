"""The `bep` command: each subcommand in a file of its own, imported only when it is called."""

from typing import Final

import click

from bigearth_pipeline.cli.output import ReportingGroup

_COMMANDS: Final = {
    "quickstart": (
        "bigearth_pipeline.cli.quickstart:quickstart",
        "Synthetic patches → shards → a trained CNN, to try it all.",
    ),
    "build-shards": ("bigearth_pipeline.cli.build_shards:build_shards", "Turn BigEarthNet GeoTIFFs into shards."),
    "train": ("bigearth_pipeline.cli.train:train", "Train a CNN on shards."),
    "evaluate": ("bigearth_pipeline.cli.evaluate:evaluate", "Evaluate a trained CNN on a split."),
    "inspect": ("bigearth_pipeline.cli.inspect:inspect", "Show what a store holds."),
    "stats": ("bigearth_pipeline.cli.inspect:stats", "Print the band statistics of a store."),
    "verify": ("bigearth_pipeline.cli.verify:verify", "Check every byte of a store."),
    "synth": ("bigearth_pipeline.cli.synth:synth", "Write a synthetic dataset in the official layout."),
    "bench": ("bigearth_pipeline.cli.bench:bench", "Measure how fast it is here."),
}
"""Where each subcommand is, and its line in the help. The trainer is named here, and imported by nothing else."""


@click.group(cls=ReportingGroup, places=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bigearth-pipeline", prog_name="bep")
def main() -> None:
    """BigEarthNet from GeoTIFFs to shards, and CNNs trained on them."""
