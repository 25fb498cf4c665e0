"""The comparison with other systems: peers are checked before they are timed, and failures are reported."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bigearth_pipeline.synth.dataset import write_dataset
from tools.peers.client import ROOT, PeerFailed, PeerProcess
from tools.peers.registry import LAYOUTS, PEERS, Layout
from tools.peers.report import render
from tools.peers.run import main
from tools.peers.serve import Session
from tools.peers.work.checks import WrongBatch, check_epoch
from tools.peers.work.job import Batch, Job
from tools.peers.work.patches import Patches
from tools.peers.work.pixels import SHAPES, prepare, reference

COUNT = 64


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with source and list of patches."""
    folder = tmp_path_factory.mktemp("peers")
    write_dataset(folder / "synth", patches=COUNT + 20, layout="v2", seed=0, workers=2)
    Patches.choose(folder / "synth", COUNT, folder / "metadata.parquet").save(folder / "patches.json")
    return folder


@pytest.fixture(scope="module")
def job(work: Path) -> Job:
    """A job that any peer can be given."""
    patches = Patches.load(work / "patches.json")
    return Job(patches=patches, store=work / "x", option="", layout="native", batch_size=16, workers=2)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "layouts"),
    [
        ("geotiff", ("native",)),
        ("webdataset-zstd", ("native",)),
        ("zarr", ("float32",)),
        ("dali", LAYOUTS),
        ("bep-lz4", LAYOUTS),
    ],
)
def test_peers_deliver_every_patch(work: Path, job: Job, name: str, layouts: tuple[Layout, ...]) -> None:
    """A peer that needs only the project's packages converts or loads wrongly."""
    (work / "stores").mkdir(exist_ok=True)
    job = replace(job, store=work / "stores" / PEERS[name].store, option=PEERS[name].option)
    if PEERS[name].store:
        assert Session(name, job).answer("convert")["seconds"] > 0
    for layout in layouts:
        session = Session(name, replace(job, layout=layout))
        started = session.answer("start")
        assert sum(started["batch_sizes"]) == COUNT
        assert max(started["batch_sizes"]) == 16
        assert session.answer("epochs 1 1")["patches"] == COUNT


@cache
def read(patches: Patches, number: int) -> NDArray[np.uint16]:
    """Read a patch once."""
    return patches.read(number)


def epoch(job: Job, order: list[int], **flips: bool) -> Iterator[Batch]:
    """Yield an epoch as a peer would, from the source."""
    for start in range(0, len(order), job.batch_size):
        numbers = order[start : start + job.batch_size]
        records = [read(job.patches, number) for number in numbers]
        if job.layout == "float32":
            images = np.empty((len(numbers), *SHAPES["float32"]), np.float32)
            for record, image in zip(records, images, strict=True):
                prepare(record, image, left_right=flips["left_right"], up_down=flips["up_down"])
            yield np.array(numbers), images
        else:
            yield np.array(numbers), np.stack(records)


@pytest.mark.long
def test_wrong_epochs_are_told(job: Job) -> None:
    """A peer is timed that leaves out, repeats or does not shuffle patches, or delivers other pixels or types."""
    order = np.random.default_rng(0).permutation(COUNT).tolist()
    arrivals: list[int] = []
    assert check_epoch(epoch(job, order), job, lambda: arrivals.append(1)) == [16] * 4
    assert len(arrivals) == 4
    images = replace(job, layout="float32")

    def damaged() -> Iterator[Batch]:
        for numbers, records in epoch(job, order):
            records[:, -1] += 1
            yield numbers, records

    wrong = {
        "1 missing, 0 more": epoch(job, order[1:]),
        "1 missing, 1 more": epoch(job, [*order[1:], order[1]]),
        "order of the source": epoch(job, sorted(order)),
        "differs from its band files": damaged(),
        "int32, expected": ((numbers, records.astype(np.int32)) for numbers, records in epoch(job, order)),
        r"\(32, 80000\)": epoch(replace(job, batch_size=32), order),
    }
    for message, batches in wrong.items():
        with pytest.raises(WrongBatch, match=message):
            check_epoch(batches, job, lambda: None)
    with pytest.raises(WrongBatch, match="only 1 of the 4 flips"):
        check_epoch(epoch(images, order, left_right=True, up_down=False), images, lambda: None)


@pytest.mark.parametrize("left_right", [False, True])
@pytest.mark.parametrize("up_down", [False, True])
def test_images_are_those_of_the_reference(left_right: bool, up_down: bool) -> None:
    """The float work that peers are given is wrong."""
    record = np.random.default_rng(0).integers(0, 2**16, 80_000, np.uint16)
    image = np.empty(SHAPES["float32"], np.float32)
    prepare(record, image, left_right=left_right, up_down=up_down)
    expected = reference(record)[:, :: -1 if up_down else 1, :: -1 if left_right else 1]
    np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_a_process_answers_after_an_error_and_its_end_is_noticed(work: Path) -> None:
    """One wrong command ends a peer, or a run waits for one that is gone."""
    layout: Layout = "native"
    with PeerProcess("geotiff", Path(sys.executable), work, layout, 16, 2) as process:
        for _ in range(2):
            with pytest.raises(PeerFailed, match="unknown command"):
                process.ask("nonsense")
        process.close()
        with pytest.raises(PeerFailed, match="died"):
            process.ask("start")


@pytest.mark.long
def test_a_run_measures_some_and_tells_of_the_others(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command fails, leaves out a peer in silence, or returns 0 though one has failed."""
    path = work / "results.json"
    options = {"peers": "webdataset,lmdb", "layouts": "native", "repeats": 2, "batch-size": 16, "turn-seconds": 0.1}
    options |= {"patches": COUNT, "work": work, "json": path}
    assert main([part for name, value in options.items() for part in (f"--{name}", str(value))]) == 1
    found = json.loads(path.read_text())
    assert list(found["peers"]) == ["lmdb", "webdataset"]
    assert found["peers"]["lmdb"]["errors"] == ["conversion: its environment lmdb is not installed; run with --install"]
    assert not found["peers"]["webdataset"]["errors"]
    assert len(found["peers"]["webdataset"]["native"]["patches_per_second"]) == 2
    text = (work / "RESULTS.md").read_text()
    assert text == render(found) == capsys.readouterr().out.removesuffix("\n")
    assert "LMDB of safetensors in a DataLoader | failed" in text
    assert "lmdb is not installed" in text


@pytest.mark.parametrize("run", ["", "long"])
def test_the_committed_table_is_that_of_the_committed_figures(run: str) -> None:
    """RESULTS.md was edited by hand, or is of another run than results.json."""
    folder = ROOT / "tools" / "peers" / run
    assert (folder / "RESULTS.md").read_text() == render(json.loads((folder / "results.json").read_text()))
