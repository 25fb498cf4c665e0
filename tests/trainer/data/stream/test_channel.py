"""The queue between two threads."""

import threading

import pytest

from trainer.data.stream.channel import Channel, Finished


def test_items_arrive_in_order_and_bounded() -> None:
    """Items are lost or swapped, or a fast sender fills the memory."""
    channel: Channel[int] = Channel(2)
    sent = []

    def send() -> None:
        for i in range(50):
            channel.put(i)
            sent.append(i)
        channel.finish()

    thread = threading.Thread(target=send)
    thread.start()
    received = []
    for item in channel:
        # One more than the capacity: the item in hand; and one that the sender has not noted yet.
        assert len(sent) <= len(received) + 4
        received.append(item)
    thread.join(5)
    assert received == list(range(50))


def test_errors_arrive_behind_the_items() -> None:
    """A reader's error is lost, or hides batches that were good."""
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.finish(OSError("disk gone"))
    assert channel.get() == 1
    for _ in range(2):
        with pytest.raises(OSError, match="disk gone"):
            channel.get()


@pytest.mark.parametrize("waiting", ["put", "get"])
def test_cancel_wakes_whoever_waits(waiting: str) -> None:
    """A thread waits for ever when the other side has gone."""
    channel: Channel[int] = Channel(1)
    woken = threading.Event()

    def wait() -> None:
        try:
            if waiting == "put":
                channel.put(1)
                channel.put(2)
            else:
                channel.get()
        except Finished:
            woken.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(0.05)
    channel.cancel()
    assert woken.wait(5)
