"""All that a server shows, found by number."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.runs import OpenRun
from bigearth_pipeline.serve.contents.scenes import OpenScene
from bigearth_pipeline.serve.contents.stores import OpenStore
from bigearth_pipeline.serve.patch.cache import Cache
from bigearth_pipeline.serve.upload.kept import Uploads
from shards.errors import ShardError
from shards.metadata.manifest import BUILD_NOTE, MANIFEST
from shards.storage.places import storage_of
from shards.storage.remote.address import Address
from trainer.history.find import find
from trainer.history.names import run_names
from trainer.inference import Predictor

Thing = TypeVar("Thing")
_RECORDS: Final = 128
"""Records that are kept, of 160 KB: those of the pictures and scores of patches that are looked at now."""


class Absent(LookupError):
    """There is nothing of that number or name."""


@dataclass(frozen=True, eq=False)
class Contents:
    """All that a server shows.

    Attributes:
        config: options of the server.
        stores: open stores.
        runs: the runs.
        scenes: predicted scenes.
        uploads: images of users, in memory.
        started: when it was opened, which distinguishes the addresses of tiles.
    """

    config: ServeConfig
    stores: tuple[OpenStore, ...]
    runs: tuple[OpenRun, ...]
    scenes: tuple[OpenScene, ...]
    uploads: Uploads = field(default_factory=Uploads)
    _records: Cache[NDArray[np.uint16]] = field(default_factory=lambda: Cache(_RECORDS), repr=False)
    started: int = field(default_factory=lambda: int(time.time()))

    def store(self, number: int) -> OpenStore:
        """Return a store.

        Raises:
            Absent: the number is not in use.
        """
        return _found(self.stores, number, "store")

    def run(self, number: int) -> OpenRun:
        """Return a run.

        Raises:
            Absent: the number is not in use.
        """
        return _found(self.runs, number, "run")

    def scene(self, number: int) -> OpenScene:
        """Return a predicted scene.

        Raises:
            Absent: the number is not in use.
        """
        return _found(self.scenes, number, "scene")

    def source(self, name: str) -> OpenStore | None:
        """Return the store with an address such as `s0`; None for the address of an upload.

        Raises:
            Absent: there is no such source.
        """
        for store in self.stores:
            if store.name == name:
                return store
        if self.uploads.has(name):
            return None
        raise Absent(f"no source {name!r:.40}")

    def record(self, source: str, key: str) -> NDArray[np.uint16]:
        """Return the pixels of a patch, (80000,) uint16.

        Raises:
            Absent: there is no such patch.
            CorruptShard: its record is damaged.
        """
        store = self.source(source)
        if store is None:
            return self.uploads.patch(source, key).record
        return self.pixels(store, self.row(store, key))

    def pixels(self, store: OpenStore, row: int) -> NDArray[np.uint16]:
        """Return the pixels of a patch of a store, (80000,) uint16.

        Raises:
            CorruptShard: its record is damaged.
        """
        return self._records.get((store.number, row), lambda: store.store.read(row, groups=()).s2)

    def network(self, run: int, source: str) -> Predictor:
        """Return the network of a run for patches of a source.

        Raises:
            Absent: there is no such run or source.
            PipelineError: the source lacks a band that the network sees.
            TrainError: the run has no network yet.
        """
        predictor = self.run(run).predictor()
        if self.source(source) is None:
            has = self.uploads.get(source).bands
            if lost := [band for band in predictor.bands if band not in has]:
                raise PipelineError(f"the image lacks bands that the network sees: {', '.join(lost)}")
        return predictor

    @staticmethod
    def row(store: OpenStore, key: str) -> int:
        """Return the row of a patch of a store.

        Raises:
            Absent: there is no such patch.
        """
        row = store.row_of(key)
        if row is None:
            raise Absent(f"no patch {key!r:.100} in {store.folder}")
        return row


@contextmanager
def open_contents(config: ServeConfig, say: Callable[[str], None]) -> Iterator[Contents]:
    """Open stores, runs and scenes while the block runs.

    Args:
        config: options.
        say: takes a line for each folder that looks like a run and cannot be read, and for each store of a run that
            cannot.

    Raises:
        TrainError: there is no such run.
        ShardError: a store that the options name is damaged.
        PipelineError: a scene is none.
        OSError: a file cannot be read.
    """
    found = _runs(config, say)
    named = zip(found, run_names(found), strict=True)
    runs = [OpenRun(number, folder, name, config.device) for number, (folder, name) in enumerate(named)]
    folders = {_identity(folder): folder for folder in config.stores}
    for run in runs:
        if (place := run.store_folder()) is not None:
            folders.setdefault(_identity(place), place)
    with ExitStack() as stack:
        stores: list[OpenStore] = []
        for folder in folders.values():
            try:
                store = OpenStore.of(len(stores), folder)
            except ShardError as err:
                if folder in config.stores:
                    raise
                # As of a run whose store is gone: curves and scores of all runs are shown all the same.
                say(f"left out: {err}")
                continue
            stack.enter_context(store.store)
            stores.append(store)
        scenes = [stack.enter_context(OpenScene.of(number, path)) for number, path in enumerate(config.scenes)]
        yield Contents(config, tuple(stores), tuple(runs), tuple(scenes))


def _identity(folder: Path) -> str:
    return str(folder) if isinstance(folder, Address) else str(folder.resolve())


def _runs(config: ServeConfig, say: Callable[[str], None]) -> list[Path]:
    folders: dict[str, Path] = {}
    for named in config.runs:
        found = find(named, say)
        if not found and any(storage_of(named).has(name) for name in (MANIFEST, BUILD_NOTE)):
            raise PipelineError(f"{named} holds no run: it is a store, which is shown by `shards={named}`")
        if not found:
            raise PipelineError(f"{named} holds no run, expected the folder of one or of several")
        for record in found:
            folders.setdefault(_identity(record.folder), record.folder)
    return list(folders.values())


def _found(values: tuple[Thing, ...], number: int, what: str) -> Thing:
    if not 0 <= number < len(values):
        raise Absent(f"no {what} {number}; there {'is' if len(values) == 1 else 'are'} {len(values)}")
    return values[number]
