"""Reading ahead gives what reading in turn gives, faults included, in bounded memory and without leaving threads."""

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.tiff import ahead
from bigearth_pipeline.source.tiff.ahead import ReadAhead
from bigearth_pipeline.source.tiff.reader import TiffReader
from bigearth_pipeline.verify.store import verify_store
from bigearth_pipeline.workers import InProcess
from shards.layout.bands import BAND_SLICES, GROUP_OF, RECORD_VALUES
from tests.support.data.building import contents
from tests.support.data.small_tree import build_here, write_small_tree
from tests.support.data.tiffs import official
from tests.support.running.descriptors import opened_files, opened_since
from tools.bench.build.slow_opens import NO_COMPILER, SlowOpens

DAMAGE: dict[str, Callable[[Path], object]] = {
    "none": lambda path: None,
    "still none": lambda path: None,
    "absent": Path.unlink,
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "null device": lambda path: (path.unlink(), path.symlink_to("/dev/null")),
    "no size": lambda path: (path.unlink(), path.symlink_to("/proc/version")),
    "broken link": lambda path: (path.unlink(), path.symlink_to("absent")),
    "empty": lambda path: os.truncate(path, 0),
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 1),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "sparse": lambda path: os.truncate(path, 20 << 30),
    "large": lambda path: os.truncate(path, 2 * ahead.PATCH_BYTES),
    "flipped": lambda path: path.write_bytes(b"MM" + path.read_bytes()[2:]),
    "elsewhere": lambda path: path.write_bytes(_band(path.stem.rpartition("_")[2], 7, x=460_020.0)),
    "two": lambda path: path.with_suffix(".tiff").write_bytes(path.read_bytes()),
    "other name": lambda path: path.rename(path.with_suffix(".TIF")),
    "foreign file": lambda path: path.with_name("notes.txt").touch(),
}


@pytest.fixture(autouse=True, params=[0, ahead.COMPILED_AFTER], ids=["in one call", "each file"])
def first_compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read all files of a patch in one call from the first patch on, or each by itself."""
    monkeypatch.setattr(ahead, "COMPILED_AFTER", request.param)
    monkeypatch.setattr(ahead, "_num_given", 0)


def _band(band: str, value: int, x: float = 399_960.0) -> bytes:
    values = BAND_SLICES[band]
    pixels = np.full(values.stop - values.start, value, "<u2").tobytes()
    return official(GROUP_OF[band], pixels, ulx=x).encode()


def _write(folder: Path, number: int) -> tuple[str, str]:
    """Write a patch whose pixels are its number; return folder and name."""
    key = f"patch-{number:03d}"
    (folder / key).mkdir(parents=True)
    for band in BAND_SLICES:
        (folder / key / f"{key}_{band}.tif").write_bytes(_band(band, number + 1))
    return str(folder / key), key


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the threads after the first patches, whether they have waited or not."""
    monkeypatch.setattr(ahead, "_WAITS", 0)


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(ahead.THREAD_NAME)]


def _outcome(read: Callable[[np.ndarray], object]) -> tuple[object, ...]:
    record = np.zeros(RECORD_VALUES, np.uint16)
    try:
        return read(record), record.tobytes()
    except BadPatch as err:
        return (str(err),)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("seed", "always_gdal"), [(0, False), (1, True)])
def test_the_outcome_is_that_of_reading_in_turn(tmp_path: Path, seed: int, always_gdal: bool) -> None:
    """A fault that a thread meets is lost, has another reason, or shifts the patches after it."""
    rng = random.Random(seed)
    patches = [_write(tmp_path, number) for number in range(4 * len(DAMAGE))]
    for (folder, key), kind in zip(patches[4:], itertools.cycle(DAMAGE), strict=False):
        DAMAGE[kind](Path(folder, f"{key}_{rng.choice(list(BAND_SLICES))}.tif"))
    os.rename(patches[9][0], tmp_path / "away")
    chosen = [number for number in range(len(patches)) if number < 4 or rng.random() < 0.8]
    with TiffReader(always_gdal=always_gdal) as one, TiffReader(always_gdal=always_gdal) as other:
        expected = [_outcome(lambda record, n=n: one.read_patch(*patches[n], record)) for n in chosen]
        with ReadAhead(other, patches) as reading:
            found = [_outcome(lambda record, n=n: reading.read(n, record)) for n in chosen]
            assert _threads()
        assert found == expected
        assert (other.statuses, other.bytes_read) == (one.statuses, one.bytes_read)
    assert sum(len(outcome) == 1 for outcome in found) > len(DAMAGE)
    assert not _threads()


