"""The only writer of the format: one shard (`ShardWriter`), the rest of a store (`finish_store`), both (`StoreWriter`).

GeoTIFFs, tables and workers do not belong here.
"""

from shards.write.finish import finish_store
from shards.write.options import StoreOptions
from shards.write.shard import ShardWriter
from shards.write.store import StoreWriter

__all__ = ["ShardWriter", "StoreOptions", "StoreWriter", "finish_store"]
