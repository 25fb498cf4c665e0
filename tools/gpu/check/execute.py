"""Execution of the steps of a plan in sequence, whether or not each succeeds."""

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from tools.gpu.check.plan import Step, seconds_for, why_not

_REASON: Final = 300  # Longest reason, in characters.


class StepFailed(Exception):
    """A step has not done what it should.

    Attributes:
        found: what it has found out all the same.
    """

    def __init__(self, reason: str, found: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.found = found or {}


@dataclass(frozen=True)
class Outcome:
    """The result of a step.

    Attributes:
        name: of the step.
        status: `done`, `failed` or `skipped`.
        seconds: that it took.
        reason: why it failed or was skipped, one line.
        found: what it has measured, JSON values.
    """

    name: str
    status: Literal["done", "failed", "skipped"]
    seconds: float = 0.0
    reason: str | None = None
    found: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def carry_out(
    steps: Sequence[Step],
    total: float,
    act: Callable[[Step, float], dict[str, Any]],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Outcome]:
    """Do steps; one that fails, by whatever exception, does not keep the others from being done.

    Args:
        steps: in their order.
        total: seconds for all of them.
        act: does a step within a number of seconds, and returns what it has found.
        clock: seconds.

    Yields:
        The result of each step, as soon as it is known.
    """
    end = clock() + total
    done: frozenset[str] = frozenset()
    for number, step in enumerate(steps):
        start = clock()
        reason = why_not(steps, number, end - start, total, done)
        if reason is not None:
            yield Outcome(step.name, "skipped", reason=reason)
            continue
        try:
            found = act(step, seconds_for(steps, number, end - start, total))
        except Exception as err:  # A step can fail in as many ways as there are libraries below it.
            reason = textwrap.shorten(str(err) or type(err).__name__, _REASON, placeholder=" …")
            yield Outcome(
                step.name, "failed", clock() - start, reason, err.found if isinstance(err, StepFailed) else {}
            )
            continue
        done |= {step.name}
        yield Outcome(step.name, "done", clock() - start, found=found)
