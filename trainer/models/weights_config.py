"""Statements about weights, of a `config.json` beside them or of the file itself: network, channels and classes.

| stated | by |
|---|---|
| network | `timm_model_name` (ConfigILM), `architecture` (timm on the Hugging Face hub), `model` (our exports) |
| channels | a list of names: `bands`, `band_names`, `band_order`, `channel_names` or `input_bands` |
| classes | a list of names: `class_names`, `classes`, `label_names` or `labels`; or `id2label` of transformers |
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shards import BANDS, CLASSES
from shards.errors import InvalidValue
from shards.storage.safe_open import read_regular
from trainer.errors import BadCheckpoint
from trainer.models.published import CLASS_ORDERS, channel_names
from trainer.models.spec import ModelSpec

CONFIG: Final = "config.json"
LIBRARY: Final = "bigearth-pipeline"
"""`library_name` in the `config.json` of our exports."""
_CONFIG_BYTES: Final = 1 << 20
_MODEL_KEYS: Final = ("timm_model_name", "architecture")
_CHANNEL_KEYS: Final = ("bands", "band_names", "band_order", "channel_names", "input_bands")
_CLASS_KEYS: Final = ("class_names", "classes", "label_names", "labels", "id2label")
_WITHIN: Final = ("config", "hyper_parameters", "pretrained_cfg", "meta")
"""Parts of a configuration in which the same is looked for."""


@dataclass(frozen=True, slots=True)
class Stated:
    """Statements about weights; None for what is not stated.

    Attributes:
        model: name of the network.
        channels: name of each input channel.
        classes: name of an order of `CLASS_ORDERS`.
        ours: the network, if the folder is an export of ours.
        sha256: of the file of weights; stated by our exports.
    """

    model: str | None = None
    channels: tuple[str, ...] | None = None
    classes: str | None = None
    ours: ModelSpec | None = None
    sha256: str | None = None

    @property
    def bands(self) -> tuple[str, ...] | None:
        """Bands of BigEarthNet among the channels, in their order."""
        return None if self.channels is None else known_bands(self.channels)


def known_bands(channels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the channels that are bands of BigEarthNet, in their order."""
    return tuple(name for name in channels if name in BANDS)


def stated_by(folder: Path) -> Stated:
    """Return the statements of the `config.json` in a folder; none if it is absent.

    Raises:
        BadCheckpoint: it cannot be read, contradicts itself, or names bands that there are not.
    """
    return stated(folder, [read_config(folder / CONFIG)])


def stated(path: Path, said: list[Mapping[str, Any]]) -> Stated:
    """Return the statements in configurations.

    Args:
        path: of the weights, for errors.
        said: the configurations, such as that beside the weights and that within them.

    Raises:
        BadCheckpoint: they contradict each other, or name bands that there are not.
    """
    parts = [part for values in said for part in _parts(values)]
    channels, classes = _channels(parts, path), _classes(parts)
    for values in said:
        if values.get("library_name") == LIBRARY and isinstance(values.get("model"), dict):
            try:
                spec = ModelSpec.from_json(values["model"] | {"bands": list(values.get("bands") or ())})
                if not isinstance(spec.name, str):
                    raise InvalidValue(f"name is {spec.name!r:.80}, expected that of a network")
            except (InvalidValue, TypeError, ValueError) as err:
                raise BadCheckpoint(f"{path}: {CONFIG} does not describe a network: {err}") from err
            sha256 = values.get("weights_sha256")
            return Stated(spec.name, channels, classes, spec, sha256 if isinstance(sha256, str) else None)
    return Stated(_model(parts, path), channels, classes)


def _model(parts: list[Mapping[str, Any]], path: Path) -> str | None:
    found = {key: part[key] for part in parts for key in _MODEL_KEYS if isinstance(part.get(key), str) and part[key]}
    if len(set(found.values())) > 1:
        raise BadCheckpoint(
            f"weights {path}: their configuration names two networks: "
            f"{' and '.join(f'{key} {value!r:.80}' for key, value in found.items())}"
        )
    return next(iter(found.values()), None)


def read_config(path: Path) -> Mapping[str, Any]:
    """Return the configuration beside a file; empty if it is absent.

    A `config.json` of something else, a run of ours among them, says nothing about channels, so that it may lie here.
    """
    if not path.exists():
        return {}
    try:
        values = json.loads(read_regular(path, _CONFIG_BYTES))
    except OSError as err:
        raise BadCheckpoint(f"{path} beside the weights cannot be read: {err.strerror or err}") from err
    except (ValueError, RecursionError) as err:
        raise BadCheckpoint(f"{path} beside the weights is no JSON: {err}; mend or move it") from err
    return values if isinstance(values, dict) else {}


def _parts(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [values, *(values[name] for name in _WITHIN if isinstance(values.get(name), dict))]


def _channels(parts: list[Mapping[str, Any]], path: Path) -> tuple[str, ...] | None:
    found: dict[tuple[str, ...], str] = {}
    for part in parts:
        for key in _CHANNEL_KEYS:
            value = part.get(key)
            if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
                try:
                    found[channel_names(list(value))] = key
                except InvalidValue as err:
                    raise BadCheckpoint(f"weights {path}: {key} of their configuration: {err}") from None
    if len(found) > 1:
        keys = " and ".join(found.values())
        raise BadCheckpoint(f"weights {path}: their configuration gives the bands in two orders: {keys}")
    return next(iter(found), None)


def _classes(parts: list[Mapping[str, Any]]) -> str | None:
    """Return the name of the class order that a configuration lists; None if it lists numbers or other classes."""
    for part in parts:
        for key in _CLASS_KEYS:
            value = part.get(key)
            if isinstance(value, dict) and all(str(i) in value for i in range(len(CLASSES))):
                value = [value[str(i)] for i in range(len(value)) if str(i) in value]
            for order, names in CLASS_ORDERS.items():
                if isinstance(value, list | tuple) and tuple(value) == names:
                    return order
    return None
