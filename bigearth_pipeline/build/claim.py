"""Taking the place of a store for one build: one process at a time, and nothing of anybody else's is touched."""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.build.address import claim_address
from bigearth_pipeline.build.config import BuildConfig, DamagedNote, differences, note_from, read_build_note
from bigearth_pipeline.errors import PipelineError
from shards.errors import InUse, ShardError
from shards.metadata.manifest import BUILD_NOTE, MANIFEST, Manifest
from shards.metadata.place import store_around
from shards.metadata.seal import sealed
from shards.reporting import printable
from shards.storage.atomic import FULL, atomic_write, make_folder, sync_folder
from shards.storage.lock import exclusive
from shards.storage.names import renamed
from shards.storage.remote.address import Address
from shards.write.contents import LOCK, LOCKS, WORK, Contents, look

_ROUNDS: Final = 100  # Each that fails means that another build has just ended.
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def claimed(config: BuildConfig, note: dict[str, Any], say: Callable[[str], None]) -> Iterator[tuple[Path, bool]]:
    """Hold the place of a store, a folder or an address, for the build that the note describes.

    Yields:
        The folder to write to, and whether the build has already finished.

    Raises:
        PipelineError: it cannot be written to, is in use, or holds something else.
    """
    if isinstance(config.out, Address):
        try:
            with claim_address(config.out, note, overwrite=config.overwrite) as found:
                yield found
        except OSError as err:
            # The temporary folder of the build, a spool, or an archive that is kept.
            if err.errno in FULL:
                raise PipelineError(_describe(err, config.out, config.overwrite)) from err
            raise
    else:
        with claim(config.out, note, overwrite=config.overwrite, say=say) as finished:
            yield config.out, finished


@contextmanager
def claim(
    out: Path, note: dict[str, Any], *, overwrite: bool, say: Callable[[str], None] = lambda text: None
) -> Iterator[bool]:
    """Hold a folder for the build that the note describes; yield whether that build has already finished.

    A finished store is not written to, so it may lie on a disk that is read only.

    Args:
        out: the folder, which need not exist.
        note: what the store will be built from.
        overwrite: delete the store that is there.
        say: takes lines for the user.

    Raises:
        PipelineError: the folder cannot be written to, is in use, or holds other files or another build.
    """
    with ExitStack() as stack:
        try:
            finished = _enter(out, note, overwrite, say, stack)
        except InUse as err:
            raise PipelineError(str(err)) from None
        except OSError as err:
            raise PipelineError(_describe(err, out, overwrite)) from err
        try:
            yield finished
        except OSError as err:
            # Errors of sources and of connections are reported as what they are.
            if err.errno in FULL or _is_below(err.filename, out):
                raise PipelineError(_describe(err, out, overwrite)) from err
            raise


def _enter(out: Path, note: dict[str, Any], overwrite: bool, say: Callable[[str], None], stack: ExitStack) -> bool:
    """Do what precedes the build, and have the stack do what follows it; return whether the build is finished."""
    if os.path.lexists(out) and not out.is_dir():
        raise PipelineError(
            f"{out} cannot be written: File exists; it is {_kind(out)}, expected a folder or the name of a new one"
        )
    if (around := store_around(out.resolve().parent)) is not None:
        raise PipelineError(
            f"{out} lies in the store {around}, which holds no other files; name a folder outside of it"
        )
    try:
        earlier = None if overwrite else read_build_note(out)
    except DamagedNote as err:
        raise err.for_builds() from err
    is_finished = earlier is not None and (out / MANIFEST).is_file() and not (out / MANIFEST).is_symlink()
    if earlier is not None and is_finished:
        _refuse_another(out, earlier, note)
        if not os.path.lexists(out / WORK):
            return True
    _examine(out, overwrite)
    try:
        make_folder(out)
        _lock(out, say, stack)
    except OSError as err:
        if is_finished and err.errno in _READ_ONLY:
            return True
        raise
    stack.callback(_tidy, out, say)
    return _settle(out, note, overwrite)


def _lock(out: Path, say: Callable[[str], None], stack: ExitStack) -> None:
    for _ in range(_ROUNDS):
        with suppress(FileExistsError), renamed(out / WORK, out):
            (out / WORK).mkdir()
        with ExitStack() as attempt:
            # Fails while the lock is there, or the notes are.
            attempt.callback(_remove_folder, out / WORK)
            try:
                attempt.enter_context(exclusive(out / WORK / LOCK, f"{out} is in use by another build", say))
            except FileNotFoundError:
                # Another build has ended, and removed the folder, in this moment.
                if not out.is_dir():
                    raise
                continue
            stack.push(attempt.pop_all())
            return
    raise InUse(f"{out} is in use by other builds")


