"""The folder of an export: written beside its place and renamed, so that it is whole or absent."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from shards.errors import InvalidValue
from shards.storage.atomic import (
    make_folder,
    remove_temporary_folders,
    sync_file,
    sync_folder,
    temporary_beside,
)
from shards.storage.lock import exclusive_beside
from shards.storage.names import named, renamed
from trainer.errors import TrainError
from trainer.inference.model_folder import WEIGHTS, is_export
from trainer.models.weights_config import CONFIG
from trainer.runs.beginning import check_place

CARD: Final = "README.md"
ONNX: Final = "model.onnx"
ONNX_DATA: Final = "model.onnx.data"
PROGRAM: Final = "model.pt2"
FILES: Final = (CARD, CONFIG, WEIGHTS, ONNX, ONNX_DATA, PROGRAM)
"""Names of all files that an export may have."""


def check_out(out: Path, *, overwrite: bool) -> None:
    """Check that an export may be written to a folder: it is absent, empty, or an export that may be replaced.

    Raises:
        InvalidValue: it is a file or a link, holds something else, or an export and `overwrite` is not said.
        RunExists: it is or lies in a run or a store.
        OSError: it cannot be read.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InvalidValue(f"{out} is no folder; name a new one")
    check_place(out)
    if not out.exists():
        return
    names = sorted(path.name for path in out.iterdir())
    if not names:
        return
    foreign = [name for name in names if name not in FILES or (out / name).is_symlink() or not (out / name).is_file()]
    if foreign or not is_export(out):
        raise InvalidValue(f"{out} holds {(foreign or names)[0]}, which is of no export; name a new folder")
    if not overwrite:
        raise InvalidValue(f"{out} holds an export; name a new folder, or replace it with `overwrite=True`")


@contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a folder to write to, which takes its place under `out` only if the block ends without an error.

    Raises:
        InvalidValue: as `check_out` raises it, before the block and after.
        InUse: another process exports to it.
        OSError: it cannot be written; the error names files as they would be called in the end.
    """
    check_out(out, overwrite=overwrite)
    make_folder(out.absolute().parent)
    in_use = f"{out} is in use by another export"
    with exclusive_beside(out, "export", in_use), _temporary(out, overwrite=overwrite) as temporary:
        yield temporary


@contextmanager
def _temporary(out: Path, *, overwrite: bool) -> Iterator[Path]:
    place = out.absolute()
    remove_temporary_folders(place)
    temporary = temporary_beside(place)
    temporary.mkdir()
    try:
        with renamed(temporary, out):
            yield temporary
            for path in temporary.iterdir():
                with named(path):
                    sync_file(path)
            sync_folder(temporary)
            # Another process may have written there meanwhile.
            check_out(out, overwrite=overwrite)
            _rename(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(new: Path, out: Path) -> None:
    """Give a folder its name; what is there is an empty folder, or an export that is replaced."""
    old = temporary_beside(out.absolute())
    if out.exists():
        os.rename(out, old)
    try:
        os.rename(new, out)
    except OSError as err:
        if old.exists():
            os.rename(old, out)
        raise TrainError(f"{out} cannot be written: {err.strerror or err}") from err
    sync_folder(out.absolute().parent)
    with suppress(FileNotFoundError):
        shutil.rmtree(old)
