"""The rows of the index that a shard has, gathered while it is written."""

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from shards.layout.bands import LAYOUT
from shards.layout.facts import NAMES, Facts
from shards.layout.record import RecordLayout
from shards.metadata.index import Place, index_schema
from shards.metadata.parts import parts_of
from shards.runtime.arrow import table_of


class IndexRows:
    """The rows of one shard, gathered patch by patch."""

    def __init__(
        self, store_format: str, shard: str, layout: RecordLayout = LAYOUT, optional: Collection[str] = ()
    ) -> None:
        self._schema = index_schema(store_format, layout, optional)
        parts = parts_of(store_format, layout)
        self._columns = [f"{part.name}_{name}" for part in parts for name in Place._fields]
        self._shard = shard
        self._facts: list[Facts] = []
        self._places: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._facts)

    def add(self, facts: Facts, places: Sequence[Place]) -> None:
        """Add the next patch of the shard: what is known of it, and where each of its stored parts lies."""
        self._facts.append(facts)
        self._places.append(tuple(chain.from_iterable(places)))

    def table(self) -> pa.Table:
        """Return the rows as `index_schema` has them."""
        columns: dict[str, Sequence[Any]] = {"shard": [self._shard] * len(self), "position": range(len(self))}
        columns |= zip(self._columns, zip(*self._places, strict=True), strict=True)
        columns |= {name: [getattr(facts, name) for facts in self._facts] for name in NAMES}
        return table_of(columns, self._schema)
