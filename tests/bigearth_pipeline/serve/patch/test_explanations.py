"""Explanations of clients that leave, and of those that stay."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Busy, Stopping, Unwanted
from bigearth_pipeline.serve.patch.explanations import Explanations
from trainer.explain.names import INTEGRATED_GRADIENTS

METHOD = INTEGRATED_GRADIENTS


class Client:
    """Leaves when it has been looked for some times, and notes that.

    Attributes:
        looks: how often it has been looked for.
        seen: set once it has been.
    """

    def __init__(self, most: int) -> None:
        self.most, self.looks, self.seen = most, 0, Event()

    def has_left(self) -> bool:
        """Tell whether it has left."""
        self.looks += 1
        self.seen.set()
        return self.looks > self.most


@pytest.mark.long
def test_what_nobody_waits_for_is_not_computed_to_its_end(contents: Contents) -> None:
    """Explanations that a browser gave up hold up those that it waits for, each for seconds."""
    explanations = Explanations(contents, Stopping())
    stays = Client(1 << 30)
    whole = explanations.of(0, "s0", "test_1", 2, METHOD, stays.has_left)
    assert whole.picture
    passes = stays.looks
    for most in (0, 1, passes - 1):
        leaves = Client(most)
        with pytest.raises(Unwanted):
            explanations.of(0, "s0", "test_3", 2, METHOD, leaves.has_left)
    assert explanations.of(0, "s0", "test_1", 2, METHOD, lambda: True) is whole


def test_another_client_gets_what_the_first_one_gave_up(contents: Contents) -> None:
    """A request for what a client gives up is refused along with it."""
    explanations = Explanations(contents, Stopping())
    first, waits = Client(1 << 30), Event()

    def has_left() -> bool:
        # Stays until the other one waits for the same.
        return first.has_left() and waits.wait(30)

    def gives_up() -> None:
        with pytest.raises(Unwanted):
            explanations.of(0, "s0", "test_5", 2, METHOD, has_left)

    first.most = 0
    with ThreadPoolExecutor(2) as threads:
        leaving = threads.submit(gives_up)
        assert first.seen.wait(30)
        other = threads.submit(explanations.of, 0, "s0", "test_5", 2, METHOD)
        waits.set()
        leaving.result(60)
        assert other.result(60).picture


def test_the_end_of_the_server_ends_an_explanation(contents: Contents) -> None:
    """Ctrl-C waits for all passes of a large network."""
    stopping = Stopping()
    explanations = Explanations(contents, stopping)

    def stop() -> bool:
        stopping.now = True
        return False

    with pytest.raises(Busy, match="ends"):
        explanations.of(0, "s0", "test_7", 2, METHOD, stop)
