"""Processes told from all others, also after they have ended."""

import os
from contextlib import suppress
from pathlib import Path


def started(process: int) -> int | None:
    """Return when a process was started, in clock ticks since boot (proc(5)); None if it has ended."""
    try:
        # The name, in parentheses, can hold anything.
        state, *numbers = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(numbers[18])


def machine() -> str | None:
    """Return what tells apart the machines, their starts and containers in which a process number means something."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return " ".join([boot, os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/net")])
    return None
