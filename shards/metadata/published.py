"""Published figures of BigEarthNet, from `published.json`, which names their sources."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

FILE: Final = "published.json"


@dataclass(frozen=True, slots=True)
class Published:
    """Figures of one version of BigEarthNet. Unpublished figures are empty.

    Attributes:
        patches: by split.
        class_counts: patches by class and split.
        bands: mean and standard deviation by band, in digital numbers.
        counts_source: source of the first two.
        bands_source: source of the last.
    """

    patches: dict[str, int]
    class_counts: dict[str, dict[str, int]]
    bands: dict[str, tuple[float, float]]
    counts_source: str
    bands_source: str


@cache
def published(version: str) -> Published:
    """Return the figures of version `v1` or `v2`."""
    raw = json.loads(files("shards.metadata").joinpath(FILE).read_text(encoding="utf-8"))
    return Published(
        patches=raw["patches"].get(version, {}),
        class_counts=raw["class_counts"].get(version, {}),
        bands={band: (values["mean"], values["std"]) for band, values in raw["bands"][version].items()},
        counts_source=raw["source"]["class_counts"],
        bands_source=raw["source"][f"bands_{version}"],
    )
