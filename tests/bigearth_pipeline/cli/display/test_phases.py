"""Progress over phases, on a terminal and elsewhere."""

import io

import pytest

from bigearth_pipeline.cli.display import console as console_module
from bigearth_pipeline.cli.display.console import Console
from bigearth_pipeline.cli.display.phases import PhaseProgress


def test_lines_say_phase_and_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phase begins in silence, or a line does not say how far it is."""
    monkeypatch.setattr(console_module, "LINE_SECONDS", 0.0)
    file = io.StringIO()
    with PhaseProgress(Console(file=file, width=80)) as phases:
        phases.begin("grad-cam", 1, "pair")
        phases.advance(1)
        phases.begin("occlusion", 1200, "patch", "patches")
        phases.advance(300)
        phases.advance(900)
        phases.say("done")
    first, second, third, last = file.getvalue().splitlines()
    assert (first, second, last) == ("grad-cam: 0 of 1 pair", "occlusion: 0 of 1,200 patches", "done")
    assert third.startswith("occlusion: 300 of 1,200 patches, ")
    assert third.endswith(" s left")


def test_a_terminal_shows_a_bar_a_phase() -> None:
    """The bar keeps the title or the count of the phase before."""
    file = io.StringIO()
    with PhaseProgress(Console(file=file, force_terminal=True, width=120)) as phases:
        phases.begin("grad-cam", 2, "pair")
        phases.advance(2)
        phases.begin("occlusion", 8, "patch", "patches")
        phases.advance(3)
        assert phases._bar is not None
        phases._bar.refresh()
        shown = file.getvalue().splitlines()[-1].rpartition("\x1b[2K")[2]
    assert "occlusion" in shown
    assert "3/8" in shown
    assert "patches" in shown
    assert "grad-cam" not in shown
