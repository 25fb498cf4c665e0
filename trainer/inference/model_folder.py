"""A network as a folder of the Hugging Face hub: `config.json`, `model.safetensors`, and a model card.

`config.json` says all that is needed to use the weights:

| key | what it holds |
|---|---|
| `library_name`, `format_version` | `bigearth-pipeline`, 1 |
| `model` | `name`, `drop_rate` and `drop_path_rate` of `trainer.models.spec.ModelSpec`; `classes`, if not 19 |
| `bands` | names of the bands, in channel order |
| `class_names` | names of the classes, in output order |
| `normalisation` | `clamp`, and by band in `bands` the `mean`, `centre` and `scale` of `Normalisation` |
| `thresholds` | by class name, the probability from which on it counts as predicted; null for none |
| `trained_on` | `source_version` and `manifest_sha256` of the shards, `epoch`; `synthetic` if they hold such data |
| `options` | options of the run; of files and folders only the last part of the name |
| `validation` | metrics on the validation split; null for none |
| `weights_sha256` | SHA-256 of `model.safetensors` |
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final

import safetensors.torch

from shards.errors import BepError, InvalidValue
from shards.layout.classes import NINETEEN
from shards.metadata.manifest import VERSIONS
from shards.reporting import shortened
from shards.storage.safe_open import read_regular
from shards.text.json_fields import Fields
from trainer.config.options import TrainConfig
from trainer.data.normalisation import Normalisation
from trainer.errors import BadCheckpoint
from trainer.metrics.metrics import Metrics
from trainer.models.spec import ModelSpec
from trainer.models.weights_config import CONFIG, LIBRARY
from trainer.models.weights_file import MOST_BYTES
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.folder import parse

FORMAT_VERSION: Final = 1
WEIGHTS: Final = "model.safetensors"

_CONFIG_BYTES: Final = 1 << 20
_KEYS: Final = (
    "library_name",
    "format_version",
    "model",
    "bands",
    "class_names",
    "normalisation",
    "thresholds",
    "trained_on",
    "options",
    "validation",
    "weights_sha256",
)
_NUMBER: Final = 1e9
"""Bound of the numbers of a normalisation; pixels are below 65,536."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[\w.-]{1,200}")


def is_model_folder(folder: Path) -> bool:
    """True if a folder holds weights as the hub has them, or is to hold them, and no run."""
    if (folder / run_folder.CONFIG).exists() or (folder / run_folder.BEST.parent).exists():
        return False
    return (folder / WEIGHTS).exists() or is_export(folder)


def is_export(folder: Path) -> bool:
    """True if the `config.json` of a folder says that this program has exported it."""
    try:
        return parse(read_regular(folder / CONFIG, _CONFIG_BYTES)).get("library_name") == LIBRARY
    except (OSError, ValueError):
        return False


def describe(checkpoint: Checkpoint, weights_sha256: str) -> dict[str, Any]:
    """Return what `config.json` holds of a network.

    Args:
        checkpoint: the network.
        weights_sha256: SHA-256 of its `model.safetensors`.
    """
    spec, normalisation = checkpoint.model, checkpoint.normalisation
    numbers = zip(normalisation.bands, normalisation.mean, normalisation.centre, normalisation.scale, strict=True)
    return {
        "library_name": LIBRARY,
        "format_version": FORMAT_VERSION,
        "model": {name: value for name, value in spec.to_json().items() if name not in ("bands", "ignored")},
        "bands": list(spec.bands),
        "class_names": list(checkpoint.classes),
        "normalisation": {
            "clamp": normalisation.clamp,
            "bands": {name: {"mean": mean, "centre": centre, "scale": scale} for name, mean, centre, scale in numbers},
        },
        "thresholds": checkpoint.thresholds,
        "trained_on": {
            "source_version": checkpoint.source_version,
            "manifest_sha256": checkpoint.manifest_sha256,
            "epoch": checkpoint.epoch,
            **({"synthetic": True} if checkpoint.synthetic else {}),
        },
        "options": _without_folders(checkpoint.config),
        "validation": checkpoint.metrics,
        "weights_sha256": weights_sha256,
    }


