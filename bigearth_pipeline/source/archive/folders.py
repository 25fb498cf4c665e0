"""The folders that the members of an archive form, as `source.tree` looks at them."""

from collections.abc import Iterator
from typing import Final

from bigearth_pipeline.source.tiff.names import USUAL_SUFFIXES
from bigearth_pipeline.source.tree import ANNOTATION_SUFFIX, BAND_FILES, SYNTHETIC

_SUFFIXES: Final = {suffix: 1 << i for i, suffix in enumerate((ANNOTATION_SUFFIX, *BAND_FILES))}
"""Ends of the file names that a tree is recognised by, a bit each."""
_USUAL: Final = sum(bit for suffix, bit in _SUFFIXES.items() if suffix in USUAL_SUFFIXES)


class ArchiveFolders:
    """The folders of archives, as `Folders`: some 300 bytes a patch, whatever the archives hold besides.

    Paths begin with the name of the archive.
    """

    def __init__(self) -> None:
        # Dictionaries, because they keep the order of the members.
        self._below: dict[str, dict[str, None]] = {}
        self._files: dict[str, int] = {}
        self._marked: set[str] = set()
        self._last = ""

    def add_root(self, name: str) -> None:
        """Add the top of an archive, above which there is nothing."""
        self._below.setdefault(name, {})

    def add_folder(self, path: str) -> None:
        """Add a folder below a root, and those that it lies in."""
        below: str | None = None
        while True:
            is_new = path not in self._below
            names = self._below.setdefault(path, {})
            if below is not None:
                names[below] = None
            if not is_new:
                return
            path, _, below = path.rpartition("/")

    def add_file(self, folder: str, name: str) -> None:
        """Add a file; of most names nothing is kept."""
        if folder != self._last:
            self.add_folder(folder)
            self._last = folder
        if name == SYNTHETIC:
            self._marked.add(folder)
        own = folder.rpartition("/")[2]
        if name.startswith(own) and (bit := _SUFFIXES.get(name[len(own) :])):
            self._files[folder] = self._files.get(folder, 0) | bit

    def add_patch(self, folder: str) -> None:
        """Add the usual twelve band files of a patch."""
        self.add_folder(folder)
        self._files[folder] = self._files.get(folder, 0) | _USUAL

    def entries(self, path: str) -> Iterator[tuple[str, str, str]]:
        """See `Folders`."""
        for name in self._below.get(path, ()):
            yield name, f"{path}/{name}", ""

    def exists(self, path: str) -> bool:
        """See `Folders`; of files only those that a search for a tree asks about."""
        folder, _, name = path.rpartition("/")
        own = folder.rpartition("/")[2]
        if name == SYNTHETIC and folder in self._marked:
            return True
        return path in self._below or bool(self._files.get(folder, 0) & _SUFFIXES.get(name.removeprefix(own), 0))
