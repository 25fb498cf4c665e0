"""Resources that a forked process makes anew: threads, which are not copied, and locks, which one may have held."""

import os
import weakref
from typing import Final, Protocol


class Renewable(Protocol):
    """An object with threads or locks."""

    def renew_after_fork(self) -> None:
        """Replace locks and forget threads; the process has no other thread yet."""


_LIVE: Final["weakref.WeakSet[Renewable]"] = weakref.WeakSet()


def renew_in_children(thing: Renewable) -> None:
    """Have an object renewed in every process that is forked from this one while it lives."""
    _LIVE.add(thing)


def _renew() -> None:
    for thing in list(_LIVE):
        thing.renew_after_fork()


os.register_at_fork(after_in_child=_renew)
