"""Small stores for tests of the trainer: those of `shards.testing`."""

from shards.testing.stores import NUM_CLASSES, PATCHES_PER_SHARD, make_store

__all__ = ["NUM_CLASSES", "PATCHES_PER_SHARD", "make_store"]
