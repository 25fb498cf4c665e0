"""Facts of a patch as a worker knows them once its pixels are read."""

from datetime import datetime

from bigearth_pipeline.build.plan import PatchEntry
from bigearth_pipeline.build.task import facts_of
from bigearth_pipeline.source.georeference import Georeference
from shards.layout.facts import NAMES

ENTRY = PatchEntry(
    "a_patch", "/data/a_patch", "validation", 5, "Austria", "2017-06-13T10:10:31", True, False, 207, True, 1 << 40
)


def test_all_that_is_known_becomes_a_fact() -> None:
    facts = facts_of(ENTRY, Georeference(32633, 600_000.0, 5_300_040.0), 7)
    known = ENTRY._asdict() | {
        "date": datetime(2017, 6, 13, 10, 10, 31),
        "epsg": 32633,
        "ulx": 600_000.0,
        "uly": 5_300_040.0,
        "nodata_pixels": 7,
    }
    assert {name: getattr(facts, name) for name in NAMES} == {name: known[name] for name in NAMES}
