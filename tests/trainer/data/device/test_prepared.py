"""Host buffers that a device still reads, stood for by events that a test completes."""

import threading
import weakref
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import shards
from shards import RECORD_VALUES, CorruptShard
from tests.support.data import faults
from tests.trainer.data.device.events import Counted, Device, Event, Preparation, Stuck, host_batches
from tests.trainer.data.records import host_batch, identity, random_records
from trainer.data.batch import HostBatch
from trainer.data.buffers import PENDING
from trainer.data.device.prepared import Prepared, SideStream
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali.pipeline import DaliPreparation
from trainer.data.stream.channel import Finished
from trainer.data.stream.iteration import READ_AHEAD, READY, Iteration
from trainer.definition.augmentation import RECIPES


@settings(max_examples=60)
@given(steps=st.lists(st.sampled_from(["take", "give", "lend", "complete"]), max_size=60))
def test_no_buffer_is_taken_before_its_event(steps: list[str]) -> None:
    """A buffer is filled anew while the device still copies from it, or memory grows with every batch."""
    buffers = Counted()
    taken: list[np.ndarray] = []
    events: dict[int, Stuck] = {}
    most = 0
    for step in steps:
        if step == "take":
            buffer = buffers.take()
            if (event := events.pop(id(buffer), None)) is not None:
                assert event.query()
                # What need not be waited for is not.
                assert event.waits <= (len(events) + 1 >= PENDING)
            assert all(buffer is not other for other in taken)
            taken.append(buffer)
            most = max(most, len(taken))
        elif step == "give" and taken:
            buffers.give(taken.pop(0))
        elif step == "lend" and taken:
            buffer = taken.pop(0)
            events[id(buffer)] = Stuck()
            buffers.give(buffer, events[id(buffer)])  # type: ignore[arg-type]
        elif step == "complete":
            waiting = [event for event in events.values() if not event.query()]
            if waiting:
                waiting[0].complete()
    assert len(buffers.made) <= most + PENDING


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_slow_device_reads_what_it_was_given(ahead: int) -> None:
    """A patch is trained on with the pixels of another: its buffer was filled before the device had read it."""
    device, buffers = Device(running=False), Counted()
    running = Iteration(Preparation(device, ahead=ahead), host_batches(buffers, 40), buffers)
    first = running.ready.get()
    # It came although the device has done nothing yet.
    assert first.done is not None
    assert not first.done.query()
    device.run()
    rows = [int(first.batch["row"]), *(int(prepared.batch["row"]) for prepared in running.ready)]
    running.close()
    device.close()
    assert rows == list(range(40))
    assert device.wrong == []
    # One that is filled, and one in the hands of either thread.
    assert len(buffers.made) <= READ_AHEAD + ahead + PENDING + 3
    assert buffers.back == len(buffers.made)


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_consumer_that_stops_gets_all_buffers_back(taken: int, ahead: int) -> None:
    """A run that was broken off waits for ever, or each such run costs the memory of its batches."""
    device, buffers = Device(), Counted()
    for _ in range(3):
        running = Iteration(Preparation(device, ahead=ahead), host_batches(buffers, 30), buffers)
        for _ in range(taken):
            running.ready.get()
        running.close()
        assert buffers.back == len(buffers.made)
    device.close()
    assert device.wrong == []
    assert len(buffers.made) <= READY + READ_AHEAD + ahead + PENDING + 3


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("fail_at", [0, 1, 9])
def test_an_error_gives_all_buffers_back(fail_at: int, ahead: int) -> None:
    """After a lack of memory, which is answered with smaller batches, host memory is short as well."""
    device, buffers = Device(), Counted()
    running = Iteration(Preparation(device, ahead=ahead, fail_at=fail_at), host_batches(buffers, 30), buffers)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(running.ready)
    running.close()
    device.close()
    assert buffers.back == len(buffers.made)
    with pytest.raises(Finished):
        running.ready.get()


