"""What can be wrong with data on disk. Wrong arguments are `ValueError`, as everywhere in Python."""


class ShardError(Exception):
    """The data of a store is not what it should be; the message names the thing, the expectation and the fact."""


class UnfinishedStore(ShardError):
    """The directory has no manifest: it holds no store, or a build that has not finished."""


class CorruptShard(ShardError):
    """A file or a record of a finished store differs from what its manifest or its index says."""


class NotEnoughMemory(ShardError):
    """Records cannot be kept in memory, for there is too little of it."""
