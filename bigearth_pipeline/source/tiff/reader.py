"""Reading the band files of a patch.

BigEarthNet's own files are uncompressed little-endian TIFFs of contiguous strips. For these, one `preadv` a file puts
the pixels straight into the record; everything else (compressed, tiled, big-endian, BigTIFF, …) goes through GDAL.
Which way a file takes is decided by looking at it, and both give the same pixels and place.
"""

import errno
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.georeference import BadPlace, Georeference, georeference, utm_descriptions
from bigearth_pipeline.source.tiff.gdal import GdalReader
from bigearth_pipeline.source.tiff.layout import TIE_POINT_BYTES, Layout, parse_layout
from bigearth_pipeline.source.tiff.names import BandFile, choose_band_files
from shards.layout.bands import BAND_SLICES, GROUP_OF
from shards.layout.record import RecordGroup
from shards.storage.safe_open import OPEN_FLAGS, check_regular

MAX_FILE_BYTES: Final = 64 << 20
"""Size of a band file at most: its pixels are 28,800 bytes, all else is what other programs have added."""
_OF_THE_PROCESS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that say nothing of a file: a sound patch would go into the quarantine list for them."""
_MAX_DESCRIPTIONS: Final = 1024

_BANDS: Final = tuple((band, GROUP_OF[band], values) for band, values in BAND_SLICES.items())


_Read = Callable[[str, str, RecordGroup, NDArray[np.uint16]], Georeference]
"""Reads a band from the file of a folder (with a slash) and a name into an array, and returns where it lies."""


class TiffReader:
    """Reads band files; keeps the layouts it has seen, so that a file like the last one costs one system call.

    Attributes:
        bytes_read: bytes of all files read so far.
        statuses: size and modification time of each file, as they were before it was read; see `fingerprint`.
    """

    def __init__(self, *, always_gdal: bool = False) -> None:
        """Make a reader.

        Args:
            always_gdal: never take the short way; for checks of one way against the other.
        """
        self._always_gdal = always_gdal
        self.bytes_read = 0
        self.statuses: list[int] = []
        self._head = bytearray(4096)
        # By pixel size: the layout of the last file, and the part of `_head` that its head goes to.
        self._layouts: dict[int, tuple[Layout, memoryview]] = {}
        self._beyond = bytearray(1)
        self._epsg_of = utm_descriptions()
        # The last place and the bytes that said it: those of the other bands of a patch are the same.
        self._place_bytes = b""
        self._place: Georeference | None = None
        self._gdal = GdalReader()

    def __enter__(self) -> "TiffReader":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._gdal.close()

    def read_patch(self, folder: str, key: str, record: NDArray[np.uint16]) -> Georeference:
        """Read the twelve band files of a patch into a record and return where it lies.

        Args:
            folder: directory of the patch.
            key: patch name; the files are `<folder>/<key>_<band>.tif`, or end in `.tiff`, in small or capital letters.
            record: (80000,) uint16, filled in the order of `shards.layout.bands`.

        Raises:
            BadPatch: a file is missing, damaged, of another size or type, or lies elsewhere than the first; the message
                names it.
            PipelineError: GDAL is needed and cannot work in this environment.
        """
        try:
            directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as err:
            if err.errno in _OF_THE_PROCESS:
                raise
            raise BadPatch(f"{folder} cannot be opened: {err.strerror}") from err
        try:
            names = band_files(directory, folder, key)
            return self._read_bands(names, f"{folder}/", partial(self._read, directory), record)
        finally:
            os.close(directory)

    def read_members(self, folder: str, members: Mapping[str, BandFile], record: NDArray[np.uint16]) -> Georeference:
        """Read the twelve band files of a patch, whose contents are in memory; all else as `read_patch`.

        Args:
            folder: directory of the patch, for messages.
            members: the files by name, in record order, see `choose_band_files`.
            record: (80000,) uint16, filled in the order of `shards.layout.bands`.
        """
        return self._read_bands(list(members), f"{folder}/", partial(self._read_member, members), record)

    def _read_bands(self, names: Sequence[str], prefix: str, read: _Read, record: NDArray[np.uint16]) -> Georeference:
        """Read the files of all bands, which must lie at one place."""
        place: Georeference | None = None
        try:
            for name, (band, group, values) in zip(names, _BANDS, strict=True):
                found = read(prefix, name, group, record[values])
                if found is place:
                    continue
                if place is None:
                    place = found
                elif found != place:
                    raise BadPlace(f"{prefix}{name}: {band} lies at {found}")
        except BadPlace as err:
            if place is None:
                raise
            raise BadPatch(f"{err}; {_BANDS[0][0]} lies at {place}") from err
        assert place is not None
        return place

    def read_band(self, path: str, group: RecordGroup, out: NDArray[np.uint16]) -> Georeference:
        """Read one band file and return where it lies.

        Args:
            path: the file.
            group: resolution of the band, from which its size follows.
            out: (rows · columns,) contiguous uint16, filled row by row.

        Raises:
            BadPatch: the file is missing, damaged, or of another size or type.
            PipelineError: GDAL is needed and cannot work in this environment.
        """
        return self._read(None, "", path, group, out)

    def _read(
        self, directory: int | None, prefix: str, name: str, group: RecordGroup, out: NDArray[np.uint16]
    ) -> Georeference:
        try:
            # Without waiting, should it be a pipe. What else is no regular file cannot be read at an offset, or gives
            # bytes of no known layout, and so comes to `_read_all`, which asks.
            descriptor = os.open(name, OPEN_FLAGS, dir_fd=directory)
        except OSError as err:
            raise _unreadable(prefix + name, err) from err
        try:
            status = os.fstat(descriptor)
            self.statuses += (status.st_size, status.st_mtime_ns)
            seen = self._layouts.get(group.metres)
            if seen is not None:
                layout, head = seen
                # One byte more than there should be, so that a longer file is seen.
                count = os.preadv(descriptor, (head, out, self._beyond), 0)
                if count == layout.file_bytes:
                    found = self._place_in_head(prefix + name, layout)
                    if found is not None:
                        self.bytes_read += count
                        return found
            # Another kind of file than the last one of this size, or the first: look at it.
            content = _read_all(descriptor)
        except OSError as err:
            raise _unreadable(prefix + name, err, descriptor) from err
        finally:
            os.close(descriptor)
        self.bytes_read += len(content)
        return self._read_other(prefix + name, content, group, out)

    def _read_member(
        self, members: Mapping[str, BandFile], prefix: str, name: str, group: RecordGroup, out: NDArray[np.uint16]
    ) -> Georeference:
        content, mtime_ns = members[name]
        self.statuses += (len(content), mtime_ns)
        self.bytes_read += len(content)
        seen = self._layouts.get(group.metres)
        if seen is not None and len(content) == seen[0].file_bytes:
            layout, head = seen
            head[:] = content[: layout.head_bytes]
            found = self._place_in_head(prefix + name, layout)
            if found is not None:
                # As bytes: NumPy takes twice as long for values at odd addresses.
                memoryview(out).cast("B")[:] = content[layout.head_bytes :]
                return found
        return self._read_other(prefix + name, bytes(content), group, out)

    def _place_in_head(self, path: str, layout: Layout) -> Georeference | None:
        """Return the place of a file whose head was read; None if it is of another layout, or only GDAL can tell."""
        if not layout.fits(self._head):
            return None
        place = self._head[layout.place_at : layout.place_end]
        if place == self._place_bytes and self._place is not None:
            return self._place
        return self._locate(path, bytes(place))

    def _read_other(self, path: str, content: bytes, group: RecordGroup, out: NDArray[np.uint16]) -> Georeference:
        """Read a file that is not like the last one of its size, and remember its kind."""
        layout = None if self._always_gdal else parse_layout(path, content, group, len(self._head))
        if layout is None:
            return self._gdal.read(path, content, group, out)
        self._layouts[group.metres] = layout, memoryview(self._head)[: layout.head_bytes]
        place = content[layout.place_at : layout.place_end]
        found = self._locate(path, place)
        if found is None:
            found = self._gdal.read(path, content, group, out)
            self._learn(place, found)
        else:
            out[:] = np.frombuffer(content, "<u2", len(out), layout.head_bytes)
        return found

    def _locate(self, path: str, place: bytes) -> Georeference | None:
        """Return what the place bytes of a file say, None if only GDAL can tell."""
        column, row, level, x, y, height = struct.unpack_from("<6d", place)
        epsg = self._epsg_of.get(place[TIE_POINT_BYTES:])
        if epsg is None or column or row or level or height:
            return None
        self._place = georeference(path, epsg, x, y)
        self._place_bytes = place
        return self._place

    def _learn(self, place: bytes, found: Georeference) -> None:
        """Remember the system that GDAL finds in a description, if the tie point means what it means in others."""
        column, row, level, x, y, height = struct.unpack_from("<6d", place)
        if not (column or row or level or height) and (x, y) == (found.ulx, found.uly):
            if len(self._epsg_of) >= _MAX_DESCRIPTIONS:
                self._epsg_of = utm_descriptions()
            self._epsg_of[place[TIE_POINT_BYTES:]] = found.epsg


def band_files(directory: int | str, folder: str, key: str) -> list[str]:
    """Return the names of the band files of a patch in record order.

    Args:
        directory: descriptor or path of the folder that is looked into.
        folder: its path, for errors.
        key: patch name.

    Raises:
        BadPatch: a band has no file, or two.
    """
    try:
        names = os.listdir(directory)
    except OSError as err:
        raise _unreadable(folder, err) from err
    return choose_band_files(names, folder, key)


def too_large(size: int) -> str:
    """Return what is wrong with a file of more bytes than a band file can have."""
    return f"it has {size:,} bytes, expected at most {MAX_FILE_BYTES:,}"


def _read_all(descriptor: int) -> bytes:
    """Return the content of an open file.

    Raises:
        OSError: it is no regular file, cannot be read, or is longer than a band file can be.
    """
    size = check_regular(descriptor, "").st_size
    parts: list[bytes] = []
    offset = 0
    while size <= MAX_FILE_BYTES and (part := os.pread(descriptor, MAX_FILE_BYTES + 1 - offset, offset)):
        parts.append(part)
        offset += len(part)
        size = max(size, offset)
    if size > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, too_large(size))
    return b"".join(parts)


def _unreadable(path: str, err: OSError, descriptor: int | None = None) -> BadPatch:
    """Return what is wrong with a file that cannot be opened or read.

    Raises:
        OSError: the process, and not the file, is to blame.
    """
    if err.errno in _OF_THE_PROCESS:
        raise err
    if isinstance(err, FileNotFoundError):
        return BadPatch(f"{path} is missing")
    if err.errno == errno.ENXIO:  # So open(2) says of a socket, and of a device without a driver.
        return BadPatch(f"{path} is a socket or a device, expected a regular file")
    if descriptor is not None:
        try:
            check_regular(descriptor, path)
        except OSError as other:
            err = other  # No regular file, which is why it cannot be read.
    return BadPatch(f"{path} cannot be {'opened' if descriptor is None else 'read'}: {err.strerror}")
