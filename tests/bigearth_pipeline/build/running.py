"""Builds in processes of their own, and what they start."""

import os
from pathlib import Path
from typing import Any

import psutil

from tests.support.running import commands


def start(tree: Path, out: Path, *more: str, **options: Any) -> commands.Command:
    """Start a build of two workers, unless a scheduler has its own."""
    size = ("--patches-per-shard", 16, *(() if "--scheduler" in more else ("--workers", 2)))
    return commands.start("build-shards", tree, "--out", out, *size, *more, **options)


def processes_of(folder: Path) -> list[int]:
    """Return processes that have a file below a folder open, or name it on their command line."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        try:
            names = [os.readlink(descriptor) for descriptor in (process / "fd").iterdir()]
            if (
                any(name.startswith(str(folder)) for name in names)
                or str(folder).encode() in (process / "cmdline").read_bytes()
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def descendants(process: int) -> list[psutil.Process]:
    """Return the processes that one has started, and those that these have started."""
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