def read_model_folder(folder: Path) -> Checkpoint:
    """Read a folder that `bep export` has written. Nothing in it is executed.

    Raises:
        BadCheckpoint: a file is absent, damaged, or not as such folders have it; the weights are not those that
            `config.json` is of.
        OSError: a file cannot be read.
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    try:
        values = parse(read_regular(path, _CONFIG_BYTES))
    except FileNotFoundError:
        raise BadCheckpoint(
            f"{folder} has no {CONFIG}, which says what the weights are; export the run again"
        ) from None
    except ValueError as err:
        raise BadCheckpoint(f"{path} is no JSON object: {err}") from err
    if values.get("library_name") != LIBRARY:
        raise BadCheckpoint(
            f"{folder} holds weights that this program has not exported: its {CONFIG} has no library_name {LIBRARY}; "
            "evaluations and trainings take them as weights of others, by their option weights"
        )
    version = values.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise BadCheckpoint(f"{path} is of version {version!r:.80}; this program reads version {FORMAT_VERSION}")
    try:
        facts = _facts(Fields(values, ""))
    except (BepError, ValueError, TypeError) as err:
        raise BadCheckpoint(f"{path} does not describe a network: {err}") from err
    # Read once, not mapped: what was compared is what is used, whoever writes to the file meanwhile.
    content = read_regular(weights, MOST_BYTES)
    if (found := hashlib.sha256(content).hexdigest()) != values["weights_sha256"]:
        raise BadCheckpoint(
            f"{weights} is damaged, or is not of {path}: it has SHA-256 {found}, expected {values['weights_sha256']}"
        )
    try:
        state = safetensors.torch.load(content)
    except Exception as err:  # Damaged files make the reader fail in any way.
        reason = str(err).partition("\n")[0] or type(err).__name__
        raise BadCheckpoint(f"weights {weights} are not a file of tensors: {reason}") from err
    return Checkpoint(state=state, ema=None, step=0, **facts)


def _facts(values: Fields) -> dict[str, Any]:
    """Return the fields of a checkpoint that `config.json` holds.

    Raises:
        InvalidValue: one is absent, of a wrong type or out of range.
    """
    values.only(_KEYS)
    bands = tuple(_names(values, "bands"))
    model, trained_on = values.fields("model"), values.fields("trained_on")
    options = values.value("options")
    trained = TrainConfig.from_json(options)
    # Exports of before have no such field.
    model.only(("name", "drop_rate", "drop_path_rate", *(("classes",) if "classes" in model else ())))
    spec = ModelSpec(
        name=model.text("name", _NAME, "the name of a network"),
        bands=bands,
        drop_rate=model.number("drop_rate", 0, 1),
        drop_path_rate=model.number("drop_path_rate", 0, 1),
        ignored=tuple(name for name in trained.data.nomenclature.names if name in trained.data.ignore_labels),
        classes=model.integer("classes", 0, 1 << 16) if "classes" in model else len(NINETEEN),
    )
    names = spec.nomenclature.names
    if (classes := tuple(_names(values, "class_names"))) != names:
        wrong = next((f"{a!r:.80} in place of {b!r}" for a, b in zip(classes, names, strict=False) if a != b), "")
        raise InvalidValue(
            f"class_names are {wrong or f'{len(classes)} names'}, expected the {len(names)} classes in their order"
        )
    values.text("weights_sha256", _SHA256, "a SHA-256 of 64 hexadecimal digits")
    return {
        "model": spec,
        "normalisation": _normalisation(values.fields("normalisation"), bands),
        "epoch": trained_on.integer("epoch", 0, 1 << 31),
        "source_version": trained_on.choice("source_version", VERSIONS),
        "manifest_sha256": trained_on.text("manifest_sha256", _SHA256, "a SHA-256 of 64 hexadecimal digits"),
        "synthetic": _synthetic(trained_on),
        "config": options,
        "metrics": _validation(values, names),
        "thresholds": _thresholds(values, names),
        "classes": names,
    }


def _validation(values: Fields, classes: tuple[str, ...]) -> dict[str, Any] | None:
    if values.value("validation") is None:
        return None
    found = _object(values, "validation")
    try:
        Metrics.from_json(found, classes)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        reason = f"{err.args[0]} is absent" if isinstance(err, KeyError) else str(err)
        raise InvalidValue(f"validation does not hold the metrics of an epoch: {reason}") from err
    return found


def _synthetic(trained_on: Fields) -> bool:
    if "synthetic" not in trained_on:
        return False  # As exports of before.
    value = trained_on.value("synthetic")
    if type(value) is not bool:
        raise trained_on.unexpected("synthetic", "true or false")
    return value


def _normalisation(values: Fields, bands: tuple[str, ...]) -> Normalisation:
    values.only(("clamp", "bands"))
    by_band = values.fields("bands")
    if set(by_band) != set(bands):
        raise InvalidValue(
            f"normalisation is of {shortened(', '.join(by_band), 200)}; the bands are {', '.join(bands)}"
        )
    clamp = values.value("clamp")
    if type(clamp) is not bool:
        raise values.unexpected("clamp", "true or false")
    by_name = [by_band.fields(band) for band in bands]
    mean, centre = ([each.number(name, -_NUMBER, _NUMBER) for each in by_name] for name in ("mean", "centre"))
    scale = [each.number("scale", 0, _NUMBER) for each in by_name]
    return Normalisation(bands, tuple(mean), tuple(centre), tuple(scale), clamp)


def _thresholds(values: Fields, names: tuple[str, ...]) -> dict[str, float] | None:
    if values.value("thresholds") is None:
        return None
    thresholds = values.fields("thresholds")
    thresholds.only(names)
    return {name: thresholds.number(name, 0, 1) for name in names}


def _names(values: Fields, name: str) -> list[str]:
    names = values.items(name)
    if not all(type(each) is str for each in names):
        raise values.unexpected(name, "an array of names")
    return names


def _object(values: Fields, name: str) -> dict[str, Any]:
    found = values.value(name)
    if type(found) is not dict:
        raise values.unexpected(name, "an object, or null")
    return found


def _without_folders(options: dict[str, Any]) -> dict[str, Any]:
    """Return options of a run whose paths are names alone: where files lay is nobody else's affair."""
    values = TrainConfig.from_json(options).values()
    named = {key: Path(value.name or "unknown") if isinstance(value, Path) else value for key, value in values.items()}
    # By way of JSON, so that the folder holds what is read back.
    return json.loads(json.dumps(TrainConfig.from_values(named).to_json()))
