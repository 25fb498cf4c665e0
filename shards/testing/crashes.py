"""States that a power failure can leave of files: those of a folder between any two calls of recorded work.

The model is that of POSIX: what was written is safe after fsync of the file, and a name that was made, renamed or
removed is safe after fsync of the folder that holds it. Before that, each may have arrived or not, in any order.
Journaling file systems keep more of an order; what holds here holds there.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from shards.testing.calls import Call, intercepted

_Number: TypeAlias = int
"""Of a file or folder, whatever its names; the recorded folder has 0."""
_Name: TypeAlias = tuple[_Number, str]
"""A name in a folder."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A state that a power failure can leave.

    Attributes:
        after: number of calls that had been made, and the last of them.
        files: content by path below the recorded folder.
        folders: paths of the folders, each after the one that holds it.
    """

    after: str
    files: Mapping[str, bytes]
    folders: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Make the state in a new folder."""
        folder.mkdir()
        for path in self.folders:
            (folder / path).mkdir()
        for path, content in self.files.items():
            (folder / path).write_bytes(content)


@dataclass(frozen=True, slots=True)
class _Moment:
    """After a call: how many changes of names were made, which are safe, what files hold, and what of it is safe."""

    after: str
    is_sync: bool
    num_changes: int
    settled: frozenset[int]
    contents: Mapping[_Number, bytes]
    synced: Mapping[_Number, bytes]


@dataclass(slots=True)
class _Tree:
    names: dict[_Name, _Number] = field(default_factory=dict)
    contents: dict[_Number, bytes] = field(default_factory=dict)


class Recording:
    """The calls that work makes on what lies below a folder, and what they change."""

    def __init__(self, folder: Path) -> None:
        """Begin; what is there already is safe."""
        self._folder = os.path.abspath(folder)
        self._numbers: dict[tuple[int, int], _Number] = {}
        self._next = 1
        self._lock = threading.RLock()
        self._known = {b"": b""}
        self._now = self._scan()
        self._start = dict(self._now.names)
        # Also of files that are gone, whose removal may not arrive.
        self._contents = dict(self._now.contents)
        self._synced = dict(self._now.contents)
        self._changes: list[dict[_Name, _Number | None]] = []
        self._settled: frozenset[int] = frozenset()
        self._moments: list[_Moment] = []
        self._mark("the start")

    def handle(self, call: Call) -> Any:
        """Perform a call, and note what has changed."""
        with self._lock:
            # Writes need no moment of their own: what is not safe may be there in part anyway.
            if call.name in ("read", "open folder", "list", "write"):
                return call.perform()
            target = os.stat(call.path) if call.name == "fsync" else None
            try:
                return call.perform()
            finally:
                self._update()
                if target is not None:
                    self._settle(self._numbers[target.st_dev, target.st_ino])
                self._mark(f"{call.name} {os.path.relpath(call.path, self._folder)}", is_sync=target is not None)

    def _update(self) -> None:
        before, self._now = self._now.names, self._scan()
        self._contents |= self._now.contents
        now = self._now.names
        if change := {name: now.get(name) for name in before.keys() | now.keys() if before.get(name) != now.get(name)}:
            self._changes.append(change)

    def _settle(self, number: _Number) -> None:
        if number in self._now.contents:
            self._synced[number] = self._now.contents[number]
            return
        safe = {i for i, change in enumerate(self._changes) if {folder for folder, _ in change} == {number}}
        self._settled |= safe

    def _mark(self, after: str, *, is_sync: bool = False) -> None:
        contents, synced = dict(self._contents), dict(self._synced)
        what = f"call {len(self._moments)}: {after}"
        self._moments.append(_Moment(what, is_sync, len(self._changes), self._settled, contents, synced))

    def _scan(self) -> _Tree:
        tree, numbers = _Tree(), {_identity(os.stat(self._folder)): 0}

        def walk(path: str, number: _Number) -> None:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            for entry in found:
                identity = _identity(entry.stat(follow_symlinks=False))
                if identity not in numbers:
                    numbers[identity] = self._numbers.get(identity, self._next)
                    self._next += identity not in self._numbers
                tree.names[number, entry.name] = numbers[identity]
                if entry.is_dir(follow_symlinks=False):
                    walk(entry.path, numbers[identity])
                else:
                    with open(entry.path, "rb") as file:
                        tree.contents[numbers[identity]] = self._shared(file.read())

        walk(self._folder, 0)
        # The identity of what is gone may be given to something new.
        self._numbers = numbers
        return tree

    def crashes(self) -> Iterator[Crash]:
        """Yield different states that a power failure can leave, from the first call to the last.

        After each call, of the changes of names that are not safe all, none, all but the newest or only this one have
        arrived; before the first of several calls of fsync also all but any one, and any one alone. Of all content that
        is not safe the whole, half or nothing has arrived.
        """
        seen: set[tuple[Any, ...]] = set()
        for moment, following in zip(self._moments, [*self._moments[1:], None], strict=True):
            is_eve = not moment.is_sync and (following is None or following.is_sync)
            for crash in self._crashes_at(moment, every=is_eve):
                # Equal content is one object.
                key = (crash.folders, *((path, id(content)) for path, content in crash.files.items()))
                if key not in seen:
                    seen.add(key)
                    yield crash

    def last(self) -> Crash:
        """Return the state in which nothing of what was not safe at the end has arrived."""
        return self._state(self._moments[-1], frozenset(), 0.0)

    def _crashes_at(self, moment: _Moment, *, every: bool) -> Iterator[Crash]:
        pending = frozenset(range(moment.num_changes)) - moment.settled
        choices = {pending, frozenset[int]()}
        for i in pending if every else sorted(pending)[-1:]:
            choices |= {pending - {i}, frozenset({i})}
        for arrived in sorted(choices, key=sorted):
            for share in (1.0, 0.5, 0.0):
                yield self._state(moment, arrived, share)

    def _state(self, moment: _Moment, arrived: frozenset[int], share: float) -> Crash:
        """Return the state with some changes of names that are not safe, and a share of all content that is not."""
        names: dict[_Name, _Number | None] = dict(self._start)
        # What is safe comes first in each folder, because fsync of a folder makes all changes in it safe.
        for chosen in (moment.settled, arrived):
            for i in sorted(chosen):
                names |= self._changes[i]
        children: dict[_Number, list[tuple[str, _Number]]] = {}
        for (folder, name), number in names.items():
            if number is not None:
                children.setdefault(folder, []).append((name, number))
        files: dict[str, bytes] = {}
        folders: list[str] = []

        def walk(folder: _Number, below: str) -> None:
            for name, number in sorted(children.get(folder, [])):
                if number in moment.contents:
                    files[f"{below}{name}"] = self._content(moment, number, share)
                else:
                    folders.append(f"{below}{name}")
                    walk(number, f"{below}{name}/")

        walk(0, "")
        return Crash(moment.after, files, tuple(folders))

    def _content(self, moment: _Moment, number: _Number, share: float) -> bytes:
        safe, content = moment.synced.get(number, self._known[b""]), moment.contents[number]
        if content is safe or share == 1:
            return content
        return safe if share == 0 else self._shared(content[: int(len(content) * share)])

    def _shared(self, content: bytes) -> bytes:
        return self._known.setdefault(content, content)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


@contextmanager
def recorded(folder: Path) -> Iterator[Recording]:
    """Record the calls of this process on what lies below a folder while the block runs.

    Args:
        folder: an absolute path without symbolic links; what others change in it meanwhile counts as the next call's.
    """
    recording = Recording(folder)
    with intercepted(folder, recording.handle):
        yield recording
