"""Steps of the check by a clock of their own."""

from typing import Any

from tools.gpu.check.execute import Outcome, StepFailed, carry_out
from tools.gpu.check.plan import GPU, Step, plan_steps

STEPS = plan_steps(GPU)


class Acts:
    """Steps that take a part of their limit, by a clock of their own; some of them fail."""

    def __init__(self, part: float = 1.0, failing: tuple[str, ...] = ()) -> None:
        self.now, self.limits, self._part, self._failing = 0.0, dict[str, float](), part, failing

    def clock(self) -> float:
        """Return the seconds that steps have taken."""
        return self.now

    def __call__(self, step: Step, seconds: float) -> dict[str, Any]:
        """Do a step."""
        self.limits[step.name] = seconds
        self.now += self._part * seconds
        if step.name in self._failing:
            raise StepFailed("two\nlines", {"so far": 1})
        return {"name": step.name}

    def carry_out(self, total: float) -> dict[str, Outcome]:
        """Do all steps of the check on a GPU."""
        return {outcome.name: outcome for outcome in carry_out(STEPS, total, self, self.clock)}
