"""Results on the screen."""

from rich.console import Console

from trainer.metrics.metrics import Metrics
from trainer.metrics.table import metrics_table


def print_results(title: str, metrics: Metrics) -> None:
    """Print the metrics of a split to stdout; without a terminal they are as wide as they need to be."""
    width = None if (console := Console()).is_terminal else max(console.width, 160)
    Console(highlight=False, markup=False, emoji=False, width=width).print(metrics_table(title, metrics))
