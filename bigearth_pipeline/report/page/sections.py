"""The sections of a page, made one after another while progress is reported."""

from collections.abc import Callable, Sequence

from bigearth_pipeline.progress import Phases
from bigearth_pipeline.report.page.blocks import Section


def make_sections(makers: Sequence[Callable[[], Section]], phases: Phases) -> list[Section]:
    """Make sections of charts and tables, which report no progress of their own, in their order."""
    phases.begin("charts and tables", len(makers), "section")
    sections = []
    for maker in makers:
        sections.append(maker())
        phases.advance(1)
    return sections