def test_a_damaged_record_gives_its_buffer_back(folder: Path, tmp_path: Path) -> None:
    """Every epoch that ends in a damaged record costs a buffer."""
    damaged = faults.copy(folder, tmp_path / "store")
    with shards.open(damaged) as store:
        for path in damaged.glob("*.tar"):
            path.write_bytes(b"")
        rows = store.index.rows("train")
        buffers = Counted(16, RECORD_VALUES)
        with make_loader(store, rows) as loader:
            loader._buffers, loader.reader = buffers, replace(loader.reader, buffers=buffers)
            for _ in range(2):
                with pytest.raises(CorruptShard):
                    list(loader)
                assert buffers.back == len(buffers.made) == 1


def make_loader(store: shards.Store, rows: np.ndarray) -> Loader:
    """Return a loader of records on the CPU."""
    config = LoaderConfig(
        batch_size=16, device=torch.device("cpu"), layout="record", augmentation=RECIPES["none"], verify="always"
    )
    return Loader(store, rows, Normalisation.of_train_split(store.manifest), config)


def test_the_stream_of_the_consumer_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model reads images that are not written yet, or their memory is taken from it."""
    told: list[tuple[str, Any]] = []

    class Stream:
        def wait_event(self, event: Event) -> None:
            told.append(("wait", event))

    class Image:
        def record_stream(self, stream: Stream) -> None:
            told.append(("record", stream))

    stream, events = Stream(), []

    class OnDevice:
        def run(self, batches: Iterable[HostBatch]) -> Generator[Any, None, None]:
            for host in batches:
                events.append(Stuck())
                yield Prepared(host, {"image": Image()}, events[-1])  # type: ignore[dict-item, arg-type]

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(threading.current_thread(), "name", "consumer")  # Which events forbid to wait.
    with shards.open(folder) as store, make_loader(store, store.index.rows("train")) as loader:
        loader._preparation = OnDevice()
        for step, _batch in enumerate(loader):
            assert told == [("wait", events[step]), ("record", stream)]
            told.clear()


def test_there_is_no_stream_on_the_cpu() -> None:
    """The preparation on the CPU asks for a GPU."""
    with SideStream(torch.device("cpu")) as stream:
        assert stream.mark() is None
    stream.finish()


def test_each_batch_of_dali_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that DALI has written a batch to is let go before its event: nobody holds it."""
    preparation = DaliPreparation(identity(), batch_size=1, device=torch.device("cpu"), num_threads=1, batched=True)
    monkeypatch.setattr(preparation._stream, "mark", Event)
    hosts = [host_batch(random_records(1, seed=i)) for i in range(3)]
    running = preparation.run(hosts)
    for count, host in enumerate(hosts, 1):
        prepared = next(running)
        assert prepared.host is host
        assert [done for _, done in preparation._held][-1] is prepared.done
        assert len(preparation._held) == count
        outputs, _ = preparation._held[-1]
        # Without augmentation and normalisation, what is written are the bands.
        assert np.asarray(outputs[0].at(0)).size == 4 * 120**2
    running.close()
    assert not preparation._held


def test_what_dali_wrote_is_held_until_it_is_read() -> None:
    """DALI writes the next batch over one that the device has not read yet, or nothing is ever let go."""
    preparation = DaliPreparation(identity(), batch_size=1, device=torch.device("cpu"), num_threads=1, batched=True)
    events = [Event() for _ in range(3)]
    written = [Event() for _ in events]  # Any objects whose end can be seen.
    ends = [weakref.ref(output) for output in written]
    for event in events:
        preparation._hold(written.pop(0), event)  # type: ignore[arg-type]
    assert all(end() is not None for end in ends)
    for i, event in enumerate(events):
        event.complete()
        preparation._hold(None, None)
        assert [end() is None for end in ends] == [j <= i for j in range(3)]
