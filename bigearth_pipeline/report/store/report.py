"""The report of a store: its sections, in order."""

from functools import partial
from pathlib import Path
from typing import Final

import shards
from bigearth_pipeline.progress import Phases, Silent
from bigearth_pipeline.report.page.blocks import Page
from bigearth_pipeline.report.page.render import render
from bigearth_pipeline.report.page.sections import make_sections
from bigearth_pipeline.report.store.bands import bands
from bigearth_pipeline.report.store.classes import classes
from bigearth_pipeline.report.store.contents import Contents
from bigearth_pipeline.report.store.left_out import left_out
from bigearth_pipeline.report.store.origin import origin
from bigearth_pipeline.report.store.overview import overview
from bigearth_pipeline.report.store.pairs import pairs
from bigearth_pipeline.report.store.places import places
from bigearth_pipeline.report.store.rebuild import rebuild
from bigearth_pipeline.report.store.samples import samples
from shards.metadata.seal import digest_of
from shards.text.words import patches

SAMPLES: Final = 2
"""Patches that are shown of each class."""
_BEFORE: Final = (overview, places, classes, pairs, origin, bands)
_AFTER: Final = (left_out, rebuild)
"""Sections before and after the pictures."""


def store_report(folder: Path, per_class: int = SAMPLES, phases: Phases | None = None) -> bytes:
    """Return the report of a store as HTML in UTF-8. The same store gives the same bytes.

    Args:
        folder: a finished store.
        per_class: patches shown of each class; 0 for no pictures, which needs no shards.
        phases: receives the progress; None for no reports.

    Raises:
        UnfinishedStore: there is no manifest.
        CorruptShard: a file of the store that is read is damaged.
        PipelineError: the note on the build is damaged, or PROJ does not work in this environment.
    """
    with shards.open(folder) as store:
        return render(store_page(Contents(store), per_class, phases or Silent()))


def store_page(contents: Contents, per_class: int, phases: Phases) -> Page:
    """Return the page; see `store_report`."""
    manifest = contents.manifest
    name = contents.folder.resolve().name
    made = make_sections([partial(section, contents) for section in (*_BEFORE, *_AFTER)], phases)
    sections = [*made[: len(_BEFORE)], samples(contents, per_class, phases), *made[len(_BEFORE) :]]
    return Page(
        title=name if name.lower().startswith("store") else f"Store {name}",
        summary=f"{_capital(manifest.dataset)}: {patches(manifest.count)} in {manifest.format} shards.",
        sections=sections,
        source=f"Made by bep report of the store with manifest SHA-256 {digest_of(manifest.to_json())}.",
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
