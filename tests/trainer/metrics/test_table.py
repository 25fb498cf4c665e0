"""Tables of metrics."""

import io

import pytest
import torch
from rich.console import Console

from shards import CLASSES
from trainer.metrics.metrics import compute
from trainer.metrics.table import metrics_table
from trainer.metrics.thresholds import tune


def rendered(tuned: bool, width: int) -> str:
    """Return the tables of a split in which one class is absent and the others are found half."""
    logits, labels = torch.full((1200, 19), -1.0), torch.zeros(1200, 19)
    labels[:400], logits[:200], logits[200:400] = 1, 2.0, -0.5
    labels[:, CLASSES.index("Arable land")] = 0
    metrics = compute(logits, labels, 0.1234, thresholds=tune(logits, labels) if tuned else None)
    console = Console(file=io.StringIO(), width=width)
    console.print(metrics_table("validation split", metrics))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("width", [80, 100])
def test_every_number_can_be_read(tuned: bool, width: int) -> None:
    """A terminal of usual width shows dots in place of numbers, or numbers in the wrong row."""
    text = rendered(tuned, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    rows = {line[2:22].strip(): line.split() for line in text.splitlines()}
    f1 = ["66.7", "100.0"] if tuned else ["66.7"]
    assert rows["Urban fabric"][2:] == ["400", "100.0", *f1, "100.0", "50.0"]
    assert set(rows["Arable land"][2:]) == {"0", "absent"}
    assert "macro, 18" in text
    assert "validation split" in text
    assert ("tuned" in text) == tuned
    assert "0.1234" in text
    assert all(name.split()[0] in text for name in CLASSES)
