"""The pool of requests: the urgent first, a second attempt for the slow, the first answer, and errors."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from shards.storage.remote.pool import Job, Pool


def job(run: Callable[[], Any], done: list[Any] | None = None, size: int = 100) -> Job:
    """Return a job that appends its result or its error to a list."""

    def finish(result: Any, error: BaseException | None) -> None:
        if done is not None:
            done.append(result if error is None else error)

    return Job(lambda job: run(), finish, size)


def test_the_urgent_come_first_and_what_waits_can_become_urgent() -> None:
    """One thread is held; what is queued meanwhile is done by urgency, each job once."""
    pool, hold, done = Pool(1), threading.Event(), []
    pool.submit([job(hold.wait)], 0)
    jobs = [job(lambda i=i: i, done) for i in range(5)]
    for i, each in enumerate(jobs):
        pool.submit([each], 2 if i < 3 else 1)
    pool.submit([jobs[2]], 0)
    hold.set()
    for each in jobs:
        each.future.result(10)
    assert done == [2, 3, 4, 0, 1]
    pool.close()


def test_a_slow_job_is_done_twice_and_the_first_answer_counts() -> None:
    """The second attempt comes after the slowest of 20 quick ones, and `finish` is called once."""
    pool, done, calls = Pool(4), [], []
    for _ in range(60):
        quick = job(lambda: None)
        pool.submit([quick], 0)
        quick.future.result(10)
    hold = threading.Event()

    def slow() -> str:
        calls.append(None)
        if len(calls) == 1:
            hold.wait(10)
            return "late"
        return "early"

    begun, waited = time.monotonic(), job(slow, done)
    pool.submit([waited], 0)
    waited.future.result(10)
    assert time.monotonic() - begun < 5
    hold.set()
    pool.close()
    assert done == ["early"]
    assert waited.is_hedged


def test_what_is_fetched_ahead_is_not_done_twice() -> None:
    """Nobody waits for it."""
    pool = Pool(4)
    for _ in range(60):
        quick = job(lambda: None)
        pool.submit([quick], 0)
        quick.future.result(10)
    ahead = job(lambda: time.sleep(0.2))
    pool.submit([ahead], 2)
    ahead.future.result(10)
    assert not ahead.is_hedged
    pool.close()


def test_an_error_is_that_of_the_job_and_closing_gives_up_what_waits() -> None:
    """Whoever waits is woken; closing twice, and work after it, are harmless."""
    pool, done = Pool(1), []
    wrong = job(lambda: 1 // 0, done)
    pool.submit([wrong], 0)
    with pytest.raises(ZeroDivisionError):
        wrong.future.result(10)
    assert isinstance(done[0], ZeroDivisionError)
    hold = threading.Event()
    first, second, third = job(hold.wait), job(lambda: None), job(lambda: None)
    pool.submit([first], 0)
    while first.started is None:
        time.sleep(0.001)
    pool.submit([second], 0)
    threading.Timer(0.05, hold.set).start()
    pool.close()
    pool.submit([third], 0)
    pool.close()
    assert second.future.cancelled()
    assert third.future.cancelled()


def test_closing_waits_for_what_is_under_way_and_was_queued_twice() -> None:
    """It ends as others do: its thread ended with an error, as its future was cancelled."""
    pool, hold, begun = Pool(1), threading.Event(), threading.Event()
    pool.submit([job(begun.wait)], 0)
    twice = job(hold.wait)
    pool.submit([twice], 2)
    pool.submit([twice], 1)
    begun.set()
    while twice.started is None:
        time.sleep(0.001)
    threading.Timer(0.05, hold.set).start()
    pool.close()
    assert twice.future.result(10) is None
