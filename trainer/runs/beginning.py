"""The beginning of a run: a place that nobody else uses, and nothing left there of a run that never began."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shards.metadata.place import lies_in, store_around
from shards.storage.lock import is_of_lock
from trainer.errors import RunExists
from trainer.runs import folder as run_folder


def check_place(folder: Path) -> None:
    """Check that a folder for runs or results is neither a run or a store nor lies in one, where nobody looks for it.

    Raises:
        RunExists: it is one, or lies in one.
    """
    place = folder.resolve()
    for each in (place, *place.parents):
        if (each / run_folder.LAST).exists():
            raise RunExists(f"{lies_in(folder, each)} a run, expected a folder outside of one; name another")
    if (store := store_around(place)) is not None:
        raise RunExists(f"{lies_in(folder, store)} a store, expected a folder outside of one; name another")


def check_unused(folder: Path) -> None:
    """Check that a run may begin in a folder.

    Raises:
        RunExists: it is a file, holds something, or lies in a run or a store.
        OSError: it is not readable.
    """
    if folder.exists() and not folder.is_dir():
        raise RunExists(f"{folder} is a file, expected a new folder for the run; name another")
    if not folder.exists() or all(is_of_lock(path.name, run_folder.LOCK) for path in folder.iterdir()):
        check_place(folder)
        return
    if (folder / run_folder.LAST).exists():
        raise RunExists(f"{folder} holds a run; resume it with `resume={folder}`, or name a new folder")
    raise RunExists(f"{folder} is not empty; name a new folder")


@contextmanager
def begun(folder: Path) -> Iterator[None]:
    """Remove what a new run has written if the block fails before a step is saved, so that it can begin again.

    A loss that is not finite leaves its state and the names of its patches. Call it where the folder is locked and
    unused: all that is there of a run is this one's.
    """
    try:
        yield
    except BaseException:
        if not run_folder.has_steps(folder) and not (folder / run_folder.NON_FINITE).exists():
            with suppress(OSError):
                run_folder.remove_temporaries(folder)
                for name in (
                    run_folder.LAST,
                    run_folder.CONFIG,
                    run_folder.DESCRIPTION,
                    run_folder.STATISTICS,
                    run_folder.LOGGER,
                    run_folder.METRICS,
                ):
                    (folder / name).unlink(missing_ok=True)
                for path in folder.glob(f"{run_folder.EVENTS}*"):
                    path.unlink(missing_ok=True)
                shutil.rmtree(folder / run_folder.WANDB, ignore_errors=True)
                (folder / run_folder.LAST).parent.rmdir()
        raise
