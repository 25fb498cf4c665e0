"""The end of the server, and the refusal of what cannot be answered now, or need not be."""

from collections.abc import Callable
from dataclasses import dataclass

from bigearth_pipeline.errors import PipelineError


class Busy(PipelineError):
    """A request cannot be answered now."""


class Unwanted(PipelineError):
    """The client that something was computed for has left."""


@dataclass
class Stopping:
    """Says whether the server is to end.

    Attributes:
        now: True once it is.
    """

    now: bool = False

    def check(self, has_left: Callable[[], bool] = lambda: False) -> None:
        """Refuse to begin, or to go on with, what lasts.

        Args:
            has_left: tells whether the client that it is for has left.

        Raises:
            Busy: the server is to end.
            Unwanted: the client has left.
        """
        if self.now:
            raise Busy("the server ends")
        if has_left():
            raise Unwanted("the client has left")
