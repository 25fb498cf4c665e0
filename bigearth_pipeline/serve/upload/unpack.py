"""A zip of an upload, unpacked into a folder: each member under a number, whatever its name; bombs are refused."""

import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.serve.upload.limits import MOST_FILES, MOST_MEMBERS, MOST_RATIO, MOST_UNPACKED
from shards.reporting import printable, shortened

_CHUNK: Final = 1 << 20
_LEAST_BYTES: Final = 1 << 16
"""Bytes up to which a member may be packed at any ratio."""


def unpack(archive: Path, folder: Path) -> list[tuple[str, Path]]:
    """Write the files of a zip into a folder; return (last part of its name, path) of each.

    Raises:
        BadScene: it is no zip, is damaged or encrypted, has too many or too large members, a link, or a member whose
            name leads out of the folder.
    """
    with _reading(archive) as opened:
        members = [member for member in _checked(opened.infolist()) if not member.is_dir()]
        if len(members) > MOST_FILES:
            raise BadScene(f"the zip has {len(members):,} files, expected at most {MOST_FILES}")
        found = []
        for number, member in enumerate(members):
            path = folder / f"{number}.bin"
            _extract(opened, member, path)
            found.append((PurePosixPath(member.filename).name, path))
        return found


def last_names(archive: Path) -> set[str]:
    """Return the last parts of the names of a zip's files.

    Raises:
        BadScene: as `unpack` raises it, but for the number of files.
    """
    with _reading(archive) as opened:
        return {PurePosixPath(member.filename).name for member in _checked(opened.infolist()) if not member.is_dir()}


@contextmanager
def _reading(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as err:
        raise BadScene(f"the zip cannot be read: {printable(shortened(str(err), 120))}") from err
    except Exception as err:
        # zlib, bz2 and lzma raise their own errors for damaged members.
        if isinstance(err, BadScene) or type(err).__name__ not in ("error", "LZMAError"):
            raise
        raise BadScene(f"the zip is damaged: {printable(shortened(str(err), 120))}") from err


def _checked(members: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    if len(members) > MOST_MEMBERS:
        raise BadScene(f"the zip has {len(members):,} members, expected at most {MOST_FILES} files")
    kept = []
    for member in members:
        path = PurePosixPath(member.filename)
        name = printable(member.filename)[:80]
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
            raise BadScene(f"the zip has a member {name!r}, whose name leads out of its folder")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadScene(f"the zip has a member {name!r} that is a link or a device, expected files")
        if member.flag_bits & 1:
            raise BadScene(f"the zip has an encrypted member {name!r}")
        # Files that macOS adds to zips.
        if path.parts[:1] == ("__MACOSX",) or path.name == ".DS_Store":
            continue
        if member.file_size > max(_LEAST_BYTES, MOST_RATIO * member.compress_size):
            raise BadScene(f"the zip has a member {name!r} that unpacks to more than {MOST_RATIO} times its size")
        kept.append(member)
    total = sum(member.file_size for member in kept)
    if total > MOST_UNPACKED:
        raise BadScene(f"the zip unpacks to {total:,} bytes, expected at most {MOST_UNPACKED:,}")
    return kept


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Write a member, of no more bytes than its header says."""
    left = member.file_size
    with opened.open(member) as source, open(path, "xb") as target:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise BadScene("the zip has a member that is larger than it says")
            target.write(chunk)
