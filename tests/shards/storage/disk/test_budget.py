"""The size of the cache on disk, over all of its processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from crc32c import crc32c

from shards.storage.base import FileEntry, Ranges, RangeTable
from shards.storage.disk import cache as cache_module
from shards.storage.disk.budget import Budget
from shards.storage.disk.cache import DiskCache


def test_the_cache_keeps_to_its_size_and_drops_what_was_used_least_lately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen files of 1 MiB through a cache of 5: never more on disk, and the last ones used are there."""
    size, count = 1 << 20, 16
    monkeypatch.setattr(cache_module, "LEAST", 1)
    rng = np.random.default_rng(0)
    content = [rng.integers(0, 256, size, np.uint8) for _ in range(count)]
    cache = DiskCache(tmp_path / "cache", 5 * size, [FileEntry(str(i), size) for i in range(count)], _table(content))
    budget = Budget(tmp_path / "cache", 5 * size)

    def one(i: int) -> Ranges:
        return Ranges(np.array([i]), np.array([i], np.int32), np.zeros(1, np.int64), np.array([size]))

    for i in range(count):
        with cache.room(i, size, evict=True) as image:
            assert image is not None
            assert cache.write(image, 0, [memoryview(content[i])])
            assert cache.hold(image, np.array([i]))
        assert budget.used() <= 5 * size
        # The first is used all the time, as another process would see.
        found, held, _ = cache.find(one(0))
        if i:
            os.utime(found[0].descriptor, (2**31 + i, 2**31 + i))
        assert held.all()
        os.utime(next(iter(cache.find(one(i))[0].values())).descriptor, (2**30 + i,) * 2)
        os.utime(cache.find(one(0))[0][0].descriptor, (2**31, 2**31))
    kept = [i for i in range(count) if cache.find(one(i))[1].all()]
    assert kept[0] == 0
    assert kept[1:] == list(range(count - len(kept) + 1, count))
    assert len(kept) in (3, 4, 5)
    buffer = np.empty(size, np.uint8)
    for i in kept:
        assert cache.read(cache.find(one(i))[0][i], i, 0, buffer)
        assert np.array_equal(buffer, content[i])
    cache.close()


def test_reservations_of_killed_processes_leave_most_of_the_cache(tmp_path: Path) -> None:
    """Room for answers under way when a process is killed stays reserved, and takes the whole cache from others."""
    size = 4 << 20
    budget = Budget(tmp_path / "cache", 64 << 20)
    reserve = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from shards.storage.disk.budget import Budget\n"
        f"budget = Budget(Path({str(tmp_path / 'cache')!r}), {64 << 20})\n"
        f"while budget.reserve({size}, evict=False): pass\n"
        "os.kill(os.getpid(), 9)\n"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", reserve], check=False)
    given = 0
    while budget.reserve(size):
        given += size
    assert given >= 50 << 20
    budget.close()


def _table(content: list[np.ndarray]) -> RangeTable:
    count = len(content)
    ranges = Ranges(
        np.arange(count),
        np.arange(count, dtype=np.int32),
        np.zeros(count, np.int64),
        np.array([len(each) for each in content]),
    )
    return RangeTable(bytes(32), ranges, np.array([crc32c(each) for each in content], np.uint32))