@pytest.mark.long
@pytest.mark.usefixtures("at_once")
def test_verifying_against_a_source_that_is_read_ahead_finds_the_same(tmp_path: Path) -> None:
    """Files that are read ahead are compared with another patch, or their faults go unseen."""
    tree = write_small_tree(tmp_path / "tree", 40)
    build_here(tmp_path / "store", tree, patches_per_shard=20)
    folders = sorted((tree / "BigEarthNet-S2").glob("*/*"))
    changed, lost = (folder / f"{folder.name}_B05.tif" for folder in (folders[17], folders[31]))
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    lost.unlink()
    findings = verify_store(tmp_path / "store", against=[tree], pool=InProcess())
    assert (findings.patches, findings.compared) == (40, 39)
    assert sorted(findings.problems) == sorted(
        [
            f"{folders[17].name} differs from its GeoTIFFs in B05",
            f"source of {folders[31].name}: {lost} is missing",
            *(problem for problem in findings.problems if "source files" in problem),
        ]
    )


def _of_bytes(folder: Path, count: int, size: int) -> Iterator[tuple[str, str]]:
    """Write patches whose files have a number of bytes, of which none is a TIFF."""
    for number in range(count):
        key = f"patch-{number:03d}"
        (folder / key).mkdir(parents=True)
        for band in BAND_SLICES:
            path = folder / key / f"{key}_{band}.tif"
            path.touch()
            os.truncate(path, size)
        yield str(folder / key), key


def _held(patches: Sequence[tuple[str, str]]) -> int:
    """Return the bytes that are held once some patches were used, and all that is allowed was read ahead."""
    tracemalloc.start()
    try:
        with TiffReader() as reader, ReadAhead(reader, patches) as reading:
            for number in range(10):
                # No exception is kept, which would keep the files.
                (reason,) = _outcome(lambda record, number=number: reading.read(number, record))
                assert f"patch-{number:03d}" in str(reason)
            for _, future in list(reading._ahead):
                future.result()
            return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("at_once")
def test_memory_is_bounded(tmp_path: Path) -> None:
    """Readers that are faster than the encoder, or files that are large, fill the memory of a worker."""
    usual = ahead.PATCH_BYTES // len(BAND_SLICES)
    assert 24 << 20 < _held(list(_of_bytes(tmp_path / "usual", 80, usual))) < 56 << 20
    assert _held(list(_of_bytes(tmp_path / "large", 80, 5 * usual))) < 8 << 20


@pytest.mark.usefixtures("at_once")
def test_threads_end_with_the_block(tmp_path: Path) -> None:
    """A build that is stopped in the middle leaves threads that read on."""
    patches = [_write(tmp_path, number) for number in range(60)]
    record = np.empty(RECORD_VALUES, np.uint16)
    before = opened_files()

    def stopped() -> None:
        with TiffReader() as reader, ReadAhead(reader, patches) as reading:
            for number in range(8):
                reading.read(number, record)
            assert _threads()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not _threads()
    assert opened_since(before) == {}


def test_nothing_is_read_ahead_while_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads take processor time from a build whose files are all in memory, or that may not open enough files."""
    patches = [_write(tmp_path, number) for number in range(20)]
    record = np.empty(RECORD_VALUES, np.uint16)
    monkeypatch.setattr(ahead, "_waits", lambda: 0)
    with TiffReader() as reader, ReadAhead(reader, patches) as reading:
        for number in range(20):
            reading.read(number, record)
            assert not _threads()


_BUILD = """
import json, sys, threading
from pathlib import Path
from tests.support.data.small_tree import build_here

threads = set()
from shards.write.shard import ShardWriter
def note(*arguments):
    threads.update(thread.name for thread in threading.enumerate() if thread.name.startswith("bep-read"))
sys.setprofile(lambda frame, event, _: note() if event == "call" and frame.f_code.co_name == "next_record" else None)
build_here(Path(sys.argv[1]), Path(sys.argv[2]), patches_per_shard=64, allow_bad=int(sys.argv[3]))
sys.setprofile(None)
print(len(threads), len([t for t in threading.enumerate() if t.name.startswith("bep-read")]))
"""


def test_a_store_of_slow_files_has_the_same_bytes(tmp_path: Path) -> None:
    """A build from a distant disk, where some files cannot be opened, is another than that from a local one."""
    try:
        slow = SlowOpens(tmp_path)
    except FileNotFoundError:
        pytest.skip(NO_COMPILER)
    tree = write_small_tree(tmp_path / "tree", 60)
    for failing, bad in ((0, 0), (40, 60)):
        stores, threads = [], []
        # The same names fail with and without delay, and without it nothing is read ahead.
        for name, seconds in ((f"slow-{failing}", 0.002), (f"fast-{failing}", 0.0)):
            variables = slow.environment(tree, seconds, failing)
            command = [sys.executable, "-c", _BUILD, str(tmp_path / name), str(tree), str(bad)]
            done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
            threads.append([int(number) for number in done.stdout.split()[-2:]])
            stores.append(contents(tmp_path / name))
        assert threads[0][0] > 4
        assert [left for _, left in threads] == [0, 0]
        assert stores[0] == stores[1]
        quarantine = stores[0].get("quarantine.jsonl", b"").decode().splitlines()
        assert bool(quarantine) == bool(failing)
        assert all("Input/output error" in json.loads(line)["reason"] for line in quarantine)
