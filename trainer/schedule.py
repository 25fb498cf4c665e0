"""The learning rate over a run."""

import math
from typing import Final

WARM_UP_STEPS: Final = 1000
WARM_UP_SHARE: Final = 0.1
"""Warm-up takes at most this share of a run, so that a short run has one too."""
LOWEST: Final = 0.1
"""Share of the highest learning rate with which warm-up begins and the cosine ends.

Source: the recipe of the reBEN paper (Clasen et al., 2024): 1,000 steps from a tenth, then a cosine down to a tenth.
"""


def lr_factor(step: int, num_steps: int) -> float:
    """Return the share of the highest learning rate, `LOWEST` to 1, at a step (from 0) of a run of `num_steps`."""
    warm_up = min(WARM_UP_STEPS, int(WARM_UP_SHARE * num_steps))
    if step < warm_up:
        return LOWEST + (1 - LOWEST) * step / warm_up
    done = (step - warm_up) / max(1, num_steps - 1 - warm_up)
    return LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * done)) / 2
