"""Writing what describes a store, into a folder beside it."""

import json
import os
from pathlib import Path
from typing import Any

import shards
from bigearth_pipeline.describe.collection import collection
from bigearth_pipeline.describe.croissant import croissant
from bigearth_pipeline.describe.facts import Facts
from bigearth_pipeline.describe.names import COLLECTION, CROISSANT, TABLE
from bigearth_pipeline.describe.own import refuse_foreign
from bigearth_pipeline.describe.table import write_table
from bigearth_pipeline.errors import PipelineError
from shards.storage.atomic import atomic_write, make_folder
from shards.storage.remote.address import Address


def describe(store: "Path | Address", out: Path) -> list[Path]:
    """Write table, Croissant and collection of a store, each whole or not at all, and return their paths.

    Reads manifest and index, and no shard. Those of an earlier call are replaced; the collection comes last, so that
    one that is there describes the files beside it. The same store at the same relative place gives the same bytes.

    Args:
        store: folder or address.
        out: folder to write into; made here.

    Raises:
        PipelineError: it is the store or a folder in it, which holds nothing but what its manifest lists; it holds a
            file of such a name that describes no store; or PROJ does not work in this environment.
        ShardError: the store cannot be opened.
        OSError: a file cannot be written.
    """
    if not isinstance(store, Address):
        inner, outer = (Path(os.path.realpath(path)) for path in (out, store))
        if inner.is_relative_to(outer):
            raise PipelineError(f"{out} is in the store {store}, expected a folder beside it; name another: `out=DIR`")
    refuse_foreign(out)
    with shards.open(store) as opened:
        make_folder(out)
        (out / COLLECTION).unlink(missing_ok=True)
        facts = Facts.of(opened, write_table(out / TABLE, opened.index), out / TABLE)
    _write_json(out / CROISSANT, croissant(facts))
    _write_json(out / COLLECTION, collection(facts, CROISSANT))
    return [out / name for name in (TABLE, CROISSANT, COLLECTION)]


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
