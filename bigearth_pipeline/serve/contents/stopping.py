"""The end of the server, and the refusal of what cannot be answered now."""

from dataclasses import dataclass

from bigearth_pipeline.errors import PipelineError


class Busy(PipelineError):
    """A request cannot be answered now."""


@dataclass
class Stopping:
    """Says whether the server is to end.

    Attributes:
        now: True once it is.
    """

    now: bool = False

    def check(self) -> None:
        """Refuse to begin, or to go on with, what lasts.

        Raises:
            Busy: the server is to end.
        """
        if self.now:
            raise Busy("the server ends")
