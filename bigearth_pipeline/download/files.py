"""Whole files: downloaded, checked, and given their names."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bigearth_pipeline.download.client import Changed, Client, Patience, shown
from bigearth_pipeline.download.disk import OnDisk, held, part_paths, remove_parts, tidy
from bigearth_pipeline.download.pieces import fetched
from bigearth_pipeline.errors import PipelineError
from shards.metadata.place import check_outside_stores
from shards.storage.atomic import folder_made
from shards.storage.safe_open import open_regular_file

CONNECTIONS: Final = 4
_ROOM: Final = 64 << 20
"""Bytes that a disk shall have left."""

Advance = Callable[[int, int, int], None]
"""Takes bytes that are there, bytes of the file, and bytes that were there before this run."""


def download(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    md5: str | None = None,
    connections: int = CONNECTIONS,
    patience: Patience | None = None,
    say: Callable[[str], None] = lambda text: None,
    advance: Advance = lambda done, total, before: None,
) -> bool:
    """Download a file, or the rest of one; return whether there was anything to do.

    Args:
        url: its address.
        path: of the finished file; until then `NAME.part` and `NAME.part.json` lie beside it.
        size: bytes that it must have.
        md5: that it must have.
        connections: at a time.
        patience: with the server.
        say: takes lines for the user.
        advance: receives how it goes.

    Raises:
        InvalidValue: it would lie in a store.
        PipelineError: it cannot be had, is another than expected, or there is no room for it.
    """
    if path.exists():
        _check_finished(path, size, md5)
        tidy(path)
        return False
    if path.parent.exists() and not path.parent.is_dir():
        raise PipelineError(f"{path.parent} is a file, expected a folder for {path.name}; name another")
    check_outside_stores(path)
    with folder_made(path.parent), held(path, say):
        for last in (False, True):
            try:
                _download_once(url, path, size, md5, connections, patience, say, advance)
                return True
            except Changed as err:
                remove_parts(*part_paths(path))
                if last:
                    raise
                say(f"{err}; it is read again from its begin")
    raise AssertionError


def _download_once(
    url: str, path: Path, size: int | None, md5: str | None, connections: int, patience: Patience | None,
    say: Callable[[str], None], advance: Advance,
) -> None:  # fmt: skip
    client = Client(connections, patience)
    try:
        file = client.describe(url)
        if size is not None and file.size != size:
            raise PipelineError(f"{shown(url)} has {file.size:,} bytes, expected {size:,}: it is another file")
        sink = OnDisk(path, file)
    except BaseException:
        client.close()
        raise
    try:
        before = sink.bytes_done()
        check_space(path.parent, file.size - before, path.name)
        if before:
            say(f"{path.name}: {before:,} of {file.size:,} bytes are there from an earlier run")
        if not file.has_ranges:
            say(f"{shown(url)}: the server gives no ranges, so that one connection reads all, and a cut begins anew")
        digest, checked = hashlib.md5(usedforsecurity=False), 0
        with fetched(client, file, sink, connections) as transfer:
            for piece in transfer.in_order():
                digest.update(piece)
                checked += len(piece)
                advance(max(checked, sink.bytes_done()), file.size, before)
        found = digest.hexdigest()
        if checked != file.size or md5 not in (None, found):
            sink.discard()
            raise PipelineError(
                f"{shown(url)}: the MD5 of what came is {found}, expected {md5}; it was deleted, "
                "run the same command again"
            )
        sink.finish(path)
    finally:
        client.close()
        sink.close()


def check_space(folder: Path, needed: int, name: str) -> None:
    """Check that there is room for a download.

    Raises:
        PipelineError: there is not.
    """
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if needed + _ROOM > free:
        raise PipelineError(
            f"{name} takes {needed:,} bytes more in {folder}, and {free:,} are free; make room, or name another folder"
        )


def md5_of(path: Path) -> str:
    """Return the MD5 of a file in hexadecimal."""
    with open_regular_file(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check_finished(path: Path, size: int | None, md5: str | None) -> None:
    """Check a file that is there already.

    Raises:
        PipelineError: it is another one.
    """
    try:
        found_size = path.stat().st_size
        found = md5_of(path) if md5 is not None and size in (None, found_size) else md5
    except OSError as err:
        raise PipelineError(f"{path} cannot be read: {err.strerror}") from err
    if size not in (None, found_size) or found != md5:
        fact = f"{found_size:,} bytes" if size not in (None, found_size) else f"the MD5 {found}"
        expected = f"{size:,}" if size not in (None, found_size) else str(md5)
        raise PipelineError(f"{path} is there and has {fact}, expected {expected}; move it elsewhere")
