"""The tables of the README, and the links of all documents."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.readme.text import README
from tests.support.paths import ROOT
from trainer import LoaderConfig
from trainer.data.subset.where import COLUMNS
from trainer.definition.tables import LENGTH, OPTIONS, RESUMABLE


def rows_of(head: str) -> list[str]:
    """Return the names in the first cells of the table with that head."""
    text = README.read_text()
    assert text.count(head) == 1
    table = text.partition(head)[2].partition("\n\n")[0]
    return [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]


def test_all_columns_and_fields_are_told() -> None:
    """A column of `--where`, or a field of the loader's options, is not in the README, or is there no more."""
    assert sorted(rows_of("| column | type | meaning |")) == sorted(COLUMNS)
    assert rows_of("| field | values | meaning |") == [field.name for field in fields(LoaderConfig)]


def test_all_that_may_change_on_resume_is_told() -> None:
    """An option that a resumed run takes is not in the README's list, or one there is refused."""
    told = re.findall(r"only DIR, (`--device`.*?`run\.max_steps`)", README.read_text(), re.DOTALL)
    assert len(told) == 1
    names = re.findall(r"`([^`]+)`", told[0])
    options = [OPTIONS[key] for key in RESUMABLE | LENGTH if key != "data.shards"]
    written = [f"--{each.name.replace('_', '-')}" if each.option.flag else each.key for each in options]
    assert sorted(names) == sorted(written)


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "tools/bench/README.md", "tools/gpu/README.md", "tools/bench/NOTES.md"]
)
def test_links_lead_somewhere(name: str) -> None:
    """A file or a section was moved, and a link leads nowhere."""
    page = ROOT / name
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link
