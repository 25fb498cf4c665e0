"""The folders that tests read: the repository, and the data that may lie beside it."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SHARED: Final = ROOT.parent / "shared"
DATA: Final = SHARED / "data"
"""Real patches, lists and tables."""
GOLDEN: Final = SHARED / "golden"
"""Stores and runs that earlier versions wrote, a folder for each version."""
