"""Names of the files that describe a store."""

from typing import Final

TABLE: Final = "patches.parquet"
CROISSANT: Final = "croissant.json"
COLLECTION: Final = "collection.json"
