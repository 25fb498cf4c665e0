"""The real loader feeds a device of a known rate: how long that waits, and what the loader takes of the interpreter.

    python -m tools.bench.loader.simulated STORE --rates 10000 40000 100000 --out tools/records/simulated.json

The device is a clock: it takes `patches / rate` seconds a batch, two batches may be queued, and it waits where none is.
A machine without a GPU cannot decode 100,000 patches/s. So every batch has its full size, order, labels and hand-over,
but only a share of its records is read and decoded: as much as keeps this work at half of what the machine can do. The
index is repeated to the length of BigEarthNet v1, so that an epoch does not end meanwhile.

What is measured is what does not shrink with the records: threads, channels, Python between batches. Beside each rate
stands the limit: that of the same loader without a device. The interpreter lock shows in two tickers that only sleep a
millisecond, again and again: a thread beside the loader's, and the same in another process, which shares the cores but
not the lock. By how much later the thread wakes is what it waits for the lock.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

import shards
from bigearth_pipeline.bench.environment import describe_environment
from shards.storage.atomic import atomic_write
from tools.arguments import count, positive, run
from tools.bench.loader.light_store import LightStore
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.runtime.pace import STEPS_AHEAD

LOAD: Final = 0.5
"""Share of the machine's decoding rate that a device asks for."""
TICK: Final = 0.001
"""Seconds that the ticker sleeps."""


_TICKER: Final = """
import json, sys, threading, time
tick, late, stopped = float(sys.argv[1]), [], threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
print("ready", flush=True)
while not late or not stopped.is_set():
    start = time.perf_counter()
    time.sleep(tick)
    late.append(time.perf_counter() - start - tick)
print(json.dumps(late))
"""
"""The same as `tick`, without the seconds that importing this file takes; it ends when its input does."""


class SimulatedDevice:
    """A device that takes the same time for every patch, by a clock.

    Attributes:
        patches: taken so far.
        idle: seconds without a batch to work on, from the first batch on.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Say how fast it is.

        Args:
            rate: patches per second.
            clock: seconds.
            sleep: waits for a number of seconds.
        """
        self.patches, self.idle = 0, 0.0
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._begun: float | None = None
        self._free_at = 0.0
        self._ends: deque[float] = deque()

    def step(self, patches: int) -> None:
        """Queue a batch; return when at most `STEPS_AHEAD` are left, as a training loop does."""
        now = self._clock()
        if self._begun is None:
            self._begun = self._free_at = now
        self.idle += max(0.0, now - self._free_at)
        self._free_at = max(now, self._free_at) + patches / self._rate
        self.patches += patches
        self._ends.append(self._free_at)
        if len(self._ends) > STEPS_AHEAD:
            left = self._ends.popleft() - self._clock()
            if left > 0:
                self._sleep(left)

    @property
    def seconds(self) -> float:
        """Seconds from the first batch to the end of the last one."""
        return 0.0 if self._begun is None else self._free_at - self._begun

    @property
    def idle_share(self) -> float:
        """Share of these seconds without a batch to work on."""
        return self.idle / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Lateness:
    """Delay between the requested and the actual wake-up of a thread, in microseconds.

    Attributes:
        median: of all times that it woke.
        mean: of them.
        high: 99th percentile.
        count: how many.
    """

    median: float
    mean: float
    high: float
    count: int

    @classmethod
    def of(cls, late: Sequence[float]) -> "Lateness":
        """Summarise seconds; none at all is all zeros."""
        if not late:
            return cls(0.0, 0.0, 0.0, 0)
        values = [1e6 * seconds for seconds in late]
        high = float(np.percentile(values, 99))
        return cls(round(statistics.median(values), 1), round(statistics.fmean(values), 1), round(high, 1), len(late))


def tick(stopped: Callable[[], bool], late: list[float]) -> None:
    """Sleep again and again, once at least, and note the seconds by which the thread wakes late."""
    while not late or not stopped():
        start = time.perf_counter()
        time.sleep(TICK)
        late.append(time.perf_counter() - start - TICK)


