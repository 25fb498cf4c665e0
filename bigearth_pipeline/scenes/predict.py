"""A prediction from beginning to end: inputs are opened, units predicted, results written."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.extra import DRAWING, require
from bigearth_pipeline.geo.squares import to_degrees
from bigearth_pipeline.progress import Progress
from bigearth_pipeline.scenes import results
from bigearth_pipeline.scenes.config import Kind, PredictConfig
from bigearth_pipeline.scenes.gdal import gdal_environment
from bigearth_pipeline.scenes.grid.scene import CELL_METRES, open_scene
from bigearth_pipeline.scenes.grid.source import SceneSource
from bigearth_pipeline.scenes.grid.windows import windows_of
from bigearth_pipeline.scenes.inputs.description import Description
from bigearth_pipeline.scenes.inputs.find import find
from bigearth_pipeline.scenes.members import describe_members
from bigearth_pipeline.scenes.patches.store import StoreSource
from bigearth_pipeline.scenes.patches.tree import TreeSource, patch_folders
from bigearth_pipeline.scenes.results import Counts, Results
from bigearth_pipeline.scenes.work.loop import predict_units
from bigearth_pipeline.scenes.work.threads import SceneThreads
from bigearth_pipeline.scenes.work.units import Units, discard
from bigearth_pipeline.scenes.write.item import Result, write_item
from bigearth_pipeline.scenes.write.picture import SHEET, write_sheet
from bigearth_pipeline.scenes.write.places import System
from shards.runtime.cores import num_cores
from shards.storage.lock import exclusive
from shards.text.words import counted, percentage
from trainer.inference import Ensemble, load_ensemble, one_thread_a_batch
from trainer.runs.beginning import check_place

_EDGE: Final = 8
"""Points of an outline a side: sides of a scene are curves in longitude and latitude."""
AnySource: TypeAlias = SceneSource | TreeSource | StoreSource


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished result.

    Attributes:
        name: of the scene, the tree or the store.
        folder: that holds the files.
        is_scene: its patches are windows of a scene.
        counts: of its patches.
        left_out: reason by name of each patch that cannot be used.
        had_finished: it was there already.
    """

    name: str
    folder: Path
    is_scene: bool
    counts: Counts
    left_out: dict[str, str]
    had_finished: bool


def predict(config: PredictConfig, progress: Progress) -> list[Outcome]:
    """Predict inputs and write the results; an interrupted prediction resumes and ends with the same bytes.

    Raises:
        PipelineError: an input cannot be used, the folder holds something else, or results cannot be written.
        TrainError: a run cannot be used, or the folder is or lies in a run or a store.
        ShardError: a store is damaged.
        InUse: another prediction works in the folder.
        OSError: a file cannot be read or written.
    """
    if config.picture:
        try:
            require(DRAWING)
        except PipelineError as err:
            raise PipelineError(f"{err}; or leave the picture out: `picture=False`") from None
    with ExitStack() as stack:
        stack.enter_context(gdal_environment())
        model = load_ensemble(config.runs, device=config.device, tta=config.tta, batch_size=config.batch_size)
        threads = stack.enter_context(SceneThreads(config.threads or num_cores()))
        opened = _sources(config, model, threads, progress)
        sources = [stack.enter_context(closing(source)) for source in opened]
        for source in sources:
            if isinstance(source, SceneSource):
                source.check_offset()
        folders = _folders(config.out, sources)
        check_place(config.out)
        results.check_out(config.out, [folder.name for folder in folders if folder != config.out])
        for folder in folders:
            results.check_out(folder)
            results.refuse_foreign(folder)
        config.out.mkdir(parents=True, exist_ok=True)
        in_use = f"{config.out} is in use by another prediction"
        stack.enter_context(exclusive(config.out / results.LOCK, in_use, progress.say))
        stack.enter_context(one_thread_a_batch())
        return [
            _predict_one(config, source, folder, model, threads, progress)
            for source, folder in zip(sources, folders, strict=True)
        ]


