"""Errors of lock files: what they name, and what they leave."""

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from shards.errors import InUse
from shards.storage.lock import exclusive, exclusive_beside


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_an_error_names_the_folder_and_not_the_lock(tmp_path: Path) -> None:
    """The user reads of a file that only this program knows."""
    with pytest.raises(FileNotFoundError) as caught, exclusive(tmp_path / "gone/.lock", "in use"):
        pass
    assert caught.value.filename == str(tmp_path / "gone")
    out = tmp_path / "gone/results"
    with pytest.raises(FileNotFoundError) as caught, exclusive_beside(out, "export", "in use"):
        pass
    assert caught.value.filename == str(out)
    assert f"nothing can be written beside it, in {tmp_path / 'gone'}: " in str(caught.value.strerror)
    # A lock that is there and cannot be opened is named, for it has to be looked at.
    (tmp_path / ".lock").symlink_to(tmp_path)
    with pytest.raises(OSError, match="lock") as link, exclusive(tmp_path / ".lock", "in use"):
        pass
    assert link.value.filename == str(tmp_path / ".lock")


def test_a_full_disk_is_named_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a full disk does not say which, and an empty file stays."""
    for refuse in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", _failing(errno.ENOSPC))
            if refuse:
                patch.setattr(fcntl, "flock", _failing(errno.ENOSYS))
            with pytest.raises(OSError, match="No space left") as caught, exclusive(tmp_path / "lock", "x"):
                pass
        assert caught.value.filename == str(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_a_place_is_held_once(tmp_path: Path) -> None:
    """Two processes write the same results, or an error of the work is taken for one of the lock."""
    out = tmp_path / "results"
    with (
        exclusive_beside(out, "export", "results are in use"),
        pytest.raises(InUse, match="results are in use"),
        exclusive_beside(out, "export", "results are in use"),
    ):
        pass
    with pytest.raises(OSError, match="of the work") as caught, exclusive_beside(out, "export", "in use"):
        raise OSError(errno.EIO, "of the work")
    assert caught.value.filename is None
    assert list(tmp_path.iterdir()) == []


def test_the_lock_file_of_the_next_holder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that ends removes, after its own, the file that the next one has just made, so that a third holds it."""
    lock, unlink = tmp_path / "lock", Path.unlink
    with ExitStack() as stack:

        def remove(path: Path, missing_ok: bool = False) -> None:
            unlink(path, missing_ok=missing_ok)
            if path == lock:
                monkeypatch.undo()
                stack.enter_context(exclusive(lock, "in use"))

        with exclusive(lock, "in use"):
            monkeypatch.setattr(Path, "unlink", remove)
        assert lock.exists()
        with pytest.raises(InUse), exclusive(lock, "in use"):
            pass
