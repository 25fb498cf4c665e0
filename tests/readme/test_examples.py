"""Examples in Python."""

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shards
from bigearth_pipeline.describe.write import describe
from shards.testing.stores import make_store
from tests.readme.text import README, Block, blocks

CLIENTS = "Clients"
NOT_RUN = ("Several machines",)
"""Sections whose examples need other machines; see `test_clusters.py`."""
SECTIONS = {
    section: list(group)
    for section, group in groupby(blocks("python"), lambda block: block.section)
    if section not in (CLIENTS, *NOT_RUN)
}
"""Examples by section; those of a section may use the files of one another."""


def run_block(block: Block) -> dict[str, Any]:
    """Execute an example as a script of its own, and return its names."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(block.code, f"{README}: {block.section}", "exec"), names)
    return names


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.filterwarnings("ignore")
def test_examples_run(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer copies code that does not run."""
    make_store(tmp_path / "store", {"train": 24, "validation": 8, "test": 5})
    describe(tmp_path / "store", tmp_path / "about")
    make_store(tmp_path / "store-zarr", {"train": 8, "validation": 4, "test": 4}, format="zarr")
    monkeypatch.chdir(tmp_path)
    for block in SECTIONS[section]:
        names = run_block(block)
        if isinstance(store := names.get("store"), shards.Store):
            store.close()


def test_each_example_is_run() -> None:
    """Examples are not found, so that nothing is tested; or a section comes twice, and only one of both is run."""
    assert len(SECTIONS) >= 3
    num_found = sum(map(len, SECTIONS.values())) + sum(
        block.section in (CLIENTS, *NOT_RUN) for block in blocks("python")
    )
    assert num_found == README.read_text().count("```python\n")


def test_examples_of_writing_give_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example runs, and copies other patches, or not the hundred that it names."""
    example, further = [block for block in blocks("python") if "Writer" in block.code]
    make_store(tmp_path / "store", {"train": 101, "test": 1}, codec="raw")
    monkeypatch.chdir(tmp_path)
    run_block(example)
    with shards.open("part") as part, shards.open("store") as whole:
        assert part.index.table["key"].to_pylist() == whole.index.table["key"].to_pylist()[:100]
        assert np.array_equal(part.read(99).s2, whole.read(99).s2)
    with run_block(further)["store"] as more, shards.open("part") as part:
        assert len(more) == 100
        assert np.array_equal(more.read(99).s2, part.read(99).s2)
        assert not more.read(99).group("codes").any()
