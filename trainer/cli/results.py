"""Results on the screen."""

from trainer.cli.terminal import wide_console
from trainer.metrics.metrics import Metrics
from trainer.metrics.table import metrics_table


def print_results(title: str, metrics: Metrics) -> None:
    """Print the metrics of a split to stdout; without a terminal they are as wide as they need to be."""
    wide_console(160).print(metrics_table(title, metrics))
