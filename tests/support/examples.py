"""The number of examples that Hypothesis tries: all of them in a whole run, fewer in the quick one."""

from typing import Final

from hypothesis import settings

WHOLE: Final = "default"
"""Profile of a whole run."""
QUICK: Final = "quick"
"""Profile of `python tools/check.py` without `--all`."""
_SHARE: Final = 4

settings.register_profile(WHOLE, deadline=None)
"""An example that takes long says that the machine is busy."""
settings.register_profile(QUICK, deadline=None, max_examples=settings.get_profile(WHOLE).max_examples // _SHARE)


def examples(count: int) -> settings:
    """Return settings with a number of examples, of which the quick run tries a quarter."""
    is_quick = settings.get_current_profile_name() == QUICK
    return settings(max_examples=max(1, count // _SHARE) if is_quick else count)
