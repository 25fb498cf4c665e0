"""Statistics of a store at the widths of terminals and pipes."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from shards.metadata.manifest import Manifest
from shards.testing.stores import make_store
from tests.support.running.terminal import Terminal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three splits."""
    return make_store(tmp_path_factory.mktemp("statistics") / "store", {"train": 4, "validation": 2, "test": 2})


def assert_readable(text: str, folder: Path, width: int) -> None:
    """Check that every mean and deviation is whole and that no line is longer than the width."""
    assert "…" not in text
    assert max(len(line) for line in text.splitlines() if line.strip() != f"{folder}:") <= width
    words = text.split()
    for split in Manifest.read(folder).splits.values():
        for band, values in split.statistics.items():
            assert {band, f"{values.mean:.2f}", f"{values.std:.2f}", f"{values.min}", f"{values.max}"} <= set(words)
    assert ("too wide for" in text) == (width < 120)


@pytest.mark.parametrize("command", ["stats", "inspect"])
@pytest.mark.parametrize("width", [80, 100, 160, None])
def test_pipes_are_as_wide_as_they_should_be(folder: Path, command: str, width: int | None) -> None:
    """Tables in a pipe are 145 columns wide whatever COLUMNS says, and means are cut."""
    environment = {"COLUMNS": None if width is None else str(width)}
    result = CliRunner().invoke(main, [command, str(folder)], env=environment)
    assert result.exit_code == 0
    assert_readable(result.output, folder, width or 160)


@pytest.mark.parametrize("width", [80, 160])
def test_terminals_show_whole_numbers(folder: Path, width: int) -> None:
    """A terminal of usual width shows dots in place of means."""
    terminal = Terminal("stats", folder, columns=width)
    assert terminal.finish() == 0
    assert_readable(terminal.text, folder, width)


def test_percentiles_are_whole(folder: Path) -> None:
    """Percentiles of digital numbers have two decimals, most of them zeros."""
    result = CliRunner().invoke(main, ["stats", str(folder), "--split", "train"], env={"COLUMNS": "160"})
    rows = {line.split()[0]: line.split()[3:] for line in result.output.splitlines() if re.match(r" *B\d", line)}
    for band, values in Manifest.read(folder).splits["train"].statistics.items():
        percentiles = [f"{value:.0f}" for value in values.percentiles.values()]
        assert rows[band] == [f"{values.min}", *percentiles, f"{values.max}", f"{values.nodata:,}"]
