"""A download as tests ask for it."""

import hashlib
import random
from pathlib import Path

from bigearth_pipeline.download.client import Patience
from bigearth_pipeline.download.files import download
from bigearth_pipeline.download.pieces import PIECE

QUICK = Patience(attempts=4, first_seconds=0.01, longest_seconds=0.05, silence_seconds=5)
CONTENT = random.Random(5).randbytes(3 * PIECE + 12_345)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def get(url: str, path: Path, **options: object) -> tuple[bool, list[str]]:
    """Download `CONTENT`; return whether there was anything to do, and what was said."""
    lines: list[str] = []
    options = {"size": len(CONTENT), "md5": MD5, "patience": QUICK} | options
    return download(url, path, say=lines.append, **options), lines
