"""Band files: their spellings, and what lies where one is expected."""

import errno
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.tiff.reader import TiffReader
from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, GROUPS, RECORD_VALUES
from tests.bigearth_pipeline.source.conftest import KEY
from tests.conftest import real
from tests.support.data import faults
from tests.support.data.tiffs import official

SPARSE_BYTES = 20 << 30


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Make a socket at a path, whose length is limited."""
    with socket.socket(socket.AF_UNIX) as made:

        def bind(path: Path) -> None:
            made.bind(str(tmp_path / "s"))
            (tmp_path / "s").rename(path)

        yield bind


def seen() -> TiffReader:
    """A reader that has seen a patch of the usual kind."""
    folder = next(real("v2/BigEarthNet-S2").glob("*/*"))
    reader = TiffReader()
    reader.read_patch(str(folder), folder.name, np.empty(80_000, np.uint16))
    return reader


def sparse(path: Path, start: bytes = b"") -> None:
    path.write_bytes(start)
    os.truncate(path, SPARSE_BYTES)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a named pipe, expected a regular file"),
    "folder": (os.mkdir, "it is a folder, expected a regular file"),
    "link to a folder": (lambda path: path.symlink_to(path.parent), "it is a folder"),
    "zeros": (lambda path: path.symlink_to("/dev/zero"), "it is a character device"),
    "nothing": (lambda path: path.symlink_to("/dev/null"), "it is a character device"),
    "terminal": (lambda path: path.symlink_to("/dev/ptmx"), "it is a character device"),
    "link in a circle": (lambda path: path.symlink_to(path), "symbolic links"),
    "broken link": (lambda path: path.symlink_to(path.parent / "absent"), "is missing"),
    "link through a file": (lambda path: path.symlink_to(Path(__file__) / "x"), "Not a directory"),
    "empty": (Path.touch, "is empty, expected a TIFF of 1 band of 120 × 120 uint16$"),
    "sparse": (sparse, f"it has {SPARSE_BYTES:,} bytes, expected at most 67,108,864"),
    "sparse with a head": (lambda path: sparse(path, official(GROUPS[0], bytes(28_800)).encode()), "it has 21,474,8"),
    "pipe of a process": (lambda path: path.symlink_to("/proc/self/environ/x"), "Not a directory"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_regular_file_is_a_bad_patch_at_once(patch: Path, kind: str) -> None:
    """A pipe, a device, a folder or a sparse file in place of a band stops a build for ever."""
    make, message = KINDS[kind]
    band = patch / f"{KEY}_B03.tif"
    band.unlink()
    make(band)
    for reader in (TiffReader(), seen(), TiffReader(always_gdal=True)):
        started = time.monotonic()
        with pytest.raises(BadPatch, match=message) as caught:
            reader.read_patch(str(patch), KEY, np.empty(80_000, np.uint16))
        assert f"{KEY}_B03.tif" in str(caught.value)
        assert time.monotonic() - started < 60
        assert reader.bytes_read < 1 << 20


def test_the_words_of_gdal_end_without_a_full_stop(patch: Path) -> None:
    """A line that continues after them has two."""
    band = patch / f"{KEY}_B03.tif"
    band.write_bytes(b"not a TIFF")
    with pytest.raises(BadPatch, match=r"B03\.tif is not a readable TIFF of .*\w$"):
        TiffReader().read_patch(str(patch), KEY, np.empty(80_000, np.uint16))


def test_a_socket_is_a_bad_patch(patch: Path, bound: Callable[[Path], None]) -> None:
    """A socket in place of a band is an error of a number."""
    band = patch / f"{KEY}_B03.tif"
    band.unlink()
    bound(band)
    with pytest.raises(BadPatch, match=r"_B03.tif is a socket or a device, expected a regular file"):
        TiffReader().read_patch(str(patch), KEY, np.empty(80_000, np.uint16))


@pytest.mark.parametrize("make", [os.mkfifo, Path.touch, lambda path: None, lambda path: path.symlink_to("/dev/zero")])
def test_no_folder_is_a_bad_patch(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A pipe in place of a patch's folder stops a build for ever."""
    make(tmp_path / KEY)
    with pytest.raises(BadPatch, match=f"{KEY} cannot be opened"):
        TiffReader().read_patch(str(tmp_path / KEY), KEY, np.empty(80_000, np.uint16))


