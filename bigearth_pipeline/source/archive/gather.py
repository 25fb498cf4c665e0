"""Patches from members in any order: the band files of each are kept until all twelve have come."""

import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.annotations import MAX_BYTES, Annotation, parse_v1_annotation
from bigearth_pipeline.source.archive.folders import ArchiveFolders
from bigearth_pipeline.source.archive.headers import Kind
from bigearth_pipeline.source.archive.members import Member, TarReader
from bigearth_pipeline.source.archive.names import Place, place_of
from bigearth_pipeline.source.tiff.names import band_of_file, choose_band_files
from bigearth_pipeline.source.tiff.reader import MAX_FILE_BYTES, too_large
from bigearth_pipeline.source.tree import ANNOTATION_SUFFIX, Version, is_named_as
from shards.layout.bands import BANDS
from shards.reporting import printable

if TYPE_CHECKING:
    from bigearth_pipeline.source.archive.scan import WholePatch

PENDING_BYTES: Final = 192 << 20
"""Bytes of band files that wait in memory for others of their patch, at most; more wait on disk."""
COMPILED_AFTER: Final = 2000
"""Patches after which whole ones are looked for by compiled code: it takes 0.6 s of processor time to begin, and then
0.15 ms less of each."""
_ALL: Final = len(BANDS)


class Ready(NamedTuple):
    """A patch all of whose band files have come.

    Attributes:
        folder: of the patch.
        names: of the band files in record order; empty if they are the usual ones.
        content: the bytes that they lie in.
        bounds: begin and end of each file in them.
    """

    folder: str
    names: tuple[str, ...]
    content: bytes | memoryview
    bounds: tuple[int, ...]


@dataclass(slots=True)
class _Waiting:
    """A patch some of whose band files have come: their contents, or offset and length in the file of those on disk."""

    key: str
    is_taken: bool
    files: dict[str, bytes | tuple[int, int] | None] = field(default_factory=dict)
    bands: set[str] = field(default_factory=set)
    in_memory: int = 0


