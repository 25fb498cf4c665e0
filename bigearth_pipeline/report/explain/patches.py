"""Choice of the patches to explain: inputs as `bep predict` takes them, keys, and rows of a split."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.progress import Phases
from bigearth_pipeline.report.explain.config import FEW, MOST, ExplainConfig
from bigearth_pipeline.report.explain.reference import beside, classes_of
from bigearth_pipeline.scenes.inputs.description import Known
from bigearth_pipeline.scenes.inputs.find import find
from bigearth_pipeline.scenes.patches.tree import TreeSource, patch_folders
from shards import Store
from shards.errors import InvalidValue
from shards.layout.bands import RECORD_VALUES
from shards.layout.classes import Nomenclature
from shards.storage.remote.address import Address, address_in, place_of
from shards.text.words import patches as of_patches
from trainer.runs.predictions import BadPredictions, Predictions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """A patch to explain.

    Attributes:
        key: its name.
        record: (80000,) uint16.
        labels: (C,) uint8; None if nothing tells them.
        reference: class of each pixel of 10 m, (120, 120) uint8, see `reference`; None if there is no map.
    """

    key: str
    record: NDArray[np.uint16]
    labels: NDArray[np.uint8] | None = None
    reference: NDArray[np.uint8] | None = None


Probabilities = Callable[[NDArray[np.uint16]], NDArray[np.float32]]


def of_inputs(
    config: ExplainConfig, store: Store | None, bands: tuple[str, ...], nomenclature: Nomenclature
) -> list[Chosen]:
    """Return the patches of the inputs, in their order.

    Raises:
        PipelineError: an input is neither patches nor a key, a patch cannot be used or is there twice, or there are
            too many.
    """
    found: list[Chosen] = []
    for text in config.inputs:
        path = place_of(text)
        if isinstance(path, Address):
            raise PipelineError(
                f"input {path} is an address, expected patches of this machine; of a store there name keys of its "
                f"patches, and `shards={path}`"
            )
        if address := address_in(path):
            raise PipelineError(f"input {address} is an address, expected patches of this machine, or keys")
        found += _of_path(path, bands, nomenclature) if path.exists() else [_of_key(text, store, nomenclature)]
        if len(found) > MOST:
            raise PipelineError(f"the inputs have more than {MOST} patches; name fewer, or draw some by `random=N`")
    keys: set[str] = set()
    for patch in found:
        if patch.key in keys:
            raise PipelineError(f"patch {patch.key} is among the inputs twice; name it once")
        keys.add(patch.key)
    return found


def of_split(
    config: ExplainConfig,
    store: Store,
    probabilities: Probabilities,
    phases: Phases,
    measured: NDArray[np.bool_],
    nomenclature: Nomenclature,
) -> list[Chosen]:
    """Return patches of the split: with the largest loss, or drawn at random; `measured` are the classes of the loss.

    Raises:
        InvalidValue: the store has no such split, or none of its patches has one of the classes.
    """
    rows = store.index.rows(config.split)
    if not len(rows):
        raise InvalidValue(f"`split={config.split}` has no patch, expected one of {', '.join(store.manifest.splits)}")
    if config.classes:
        wanted = [nomenclature.names.index(name) for name in config.classes]
        rows = rows[store.index.labels(nomenclature)[rows][:, wanted].any(1)]
        if not len(rows):
            raise InvalidValue(f"no patch of {config.split} has the class {' or '.join(config.classes)}")
    wished = config.worst or config.random or 0
    if len(rows) < wished:
        of = f" with the class {' or '.join(config.classes)}" if config.classes else ""
        phases.say(f"{config.split} has {of_patches(len(rows))}{of}, fewer than {wished}: all are explained")
    if config.worst is not None:
        rows = _worst(config, store, rows, probabilities, phases, measured, nomenclature)[: config.worst]
    else:
        count = min(len(rows), config.random or FEW)
        rows = np.random.default_rng(config.seed).choice(rows, count, replace=False)
    return [_of_row(store, int(row), nomenclature) for row in rows]


def records_of(store: Store, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return the records of rows, (n, 80000) uint16."""
    records = np.empty((len(rows), RECORD_VALUES), np.uint16)
    store.read_into(rows, records)
    return records


