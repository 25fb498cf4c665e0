"""Threads that read and predict: reading comes first, errors arrive, and nothing is done after the end."""

import concurrent.futures
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bigearth_pipeline.scenes.work.loop import predict_parts
from bigearth_pipeline.scenes.work.source import Part
from bigearth_pipeline.scenes.work.threads import SceneThreads
from shards.layout.bands import RECORD_VALUES


def test_reading_comes_before_predictions_that_wait() -> None:
    """A source waits for its pixels until hundreds of patches are predicted, and then the queue is empty."""
    done: list[str] = []
    begun, go = threading.Event(), threading.Event()

    def first(_: None) -> None:
        begun.set()
        go.wait()

    with SceneThreads(1) as threads:
        threads.predict(first, None)
        begun.wait()
        for i in range(5):
            threads.predict(lambda i: done.append(f"predict {i}"), i)
        reader = threading.Thread(target=threads.read, args=(lambda i: done.append(f"read {i}"), range(3)))
        reader.start()
        while threads._queue.qsize() < 8:
            reader.join(0.001)
        go.set()
        reader.join()
        assert "read 2" in done
    assert done == [f"read {i}" for i in range(3)] + [f"predict {i}" for i in range(5)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_read_calls_all_and_raises_the_first_error(count: int) -> None:
    """An error ends the call while other threads still write into the strips, or is lost."""
    seen: list[int] = []

    def work(item: int) -> None:
        seen.append(item)
        if item in (3, 6):
            raise ValueError(str(item))

    with SceneThreads(count) as threads:
        with pytest.raises(ValueError, match=r"^3$"):
            threads.read(work, range(9))
        assert sorted(seen) == list(range(9))
        threads.read(work, [10, 11])
    assert sorted(seen) == [*range(9), 10, 11]


def test_no_thread_is_left() -> None:
    """Threads of finished predictions stay."""
    before = threading.active_count()
    threads = SceneThreads(3)
    assert threading.active_count() == before + 3
    found = [threads.predict(lambda i: i * i, i) for i in range(20)]
    threads.close()
    threads.close()
    assert [future.result() for future in found] == [i * i for i in range(20)]
    assert threading.active_count() == before


class _Patches:
    """Units of one patch each; reading the last one fails."""

    name, num_units = "patches", 6

    def __init__(self, begun: threading.Event) -> None:
        self._begun = begun

    def parts(self, unit: int) -> Iterator[Part]:
        if unit == self.num_units - 1:
            self._begun.wait()
            raise OSError("cannot be read")
        zeros: NDArray[Any] = np.zeros(1)
        yield Part(
            records=np.zeros((1, RECORD_VALUES), np.uint16),
            missing=zeros.astype(np.float32),
            epsg=zeros.astype(np.int32),
            ulx=zeros,
            uly=zeros,
        )

    def picture(self, unit: int) -> None:
        return None


class _Slow:
    """A network that waits until it may go on."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.calls = self.ended = 0

    def probabilities(self, records: NDArray[np.uint16]) -> NDArray[np.float32]:
        self.calls += 1
        self.begun.set()
        self.go.wait(30)
        self.ended += 1
        return np.zeros((len(records), 19), np.float32)


def test_nothing_is_predicted_after_an_error() -> None:
    """Predictions that nobody waits for are made, and the networks are used after the source was closed."""
    model = _Slow()
    with SceneThreads(1) as threads:
        threading.Timer(0.2, model.go.set).start()
        with pytest.raises(OSError, match="cannot be read"):
            list(predict_parts(_Patches(model.begun), range(6), model, threads=threads, max_missing=1.0))  # type: ignore[arg-type]
        assert model.calls == model.ended == 1
    assert model.calls == 1


def test_an_interrupted_read_has_ended_when_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are closed while a thread still reads from them."""
    begun, go = threading.Event(), threading.Event()
    main, ended = threading.get_ident(), list[int]()

    def work(item: int) -> None:
        begun.set()
        assert go.wait(30)
        ended.append(item)

    def interrupt() -> None:
        begun.wait()
        signal.pthread_kill(main, signal.SIGINT)

    def wait(futures: list[Future[object]]) -> None:
        if len(futures) < 3:  # What runs, once all else is cancelled.
            go.set()
        # With a time, for a signal that comes just before a wait begins does not end it.
        while concurrent.futures.wait(futures, timeout=0.01).not_done:
            pass

    monkeypatch.setattr("bigearth_pipeline.scenes.work.threads.wait", wait)
    with SceneThreads(1) as threads:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            threads.read(work, range(3))
        assert ended == [0]
    assert ended == [0]


@pytest.mark.parametrize("place", range(4))
def test_a_read_interrupted_while_it_begins_has_ended_when_it_is_left(
    monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """An interruption before all is submitted leaves threads that read."""
    ended = list[int]()

    class Items(Sequence[int]):
        """Three items; an interruption comes as one of them is taken, or their end is found."""

        def __len__(self) -> int:
            return 3

        def __getitem__(self, item: Any) -> Any:
            if item == place:
                raise KeyboardInterrupt
            return [0, 1, 2][item]

    def work(item: int) -> None:
        time.sleep(0.05)
        ended.append(item)

    with SceneThreads(1) as threads:
        with pytest.raises(KeyboardInterrupt):
            threads.read(work, Items())
        left = list(ended)
    assert ended == left
