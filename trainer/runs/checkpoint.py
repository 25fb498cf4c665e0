"""A checkpoint: the weights, all that is needed to use them on other shards, and, in `last.pt`, to train on."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from shards import CLASSES, Manifest
from shards.errors import InvalidValue
from shards.metadata.manifest import dataset_name
from trainer.data.normalisation import Normalisation
from trainer.errors import BadCheckpoint
from trainer.models.create import Classifier, ModelSpec, create
from trainer.runs import checksum

FORMAT_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model, finished or in training.

    Attributes:
        model: how the network is made; its bands are in channel order.
        state: its parameters and buffers by name.
        ema: the moving average of them, which is what was evaluated; None for a run without one.
        normalisation: statistics of the train split it was trained on.
        epoch: epochs done, or with `step` the one under way, from 0.
        step: steps done in the epoch under way; 0 at the end of an epoch.
        source_version: version of BigEarthNet it was trained on, `v1` or `v2`.
        manifest_sha256: SHA-256 of the manifest of the shards it was trained on.
        config: options of the run, as JSON values.
        metrics: metrics on the validation split, as JSON values; None before the first epoch's end.
        thresholds: probability by class name from which on it counts as predicted, tuned on the validation split.
        synthetic: those shards hold synthetic data.
        progress: what else the run needs to go on; None in a checkpoint that is only to be used.
        classes: class names in output order.
        format_version: of this file.
    """

    model: ModelSpec
    state: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    normalisation: Normalisation
    epoch: int
    step: int
    source_version: str
    manifest_sha256: str
    config: dict[str, Any]
    metrics: dict[str, Any] | None
    thresholds: dict[str, float] | None
    synthetic: bool = False
    progress: dict[str, Any] | None = None
    classes: tuple[str, ...] = CLASSES
    format_version: int = FORMAT_VERSION

    @property
    def dataset(self) -> str:
        """Name of the data that it was trained on, such as `BigEarthNet v2`."""
        return dataset_name(self.source_version, synthetic=self.synthetic)

    def create_model(self, path: Path, named_by: Path | None = None) -> Classifier:
        """Return the network with the weights that were evaluated.

        Args:
            path: file of the weights, for errors.
            named_by: file that says which network it is; None for that of the weights.

        Raises:
            BadCheckpoint: there is no such network, or the weights are not those of it.
        """
        try:
            model = create(self.model)
        except InvalidValue as err:
            raise BadCheckpoint(f"{named_by or path} does not describe a network: {err}") from err
        weights = self.state if self.ema is None else self.ema
        try:
            fit(model.state_dict(), weights, f"weights {path}")
        except BadCheckpoint as err:
            raise BadCheckpoint(f"{err} {self.model.name} of {named_by or path}") from err
        model.load_state_dict(weights)
        return model

    def write(self, path: Path) -> None:
        """Write the checkpoint with a checksum, whole or not at all."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {"model": self.model.to_json(), "normalisation": asdict(self.normalisation)}
        if not self.synthetic:
            del values["synthetic"]  # As checkpoints of before, which earlier programs read.
        checksum.write(path, values | plain)

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint to the CPU. Nothing in the file is executed.

        Raises:
            BadCheckpoint: the file is damaged or no checkpoint, or its classes are not those of this program.
            OSError: it cannot be read.
        """
        values = checksum.read(path)
        version = values.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise BadCheckpoint(f"{path} is of version {version!r:.80}; this program reads version {FORMAT_VERSION}")
        try:
            values.setdefault("synthetic", False)  # Checkpoints of before have no such field.
            _check_fields(values)
            model, normalisation = ModelSpec.from_json(values["model"]), Normalisation(**values["normalisation"])
            checkpoint = cls(**values | {"model": model, "normalisation": normalisation})
        except (KeyError, TypeError, ValueError) as err:
            raise BadCheckpoint(f"{path} is not a checkpoint of this program: {err}") from err
        if checkpoint.classes != (names := model.nomenclature.names):
            raise BadCheckpoint(f"{path} {_difference('classes', checkpoint.classes, names)}")
        return checkpoint

    @classmethod
    def read_if_ours(cls, path: Path) -> "Checkpoint | None":
        """Read a file of weights; None for one that some other program wrote.

        Raises:
            BadCheckpoint: it is a checkpoint of this program, but damaged or of other classes.
            OSError: it cannot be read.
        """
        return None if path.is_dir() or not checksum.is_marked(path) else cls.read(path)

    def check_version(self, path: Path, manifest: Manifest, *, allow_mixed: bool) -> None:
        """Check that the model may be used on a store.

        Half of the test patches of version 2 are training patches of version 1.

        Raises:
            BadCheckpoint: it was trained on the other version of BigEarthNet, and that was not allowed.
        """
        if self.source_version != manifest.source_version and not allow_mixed:
            raise BadCheckpoint(
                f"{path} was trained on BigEarthNet {self.source_version}, the shards are {manifest.source_version}, "
                "and train patches of one are test patches of the other; `allow_mixed_version=True` uses it "
                "all the same"
            )

    def check_bands(self, path: Path, bands: tuple[str, ...]) -> None:
        """Check that the model is one for these bands, in this order.

        Raises:
            BadCheckpoint: it is not.
        """
        if self.model.bands != bands:
            raise BadCheckpoint(f"{path} {_difference('bands', self.model.bands, bands)}")


def fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str) -> None:
    """Check that tensors from a file have the names, shapes and types that a network has.

    Args:
        own: by name, of the network.
        given: by name, from the file.
        what: the thing, for the error.

    Raises:
        BadCheckpoint: they have not.
    """
    for name in own.keys() | given.keys():
        if name not in given or name not in own:
            raise BadCheckpoint(f"{what} {'lack' if name not in given else 'have'} {name!r:.80}, unlike the network")
        shapes = tuple(given[name].shape), tuple(own[name].shape)
        types = given[name].dtype, own[name].dtype
        if shapes[0] != shapes[1] or types[0] != types[1]:
            found, expected = (f"{kind} of shape {shape}" for kind, shape in zip(types, shapes, strict=True))
            raise BadCheckpoint(f"{what} have {name} as {found}, expected {expected}")


_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "model": (dict,),
    "state": (dict,),
    "ema": (dict, type(None)),
    "normalisation": (dict,),
    "epoch": (int,),
    "step": (int,),
    "source_version": (str,),
    "manifest_sha256": (str,),
    "config": (dict,),
    "metrics": (dict, type(None)),
    "thresholds": (dict, type(None)),
    "synthetic": (bool,),
    "progress": (dict, type(None)),
    "classes": (tuple,),
}
"""Types of the fields as the file holds them."""


def _check_fields(values: dict[str, Any]) -> None:
    """Raise ValueError if a field has not the type that it should."""
    for name, kinds in _FIELDS.items():
        if type(value := values[name]) not in (*kinds, OrderedDict if dict in kinds else dict):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{name} is of type {type(value).__name__}, expected {expected}")
    for name in ("state", "ema"):
        if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in (values[name] or {}).items()):
            raise ValueError(f"{name} holds more than tensors by name")
        # A sparse or a quantised tensor, or one on no device, cannot be copied from.
        if not all(v.layout is torch.strided and v.device.type == "cpu" for v in (values[name] or {}).values()):
            raise ValueError(f"{name} holds a tensor that is no plain one")
    if not all(isinstance(name, str) for name in values["classes"]):
        raise ValueError("classes are no names")
    if not all(
        isinstance(k, str) and type(v) is float and 0 <= v <= 1 for k, v in (values["thresholds"] or {}).items()
    ):
        raise ValueError("thresholds are no numbers by class")
    numbers = [values["normalisation"].get(name) for name in ("mean", "centre", "scale")]
    if not all(isinstance(part, tuple) and all(type(v) is float for v in part) for part in numbers):
        raise ValueError("normalisation holds more than tuples of floats")


def _difference(what: str, found: tuple[str, ...], expected: tuple[str, ...]) -> str:
    """Say in what two lists of names differ."""
    only_found = [name for name in found if name not in expected]
    only_expected = [name for name in expected if name not in found]
    if not only_found and not only_expected:
        place = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), 0)
        return f"has the {what} in another order: number {place + 1} is {found[place]!r}, expected {expected[place]!r}"
    parts = [f"lacks {', '.join(only_expected)}"] if only_expected else []
    parts += [f"has {', '.join(only_found)}"] if only_found else []
    return f"has other {what}: it {' and '.join(parts)}"
