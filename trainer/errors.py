"""What can go wrong in training beside the data (`shards.ShardError`) and the arguments (`ValueError`)."""


class TrainError(Exception):
    """Training cannot start or go on; the message names the thing, the expectation and the fact."""


class RunExists(TrainError):
    """The directory of a new run holds something already."""


class NonFiniteLoss(TrainError):
    """The loss is infinite or not a number."""


class BadCheckpoint(TrainError):
    """A file is no checkpoint of this program, or one of other bands or classes."""
