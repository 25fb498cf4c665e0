"""Tables of metrics."""

import io

import pytest
import torch
from rich.console import Console

from bigearth_pipeline.cli.display.metrics import metrics_table
from shards import CLASSES
from trainer.metrics.metrics import compute
from trainer.metrics.thresholds import tune


def rendered(tuned: bool, width: int, *, here: bool | None = False) -> str:
    """Return the tables of a split in which one class is absent and the others are found half."""
    logits, labels = torch.full((1200, 19), -1.0), torch.zeros(1200, 19)
    labels[:400], logits[:200], logits[200:400] = 1, 2.0, -0.5
    labels[:, CLASSES.index("Arable land")] = 0
    thresholds = tune(logits, labels) if tuned else None
    metrics = compute(logits, labels, 0.1234, thresholds=thresholds, thresholds_tuned_here=here)
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
    rows = {line[1:22].strip(): line.split() for line in text.splitlines()}
    f1 = ["66.7", "100.0"] if tuned else ["66.7"]
    assert rows["Urban fabric"][2:] == ["400", "100.0", *f1, "100.0", "50.0"]
    assert set(rows["Arable land"][2:]) == {"0", "absent"}
    assert "macro, 18" in text
    assert "validation split" in text
    assert ("tuned" in text) == tuned
    assert "0.1234" in text
    assert all(name.split()[0] in text for name in CLASSES)


@pytest.mark.parametrize(("width", "most"), [(80, 3), (100, 2), (160, 1)])
def test_names_of_classes_take_few_lines(width: int, most: int) -> None:
    """The numbers leave so little room that a class has five lines."""
    lines = rendered(True, width, here=True).splitlines()
    first = next(i for i, line in enumerate(lines) if line.strip().startswith("Land principally"))
    last = next(i for i, line in enumerate(lines) if line.strip().startswith("Marine waters"))
    assert last - first <= most


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_names_its_conventions(width: int) -> None:
    """A reader takes F1 tuned on the same patches for that on others, or one macro mean for the other."""
    here, elsewhere, unknown = (rendered(True, width, here=here) for here in (True, False, None))
    assert "F1 tuned*" in unknown
    assert "may have been tuned on some of these patches" in " ".join(unknown.split())
    assert "*" not in rendered(False, width, here=None)
    assert "F1 tuned*" in here
    assert "F1 tuned here" in here
    assert "thresholds tuned on these very patches" in " ".join(here.split())
    assert "tuned here" not in elsewhere
    assert "*" not in elsewhere
    assert max(map(len, here.splitlines())) <= width
    assert "…" not in here
    for text in (here, elsewhere, unknown):
        assert "that occur" in " ".join(text.split())
        assert "all 19" in text
        assert "absent: 0" in " ".join(text.split())
