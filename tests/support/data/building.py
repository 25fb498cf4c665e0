"""Building stores in tests."""

from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import BuildSummary, build
from bigearth_pipeline.build.select import Rules

FORMATS = pytest.mark.parametrize("store_format", ["webdataset", "zarr"])


class Recorder:
    """Progress that keeps what it receives."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.counts: list[int] = []
        self.total = self.before = 0

    def say(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)

    def start(self, total: int, done: int) -> None:
        """Keep the numbers of patches."""
        self.total, self.before = total, done

    def advance(self, count: int) -> None:
        """Keep a number of patches."""
        self.counts.append(count)


def build_store(
    out: Path, *sources: Path, scheduler: str | None = None, rules: Rules | None = None, **options: Any
) -> BuildSummary:
    """Build a store with the library call that the command makes."""
    config = BuildConfig(sources=sources, out=out, rules=rules or Rules(), **options)
    return build(config, workers=2, scheduler=scheduler, progress=Recorder())


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder by their relative paths."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
