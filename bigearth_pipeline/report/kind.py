"""The kind of a folder that is to be reported on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from bigearth_pipeline.errors import PipelineError
from shards.metadata.manifest import BUILD_NOTE, MANIFEST
from shards.storage.places import storage_of
from shards.storage.remote.address import Address, address_in
from shards.text.words import listed

_RUN: Final = ("config.toml", "config.json", "description.json")
"""Files that the folder of a run has, see `trainer.runs.folder`; named here so that nothing imports torch for it."""


def check_distinct(runs: Sequence[Path]) -> None:
    """Check that no run is named twice, which would be compared with itself.

    Raises:
        PipelineError: one is.
    """
    places = [run.resolve() for run in runs]
    for run, place in zip(runs, places, strict=True):
        if places.count(place) > 1:
            raise PipelineError(f"run {run} is named twice, expected different runs; name it once")


def kind_of(folder: Path) -> Literal["store", "run"]:
    """Return what a folder holds, finished or not.

    Raises:
        PipelineError: it is neither the folder of a store nor that of a run.
    """
    if any(storage_of(folder).has(name) for name in (MANIFEST, BUILD_NOTE)):
        return "store"
    if isinstance(folder, Address):
        raise PipelineError(f"{folder} is no address of a store: there is no {MANIFEST}")
    if address := address_in(folder):
        raise PipelineError(f"{address} is an address, expected that of a store, or a folder of this machine")
    if any((folder / name).exists() for name in _RUN):
        return "run"
    if runs := sorted(str(path.parent) for path in folder.glob(f"*/{_RUN[0]}")):
        raise PipelineError(
            f"{folder} is a folder of runs, expected one run or several by their names: {listed(runs, 3)}"
        )
    fact = "it has neither" if folder.is_dir() else "it is a file" if folder.exists() else "it does not exist"
    raise PipelineError(f"{folder} is no folder of a store ({MANIFEST}) or of a run ({_RUN[0]}): {fact}")
