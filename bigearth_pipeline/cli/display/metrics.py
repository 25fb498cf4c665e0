"""Metrics as tables for people."""

from typing import Any, Final

from rich import box
from rich.console import Group
from rich.table import Table

from bigearth_pipeline.cli.display.console import percent, print_table
from trainer.metrics.decisions import Scores
from trainer.metrics.metrics import Metrics

TUNED_HERE: Final = "* F1 tuned here: at thresholds tuned on these very patches, so it is too high for others."
"""Line below a table with such scores."""
_CAPTIONS: Final = {
    True: TUNED_HERE,
    False: None,
    None: "* F1 tuned: at thresholds that may have been tuned on some of these patches; nothing here can tell.",
}


def print_metrics(title: str, metrics: Metrics) -> None:
    """Print the metrics of a split to stdout."""
    print_table(metrics_table(title, metrics))


def metrics_table(title: str, metrics: Metrics) -> Group:
    """Return the metrics of a split: a row for each class, then macro and micro, then what is about whole patches.

    Percentages, except for coverage and loss. Long class names wrap; 80 columns are enough. F1 is at a threshold of
    0.5, and beside it at the tuned ones; a line below says if these were, or may have been, tuned on the same patches.
    """
    return Group(_class_table(title, metrics), _patch_table(metrics))


def _class_table(title: str, metrics: Metrics) -> Table:
    caption = _CAPTIONS[metrics.thresholds_tuned_here] if metrics.tuned else None
    justify: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}
    # Without padding, of 80 columns enough are left for the longest name of a class in three lines.
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, caption=caption, **justify)
    table.add_column("class")  # The only one that may wrap.
    tuned = ["F1 tuned*" if caption else "F1 tuned"] if metrics.tuned else []
    for column in ("patches", "AP", "F1", *tuned, "precision", "recall"):
        table.add_column(column, justify="right", no_wrap=True)

    def row(name: str, count: int, ap: float | None, fixed: Scores, tuned: Scores | None) -> None:
        f1 = [fixed.f1] if tuned is None else [fixed.f1, tuned.f1]
        table.add_row(name, f"{count:,}", *map(percent, (ap, *f1, fixed.precision, fixed.recall)))

    for name, values in metrics.classes.items():
        if name in metrics.ignored:
            table.add_row(name, "ignored")
            continue
        row(name, values.positives, values.ap, values.fixed, values.tuned)
    table.add_section()
    present = sum(values.positives > 0 for values in metrics.classes.values())
    macro, micro = (metrics.tuned.macro, metrics.tuned.micro) if metrics.tuned else (None, None)
    row(f"macro, {present} classes that occur", metrics.count, metrics.ap_macro, metrics.fixed.macro, macro)
    if present < metrics.num_measured and (fixed := metrics.fixed.macro_all):
        scores = [fixed.f1, fixed.precision, fixed.recall]
        if metrics.tuned and metrics.tuned.macro_all:
            scores.insert(1, metrics.tuned.macro_all.f1)
        table.add_row(f"macro, all {metrics.num_measured} (absent: 0)", f"{metrics.count:,}", "", *map(percent, scores))
    row("micro", metrics.count, metrics.ap_micro, metrics.fixed.micro, micro)
    table.add_row("guessing (label frequency), macro", "", percent(metrics.label_frequency))
    table.add_row("guessing (label frequency), micro", "", percent(metrics.label_frequency_micro))
    return table


def _patch_table(metrics: Metrics) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("over patches", no_wrap=True)
    decisions = [metrics.fixed, metrics.tuned] if metrics.tuned else [metrics.fixed]
    for column in ("at 0.5", "tuned")[: len(decisions)]:
        table.add_column(column, justify="right", no_wrap=True)
    ranking = metrics.ranking
    table.add_row("all labels right", *(percent(scores.subset_accuracy) for scores in decisions))
    table.add_row("F1, mean over patches", *(percent(scores.f1_samples) for scores in decisions))
    table.add_row("specificity, macro", *(percent(scores.macro.specificity) for scores in decisions))
    table.add_row("wrong decisions (Hamming loss)", *(percent(scores.hamming_loss) for scores in decisions))
    table.add_section()
    table.add_row("AUROC, macro", percent(metrics.auroc_macro))
    table.add_row("AUROC, micro", percent(metrics.auroc_micro))
    table.add_row("label ranking AP", percent(ranking.average_precision))
    table.add_row("highest class is wrong (one-error)", percent(ranking.one_error))
    coverage = "absent" if ranking.coverage is None else f"{ranking.coverage:.2f}"
    table.add_row("classes down to the last label (coverage)", coverage)
    table.add_row("expected calibration error", percent(metrics.calibration_error))
    table.add_row("loss", f"{metrics.loss:.4f}")
    return table
