"""The learning rate."""

from hypothesis import given
from hypothesis import strategies as st

from trainer.schedule import LOWEST, WARM_UP_SHARE, WARM_UP_STEPS, lr_factor


@given(st.integers(1, 100_000), st.data())
def test_rate_rises_then_falls(num_steps: int, data: st.DataObject) -> None:
    """The learning rate leaves its range, jumps, or rises again."""
    warm_up = min(WARM_UP_STEPS, int(WARM_UP_SHARE * num_steps))
    assert lr_factor(warm_up, num_steps) == 1
    if num_steps > 1:
        assert abs(lr_factor(num_steps - 1, num_steps) - LOWEST) < 1e-9
        step = data.draw(st.integers(1, num_steps - 1))
        before, now = lr_factor(step - 1, num_steps), lr_factor(step, num_steps)
        assert LOWEST - 1e-9 <= now <= 1
        assert now > before if step <= warm_up else now < before
