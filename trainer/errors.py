"""Errors of training and evaluation; those of data and of values that users choose are in `shards.errors`."""

from shards.errors import BepError


class TrainError(BepError):
    """Training cannot start or continue; the message names the thing, the expectation and the fact."""


class RunExists(TrainError):
    """The directory of a new run holds something already."""


class EmptySubset(TrainError):
    """A subset leaves nothing, or nothing of a split that is needed."""


class NonFiniteLoss(TrainError):
    """The loss is infinite or not a number."""


class OutOfMemory(TrainError):
    """The device or the host has not enough memory."""


class BadCheckpoint(TrainError):
    """A file is no checkpoint of this program, or one of other bands or classes."""


class BadPatchList(TrainError):
    """A list of patches cannot be read, or names patches that the store lacks."""
