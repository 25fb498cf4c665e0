"""Errors for people, in one line: the thing, the expectation, the fact and what to try.

Every error class of this program derives from `BepError`. An error of any other class is a bug, or comes from the
operating system (`OSError`).

A message names an option as a Python argument in backquotes, with its value or without: `cache=ram`, `metadata=`. So it
is right for whoever calls the library. The command line alone knows of flags, and shows the option as one.
"""


class BepError(Exception):
    """Base of all errors that are for people; the message is one line."""


class InvalidValue(BepError, ValueError):
    """A value that users choose, such as an option, is not allowed.

    Where code of ours breaks the contract of a function, that raises a plain `ValueError`: a bug, with its traceback.
    """


class ShardError(BepError):
    """The data of a store is not what it should be; the message names the thing, the expectation and the fact."""


class UnfinishedStore(ShardError):
    """The directory has no manifest: it holds no store, or a build that has not finished."""


class CorruptShard(ShardError):
    """A file or a record of a finished store differs from what its manifest or its index says."""


class NotEnoughMemory(ShardError):
    """Records cannot be kept in memory, for there is too little of it."""


class InUse(BepError):
    """Another process works in a folder."""
