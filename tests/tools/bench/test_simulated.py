"""The device that is a clock: what counts as waiting."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shards
from shards.testing.stores import make_store
from tools.bench.loader.light_store import LightStore
from tools.bench.loader.simulated import TICK, Lateness, SimulatedDevice, drive, tick, ticking
from trainer.data.normalisation import Normalisation


class Clock:
    """Seconds that pass when somebody waits."""

    now = 0.0

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds


def feed(rate: float, pauses: list[float], size: int = 100) -> SimulatedDevice:
    """Return a device that was fed batches, each after a pause."""
    clock = Clock()
    device = SimulatedDevice(rate, clock=clock, sleep=clock.sleep)
    for pause in pauses:
        clock.now += pause
        device.step(size)
    return device


@given(rate=st.floats(1, 1e6), count=st.integers(3, 50), part=st.floats(0, 0.99))
def test_a_device_that_is_fed_in_time_never_waits(rate: float, count: int, part: float) -> None:
    """A loader that is fast enough seems to leave the device waiting; the start counts as waiting."""
    device = feed(rate, [7.0, *[part * 100 / rate] * count])
    assert device.idle_share == pytest.approx(0, abs=1e-6)
    assert device.patches == (count + 1) * 100
    assert device.seconds == pytest.approx((count + 1) * 100 / rate, rel=1e-6)


@given(rate=st.floats(1, 1e4), count=st.integers(20, 50), times=st.floats(1.5, 9))
def test_a_device_that_is_fed_late_waits(rate: float, count: int, times: float) -> None:
    """A loader that is too slow seems to be fast enough."""
    device = feed(rate, [7.0, *[times * 100 / rate] * count])
    # It works a part of each pause, and after the last one.
    assert device.idle_share == pytest.approx(count * (times - 1) / (count * times + 1), rel=1e-3)


def test_a_pause_is_absorbed_by_what_is_queued() -> None:
    """A hiccup that the queue absorbs counts as waiting, or a longer one does not."""
    # Two batches of a second each are queued before the pause.
    assert feed(100, [0, 0, 0, 0, 1.9]).idle == pytest.approx(0)
    assert feed(100, [0, 0, 0, 0, 2.5]).idle == pytest.approx(0.5)


def test_lateness_is_summarised() -> None:
    """Seconds are taken for microseconds."""
    assert Lateness.of([0.001] * 99 + [0.101]) == Lateness(1000.0, 2000.0, pytest.approx(2000, rel=1), 100)
    assert Lateness.of([]).count == 0


def test_a_ticker_notes_by_how_much_it_is_late() -> None:
    """A ticker never stops, or notes how long it slept."""
    late: list[float] = []
    tick(lambda: len(late) == 3, late)
    assert len(late) == 3
    assert all(seconds > -TICK for seconds in late)


def test_both_tickers_tick() -> None:
    """The lateness of one ticker is shown as that of the other, or one of them never ends."""
    with ticking() as late:
        time.sleep(0.05)
    assert late.keys() == {"thread", "process"}
    assert min(one.count for one in late.values()) >= 1


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_real_loader_feeds_it(tmp_path: Path, share: float) -> None:
    """The device is fed by something else than the loader, or a share of the records is another one."""
    folder = make_store(tmp_path / "store", {"train": 24})
    with shards.open(folder, num_threads=1) as store:
        rows = store.index.rows("train")
        light = LightStore(store, rows, share, length=1000)
        device = SimulatedDevice(1e9, sleep=lambda seconds: None)
        drive(light, Normalisation.of_train_split(store.manifest), 16, device, seconds=60)
        assert device.patches == 1000
        expected, found = np.zeros((16, 80_000), np.uint16), np.zeros((16, 80_000), np.uint16)
        wanted = np.arange(500, 516)
        store.read_into(rows[wanted % 24], expected)
        light.read_into(wanted, found, verify="never")
        count = round(16 * share)
        np.testing.assert_array_equal(found[:count], expected[:count])
        assert not found[count:].any()
        np.testing.assert_array_equal(light.labels()[24:48], store.index.labels()[rows])