def _sources(config: PredictConfig, model: Ensemble, threads: SceneThreads, progress: Progress) -> Iterator[AnySource]:
    """Open the inputs: each scene and each store by itself, all patch folders together.

    Raises:
        PipelineError: an input cannot be used.
        InvalidValue: an option concerns none of them.
    """
    bands, batch_size = model.bands, model.batch_size
    patches: list[tuple[str, str]] = []
    trees: list[Path] = []
    kinds: set[Kind] = set()
    for path in config.inputs:
        found = find(path, config.known)
        if isinstance(found, Description):
            kinds.add("scene")
            scene = open_scene(found, bands)
            windows = windows_of(scene, config.overlap)
            stride = f"{windows.stride * CELL_METRES:,} m"
            progress.say(f"{scene.name}: {counted(windows.count, 'window')} of 1,200 m at a stride of {stride}")
            progress.say(f"{scene.name}: {found.offset_reason}")
            if scene.scl is None:
                progress.say(f"{scene.name}: no scene classification (SCL), so clouds are not looked for")
            yield SceneSource(scene, windows, batch_size=batch_size, threads=threads)
        elif found == "store":
            kinds.add("store")
            stored = StoreSource(path, config.split, bands=bands, batch_size=batch_size, threads=config.threads)
            if stored.offset_note is not None:
                progress.say(f"{stored.name}: {stored.offset_note}")
            yield stored
        else:
            kinds.add("patches")
            patches += patch_folders(path, single=found == "patch")
            trees.append(path)
    config.check_effect(kinds)
    if trees:
        name = trees[0].resolve().name if len(trees) == 1 else "patches"
        source = TreeSource(name, patches, offset=config.offset, bands=bands, batch_size=batch_size)
        if source.num_with_offset:
            progress.say(
                f"{name}: 1000 is subtracted from {counted(source.num_with_offset, 'patch', 'patches')} of baseline "
                "04.00 or later"
            )
        yield source


def _folders(out: Path, sources: list[AnySource]) -> list[Path]:
    """Return the folder of each result: that of the user for one, one below it for each of several."""
    if len(sources) == 1:
        return [out]
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise PipelineError(
                f"two inputs are named {name}, so their results would share a folder; predict them apart"
            )
        # Metadata give names, which anyone may have written.
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise PipelineError(f"an input is named {name!r:.80}, which no folder can be; predict it apart")
    return [out / name for name in names]


def _predict_one(
    config: PredictConfig, source: AnySource, out: Path, model: Ensemble, threads: SceneThreads, progress: Progress
) -> Outcome:
    plan = _plan(config, source, model)
    out.mkdir(parents=True, exist_ok=True)
    results.remove_temporaries(out)
    if config.overwrite:
        results.remove(out)
        discard(out)
    elif (counts := results.finished(out, plan)) is not None:
        progress.say(f"{out}: finished already")
        return _outcome(source, out, counts, had_finished=True)
    units = Units(out, plan)
    predict_units(source, units, model, threads=threads, max_missing=config.max_missing, progress=progress)
    made = Results(out, source, units, model.thresholds)
    about = {"model": model.about, "thresholds": model.thresholds, "input": source.name}
    made.write_table(about, csv=config.csv)
    lineage = _lineage(config, source, model)
    if isinstance(source, SceneSource):
        made.write_map(source, source.name, {"LINEAGE": lineage}, picture=config.picture)
    elif config.picture:
        _write_sheet(out, source, made, model)
    _write_item(config, out, source, made, model, lineage, progress)
    counts = made.counts()
    results.mark_finished(out, plan, counts)
    units.remove()
    return _outcome(source, out, counts, had_finished=False)


def _outcome(source: AnySource, out: Path, counts: Counts, *, had_finished: bool) -> Outcome:
    return Outcome(
        name=source.name,
        folder=out,
        is_scene=isinstance(source, SceneSource),
        counts=counts,
        left_out=results.left_out(out) if counts.faults else {},
        had_finished=had_finished,
    )


def _plan(config: PredictConfig, source: AnySource, model: Ensemble) -> dict[str, Any]:
    """Return all that the bytes of a result depend on."""
    without = {} if config.picture else {"picture": False}
    return without | {
        "bep": version("bigearth-pipeline"),
        "model": model.about,
        "input": source.identity(),
        "max_missing": config.max_missing,
        "batch_size": model.batch_size,
        "csv": config.csv,
    }


