"""The open files of this process."""

import os


def opened_files() -> dict[int, str]:
    """Return what the descriptors of this process stand for."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # The one that lists them.
            continue
    return {number: path for number, path in found.items() if not path.startswith("/proc/")}


def opened_since(before: dict[int, str]) -> dict[int, str]:
    """Return the descriptors of this process that are new since; those closed meanwhile may be of other tests."""
    return dict(opened_files().items() - before.items())
