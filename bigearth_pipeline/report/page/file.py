"""The file of a page: written whole, and never over something that is no page."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.report.page.render import GENERATOR
from shards.metadata.place import check_outside_stores
from shards.storage.atomic import atomic_write
from shards.storage.safe_open import open_regular_file

_MARK: Final = f'<meta name="generator" content="{GENERATOR}">'.encode()
_HEAD_BYTES: Final = 4096


def check_out(out: Path, folders: Iterable[Path]) -> None:
    """Check that a page may be written there, before the work is done.

    Raises:
        PipelineError: it would replace something that is no page of this program, or lie among the files of a folder
            that it is about.
        InvalidValue: it would lie in a store.
        OSError: the file that is there cannot be read.
    """
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()):
            raise PipelineError(f"`out={out}` lies in {folder}, whose files are checked; name a file elsewhere")
    check_outside_stores(out)
    if not out.parent.is_dir():
        raise PipelineError(f"{out.parent} is no folder, expected one in which `out={out}` can be written")
    if not os.access(out.parent, os.W_OK):
        raise PipelineError(
            f"{out} cannot be written: no file can be made in the folder {out.parent}; name another one"
        )
    if not out.exists():
        return
    with open_regular_file(out) as file:
        if _MARK not in file.read(_HEAD_BYTES):
            raise PipelineError(f"{out} exists and is no report; name another file by `out=`")


def write_page(out: Path, content: bytes) -> None:
    """Write a page, whole or not at all."""
    with atomic_write(out) as file:
        file.write(content)