def test_a_sparse_file_that_gdal_could_read_has_a_limit_of_memory(tmp_path: Path) -> None:
    """A head that declares terabytes, or blocks of them, takes the memory of a worker."""
    import resource

    import rasterio

    profile = {"driver": "GTiff", "width": 120, "height": 120, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
    transform = rasterio.Affine(10, 0, 4e5, 0, -10, 5e6)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = tmp_path / "a.tif"
    for options in (
        {"width": 1 << 30, "height": 1 << 20, "bigtiff": "yes"},
        {"tiled": True, "blockxsize": 1 << 15, "blockysize": 1 << 14},
        {"tiled": True, "blockxsize": 1 << 15, "blockysize": 1 << 14, "compress": "deflate"},
        {"count": 60_000},
    ):
        with rasterio.open(path, "w", transform=transform, sparse_ok=True, **{**profile, **options}):
            pass
        with pytest.raises(BadPatch, match=r"a\.tif (holds|is cut into blocks|cannot be read)"):
            TiffReader().read_band(str(path), GROUPS[0], np.empty(14_400, np.uint16))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


@pytest.mark.parametrize("ending", [".tif", ".tiff", ".TIF", ".TIFF"])
def test_every_spelling_is_read(patch: Path, ending: str) -> None:
    """A patch whose files end in `.tiff` or `.TIF` is said to lack its bands."""
    record = np.arange(80_000, dtype=np.uint32).astype(np.uint16)
    for band, values in BAND_SLICES.items():
        path = patch / f"{KEY}_{band}.tif"
        path.unlink()
        path.with_suffix(ending).write_bytes(official(GROUP_OF[band], record[values].tobytes()).encode())
    for reader in (TiffReader(), TiffReader(always_gdal=True)):
        read = np.empty(80_000, np.uint16)
        reader.read_patch(str(patch), KEY, read)
        np.testing.assert_array_equal(read, record)
    # Also if only some are spelled so.
    for band in BANDS[::3]:
        path = patch / f"{KEY}_{band}{ending}"
        path.rename(path.with_suffix(".Tiff"))
    TiffReader().read_patch(str(patch), KEY, read)
    np.testing.assert_array_equal(read, record)


def test_the_real_patch_of_tiff_files() -> None:
    """The real sample whose files end in `.tiff` cannot be read."""
    (folder,) = real("v2-tiff/S2").iterdir()
    records = np.empty((2, 80_000), np.uint16)
    fast, slow = TiffReader(), TiffReader(always_gdal=True)
    assert fast.read_patch(str(folder), folder.name, records[0]).epsg == 32634
    slow.read_patch(str(folder), folder.name, records[1])
    np.testing.assert_array_equal(records[0], records[1])
    assert len(np.unique(records[0])) > 100


@pytest.mark.parametrize("endings", [(".tif", ".tiff"), (".TIF", ".tif"), (".TIFF", ".tiff"), (".tif", ".TIF")])
def test_two_spellings_of_a_band_are_named(patch: Path, endings: tuple[str, str]) -> None:
    """Of two files of a band one is taken by chance."""
    for band in ("B02", "B8A"):
        copied = faults.copy(patch, patch.parent / band / KEY)
        path = copied / f"{KEY}_{band}.tif"
        content = path.read_bytes()
        path.unlink()
        for ending in endings:
            path.with_suffix(ending).write_bytes(content)
        with pytest.raises(BadPatch) as caught:
            TiffReader().read_patch(str(copied), KEY, np.empty(80_000, np.uint16))
        assert all(f"{KEY}_{band}{ending}" in str(caught.value) for ending in endings)


def test_other_files_in_the_folder_do_not_matter(patch: Path) -> None:
    """A patch with previews, masks or notes beside its bands is refused."""
    record = np.empty(80_000, np.uint16)
    for name in ("notes.txt", f"{KEY}_labels_metadata.json", "preview.tif", f"{KEY}_B10.tif", f"{KEY}_B02.tif.aux.xml"):
        (patch / name).write_bytes(b"<PAMDataset><SRS>EPSG:32634</SRS></PAMDataset>")
        (patch / f"{KEY}_B02.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    for reader in (TiffReader(), TiffReader(always_gdal=True)):
        assert reader.read_patch(str(patch), KEY, record).epsg == 32633


def test_a_missing_band_is_named_whatever_else_is_there(patch: Path) -> None:
    """The name of a band that is absent is guessed from another spelling."""
    shutil.move(patch / f"{KEY}_B8A.tif", patch / f"{KEY}_B8A.png")
    with pytest.raises(BadPatch, match=f"{KEY}_B8A.tif is missing"):
        TiffReader().read_patch(str(patch), KEY, np.empty(80_000, np.uint16))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_lack_of_descriptors_or_memory_is_no_fault_of_a_patch(
    patch: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Sound patches are left out of a store because the process had too many files open for a moment."""

    def refuse(*arguments: object, **settings: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match=os.strerror(number)), TiffReader() as reader:
        reader.read_patch(str(patch), patch.name, np.empty(RECORD_VALUES, np.uint16))