@dataclass(slots=True)
class Facts:
    """The facts that the members of archives tell besides the pixels.

    Attributes:
        folders: the tree that they form.
        annotations: what the JSON files of v1 patches say by folder, or what is wrong with them.
        faults: why the patch in a folder cannot be used, whatever its pixels.
        num_skipped: members that are neither files nor folders of a tree.
        skipped: the first of them, and what is wrong with it.
    """

    folders: ArchiveFolders = field(default_factory=ArchiveFolders)
    annotations: dict[str, Annotation | str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    num_skipped: int = 0
    skipped: str = ""


class Gatherer:
    """Gathers the patches of archives.

    Attributes:
        facts: what was found so far.
    """

    def __init__(
        self,
        version: Version,
        wanted: Callable[[str], bool],
        stored: Container[str],
        waiting_file: Path,
        memory_bytes: int = PENDING_BYTES,
    ) -> None:
        """Prepare to gather.

        Args:
            version: of BigEarthNet.
            wanted: tells whether a patch of this name is to be read; asked once for each folder.
            stored: folders whose patches are read already.
            waiting_file: new file for what waits and does not fit into memory.
            memory_bytes: bytes that wait in memory, at most.
        """
        self.facts = Facts()
        self._version, self._wanted, self._stored = version, wanted, stored
        self._path, self._file, self._file_bytes = waiting_file, None, 0
        self._memory_left = memory_bytes
        self._waiting: dict[str, _Waiting] = {}
        self._done: dict[str, tuple[str, ...] | None] = {}

    _file: BinaryIO | None

    def read(self, tar: TarReader, archive: str) -> Iterator[Ready]:
        """Yield the patches of an archive as they become ready."""
        self.facts.folders.add_root(archive)
        members = iter(tar)
        while True:
            if len(self._done) >= COMPILED_AFTER:
                while (patch := tar.next_patch()) is not None and (folder := self._folder_of(patch, archive)):
                    tar.skip_patch(patch)
                    self.facts.folders.add_patch(folder)
                    self._done[folder] = None
                    if self._is_taken(folder, patch.key) and folder not in self.facts.faults:
                        yield Ready(folder, (), patch.content, patch.bounds)
            member = next(members, None)
            if member is None:
                return
            place = place_of(member.name)
            if not place.name:
                continue  # The top of the archive itself.
            folder = f"{archive}/{place.folder}" if place.folder else archive
            if member.kind is Kind.FOLDER and not place.fault:
                self.facts.folders.add_folder(f"{folder}/{place.name}")
                continue
            key = folder.rpartition("/")[2]
            band = band_of_file(place.name, key)
            is_annotation = self._version == "v1" and place.name == key + ANNOTATION_SUFFIX
            if place.fault or member.kind is not Kind.FILE:
                self._refuse(member, place, folder, band is not None or is_annotation)
                continue
            self.facts.folders.add_file(folder, place.name)
            if is_annotation:
                self._annotate(tar, member, folder, f"{folder}/{place.name}")
            elif band is not None:
                ready = self._add(tar, member, folder, key, place.name, band)
                if ready is not None:
                    yield ready

    def _folder_of(self, patch: "WholePatch", archive: str) -> str:
        """Return the folder of a whole patch; empty if it is not where it should be, or files of it came before."""
        place = place_of(patch.name)
        folder = f"{archive}/{place.folder}"
        return "" if place.fault or folder in self._done or folder in self._waiting else folder

    def _is_taken(self, folder: str, key: str) -> bool:
        return folder not in self._stored and self._wanted(key)

    def finish(self) -> None:
        """Note why the patches cannot be used that are not whole, and give up what waits."""
        for folder, patch in self._waiting.items():
            self._note_names(folder, patch.key, list(patch.files))
        self._waiting.clear()
        self.close()

    def close(self) -> None:
        """Delete the file of what waits."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)

    def _refuse(self, member: Member, place: Place, folder: str, is_of_patch: bool) -> None:
        """Refuse a member that is no regular file, or whose name leads elsewhere, and the patch that it belongs to."""
        link = f" to {printable(member.link)}" if member.link else ""
        fault = f"has {place.fault}" if place.fault else f"is {member.kind.value}{link}"
        text = f"member {printable(member.name)} {fault}, expected a regular file below the top of the archive"
        patch = folder if is_of_patch else None
        if is_named_as(self._version, place.name):
            patch = f"{folder}/{place.name}"
        if patch is None:
            self.facts.num_skipped += 1
            self.facts.skipped = self.facts.skipped or f"{printable(member.name)}, which {fault}"
            return
        self.facts.folders.add_folder(patch)
        if is_of_patch:
            self.facts.folders.add_file(folder, place.name)
        self.facts.faults.setdefault(patch, text)

    def _annotate(self, tar: TarReader, member: Member, folder: str, path: str) -> None:
        if folder in self.facts.annotations:
            self.facts.faults.setdefault(folder, _twice(member.name))
            return
        if member.size > MAX_BYTES:
            fact = f"it has {member.size:,} bytes, expected at most {MAX_BYTES:,}"
            self.facts.annotations[folder] = f"{path} cannot be read: {fact}"
            return
        try:
            self.facts.annotations[folder] = parse_v1_annotation(path, tar.content())
        except BadPatch as err:
            self.facts.annotations[folder] = str(err)

    def _add(self, tar: TarReader, member: Member, folder: str, key: str, name: str, band: str) -> Ready | None:
        """Take a band file; return its patch if that is ready."""
        if folder in self._done:
            names = self._done[folder] or tuple(choose_band_files([f"{key}_{each}.tif" for each in BANDS], folder, key))
            if name in names:
                self.facts.faults.setdefault(folder, _twice(member.name))
            else:
                self._note_names(folder, key, [*names, name])
            return None
        patch = self._waiting.get(folder)
        if patch is None:
            patch = self._waiting[folder] = _Waiting(key, self._is_taken(folder, key))
        if name in patch.files:
            self.facts.faults.setdefault(folder, _twice(member.name))
            return None
        content: bytes | None = None
        if member.size > MAX_FILE_BYTES:
            self.facts.faults.setdefault(folder, f"{folder}/{name} cannot be read: {too_large(member.size)}")
        elif patch.is_taken and folder not in self.facts.faults:
            content = tar.content()
            patch.in_memory += len(content)
            self._memory_left -= len(content)
        patch.files[name] = content
        patch.bands.add(band)
        if len(patch.bands) == _ALL:
            return self._complete(folder, patch)
        if self._memory_left < 0:
            self._spill()
        return None

    def _complete(self, folder: str, patch: _Waiting) -> Ready | None:
        del self._waiting[folder]
        self._memory_left += patch.in_memory
        names = tuple(patch.files)
        is_usual = all(name.endswith(".tif") for name in names) and len(names) == _ALL
        self._done[folder] = None if is_usual else names
        if not is_usual:
            self._note_names(folder, patch.key, list(names))
        if not patch.is_taken or folder in self.facts.faults:
            return None
        ordered = choose_band_files(names, folder, patch.key)
        contents = [self._content(patch.files[name]) for name in ordered]
        bounds = [0, *accumulate(map(len, contents))]
        pairs = tuple(bound for pair in pairwise(bounds) for bound in pair)
        return Ready(folder, () if is_usual else tuple(ordered), b"".join(contents), pairs)

    def _note_names(self, folder: str, key: str, names: list[str]) -> None:
        """Note what is wrong with the names of the band files of a patch, if anything is."""
        try:
            choose_band_files(names, folder, key)
        except BadPatch as err:
            self.facts.faults.setdefault(folder, str(err))

    def _spill(self) -> None:
        """Write to disk what has waited longest, until half of the memory is free."""
        if self._file is None:
            self._file = open(self._path, "w+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        wanted = sum(patch.in_memory for patch in self._waiting.values()) // 2
        for patch in self._waiting.values():
            if wanted <= 0:
                break
            for name, content in patch.files.items():
                if isinstance(content, bytes):
                    patch.files[name] = self._append(content), len(content)
            wanted -= patch.in_memory
            self._memory_left += patch.in_memory
            patch.in_memory = 0

    def _append(self, content: bytes) -> int:
        """Append a band file to the file of what waits; return its offset there."""
        assert self._file is not None
        offset, view = self._file_bytes, memoryview(content)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as err:
            err.filename = err.filename or str(self._path)
            raise
        self._file_bytes += len(content)
        return offset

    def _content(self, content: bytes | tuple[int, int] | None) -> bytes:
        if isinstance(content, bytes):
            return content
        assert content is not None
        assert self._file is not None
        offset, length = content
        return os.pread(self._file.fileno(), length, offset)


def _twice(name: str) -> str:
    return f"member {printable(name)} is in the archive twice, expected once; which one is meant cannot be known"
