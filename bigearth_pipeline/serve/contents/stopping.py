"""A mark that the server is to end, for answers that would else last."""

from dataclasses import dataclass


@dataclass
class Stopping:
    """Says whether the server is to end.

    Attributes:
        now: True once it is.
    """

    now: bool = False
