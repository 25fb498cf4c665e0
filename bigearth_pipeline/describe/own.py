"""Telling files that describe a store from those of other programs, which are not to be replaced."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from bigearth_pipeline.describe.collection import TITLE_END
from bigearth_pipeline.describe.croissant import RECORDS_TEXT, VERSIONS
from bigearth_pipeline.describe.names import COLLECTION, CROISSANT, TABLE
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.geo import geoparquet
from shards.reporting import printable
from shards.storage.safe_open import open_regular_file, read_regular
from shards.text.json_text import parse_json

_MAX_BYTES: Final = 1 << 30
_COLUMNS: Final = (
    "key",
    "split",
    "shard",
    "position",
    "label_mask",
    "labels",
    *(each.name for each in geoparquet.FIELDS),
)
"""Columns that every table has had."""


def refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds a file of a name of ours which describes no store.

    Each file is recognised by its own content: a description that was interrupted has no collection.

    Raises:
        PipelineError: there is one.
        OSError: the folder cannot be read.
    """
    for name, is_ours in _KINDS.items():
        path = out / name
        if os.path.lexists(path) and (path.is_symlink() or not is_ours(path)):
            raise PipelineError(
                f"{printable(str(path))} exists and describes no store; move it elsewhere, or name another folder by "
                "`out=`"
            )


def _is_table(path: Path) -> bool:
    try:
        with open_regular_file(path) as file:
            schema = pq.read_schema(file)
    except (OSError, ValueError, pa.ArrowException):
        return False
    return set(_COLUMNS) <= set(schema.names) and b"geo" in (schema.metadata or {})


def _is_croissant(path: Path) -> bool:
    values = _json(path)
    records = values.get("recordSet")
    first = records[0] if isinstance(records, list) and records else None
    return (
        values.get("conformsTo") == list(VERSIONS)
        and isinstance(first, dict)
        and first.get("description") == RECORDS_TEXT
    )


def _is_collection(path: Path) -> bool:
    values = _json(path)
    return values.get("type") == "Collection" and str(values.get("title")).endswith(TITLE_END)


def _json(path: Path) -> dict[str, Any]:
    """Return the object that a file holds; an empty one if it holds none or is no regular file."""
    try:
        values = parse_json(read_regular(path, _MAX_BYTES))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


_KINDS: Final[dict[str, Callable[[Path], bool]]] = {
    TABLE: _is_table,
    CROISSANT: _is_croissant,
    COLLECTION: _is_collection,
}
