"""Words of results at the widths of terminals and pipes."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from shards import Store
from shards.layout.classes import CLASSES
from shards.testing.stores import make_store
from shards.write import StoreWriter
from tests.support.running.terminal import Terminal

LONGEST = "Land principally occupied by agriculture, with significant areas of natural vegetation"
OF_IT = ("--class", LONGEST, "--random", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a patch of the class with the longest name."""
    where = tmp_path_factory.mktemp("words")
    few = make_store(where / "few", {"train": 1})
    with Store(few) as source, StoreWriter(where / "store") as store, store.shard("train", 0) as shard:
        patch = source.read(0)
        shard.add(replace(patch, label_mask=1 << CLASSES.index(LONGEST)), patch.s2)
    return where / "store"


def joined(text: str) -> str:
    """Return the words of a text in one line."""
    return " ".join(text.split())


@pytest.mark.parametrize("width", [80, 100, 160, None])
def test_labels_fit_into_a_pipe(folder: Path, width: int | None) -> None:
    """The longest name of a class takes 88 columns."""
    environment = {"COLUMNS": None if width is None else str(width)}
    result = CliRunner().invoke(main, ["show", str(folder), *OF_IT], env=environment)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= (width or 80)
    assert f"- {LONGEST}" in joined(result.stdout)


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("command", [["show", *OF_IT], ["inspect"]])
def test_words_fit_into_a_terminal(folder: Path, command: list[str], width: int) -> None:
    """Terminals break lines within words; the first line of inspect took 141 columns."""
    terminal = Terminal(command[0], folder.name, *command[1:], columns=width, folder=folder.parent)
    assert terminal.finish() == 0
    text = terminal.text
    assert max(map(len, text.splitlines())) <= width
    assert "patches by class" in text or f"- {LONGEST}" in joined(text)


def test_a_path_stays_whole(folder: Path) -> None:
    """A path in two parts cannot be copied."""
    deep = folder.parent / ("a" * 60) / ("b" * 60)
    deep.parent.mkdir()
    deep.symlink_to(folder)
    result = CliRunner().invoke(main, ["inspect", str(deep)], env={"COLUMNS": "80"})
    first, second, third, *_ = result.stdout.splitlines()
    assert (first, second.strip()) == (f"{deep}:", "BigEarthNet v2")
    assert third.startswith("1 patch in ")
