"""The normalisation of a run: by its train split, by a file, or by published figures."""

from dataclasses import asdict
from typing import Any

from shards import Manifest
from trainer.config.options import TrainConfig
from trainer.data.bands import BandSelection
from trainer.data.normalisation import Normalisation
from trainer.evaluation.statistics_file import statistics_at


def create_normalisation(config: TrainConfig, manifest: Manifest, kept: Normalisation | None) -> Normalisation:
    """Return the normalisation of a run.

    Args:
        config: of the run.
        manifest: of its shards.
        kept: that of a run that is resumed, whose file may be gone or another one by now; None for a new run.

    Raises:
        CorruptShard: a band cannot be normalised by the train split.
        TrainError: the file of statistics cannot be used.
        OSError: it cannot be read.
    """
    if config.data.statistics is None:
        return Normalisation.of_train_split(manifest, BandSelection(config.data.bands), config.data.normalise)
    return kept or statistics_at(config.data.statistics, config.data.bands, manifest.source_version)


def statistics_of(config: TrainConfig, manifest: Manifest, normalisation: Normalisation) -> dict[str, Any]:
    """Return the statistics that a run normalises by, by band: what its `statistics.json` holds."""
    if config.data.statistics is None:
        return {band: asdict(values) for band, values in manifest.splits["train"].statistics.items()}
    columns = zip(normalisation.bands, normalisation.centre, normalisation.scale, strict=True)
    return {band: {"mean": mean, "std": std} for band, mean, std in columns}
