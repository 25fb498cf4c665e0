"""Patches of uploads in memory; the oldest uploads are forgotten."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_UPLOADS: Final = 16
"""Uploads that are kept; one has up to `bigearth_pipeline.serve.upload.limits.MOST_WINDOWS` patches of 160 KB."""


@dataclass(frozen=True, slots=True, eq=False)
class UploadedPatch:
    """A patch of an upload.

    Attributes:
        key: its name within the upload: `0`, `1` and so on.
        record: (80000,) uint16.
        missing: share of its area without data.
        place: EPSG code, easting and northing of its upper-left corner in metres; None where unknown.
    """

    key: str
    record: NDArray[np.uint16]
    missing: float
    place: tuple[int, float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """An upload that was decoded.

    Attributes:
        title: name that the user gave it, for the page.
        columns: patches in a row, for a scene; None for single patches.
        patches: its patches.
        notes: lines for the user.
        bands: names of the bands that it has.
    """

    title: str
    columns: int | None
    patches: tuple[UploadedPatch, ...]
    notes: tuple[str, ...]
    bands: tuple[str, ...]


class AbsentUpload(LookupError):
    """There is no such upload, or it was forgotten."""


class Uploads:
    """Uploads by address, such as `u4f…`, the last `MOST_UPLOADS` of them; any thread may use it.

    Attributes:
        listeners: take the address of an upload that is forgotten, to forget what was made of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self.listeners: list[Callable[[str], None]] = []

    def keep(self, upload: Upload) -> str:
        """Keep an upload and return its address."""
        name = f"u{secrets.token_hex(8)}"
        with self._lock:
            self._kept[name] = upload
            old = list(self._kept)[:-MOST_UPLOADS]
            for each in old:
                del self._kept[each]
        self._tell(old)
        return name

    def has(self, name: str) -> bool:
        """Tell whether there is an upload with an address."""
        return name in self._kept

    def get(self, name: str) -> Upload:
        """Return an upload.

        Raises:
            AbsentUpload: it was never there, or was forgotten.
        """
        found = self._kept.get(name)
        if found is None:
            raise AbsentUpload(f"no upload {name!r:.40}; the last {MOST_UPLOADS} are kept")
        return found

    def patch(self, name: str, key: str) -> UploadedPatch:
        """Return a patch of an upload.

        Raises:
            AbsentUpload: there is no such upload or patch.
        """
        patches = self.get(name).patches
        if not (key.isascii() and key.isdigit() and len(key) < 7 and int(key) < len(patches)):
            raise AbsentUpload(f"no patch {key!r:.40} in upload {name}")
        return patches[int(key)]

    def forget(self, name: str) -> None:
        """Forget an upload.

        Raises:
            AbsentUpload: there is no such upload.
        """
        with self._lock:
            if self._kept.pop(name, None) is None:
                raise AbsentUpload(f"no upload {name!r:.40}")
        self._tell([name])

    def _tell(self, names: list[str]) -> None:
        for name in names:
            for listener in self.listeners:
                listener(name)
