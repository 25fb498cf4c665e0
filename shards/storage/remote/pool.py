"""Many requests at a time: by urgency, and a second time if one is slower than nearly all others of its length.

The tail of object storage is long: of many requests some take ten times as long as most, and a batch waits for its
slowest one. So a request that is under way for longer than 95 of 100 is sent again, and the first answer counts
(Dean and Barroso, The Tail at Scale, CACM 56(2), 2013, section "Hedged requests").
"""

import atexit
import heapq
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from shards.runtime.forks import renew_in_children

IN_FLIGHT: Final = 48
"""Requests under way at a time."""
QUANTILE: Final = 0.95
_SAMPLES: Final = 200
_FEWEST: Final = 20
"""Durations without which nobody knows what is slow."""
_LEAST_SECONDS: Final = 0.01
_MOST_HEDGES: Final = 0.03
"""Share of the requests that are sent a second time, at most: a server that is slow as a whole gets no more to do."""
_TICK: Final = 0.01
_UNKNOWN: Final = 1 << 30


class Job:
    """A piece of work for the pool.

    Attributes:
        future: done when `finish` is.
        urgency: by which it was last requested; 0 is the most urgent.
    """

    def __init__(
        self, run: Callable[["Job"], Any], finish: Callable[[Any, BaseException | None], None], size_bytes: int
    ) -> None:
        """Say what to do.

        Args:
            run: is called, twice at the same time if need be.
            finish: is called once, with the first result, or with the error if there is none.
            size_bytes: that it brings.
        """
        self.run, self.finish, self.size_class = run, finish, max(size_bytes, 1).bit_length()
        self.future: Future[None] = Future()
        self.urgency = _UNKNOWN
        self.started: float | None = None
        self.num_running = 0
        self.is_hedged = self.is_over = False


class Pool:
    """Threads that do jobs, the most urgent first; safe to share between threads. They start when there is work.

    Attributes:
        num_sent: jobs that were begun.
        num_hedged: of these, those that were begun a second time.
    """

    def __init__(self, size: int = IN_FLIGHT) -> None:
        """Say how many jobs are done at a time, counting second attempts."""
        self._size = size
        self.num_sent = self.num_hedged = 0
        self.renew_after_fork()
        renew_in_children(self)
        _live.add(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`: the threads are the parent's, and so is what they do."""
        self._lock = threading.Lock()
        # Two conditions, so that what wakes a worker never wakes the other thread in its place.
        self._condition, self._begun = threading.Condition(self._lock), threading.Condition(self._lock)
        self._queue: list[tuple[int, int, Job]] = []
        self._running: set[Job] = set()
        self._threads: list[threading.Thread] = []
        self._idle = self._count = 0
        self._durations: dict[int, deque[float]] = {}
        self._slow: dict[int, float] = {}
        self._is_closed = False

    def submit(self, jobs: Iterable[Job], urgency: int) -> None:
        """Have jobs done, or done earlier if they are waiting already; 0 is the most urgent."""
        with self._condition:
            for job in jobs:
                if urgency < job.urgency and job.started is None:
                    job.urgency = urgency
                    self._push(job, urgency)

    def _push(self, job: Job, urgency: int) -> None:
        if self._is_closed:
            if job.started is None:
                job.future.cancel()
            return
        self._count += 1
        heapq.heappush(self._queue, (urgency, self._count, job))
        # While this thread has the lock, those that it starts wait: each start takes longer the more of them work.
        if self._idle < len(self._queue) and len(self._threads) < self._size + 1:
            if not self._threads:
                self._start(self._hedge, "fetch-hedge")
            self._start(self._work, "fetch")
        self._condition.notify()

    def _start(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._idle += 1
                self._condition.wait_for(lambda: self._queue or self._is_closed)
                self._idle -= 1
                if self._is_closed:
                    return
                urgency, _, job = heapq.heappop(self._queue)
                if job.is_over or (job.started is not None and urgency >= 0):
                    continue  # It was queued twice, with another urgency.
                self.num_sent += 1
                job.num_running += 1
                if job.started is None:
                    job.started = time.monotonic()
                    self._running.add(job)
                    self._begun.notify()
            self._do(job)
            del job  # What it holds is freed although this thread has nothing else to do.

    def _do(self, job: Job) -> None:
        began, result, error = time.monotonic(), None, None
        try:
            result = job.run(job)
        except BaseException as err:
            error = err
        with self._condition:
            job.num_running -= 1
            # While the other attempt is under way, its answer counts.
            if job.is_over or (error is not None and job.num_running):
                return
            job.is_over = True
            self._running.discard(job)
            if error is None:
                self._learn(job.size_class, time.monotonic() - began)
        try:
            job.finish(result, error)
        except BaseException as err:
            error = err
        if error is None:
            job.future.set_result(None)
        else:
            job.future.set_exception(error)

    def _learn(self, size_class: int, seconds: float) -> None:
        durations = self._durations.setdefault(size_class, deque(maxlen=_SAMPLES))
        durations.append(seconds)
        if len(durations) >= _FEWEST:
            ordered = sorted(durations)
            self._slow[size_class] = max(ordered[int(QUANTILE * len(ordered))], _LEAST_SECONDS)

    def _hedge(self) -> None:
        while not self._is_closed:
            with self._condition:
                if not self._running:
                    self._begun.wait_for(lambda: self._running or self._is_closed)
                self._hedge_slow()
            time.sleep(_TICK)

    def _hedge_slow(self) -> None:
        now = time.monotonic()
        for job in list(self._running):
            slow = self._slow.get(job.size_class)
            # Nobody waits for what is fetched ahead.
            if slow is None or job.urgency or job.is_hedged or job.started is None or now - job.started <= slow:
                continue
            if self.num_hedged >= _MOST_HEDGES * self.num_sent:
                break
            job.is_hedged = True
            self.num_hedged += 1
            self._push(job, -1)

    def give_up(self) -> None:
        """Cancel the futures of all jobs; what is under way continues, and its result is lost."""
        with self._condition:
            jobs = {job for _, _, job in self._queue} | self._running
            self._queue.clear()
            self._running.clear()
            for job in jobs:
                job.is_over = True
        for job in jobs:
            job.future.cancel()

    def close(self) -> None:
        """Give up what waits, and wait for what is under way; closing twice is harmless."""
        with self._condition:
            self._is_closed = True
            waiting, self._queue = self._queue, []
            threads, self._threads = self._threads, []
            self._condition.notify_all()
            self._begun.notify_all()
        for _, _, job in waiting:
            if job.started is None:  # Others are under way, and were queued twice.
                job.future.cancel()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()


_live: Final["weakref.WeakSet[Pool]"] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # A thread that comes back from obstore while the interpreter ends would find none.
    for pool in list(_live):
        with suppress(RuntimeError):
            pool.close()
