"""One process at a time in a folder.

The lock is `flock` on a file that is made here and removed while it is held. Where the file system has none (Lustre
without `-o flock`, some NFS), a file that only one process can make stands for it. It outlives a killed process, so it
names the holder: that of a dead process of this machine is taken over, any other is for people to judge. It is made by
link(2), with its content; where there are no links, by O_EXCL, and a kill before it is written leaves one that names
nobody and has to be deleted by hand.

Hosts may mount one file system with and without locks. So who has made either file looks for a holder of the other:
each is named in its file before it looks, and gives way where it finds one, so that of two at least one does.
"""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from shards.errors import InUse
from shards.runtime.processes import machine, started
from shards.storage.atomic import temporaries_of, temporary_beside, temporary_of
from shards.storage.names import named
from shards.storage.safe_open import check_regular, read_regular

MARK_SUFFIX: Final = ".held"
"""Added to the name of a lock file where a file system has no locks."""

_NO_LOCKS: Final = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_NO_LINKS: Final = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK)
_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_ROUNDS: Final = 200  # Each that fails means that another process has just begun or ended.
_PAUSE_SECONDS: Final = 0.005
_MAX_BYTES: Final = 4096


@contextmanager
def exclusive(path: Path, what: str, say: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Hold a lock file, made and removed here, while the block runs.

    Args:
        path: of the lock file; its folder exists.
        what: the thing that is locked and by what, for the error, such as `runs/first is in use by another training`.
        say: takes a line for the user where the file system has no locks.

    Raises:
        InUse: another process holds it; the message names that process, if it is known.
        OSError: the file cannot be made; the error names its folder.
    """
    process = os.getpid()
    mark = path.with_name(path.name + MARK_SUFFIX)
    held = path
    _refuse_held(mark, what)
    try:
        descriptor = _lock(path, mark, what)
    except OSError as err:
        if err.errno not in _NO_LOCKS:
            _name_folder(err, path)
            raise
        held = mark
        try:
            descriptor = _mark(mark, path, what)
        except FileNotFoundError:
            # The folder is gone, or was for a moment, so that the lock file that is there now is another's.
            raise
        except OSError:
            if not _read_holder(path):
                path.unlink(missing_ok=True)  # Nobody has a use for it.
            raise
        say(
            f"the file system of {path.parent} has no locks ({err.strerror}): {held} marks it as in use; "
            "after a kill on another host that file has to be deleted by hand"
        )
    try:
        yield
    finally:
        try:
            # A forked child that ends this block has a copy of the descriptor, but holds nothing. A file that cannot be
            # removed keeps nobody out once it is closed, or its process has ended.
            with suppress(OSError):
                if os.getpid() == process and _is_at(descriptor, held):
                    # The lock file goes first, for nobody can hold it as long as there is the mark.
                    path.unlink(missing_ok=True)
                    # Once, for a file of that name may be the next holder's by now.
                    if held != path:
                        held.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether a lock file is held, as far as its holder's note says; asking locks nothing.

    A holder on another machine counts as at work, since nobody here can know that it has ended.
    """
    holders = [_read_holder(path), _read_holder(path.with_name(path.name + MARK_SUFFIX))]
    return any(holder and not _is_dead_here(holder) for holder in holders)


def is_of_lock(name: str, lock: str) -> bool:
    """Return whether a file of that name belongs to a lock file, which may be held, or left by a killed process."""
    return (temporary_of(name) or name) in (lock, lock + MARK_SUFFIX)


@contextmanager
def exclusive_beside(out: Path, verb: str, what: str) -> Iterator[None]:
    """Hold the place of results that a command makes elsewhere and then renames, while the block runs.

    Args:
        out: folder of the results, which may be absent; the lock file lies beside it.
        verb: command that makes them, such as `export`, for the name of the lock file.
        what: as for `exclusive`.

    Raises:
        InUse: another process holds it.
        OSError: nothing can be made beside it; the error names `out`.
    """
    place = out.resolve()
    with ExitStack() as stack:
        try:
            lock = place.with_name(f".{place.name}.{verb}.lock")
            stack.enter_context(exclusive(lock, what))
        except OSError as err:
            reason = f"nothing can be written beside it, in {place.parent}: {err.strerror}"
            raise OSError(err.errno, reason, str(out)) from err
        yield


def _name_folder(err: OSError, path: Path) -> None:
    """Let an error of a lock file that cannot be made name its folder, for the file is nobody's but ours."""
    if err.filename == str(path) and (err.errno == errno.EROFS or not os.path.lexists(path)):
        err.filename = str(path.parent)


def _refuse_held(path: Path, what: str) -> None:
    """Refuse a thing of which this file, lock or mark, names a holder that may be at work.

    Raises:
        InUse: it does.
    """
    if (holder := _read_holder(path)) and not _is_dead_here(holder):
        raise InUse(f"{what}{_describe(holder)}; if that process has ended, delete {path}")


def _lock(path: Path, mark: Path, what: str) -> int:
    """Return the descriptor of a file that is locked with `flock`, while nobody holds the mark."""
    for _ in range(_ROUNDS):
        descriptor = os.open(path, _OPEN, 0o666)
        try:
            check_regular(descriptor, path)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have removed the file between the two calls: then this lock keeps nobody out.
            if _is_at(descriptor, path):
                try:
                    _write_holder(descriptor, path)
                    _refuse_held(mark, what)
                    if mark.exists():
                        _remove_stale(mark)
                except (OSError, InUse):
                    if _is_at(descriptor, path):
                        path.unlink(missing_ok=True)  # It is held here alone.
                    raise
                # The last holder of the mark may have removed the file before it removed the mark.
                if _is_at(descriptor, path):
                    return descriptor
        except BlockingIOError:
            holder = _read_holder(path)
            if holder is not None:
                os.close(descriptor)
                raise InUse(f"{what}{_describe(holder)}") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise InUse(what)


def _mark(path: Path, lock: Path, what: str) -> int:
    """Return the descriptor of a file that this process alone has made, while nobody holds the lock."""
    for _ in range(_ROUNDS):
        try:
            descriptor = _make_mark(path)
        except FileExistsError:
            holder = _read_holder(path)
            if holder is None or not holder:
                # Just removed, or just made and not written to yet.
                time.sleep(_PAUSE_SECONDS)
            elif _is_dead_here(holder):
                _remove_stale(path)
            else:
                _refuse_held(path, what)
            continue
        if descriptor is not None:
            try:
                _refuse_held(lock, what)
            except InUse:
                path.unlink(missing_ok=True)
                os.close(descriptor)
                raise
            for temporary in temporaries_of(path):
                temporary.unlink(missing_ok=True)
            return descriptor
    raise InUse(f"{what}; if none is running, delete {path}")


def _make_mark(path: Path) -> int | None:
    """Return the descriptor of a mark that was made; None if the next holder has removed what was to become it.

    Raises:
        FileExistsError: there is one.
    """
    temporary = temporary_beside(path)
    descriptor = os.open(temporary, _OPEN | os.O_EXCL, 0o666)
    try:
        _write_holder(descriptor, path)
        os.link(temporary, path)
    except BaseException as err:
        os.close(descriptor)
        if isinstance(err, FileNotFoundError):
            return None
        if not isinstance(err, OSError) or err.errno not in _NO_LINKS:
            raise
    else:
        return descriptor
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(path, _OPEN | os.O_EXCL, 0o666)
    try:
        _write_holder(descriptor, path)
    except BaseException:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return descriptor


def _remove_stale(path: Path) -> None:
    """Remove the mark of a dead process of this machine.

    Two that do so at a time could remove the new mark of the third. Only one of this machine does, that has the address
    of an abstract Unix socket (unix(7)), which ends with its process; and no other machine removes this mark.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as guard:
        try:
            guard.bind(f"\0bep-lock-{crc32(os.fsencode(path.resolve())):08x}")
        except OSError as err:
            if err.errno != errno.EADDRINUSE:
                raise
            time.sleep(_PAUSE_SECONDS)
            return
        holder = _read_holder(path)
        if holder and _is_dead_here(holder):
            path.unlink(missing_ok=True)


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether the path still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _write_holder(descriptor: int, path: Path) -> None:
    holder = {"host": socket.gethostname(), "process": os.getpid()}
    holder |= {"started": started(os.getpid()), "machine": machine()}
    # A disk that is full is named by its folder, for the file is nobody's but ours.
    with named(path.parent):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _read_holder(path: Path) -> dict[str, Any] | None:
    """Return what a lock file says of its holder; nothing if it does not say, None if there is no such file."""
    try:
        holder = json.loads(read_regular(path, _MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _describe(holder: dict[str, Any]) -> str:
    if not holder:
        return ""
    return f" (process {str(holder.get('process'))[:20]} on {str(holder.get('host'))[:80]})"


def _is_dead_here(holder: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine and has ended; False where that cannot be known."""
    process, here = holder.get("process"), machine()
    if type(process) is not int or here is None or holder.get("machine") != here:
        return False
    return started(process) != holder.get("started")
