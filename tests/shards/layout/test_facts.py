"""The table of a patch's facts, and what follows from it."""

import json
import re
from dataclasses import asdict
from datetime import datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shards import Patch
from shards.layout.facts import FIELDS, NAMES, NULLABLE, OPTIONAL, Facts, json_member, json_values
from shards.metadata.index import Index, Place, index_schema
from shards.metadata.index_rows import IndexRows
from tests.support.paths import ROOT
from tests.support.strategies import facts

SPEC = (ROOT / "shards" / "SPEC.md").read_text()
_TYPES = {"dictionary of strings": "dictionary<values=string, indices=int32, ordered=0>", "float64": "double"}


def _table(title: str) -> dict[str, list[str]]:
    """Return a table of the specification: the first cell of each row and the others."""
    section = SPEC.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def test_the_specification_lists_the_columns() -> None:
    """A fact has another type, or another place, than the specification says, or is not in it."""
    documented = {}
    for names, (kinds, _) in _table("index.parquet").items():
        split = kinds.split(", ")
        for i, name in enumerate(names.split(", ")):
            documented[name] = split[min(i, len(split) - 1)]
    for field in FIELDS:
        kind = documented[field.name]
        assert _TYPES.get(kind, kind) == str(field.column.type), field.name
    assert [name for name in documented if name in NAMES] == list(NAMES)


def test_the_specification_lists_the_columns_that_may_be_null() -> None:
    """A writer that follows the specification makes a store that is refused, or a reader refuses one that is sound."""
    found = re.search(r"only ([\w, ]+? and \w+) may\s+be null", SPEC)
    assert found is not None
    assert set(re.split(", | and ", found[1])) == NULLABLE - OPTIONAL


def test_the_specification_lists_the_members_of_the_json() -> None:
    """The JSON beside a record has other members, or others in between, than the specification says."""
    line = next(line for line in SPEC.splitlines() if line.startswith("| `<key>.json`"))
    documented = re.sub(r"\([^()]*\)", "", line.split("|")[2]).replace(" ", "").split(",")
    known = Facts(
        key="k", split="train", label_mask=1, country=None, date=datetime(2018, 1, 1), epsg=1, ulx=0.0, uly=0.0,
        seasonal_snow=None, cloud_or_shadow=None,
    )  # fmt: skip
    assert list(json_values(known)) == documented


def test_the_json_of_a_patch_has_these_bytes() -> None:
    """The JSON beside a record changes, and with it every tar and its checksum."""
    known = Facts(
        key="S2A_N0400_1_2", split="validation", label_mask=0b110, country="Österreich",
        date=datetime(2018, 2, 3, 10, 11, 12), epsg=32633, ulx=600000.0, uly=5300040.5, seasonal_snow=False,
        cloud_or_shadow=None, baseline=400, nodata_pixels=7,
    )  # fmt: skip
    assert json_member(known) == (
        b'{"key":"S2A_N0400_1_2","split":"validation","labels":["Arable land","Beaches, dunes, sands"],'
        b'"country":"\\u00d6sterreich","date":"2018-02-03T10:11:12","crs":"EPSG:32633",'
        b'"transform":[10.0,0.0,600000.0,0.0,-10.0,5300040.5],"bounds":[600000.0,5298840.5,601200.0,5300040.5],'
        b'"seasonal_snow":false,"cloud_or_shadow":null,"baseline":400,"nodata_pixels":7}'
    )


@given(st.lists(facts(), min_size=1, max_size=5), st.sampled_from(["webdataset", "zarr"]), st.data())
def test_facts_come_back_from_the_index(known: list[Facts], store_format: str, data: st.DataObject) -> None:
    """A fact changes, or gets another's value, on its way into the index and back."""
    rows = IndexRows(store_format, "train-00003")
    parts = {"webdataset": ["s2"], "zarr": ["b10", "b20", "b60"]}[store_format]
    place = st.builds(Place, st.integers(0, 2**40), st.integers(0, 2**30), st.integers(0, 2**32 - 1))
    places = [[data.draw(place) for _ in parts] for _ in known]
    for patch, stored in zip(known, places, strict=True):
        rows.add(patch, stored)
    index = Index(rows.table())
    assert index.table.schema == index_schema(store_format)
    for row, (patch, stored) in enumerate(zip(known, places, strict=True)):
        assert index.facts(row) == asdict(patch)
        assert (index.table["shard"][row].as_py(), index.table["position"][row].as_py()) == ("train-00003", row)
        for part, wanted in zip(parts, stored, strict=True):
            assert tuple(index.table[f"{part}_{name}"][row].as_py() for name in Place._fields) == wanted


@given(facts())
def test_the_json_says_what_the_facts_are(known: Facts) -> None:
    """The JSON beside a record says something else than the index, or cannot be read."""
    found = json.loads(json_member(known))
    assert found == json_values(known)
    assert datetime.fromisoformat(found["date"]) == known.date
    assert (found["labels"], found["crs"]) == (list(known.labels), f"EPSG:{known.epsg}")
    left, bottom, right, top = found["bounds"]
    assert (left, top, right - left, top - bottom) == (known.ulx, known.uly, 1200, 1200)
    for name in ("key", "split", "country", "seasonal_snow", "cloud_or_shadow", "baseline", "nodata_pixels"):
        assert found[name] == getattr(known, name)


def test_a_patch_has_every_fact() -> None:
    """A fact of the table is no attribute of a patch, or its type is not one that a fact can have."""
    assert {*NAMES, "s2", "groups"} == set(Patch.__dataclass_fields__)
    for field in FIELDS:
        assert isinstance(field.column.type, pa.DataType)
        assert field.column.meaning
        # What an old store lacks must read as null.
        assert field.nullable or not field.column.added
    assert set(NAMES) > NULLABLE
