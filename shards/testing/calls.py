"""Calls of this process to the operating system on what lies below a folder, seen on their way.

Faults (`shards.testing.failing_calls`) and recorded crashes (`shards.testing.crashes`) come in here. Seen are the calls
that Python code makes through `os` and `open`, those of zarr-python too; not what compiled code does by itself.
"""

import builtins
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast
from unittest.mock import patch

Name: TypeAlias = Literal[
    "read", "open folder", "list", "create", "mkdir", "unlink", "rmdir", "rename", "link", "write", "fsync"
]
"""Kinds of calls. `read` opens a file for reading, `create` opens one for writing."""

_BY_PATH: Final[dict[str, tuple[Name, int]]] = {
    "mkdir": ("mkdir", 0),
    "unlink": ("unlink", 0),
    "remove": ("unlink", 0),
    "rmdir": ("rmdir", 0),
    "rename": ("rename", 1),
    "replace": ("rename", 1),
    "link": ("link", 1),
    "scandir": ("list", 0),
    "listdir": ("list", 0),
}
"""Functions of `os` by name: what they do, and the number of the argument that names what they change."""
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True, slots=True)
class Call:
    """A call on its way.

    Attributes:
        name: what is done.
        path: to what; of a rename or link, its new name.
        perform: does it and returns its result: of `read`, `open folder` and `create` a descriptor or an open file.
        perform_half: of `write` alone, writes the first half.
    """

    name: Name
    path: Path
    perform: Callable[[], Any]
    perform_half: Callable[[], Any] = lambda: None


class _Interception:
    def __init__(self, folder: Path, handle: Callable[[Call], Any]) -> None:
        self._folder, self._handle = os.path.abspath(folder), handle
        self._inside = threading.local()
        self._open, self._os_open = builtins.open, os.open

    def is_below(self, path: object) -> bool:
        if not isinstance(path, str | os.PathLike) or getattr(self._inside, "is_set", False):
            return False
        text = os.path.abspath(os.fspath(cast(str, path)))
        return text == self._folder or text.startswith(f"{self._folder}{os.sep}")

    def pass_on(self, call: Call) -> Any:
        """Let the handler see a call; what it does itself is not seen again."""
        self._inside.is_set = True
        try:
            return self._handle(call)
        finally:
            self._inside.is_set = False

    def by_path(self, name: Name, number: int, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if len(args) <= number or options.get("dir_fd") is not None or not self.is_below(args[number]):
                return original(*args, **options)
            return self.pass_on(Call(name, Path(args[number]), lambda: original(*args, **options)))

        return call

    def open_descriptor(self, path: Any, flags: int, *args: Any, **options: Any) -> int:
        def perform() -> int:
            return self._os_open(path, flags, *args, **options)

        if options.get("dir_fd") is not None or not self.is_below(path):
            return perform()
        if flags & _WRITING:
            return cast(int, self.pass_on(Call("create", Path(path), perform)))
        name: Name = "open folder" if os.path.isdir(path) else "read"
        return cast(int, self.pass_on(Call(name, Path(path), perform)))

    def open_file(self, file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        def perform() -> Any:
            return self._open(file, mode, *args, **options)

        if isinstance(file, int):
            path = _path_of(file)
        elif self.is_below(file):
            path = os.fspath(file)
            if "opener" not in options and set(mode) <= set("rbt"):
                # By way of the descriptor, so that a handler need return one only.
                return self._open(self.open_descriptor(file, os.O_RDONLY | os.O_CLOEXEC), mode, *args, **options)
        else:
            return perform()
        if not self.is_below(path) or set(mode) <= set("rbt"):
            return perform()
        opened = perform() if isinstance(file, int) else self.pass_on(Call("create", Path(path), perform))
        return _WrittenFile(opened, Path(path), self)

    def sync(self, file: Any) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        if not self.is_below(path := _path_of(descriptor)):
            _fsync(descriptor)
            return
        self.pass_on(Call("fsync", Path(path), lambda: _fsync(descriptor)))


class _WrittenFile:
    """An open file whose writes are seen; all else is the file's."""

    def __init__(self, file: Any, path: Path, interception: _Interception) -> None:
        self._file, self._path, self._interception = file, path, interception

    def write(self, data: Any) -> Any:
        def perform_half() -> None:
            view = memoryview(data.encode() if isinstance(data, str) else data).cast("B")
            binary = getattr(self._file, "buffer", self._file)
            binary.write(view[: len(view) // 2])
            binary.flush()

        call = Call("write", self._path, lambda: self._file.write(data), perform_half)
        return self._interception.pass_on(call) if self._interception.is_below(self._path) else call.perform()

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __enter__(self) -> "_WrittenFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


_fsync: Final = os.fsync


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)")


@contextmanager
def intercepted(folder: Path, handle: Callable[[Call], Any]) -> Iterator[None]:
    """Pass calls on files and folders below a folder, and on itself, to a handler while the block runs.

    Args:
        folder: an absolute path without symbolic links.
        handle: receives each call, of any thread; it performs the call or does something else, and returns the result
            or raises what the call is to raise. Calls that it makes itself are not seen.
    """
    interception = _Interception(folder, handle)
    with ExitStack() as stack:
        for name, (does, number) in _BY_PATH.items():
            stack.enter_context(patch.object(os, name, interception.by_path(does, number, getattr(os, name))))
        stack.enter_context(patch.object(os, "open", interception.open_descriptor))
        stack.enter_context(patch.object(os, "fsync", interception.sync))
        for module in (io, builtins):
            stack.enter_context(patch.object(module, "open", interception.open_file))
        yield