def _of_path(path: Path, bands: tuple[str, ...], nomenclature: Nomenclature) -> Iterator[Chosen]:
    # A scene is refused whatever its offset, so none need be known.
    found = find(path, Known(offset="none"))
    if found == "store":
        raise PipelineError(f"input {path} is a store; name keys of its patches, or use `shards={path}` `random=N`")
    if not isinstance(found, str):
        raise PipelineError(f"input {path} is a scene, expected patches; cut it, or predict it by bep predict")
    folders = patch_folders(path, single=found == "patch")
    if len(folders) > MOST:
        raise PipelineError(f"input {path} has {len(folders):,} patches, expected at most {MOST}; name some of them")
    place = dict(folders)
    source = TreeSource(path.name, folders, offset="auto", bands=bands, batch_size=16)
    with closing(source):
        for unit in range(source.num_units):
            names = iter(source.names(unit))
            for part in source.parts(unit):
                for i, record in enumerate(part.records):
                    key = next(names)
                    if i in part.faults:
                        raise PipelineError(part.faults[i])
                    yield Chosen(key=key, record=record, reference=beside(Path(place[key]), nomenclature))


def _of_key(key: str, store: Store | None, nomenclature: Nomenclature) -> Chosen:
    if store is None:
        raise PipelineError(f"{key} is no file or folder, and there is no store to look for this key; use `shards=DIR`")
    row = pc.index(store.index.table["key"], pa.scalar(key, pa.string())).as_py()
    if row < 0:
        raise PipelineError(f"{key} is no file or folder, and no key of the store, such as {store.index.key(0)}")
    return _of_row(store, row, nomenclature)


def _of_row(store: Store, row: int, nomenclature: Nomenclature) -> Chosen:
    maps = [group.name for group in store.manifest.layout.extras if group.role == "codes" and len(group.bands) == 1]
    patch = store.read(row, groups=maps)
    references = (classes_of(patch.groups[name][0], nomenclature) for name in maps)
    reference = next((found for found in references if found is not None), None)
    labels = store.index.labels(nomenclature)[row]
    return Chosen(key=patch.key, record=patch.s2, labels=labels, reference=reference)


def _worst(
    config: ExplainConfig,
    store: Store,
    rows: NDArray[np.int64],
    probabilities: Probabilities,
    phases: Phases,
    measured: NDArray[np.bool_],
    nomenclature: Nomenclature,
) -> NDArray[np.int64]:
    """Return rows by loss, the largest first: by the predictions beside the run, else computed."""
    labels = (store.index.labels(nomenclature)[rows] * measured).astype(np.float64)
    kept = _predicted(config, store, rows, nomenclature)
    if kept is None:
        phases.begin(f"predicting the {config.split} split for its worst", len(rows), "patch", "patches")
        found = []
        for part in _parts(rows):
            found.append(probabilities(records_of(store, part)))
            phases.advance(len(part))
        kept = np.concatenate(found).astype(np.float64)
    kept = kept.clip(1e-4, 1 - 1e-4)
    loss = -(labels * np.log(kept) + (1 - labels) * np.log1p(-kept))
    if config.classes:
        loss = loss[:, [nomenclature.names.index(name) for name in config.classes]]
    return rows[np.argsort(-loss.mean(1), kind="stable")]


def _parts(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), 256):
        yield rows[start : start + 256]


def _predicted(
    config: ExplainConfig, store: Store, rows: NDArray[np.int64], nomenclature: Nomenclature
) -> NDArray[np.float64] | None:
    """Return the probabilities that lie beside the run, (rows, C); None if they are not of all of these patches."""
    if config.shards is not None:
        return None
    try:
        found = Predictions.read(config.run / f"predictions-{config.split}.parquet")
    except BadPredictions:
        return None
    number = {key: i for i, key in enumerate(found.keys)}
    keys = [store.index.key(int(row)) for row in rows]
    if found.nomenclature is not nomenclature or not all(key in number for key in keys):
        return None
    places = np.array([number[key] for key in keys])
    kept: NDArray[np.float64] = found.probabilities[places].astype(np.float64)
    return kept
