"""Evaluation of weights that no run of this program has trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shards
from shards import Store, Verify
from shards.errors import InvalidValue
from shards.metadata.entries import check_split
from trainer.data.bands import BandSelection
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.subset.rows import Subset
from trainer.definition.choices import DeviceName, Interpolation, Tta
from trainer.definition.data import DataConfig
from trainer.definition.machine import MachineConfig
from trainer.definition.optimisation import OptimisationConfig
from trainer.definition.tables import check_fields
from trainer.evaluation.measure import loss
from trainer.evaluation.radiometry import offset_note
from trainer.evaluation.run import predict_selection
from trainer.evaluation.statistics_file import statistics_at
from trainer.evaluation.tuning_patches import tuned_here
from trainer.inference.average import with_tta
from trainer.inference.model_folder import WEIGHTS, read_model_folder
from trainer.metrics.metrics import compute
from trainer.models.create import Classifier, ModelSpec, create
from trainer.models.published import parse_channels
from trainer.models.weights_config import CONFIG, Stated, known_bands, stated_by
from trainer.models.weights_file import file_at
from trainer.runs import results
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.predictions import Predictions
from trainer.runs.results import Evaluation, Selection
from trainer.runtime.out_of_memory import out_of_memory_reported
from trainer.runtime.progress import Progress, Silent
from trainer.runtime.ranks import open_ranks


@dataclass(frozen=True, kw_only=True)
class WeightsEvaluationConfig:
    """Options of an evaluation without a run: which weights, and on what; texts are taken for paths.

    Attributes:
        weights: file or folder of the weights; a checkpoint or an export of ours brings model, bands and statistics
            with it.
        shards: folder of the shards.
        model: name of the network; None for what `config.json` in the folder of the weights says.
        bands: band names in channel order; None for those of `weights_bands`, or of the `config.json`.
        weights_bands: what the channels of the file are, see `trainer.models.published`.
        weights_classes: order of the file's 19 classes.
        statistics: file with mean and std by band, or `published`; None for those of the store's train split.
        interpolation: how bands are brought to 10 m, where a network wants them stacked.
        out: new file for the results; None for none.
        split: as in `EvaluationConfig` of `trainer.evaluation.run`, and so are the fields that follow.
    """

    weights: Path
    shards: Path
    model: str | None = None
    bands: tuple[str, ...] | None = None
    weights_bands: str | None = None
    weights_classes: str | None = None
    statistics: Path | None = None
    interpolation: Interpolation = DataConfig.interpolation
    out: Path | None = None
    split: str = "test"
    where: str | None = None
    patches: Path | None = None
    batch_size: int = OptimisationConfig.batch_size
    device: DeviceName = MachineConfig.device
    threads: int | None = MachineConfig.threads
    verify: Verify = MachineConfig.verify
    mapped: bool = MachineConfig.mapped
    cache_dir: Path | None = MachineConfig.cache_dir
    cache_bytes: int | None = MachineConfig.cache_bytes
    allow_mixed_version: bool = False
    tta: Tta = "none"

    def __post_init__(self) -> None:
        check_fields(self)
        check_split(self.split)


def evaluate_weights(config: WeightsEvaluationConfig, progress: Progress | None = None) -> Evaluation:
    """Evaluate weights as they are, without a run, at a threshold of 0.5 unless they bring their own.

    Raises:
        InvalidValue: an option is missing, or says what a checkpoint of ours knows.
        ShardError: the shards are damaged, or are none.
        TrainError: the weights or the statistics cannot be used; nothing is selected; the file for the results exists.
        NotWritten: the results, which it brings along, cannot be written.
        OSError: a file cannot be read.
    """
    if config.out is not None:
        results.check_new(config.out)
    progress = progress or Silent()
    with (
        out_of_memory_reported(config.batch_size),
        open_ranks(config.device) as ranks,
        shards.open(
            config.shards,
            num_threads=config.threads,
            mapped=config.mapped,
            cache_dir=config.cache_dir,
            cache_bytes=config.cache_bytes,
        ) as store,
    ):
        selection = Selection.of(store, config.split, Subset(where=config.where, patches=config.patches))
        weights = _load(config, store)
        progress.say(str(weights.model.loaded or weights.described))
        if note := offset_note(store, selection.rows, None if weights.ours is None else weights.ours.manifest_sha256):
            progress.say(note)
        logits, labels = predict_selection(
            with_tta(weights.model, config.tta),
            weights.normalisation,
            selection,
            ranks,
            LoaderConfig(
                batch_size=config.batch_size,
                device=ranks.device,
                interpolation=config.interpolation,
                verify=config.verify,
                nomenclature=weights.model.spec.nomenclature,
            ),
            "auto",
            progress,
        )
        ours, spec = weights.ours, weights.model.spec
        metrics = compute(
            logits,
            labels,
            loss(logits, labels, spec.ignored, spec.nomenclature),
            thresholds=None if ours is None else ours.thresholds,
            thresholds_tuned_here=None if ours is None else tuned_here(selection, ours),
            ignored=spec.ignored,
            nomenclature=spec.nomenclature,
        )
        found = Evaluation.of(
            metrics,
            selection,
            epoch=None if ours is None else ours.epoch,
            trained_on=None if ours is None else ours.source_version,
            weights=weights.described,
            averaged=None if config.tta == "none" else {"runs": [], "tta": config.tta},
        )
        if config.out is not None and ranks.is_first:
            thresholds = None if ours is None else ours.thresholds
            keys = selection.keys()
            predictions = Predictions.of(keys, logits, labels, thresholds, spec.ignored, spec.nomenclature)
            results.write_new(config.out, found, predictions)
    return found


@dataclass(frozen=True, kw_only=True)
class _Weights:
    """Weights that are ready for use; `ours` if they are a checkpoint of ours, which brings thresholds."""

    model: Classifier
    normalisation: Normalisation
    described: dict[str, Any]
    ours: Checkpoint | None = None


def _load(config: WeightsEvaluationConfig, store: Store) -> _Weights:
    described: dict[str, Any] = {"file": str(config.weights), "statistics": None}
    stated = stated_by(config.weights) if config.weights.is_dir() else Stated()
    ours = Checkpoint.read_if_ours(config.weights) if stated.ours is None else read_model_folder(config.weights)
    if ours is not None:
        kind = "a checkpoint" if stated.ours is None else "an export"
        for name in ("model", "bands", "weights_bands", "weights_classes", "statistics"):
            if getattr(config, name) is not None:
                raise InvalidValue(f"{config.weights} is {kind} of ours, which knows its {name}; do not name it")
        ours.check_version(config.weights, store.manifest, allow_mixed=config.allow_mixed_version)
        files = (config.weights,) if stated.ours is None else (config.weights / WEIGHTS, config.weights / CONFIG)
        return _Weights(
            model=ours.create_model(*files),
            normalisation=ours.normalisation,
            described=described | {"model": ours.model.name, "bands": list(ours.model.bands), "statistics": "its own"},
            ours=ours,
        )
    network, bands = config.model or stated.model, config.bands or _seen(config, stated)
    if network is None or bands is None:
        file_at(config.weights)
        missing = " and ".join(f"`{key}=`" for key, value in (("model", network), ("bands", bands)) if value is None)
        order = "" if bands is not None or config.weights_bands else " (or `weights_bands=`, the order of its channels)"
        raise InvalidValue(f"{config.weights} does not say what it is: give {missing}{order}")
    model = create(
        ModelSpec(network, bands),
        weights=config.weights,
        weights_bands=config.weights_bands,
        weights_classes=config.weights_classes,
        as_published=True,
    )
    if config.statistics is None:
        normalisation = Normalisation.of_train_split(store.manifest, BandSelection(bands))
    else:
        normalisation = statistics_at(config.statistics, bands, store.manifest.source_version)
    assert model.loaded is not None
    return _Weights(
        model=model,
        normalisation=normalisation,
        described=described
        | {
            "model": network,
            "bands": list(bands),
            "dropped": list(model.loaded.dropped),
            "place": model.loaded.place,
            "statistics": "train split of the shards" if config.statistics is None else str(config.statistics),
        },
    )


def _seen(config: WeightsEvaluationConfig, stated: Stated) -> tuple[str, ...] | None:
    """Return the bands that weights look at, as the caller or their folder says; None if nobody does."""
    return stated.bands if config.weights_bands is None else known_bands(parse_channels(config.weights_bands).channels)
