"""Short names of runs."""

from collections.abc import Sequence
from pathlib import Path


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return names that distinguish the runs: of their folders, with enough parents."""
    parts = [folder.resolve().parts for folder in folders]
    names: list[str] = []
    for i, own in enumerate(parts):
        others = [other for j, other in enumerate(parts) if j != i and other != own]
        depth = 1
        while depth < len(own) and any(other[-depth:] == own[-depth:] for other in others):
            depth += 1
        name = "/".join(own[-depth:])
        again = sum(other == own for other in parts[:i])
        names.append(f"{name} ({again + 1})" if again else name)
    return names