@contextmanager
def ticking() -> Iterator[dict[str, Lateness]]:
    """Let a thread of this process and one of another tick while the block runs; afterwards give their lateness."""
    late: list[float] = []
    found: dict[str, Lateness] = {}
    stopped = threading.Event()
    thread = threading.Thread(target=tick, args=(stopped.is_set, late), name="ticker")
    command = [sys.executable, "-c", _TICKER, str(TICK)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    # It has imported what it needs, and ticks.
    process.stdout.readline()
    thread.start()
    try:
        yield found
    finally:
        stopped.set()
        elsewhere, _ = process.communicate()
        thread.join()
    found |= {"thread": Lateness.of(late), "process": Lateness.of(json.loads(elsewhere))}


def drive(
    store: LightStore, normalisation: Normalisation, batch_size: int, device: SimulatedDevice, seconds: float
) -> None:
    """Feed a device for a number of seconds."""
    config = LoaderConfig(batch_size=batch_size, device=torch.device("cpu"), layout="record")
    rows = np.arange(len(store.labels()))
    with Loader(store, rows, normalisation, config) as loader:
        for batch in loader:
            device.step(len(batch["row"]))
            if device.seconds >= seconds:
                break


def measure(
    folder: Path, rates: Sequence[float], *, batch_size: int, threads: int, seconds: float, repeats: int
) -> dict[str, Any]:
    """Return, by rate, the share of a batch that was decoded, the limit, the waiting and the lateness of a thread."""
    found: dict[str, Any] = {}
    with shards.open(folder, num_threads=threads) as store:
        rows = store.index.rows("train")
        normalisation = Normalisation.of_train_split(store.manifest)
        store.fetch(rows)

        def alone(share: float) -> float:
            device = SimulatedDevice(1e12)
            drive(LightStore(store, rows, share), normalisation, batch_size, device, seconds)
            return device.patches / device.seconds

        decoding = statistics.median(alone(1.0) for _ in range(repeats))
        with ticking() as late:
            time.sleep(seconds)
        idle = {name: asdict(lateness) for name, lateness in late.items()}
        for rate in rates:
            share = min(1.0, LOAD * decoding / rate)
            light, waiting, lateness = LightStore(store, rows, share), [], []
            limits = [alone(share) for _ in range(repeats)]
            for _ in range(repeats):
                device = SimulatedDevice(rate)
                with ticking() as late:
                    drive(light, normalisation, batch_size, device, seconds)
                waiting.append(device.idle_share)
                lateness.append({name: asdict(found_late) for name, found_late in late.items()})
            found[f"{rate:.0f}"] = {
                "decoded_share": share,
                "limit": limits,
                "waiting_share": waiting,
                "ticker_late_us": lateness,
            }
    return {
        "decoding_patches_per_second": decoding,
        "ticker_late_us_idle": idle,
        "rates": found,
        "batch_size": batch_size,
        "threads": threads,
        "seconds": seconds,
        "repeats": repeats,
        "environment": describe_environment({"store": folder}, torch.device("cpu")),
    }


def _late(found: list[dict[str, Any]]) -> str:
    """Return the median over the repeats of the mean lateness of both tickers, for people."""
    means = {name: statistics.median(one[name]["mean"] for one in found) for name in ("thread", "process")}
    return f"thread {means['thread']:.0f} µs late, process {means['process']:.0f} µs"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--rates", type=positive, nargs="+", default=[10_000.0, 40_000.0, 100_000.0])
    parser.add_argument("--batch-size", type=count, default=512)
    parser.add_argument("--threads", type=count, default=2)
    parser.add_argument("--seconds", type=positive, default=3.0)
    parser.add_argument("--repeats", type=count, default=5)
    parser.add_argument("--out", type=Path)
    options = vars(parser.parse_args(arguments))
    folder, rates, out = options.pop("store"), options.pop("rates"), options.pop("out")
    found = measure(folder, rates, **options)
    idle = _late([found["ticker_late_us_idle"]])
    print(f"decoding {found['decoding_patches_per_second']:,.0f}/s; tickers without a loader: {idle}")
    for rate, values in found["rates"].items():
        waits = ", ".join(f"{share:.2%}" for share in values["waiting_share"])
        print(
            f"{float(rate):,.0f}/s: waits {waits}; limit {statistics.median(values['limit']):,.0f}/s with "
            f"{values['decoded_share']:.1%} decoded; tickers: {_late(values['ticker_late_us'])}"
        )
    if out is not None:
        with atomic_write(out) as file:
            file.write(json.dumps(found).encode() + b"\n")


if __name__ == "__main__":
    run(main)
