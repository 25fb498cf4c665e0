"""The bar over patches on terminals of any width."""

import io
import re

import pytest
from rich.console import Console

from bigearth_pipeline.cli.display.patches import PatchProgress


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize(("total", "before"), [(300, 32), (549_488, 0)])
def test_the_last_line_is_whole(width: int, total: int, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are cut or take several lines, or patches that end at once make a rate that no machine has."""
    page = io.StringIO()
    with PatchProgress("building") as progress:
        monkeypatch.setattr(
            progress, "_console", Console(file=page, force_terminal=True, width=width, color_system=None)
        )
        progress.start(total, before)
        progress._started -= 10
        for _ in range(4):
            progress.advance((total - before) // 4)
    last = page.getvalue().removesuffix("\x1b[?25h").rstrip().split("\n")[-1].split("\x1b[2K")[-1]
    found = re.fullmatch(rf" +building ━+ {total}/{total} ([\d,]+) patches/s \d+:\d\d:\d\d\s*", last)
    assert found, repr(last)
    assert int(found[1].replace(",", "")) == pytest.approx((total - before) / 10, rel=0.05, abs=1)
