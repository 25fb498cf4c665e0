"""Archives of trees, as GNU tar, Python and others write them."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import zstandard

COMPRESSIONS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "tar": bytes,
    "tar.zst": lambda content: zstandard.compress(content, 1),
    "tar.gz": lambda content: gzip.compress(content, 1),
    "tar.bz2": lambda content: bz2.compress(content, 1),
    "tar.xz": lambda content: lzma.compress(content, preset=0),
}


def files_below(tree: Path, folder: str = "BigEarthNet-S2") -> dict[str, bytes]:
    """Return the files of a tree by their paths, in order."""
    return {str(path.relative_to(tree)): path.read_bytes() for path in sorted((tree / folder).rglob("*.*"))}


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member; `fields` are those of `tarfile.TarInfo`."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), 1_500_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]], style: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=style) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def write_archive(
    path: Path,
    files: dict[str, bytes],
    *,
    style: int = tarfile.GNU_FORMAT,
    prefix: str = "",
    order: int | None = None,
    more: tuple[tuple[tarfile.TarInfo, bytes], ...] = (),
    first: bool = False,
) -> Path:
    """Write an archive, compressed as the name says; `order` seeds a random order, `more` are further members."""
    members = [member(prefix + name, content) for name, content in files.items()]
    members = [*more, *members] if first else [*members, *more]
    if order is not None:
        random.Random(order).shuffle(members)
    path.write_bytes(COMPRESSIONS[path.name.partition(".")[2]](tar_of(members, style)))
    return path
