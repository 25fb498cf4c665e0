"""Passes that begin with an empty page cache."""

import ctypes
import errno
import mmap
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import shards
from bigearth_pipeline.bench.loader.cold import MOST_LEFT, RecordPages, cached_pages, measure_cold
from bigearth_pipeline.bench.passes import Lap
from shards import Store
from shards.metadata.parts import PARTS
from shards.runtime.filesystem import MEMORY, file_system
from tests.shards.conftest import share_in_cache

SHM = Path("/dev/shm")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Iterator[Store]:
    """A store of its own on a disk, just written."""
    if file_system(tmp_path) in MEMORY:
        pytest.skip("the temporary folder lies in memory, where no page can be dropped")
    with shards.open(shutil.copytree(folder, tmp_path / "store")) as store:
        yield store


def read_all(store: Store, pages: RecordPages) -> None:
    """Read the records until the page cache holds them; the kernel may take pages back at once."""
    for _ in range(20):
        store.fetch(store.index.rows("train"))
        if pages.share_in_cache() > 0.9:
            return
    pytest.fail("the page cache does not keep what is read")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tar_store", "zarr_store", "packed_store", "raw_store"])
def test_pages_are_those_of_the_records(kind: str, request: pytest.FixtureRequest) -> None:
    """The share in the page cache is that of other records, so a half-cold pass counts as cold."""
    with shards.open(request.getfixturevalue(kind)) as store:
        rows = np.random.default_rng(0).permutation(len(store))[:6].astype(np.int64)
        expected = set()
        for row in rows.tolist():
            files = store.manifest.shards[int(store.shard_of([row])[0])].files
            for info, part in zip(files, PARTS[store.manifest.format], strict=False):
                begin, length = (int(store.index.column(f"{part}_{what}")[row]) for what in ("offset", "length"))
                expected |= {(info.path, byte // mmap.PAGESIZE) for byte in range(begin, begin + length)}
        found = RecordPages.of(store, rows).files
        pages = {
            (str(path.relative_to(store.folder)), int(page)) for path in found for page in np.flatnonzero(found[path])
        }
        assert pages == expected


def test_pages_are_dropped_and_come_back(copy: Store) -> None:
    """A pass that is called cold reads from the page cache: pages just written, or read before, are still there."""
    pages = RecordPages.of(copy, copy.index.rows("train"))
    assert pages.drop() is None
    assert pages.share_in_cache() <= MOST_LEFT
    for path in pages.files:
        assert cached_pages(path).mean() == pytest.approx(share_in_cache(path), abs=MOST_LEFT)
    read_all(copy, pages)
    for path in pages.files:
        assert cached_pages(path).mean() == pytest.approx(share_in_cache(path), abs=0.1)
    assert pages.drop() is None
    assert pages.share_in_cache() <= MOST_LEFT


def test_every_pass_begins_cold(copy: Store) -> None:
    """Only the first pass is cold, or the figures are of another number of passes than was asked for."""
    rows = copy.index.rows("train")
    pages, begun = RecordPages.of(copy, rows), []

    def read(lap: Lap) -> int:
        begun.append(pages.share_in_cache())
        copy.fetch(rows)
        return len(rows)

    read_all(copy, pages)
    found = measure_cold({"a": read, "b": read}, pages, 3, lambda text: None)
    assert not isinstance(found, str), found
    assert len(begun) == 6
    assert max(begun) <= MOST_LEFT
    assert {name: len(rate.patches_per_second) for name, rate in found.items()} == {"a": 3, "b": 3}


def never(lap: Lap) -> int:
    """Be a pass that must not run."""
    raise AssertionError("a pass ran although the page cache was warm")


def test_pages_that_stay_give_a_reason(copy: Store) -> None:
    """Pages that another process holds on to are read in a pass that is called cold."""
    rows = copy.index.rows("train")
    pages = RecordPages.of(copy, rows)
    read_all(copy, pages)
    path = max(pages.files, key=lambda path: path.stat().st_size)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ):
        found = measure_cold({"pass": never}, pages, 2, lambda text: None)
    assert isinstance(found, str)
    assert "of the pages stay in the page cache after posix_fadvise(DONTNEED)" in found
    assert pages.drop() is None


def test_a_cache_that_holds_nothing_gives_a_reason(copy: Store) -> None:
    """A warm pass is called cold on a file system that caches elsewhere and drops nothing."""
    pages = RecordPages.of(copy, copy.index.rows("train"))
    assert pages.drop() is None
    found = measure_cold({"pass": never}, pages, 2, lambda text: None)
    assert isinstance(found, str)
    assert "only 0 % of the pages are in the page cache" in found


def test_memory_has_nothing_colder(folder: Path) -> None:
    """A store on a tmpfs gets a figure for a cold pass."""
    if file_system(SHM) not in MEMORY:
        pytest.skip(f"{SHM} does not lie in memory here")
    with (
        tempfile.TemporaryDirectory(dir=SHM) as place,
        shards.open(shutil.copytree(folder, Path(place) / "store")) as store,
    ):
        pages = RecordPages.of(store, store.index.rows("train"))
        assert pages.share_in_cache() == 1
        found = measure_cold({"pass": never}, pages, 2, lambda text: None)
    assert isinstance(found, str)
    assert found.startswith("not possible: the store lies in memory (tmpfs)")


def test_files_that_are_gone_give_a_reason(copy: Store) -> None:
    """A benchmark of many minutes ends in an error when a file cannot be opened in its last one."""
    rows = copy.index.rows("train")
    pages = RecordPages.of(copy, rows)
    gone = next(iter(pages.files))
    gone.unlink()
    assert pages.drop() == f"not possible: {gone}: No such file or directory"


class NoCall:
    """A C library without mincore(2)."""


class NotImplementedCall:
    """A kernel without it."""

    def mincore(self, *arguments: object) -> int:
        """Fail as the C library does then."""
        ctypes.set_errno(errno.ENOSYS)
        return -1


@pytest.mark.parametrize(
    ("library", "reason"),
    [(NoCall, "the C library has no mincore(2)"), (NotImplementedCall, "mincore(2): Function not implemented")],
)
def test_a_kernel_that_does_not_tell_gives_a_reason(
    copy: Store, library: type, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A benchmark of many minutes ends in an error where nobody knows what the page cache holds."""
    pages = RecordPages.of(copy, copy.index.rows("train"))
    monkeypatch.setattr(ctypes, "CDLL", lambda *arguments, **options: library())
    found = measure_cold({"pass": never}, pages, 2, lambda text: None)
    assert isinstance(found, str)
    assert found.startswith("not possible: what the page cache holds is not known here")
    assert reason in found
