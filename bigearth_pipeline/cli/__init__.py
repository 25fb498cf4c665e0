"""The `bep` command: each subcommand in a file of its own, imported only when it is called."""

import importlib
from typing import Final

import click

_COMMANDS: Final = {
    "quickstart": (
        "bigearth_pipeline.cli.quickstart:quickstart",
        "Synthetic patches → shards → a trained CNN, to try it all.",
    ),
    "build-shards": ("bigearth_pipeline.cli.build_shards:build_shards", "Turn BigEarthNet GeoTIFFs into shards."),
    "train": ("trainer.cli:train", "Train a CNN on shards."),
    "inspect": ("bigearth_pipeline.cli.inspect:inspect", "Show what a store holds."),
    "stats": ("bigearth_pipeline.cli.inspect:stats", "Print the band statistics of a store."),
    "verify": ("bigearth_pipeline.cli.verify:verify", "Check every byte of a store."),
    "synth": ("bigearth_pipeline.cli.synth:synth", "Write a synthetic dataset in the official layout."),
    "bench": ("bigearth_pipeline.cli.bench:bench", "Measure how fast it is here."),
}
"""Where each subcommand is, and its line in the help. The trainer is named here, and imported by nothing else."""


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is used, so that help and start-up cost no heavy import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands in the order of a first use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bigearth-pipeline", prog_name="bep")
def main() -> None:
    """BigEarthNet from GeoTIFFs to shards, and CNNs trained on them."""
