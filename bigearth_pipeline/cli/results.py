"""Results on the screen."""

from bigearth_pipeline.cli.metrics_table import metrics_table
from bigearth_pipeline.cli.terminal import wide_console
from trainer.metrics.metrics import Metrics


def print_results(title: str, metrics: Metrics) -> None:
    """Print the metrics of a split to stdout; without a terminal they are as wide as they need to be."""
    wide_console(160).print(metrics_table(title, metrics))
