"""Damage of band files: one byte of a TIFF header changed, read the short way and by GDAL."""

from pathlib import Path

import numpy as np

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.tiff.reader import TiffReader
from shards.layout.bands import GROUP_OF
from tools.faults.attempts import Attempts


def headers(source: Path, work: Path, times: int, rng: np.random.Generator) -> Attempts:
    """Change bytes in the headers of band files, one at a time, and read them both ways."""
    attempts = Attempts("a byte of a TIFF header changed, file read by the short way and by GDAL")
    for path in sorted(source.rglob("*_B0[259].tif"))[:3]:
        group = GROUP_OF[path.stem.rpartition("_")[2]]
        content = path.read_bytes()
        damaged = work / path.name
        for _ in range(times // 3):
            place, value = int(rng.integers(len(content) - 2 * group.size**2)), int(rng.integers(256))
            damaged.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            attempts.outcomes[_compare(damaged, rng)] += 1
        damaged.unlink()
    return attempts


def _compare(path: Path, rng: np.random.Generator) -> str:
    group = GROUP_OF[path.stem.rpartition("_")[2]]
    found = []
    for always_gdal in (False, True):
        out = np.full(group.size**2, rng.integers(65536), np.uint16)
        with TiffReader(always_gdal=always_gdal) as reader:
            try:
                place = reader.read_band(str(path), group, out)
            except BadPatch:
                found.append(None)
            except Exception:
                return "TRACEBACK"
            else:
                found.append((place, out.tobytes()))
    if found[0] != found[1]:
        return "WRONG"
    return "the same pixels and place as GDAL" if found[0] else "one bad patch, with its reason"
