"""HTML pages of the public modules."""

import importlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path
from typing import Final

import pdoc
import pdoc.render

from shards.errors import InvalidValue
from trainer.definition.tables import TABLES

PUBLIC: Final = (
    "shards",
    "shards.write",
    "shards.testing.stores",
    "trainer",
    "trainer.config.options",
    "trainer.definition.augmentation",
    "trainer.definition.data",
    "trainer.definition.machine",
    "trainer.definition.model",
    "trainer.definition.optimisation",
    "trainer.definition.run",
    "trainer.evaluation.run",
    "trainer.export.export",
    "trainer.inference",
    "trainer.models.create",
    "trainer.training.start",
)
"""Public modules: of each the names in its `__all__`, or those that it defines without a leading underscore."""


def generate(out: Path) -> list[Path]:
    """Write the pages, and return their paths.

    Args:
        out: folder to write; it must be absent or empty.

    Raises:
        InvalidValue: it holds something.
        Warning: pdoc cannot resolve a name, a type or a reference.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidValue(f"{out} is not an empty folder; name another one, or delete it")
    pdoc.render.configure(docformat="google", show_source=False, footer_text="bep: from BigEarthNet to a trained CNN")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".docs-", dir=out.parent) as temporary:
        pages = Path(temporary) / "pages"
        with warnings.catch_warnings(), _lazy_names(), _options_in_docstrings():
            warnings.simplefilter("error")
            pdoc.pdoc(*PUBLIC, output_directory=pages)
        os.replace(pages, out)
    return sorted(out.rglob("*.html"))


@contextmanager
def _lazy_names() -> Iterator[None]:
    """Put names that a module imports on first use where pdoc looks for them."""
    added = []
    for name in PUBLIC:
        module = importlib.import_module(name)
        for public in set(getattr(module, "__all__", ())) - vars(module).keys():
            vars(module)[public] = getattr(module, public)
            added.append((module, public))
    try:
        yield
    finally:
        for module, public in added:
            del vars(module)[public]


@contextmanager
def _options_in_docstrings() -> Iterator[None]:
    """Add to the docstrings of the tables of options what the help of `bep train` says of each option."""
    before = {table: table.__doc__ for table in TABLES.values()}
    for table, text in before.items():
        options = [(field.name, field.metadata["option"]) for field in fields(table) if "option" in field.metadata]
        lines = [
            f"{name}: {option.help}" + (f" Unit: {option.unit}." if option.unit else "") for name, option in options
        ]
        if "Attributes:" not in str(text):
            table.__doc__ = "\n    ".join([f"{cleandoc(str(text))}\n\nAttributes:", *lines])
    try:
        yield
    finally:
        for table, text in before.items():
            table.__doc__ = text
