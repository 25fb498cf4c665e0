"""The cache of a store at an address while others delete, cut and overwrite its images, or its disk fills."""

import gc
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

import shards
from shards.storage.disk import cache as cache_module
from shards.storage.disk.image import Image
from tests.shards.conftest import read_rows
from tests.support.network.shelves import Shelf

ROWS = np.random.default_rng(0).permutation(300)


def images(folder: Path) -> list[Path]:
    """Return the images of a cache."""
    return [path for path in folder.glob("*/*") if path.name.isdecimal()]


def deleted_images() -> int:
    """Return how many files of caches this process has open that nobody else can see."""
    found = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    links = [path for path in found if path.is_symlink() and "/cache/" in os.readlink(path)]
    return sum(os.stat(path).st_nlink == 0 for path in links)


def test_images_that_were_deleted_take_up_no_space(
    s3: Shelf, raw_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many times the bytes of a small cache pass through it: none that it has deleted stay open, collected or not."""
    monkeypatch.setattr(cache_module, "LEAST", 1)
    with shards.open(s3.store(raw_store), cache_dir=tmp_path / "cache", cache_bytes=6 << 20) as store:
        gc.disable()
        try:
            for part in np.split(ROWS, 30):
                store.will_read(part)
                read_rows(store, part)
            assert s3.proxy.num_requests > 60
            read_rows(store, ROWS[-10:])
            # A request that was sent a second time may be under way.
            store._files.pool.close()  # type: ignore[attr-defined]
            assert deleted_images() == 0
        finally:
            gc.enable()


def test_images_that_another_process_deletes_are_closed(
    s3: Shelf, raw_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of files that are not read any more, too."""
    monkeypatch.setattr(cache_module, "_LOOK_SECONDS", 0.0)
    with shards.open(s3.store(raw_store), cache_dir=tmp_path / "cache") as store:
        read_rows(store, range(300))
        for path in images(tmp_path / "cache"):
            path.unlink()
        assert deleted_images() > 3
        read_rows(store, [0])
        assert deleted_images() == 0


def test_a_cache_whose_folder_is_deleted_is_said_and_reading_goes_on(
    s3: Shelf, tar_store: Path, tmp_path: Path
) -> None:
    """Somebody frees space."""
    with shards.open(tar_store) as local, shards.open(s3.store(tar_store), cache_dir=tmp_path / "cache") as store:
        read_rows(store, ROWS[:10])
        shutil.rmtree(tmp_path / "cache")
        with pytest.warns(UserWarning, match=r"the disk of the cache in .* fails \(No such file or directory\)"):
            found = read_rows(store, ROWS)
        assert np.array_equal(found, read_rows(local, ROWS))


@pytest.mark.parametrize("verify", ["first", "always"])
def test_images_that_are_cut_after_the_disk_was_full_are_read_no_more(
    s3: Shelf, tar_store: Path, tmp_path: Path, verify: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an answer some records were stored and others kept: whoever needs one of the first waited for ever."""
    write, calls = Image.write, [0]

    def fill(image: Image, *arguments: object) -> None:
        calls[0] += 1
        if calls[0] > 3:
            raise OSError(28, os.strerror(28))
        write(image, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "write", fill)
    with shards.open(tar_store) as local, shards.open(s3.store(tar_store), cache_dir=tmp_path / "cache") as store:
        with pytest.warns(UserWarning, match="is full"):
            read_rows(store, range(64))
        for path in images(tmp_path / "cache"):
            os.truncate(path, 100)
        found: list[bool] = []

        def read() -> None:
            found.append(np.array_equal(read_rows(store, range(64), verify=verify), read_rows(local, range(64))))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(60)
        assert found == [True]


@pytest.mark.parametrize("verify", ["first", "always", "never"])
def test_what_is_damaged_after_it_was_compared_is_fetched_anew(
    s3: Shelf, any_store: Path, tmp_path: Path, verify: str
) -> None:
    """A check or a decoder that fails on the cache says nothing of the store."""
    with shards.open(any_store) as local, shards.open(s3.store(any_store), cache_dir=tmp_path / "cache") as store:
        if verify != "always" and store.manifest.codec == "raw":
            pytest.skip("nothing but the checksum tells damage")
        expected = read_rows(local, ROWS)
        read_rows(store, ROWS)
        for path in images(tmp_path / "cache"):
            with open(path, "r+b") as file:
                file.write(bytes(path.stat().st_size * 4 // 5))
        assert np.array_equal(read_rows(store, ROWS, verify=verify), expected)
        assert store.read_encoded(ROWS[:9], verify="always") == local.read_encoded(ROWS[:9])