def _remove_folder(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _refuse_another(out: Path, earlier: dict[str, Any], note: dict[str, Any]) -> None:
    if found := differences(earlier, note):
        raise PipelineError(
            f"{out} holds another build: {'; '.join(found)}. "
            "Name another directory, or replace that build with `overwrite=True`"
        )


def _examine(out: Path, overwrite: bool, *, again: bool = False) -> tuple[dict[str, Any] | None, Contents]:
    """Return the note of the build that the folder holds and what lies there; `again` is for its own use.

    Raises:
        PipelineError: there is something that no build has made and that would be in the way or deleted.
    """
    earlier: dict[str, Any] | None = None
    listed: set[str] | None = None
    try:
        earlier = read_build_note(out)
    except DamagedNote as err:
        if not overwrite:
            raise err.for_builds() from err
        # The manifest says what the note no longer does.
        earlier = {}
    if earlier is not None and (out / MANIFEST).is_file():
        try:
            manifest = Manifest.read(out)
        except ShardError:
            if not earlier:
                raise PipelineError(
                    f"{out / BUILD_NOTE} and {out / MANIFEST} are both damaged, so `overwrite=True` cannot tell what "
                    f"of {out} is a store; delete it by hand, or name another directory"
                ) from None
        else:
            earlier = earlier or note_from(manifest)
            listed = {info.path for shard in manifest.shards for info in shard.files}
            listed |= {info.path for info in manifest.files}
    elif earlier == {}:
        raise PipelineError(
            f"{out / BUILD_NOTE} is damaged or not of bep, and there is no {MANIFEST}, so `overwrite=True` deletes "
            f"nothing; delete {out} by hand, or name another directory"
        )
    if earlier is None:
        contents = look(out, None)
    else:
        contents = look(out, earlier["format"], -(-earlier["num_folders"] // earlier["patches_per_shard"]))
    if earlier is None and contents.strangers:
        if not again and (out / BUILD_NOTE).is_file():
            # Another build has begun since the note was looked for.
            return _examine(out, overwrite, again=True)
        raise PipelineError(
            f"{out} is not empty ({_names(contents.strangers)}) and holds no build; name a new directory"
        )
    if contents.misplaced:
        path = out / contents.misplaced[0]
        raise PipelineError(f"{printable(str(path))} is {_kind(path)}, which no build makes there; move it elsewhere")
    if overwrite:
        strangers = contents.strangers
        if listed is not None:
            # Of a finished store only what its manifest lists, and what every store has.
            strangers += [path for path in contents.shards if path not in listed]
        if strangers:
            raise PipelineError(
                f"{out} holds {_names(strangers)}, which is no part of the store, so `overwrite=True` deletes nothing; "
                "move it elsewhere, or name another directory"
            )
    return earlier, contents


def _settle(out: Path, note: dict[str, Any], overwrite: bool) -> bool:
    """Prepare the folder, which is held, for the build; return whether that is already finished."""
    earlier, contents = _examine(out, overwrite)
    for path in contents.temporaries:
        (out / path).unlink(missing_ok=True)
    if overwrite:
        # The manifest first, durably: what is left of a store is none, also after a power failure.
        (out / MANIFEST).unlink(missing_ok=True)
        sync_folder(out)
        for path in contents.files:
            if path not in (*LOCKS, BUILD_NOTE):
                (out / path).unlink(missing_ok=True)
        for path in reversed(contents.folders):
            if path != WORK:
                (out / path).rmdir()
    elif earlier is not None and (MANIFEST in contents.files or contents.shards or contents.notes):
        _refuse_another(out, earlier, note)
        return MANIFEST in contents.files
    # Nothing has been built, so there is nothing that another build could spoil.
    with atomic_write(out / BUILD_NOTE) as file:
        file.write(json.dumps(sealed(note), indent=1).encode() + b"\n")
    return False


def _tidy(out: Path, say: Callable[[str], None]) -> None:
    """Remove what only a build that is at work needs; the folder is still held."""
    try:
        _, contents = _examine(out, overwrite=False)
        unneeded = contents.temporaries
        if MANIFEST in contents.files:
            unneeded = unneeded + [path for path in contents.files if path.startswith(f"{WORK}/") and path not in LOCKS]
        for path in unneeded:
            (out / path).unlink(missing_ok=True)
    except (OSError, PipelineError) as err:
        # The work is done, or has failed for a reason of its own.
        say(f"temporary files of {out} were not removed: {err}")


def _describe(err: OSError, out: Path, overwrite: bool) -> str:
    """Return one line on an error of writing to the store."""
    if err.errno in FULL:
        what = "space" if err.errno == errno.ENOSPC else "quota"
        # With it the same command would delete what there is.
        again = "the same command without `overwrite=True`" if overwrite else "the same command again"
        # A spool, or an archive that is kept, may lie on another disk.
        elsewhere = isinstance(err.filename, str) and not _is_below(err.filename, out)
        place = Path(err.filename).parent if elsewhere else out
        return f"no {what} left on the disk of {place}; make room and run {again} to resume"
    return f"{err.filename or out} cannot be written: {err.strerror or err}"


def _is_below(path: object, out: Path) -> bool:
    if isinstance(out, Address):
        return False
    return isinstance(path, str) and Path(os.path.abspath(path)).is_relative_to(os.path.abspath(out))


def _names(paths: list[str]) -> str:
    return printable(", ".join(paths[:3]) + (", …" if len(paths) > 3 else ""))


def _kind(path: Path) -> str:
    """Return what a path is, for an error."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        target = os.readlink(path)
        return printable(f"a symbolic link to {target}" + ("" if path.exists() else ", which does not exist"))
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