def _lineage(config: PredictConfig, source: AnySource, model: Ensemble) -> str:
    networks = ", ".join(f"{member['model']} (epoch {member['epoch']})" for member in model.about)
    text = f"Probabilities of the {len(model.classes)} classes of BigEarthNet by {networks}"
    if len(model.members) > 1:
        text += ", averaged"
    if config.tta == "d4":
        text += ", averaged over the eight flips and turns of each patch"
    if isinstance(source, SceneSource):
        stride = f"{source.windows.stride * CELL_METRES:,} m"
        text += (
            f". Windows of 1,200 m at a stride of {stride}, blended by a raised cosine, of {source.name}; "
            f"{source.scene.description.offset_reason}"
        )
    return f"{text}. Patches of which more than {percentage(config.max_missing)} is missing have no result."


def _write_sheet(out: Path, source: TreeSource | StoreSource, made: Results, model: Ensemble) -> None:
    names, unit = next(iter(made.rows()))
    records = source.first_records(SHEET)
    n = len(records)
    title = source.name if sum(source.count(i) for i in range(source.num_units)) <= n else f"{source.name}, first {n}"
    write_sheet(out / results.PICTURE, title, records, names[:n], unit.probabilities[:n], model.thresholds)


def _write_item(
    config: PredictConfig,
    out: Path,
    source: AnySource,
    made: Results,
    model: Ensemble,
    lineage: str,
    progress: Progress,
) -> None:
    dates = _dates(source)
    footprint = _footprint(source, made)
    if dates is None or footprint is None:
        what = "time of its images; say `date=`" if dates is None else "place"
        progress.say(f"{source.name}: no STAC item is written, for nothing tells the {what}")
        return
    names = {"map": results.MAP, "patches": results.TABLE, "csv": results.CSV, "preview": results.PICTURE}
    result = Result(
        name=source.name,
        footprint=footprint,
        dates=dates,
        members=describe_members(model),
        thresholds=model.thresholds,
        lineage=lineage,
        scene=source.scene if isinstance(source, SceneSource) else None,
        origin=_origin(config, source),
    )
    files = {name: out / file for name, file in names.items() if (out / file).exists()}
    write_item(out / results.ITEM, result, files)


def _origin(config: PredictConfig, source: AnySource) -> list[str]:
    return [source.scene.description.origin] if isinstance(source, SceneSource) else [str(p) for p in config.inputs]


def _dates(source: AnySource) -> tuple[datetime, datetime] | None:
    if isinstance(source, SceneSource):
        return None if source.scene.date is None else (source.scene.date, source.scene.date)
    return (min(source.dates), max(source.dates)) if source.dates else None


def _footprint(source: AnySource, made: Results) -> list[tuple[float, float]] | None:
    """Return longitude and latitude of a closed outline, counter-clockwise; None if no place is known."""
    if isinstance(source, SceneSource):
        scene, side = source.scene, np.linspace(0, 1, _EDGE, endpoint=False)
        x = np.concatenate([0 * side, side, 1 + 0 * side, 1 - side, [0]]) * scene.columns * CELL_METRES + scene.ulx
        y = scene.uly - np.concatenate([side, 1 + 0 * side, 1 - side, 0 * side, [0]]) * scene.rows * CELL_METRES
        degrees = to_degrees(np.stack([x, y], 1)[None], np.array([scene.epsg], np.int32))[0]
        return [(round(lon, 7), round(lat, 7)) for lon, lat in degrees.tolist()]
    corners = [System(None).squares(unit) for _, unit in made.rows()]
    joined = np.concatenate(corners).reshape(-1, 2)
    joined = joined[~np.isnan(joined[:, 0])]
    if not len(joined):
        return None
    (west, south), (east, north) = (np.round(edge, 7).tolist() for edge in (joined.min(0), joined.max(0)))
    return [(west, north), (west, south), (east, south), (east, north), (west, north)]
