"""The `bep` command: each subcommand in a file of its own, imported only when it is called.

Everything that knows of options, flags and exit statuses is here; what commands do is in the libraries below.
"""

from typing import Final

import click

from bigearth_pipeline.shadowed import shadow

if hidden := shadow():
    # Before anything else is imported, which would end in an error about a missing name.
    raise SystemExit(f"Error: {hidden}")

from bigearth_pipeline.cli.errors import ReportingGroup


def _quickstart() -> click.Command:
    from bigearth_pipeline.cli.quickstart import quickstart

    return quickstart


def _build_shards() -> click.Command:
    from bigearth_pipeline.cli.stores.build_shards import build_shards

    return build_shards


def _download() -> click.Command:
    from bigearth_pipeline.cli.stores.download import download

    return download


def _train() -> click.Command:
    from bigearth_pipeline.cli.models.train import train

    return train


def _evaluate() -> click.Command:
    from bigearth_pipeline.cli.models.evaluate import evaluate

    return evaluate


def _runs() -> click.Command:
    from bigearth_pipeline.cli.models.runs import runs

    return runs


def _plot() -> click.Command:
    from bigearth_pipeline.cli.models.plot import plot

    return plot


def _predict() -> click.Command:
    from bigearth_pipeline.cli.models.predict import predict

    return predict


def _export() -> click.Command:
    from bigearth_pipeline.cli.models.export import export

    return export


def _explain() -> click.Command:
    from bigearth_pipeline.cli.models.explain import explain

    return explain


def _inspect() -> click.Command:
    from bigearth_pipeline.cli.stores.inspect import inspect

    return inspect


def _show() -> click.Command:
    from bigearth_pipeline.cli.stores.show import show

    return show


def _stats() -> click.Command:
    from bigearth_pipeline.cli.stores.stats import stats

    return stats


def _verify() -> click.Command:
    from bigearth_pipeline.cli.stores.verify import verify

    return verify


def _report() -> click.Command:
    from bigearth_pipeline.cli.report import report

    return report


def _describe() -> click.Command:
    from bigearth_pipeline.cli.stores.describe import describe

    return describe


def _serve() -> click.Command:
    from bigearth_pipeline.cli.serve import serve

    return serve


def _synth() -> click.Command:
    from bigearth_pipeline.cli.stores.synth import synth

    return synth


def _bench() -> click.Command:
    from bigearth_pipeline.cli.bench import bench

    return bench


_COMMANDS: Final = {
    "quickstart": (_quickstart, "Synthetic patches → shards → a trained CNN, to try it all."),
    "build-shards": (_build_shards, "Turn BigEarthNet GeoTIFFs, or archives, into shards."),
    "download": (_download, "Download BigEarthNet's official files."),
    "train": (_train, "Train a CNN on shards."),
    "evaluate": (_evaluate, "Evaluate a trained CNN on a split."),
    "runs": (_runs, "List runs with their options, scores and speed."),
    "plot": (_plot, "Draw curves and scores of runs as a picture."),
    "predict": (_predict, "Map scenes and patches with trained CNNs."),
    "export": (_export, "Write a trained CNN as ONNX and for the Hugging Face hub."),
    "explain": (_explain, "Show what the scores of a trained CNN depend on."),
    "inspect": (_inspect, "Show what a store holds."),
    "show": (_show, "Show patches of a store as pictures, with their labels."),
    "stats": (_stats, "Print the band statistics of a store."),
    "verify": (_verify, "Check every byte of a store."),
    "report": (_report, "Write an HTML page about a store or runs."),
    "describe": (_describe, "Describe a store as GeoParquet, STAC and Croissant."),
    "serve": (_serve, "Show stores and runs in a browser."),
    "synth": (_synth, "Write a synthetic dataset in the official layout."),
    "bench": (_bench, "Measure speeds on this machine."),
}
"""For each subcommand the function that imports it, and its line in the help."""


@click.group(cls=ReportingGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bigearth-pipeline", prog_name="bep")
def main() -> None:
    """BigEarthNet from GeoTIFFs to shards, and CNNs trained on them."""
