"""What a training run is told; built once, never changed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_type_hints

from shards.errors import InvalidValue
from shards.read.checks import Verify, verify_mode
from trainer.config.types import check_type, from_json, shown
from trainer.data.augment.recipe import RECIPES, Augmentation
from trainer.data.bands import BandSelection
from trainer.data.batch import INTERPOLATIONS, Interpolation
from trainer.data.normalisation import METHODS, Method
from trainer.data.prepare.backend import Backend
from trainer.errors import TrainError
from trainer.models.published import check_classes, parse_channels
from trainer.optimisation.losses import LossConfig
from trainer.optimisation.optimizer import OptimizerConfig
from trainer.optimisation.schedule import ScheduleConfig
from trainer.runs.folder import CONFIG, read_json
from trainer.runtime.precision import PRECISIONS, Precision

CUDA_GRAPH: Final = "cuda-graph"
COMPILE_MODES: Final = ("default", "reduce-overhead", "max-autotune", CUDA_GRAPH)
"""Modes of torch.compile, of which the last two record CUDA graphs; and the step as it is, recorded as one."""
DEFAULT_MODEL: Final = "bepnet-s"
MOST: Final = 2**31 - 1
"""Highest count of epochs, steps or patches."""
MOST_THREADS: Final = 1024
"""More decode threads than any host has cores for."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train: enough, with the shards, to repeat a run.

    Attributes:
        data: folder of the shards.
        out: folder of the run.
        model: `bepnet-s`, `bepnet-m`, `bepnet-l`, or a network of timm by name.
        pretrained: begin with timm's published weights.
        weights: begin with the weights of a file.
        weights_bands: what the channels of that file are, a preset or names; see `trainer.models.published`.
        weights_classes: order of the file's 19 classes, or `none` to leave its classifier out.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth.
        bands: band names in channel order.
        normalise: `standard` for mean and standard deviation, `percentile` for the 2nd and 98th percentile.
        interpolation: how bands are brought to 10 m, where a network wants them stacked.
        where: SQL expression over the columns of the index; None for all patches.
        fraction: share of the train split that is used; None for all of it.
        patches: file with the names of the patches to use; None for all.
        augmentation: what is random about the training images.
        order: `global`, `block`, or `auto` for one or the other by where the shards lie.
        loader: what prepares the batches, see `trainer.data.prepare.backend`.
        cache: `none`, `ram`, `gpu`, or `auto`.
        epochs: passes over the train split.
        batch_size: patches of a step, over all processes; the last one of an epoch holds what is left.
        accumulate: parts that a process cuts its share of a step in, to save memory.
        optimizer: `adamw`, `sgd` or `lamb`.
        lr: highest learning rate.
        weight_decay: weight decay.
        decay: `weights`, or `all` for norms and biases too.
        momentum: momentum of SGD.
        clip: highest norm of the gradients; None for no limit.
        schedule: `cosine`, `constant` or `step`.
        warmup_steps: steps from a tenth of the learning rate to all of it; None for 1,000, or a tenth of a shorter run.
        step_epochs: epochs between two steps of the schedule `step`.
        step_gamma: factor of each of them.
        loss: `bce`, `asymmetric` or `focal`.
        label_smoothing: 0 to 1.
        positive_weights: weight positive labels by their rarity in the train split.
        max_positive_weight: highest of these weights.
        precision: `bf16`, `fp16`, `fp32`, or `auto` for bf16 on a GPU and fp32 on a CPU.
        compile: mode of torch.compile, or `cuda-graph` to record steps without it; None for neither.
        ema: decay of the moving average of the weights, which is then what is evaluated; None for none.
        seed: seed of weights, order and augmentation.
        patience: epochs without a better validation score after which the run ends; None for no such end.
        max_steps: steps after which the run ends, whatever the epochs; None for no such end.
        max_minutes: minutes after which the run stops, to be resumed; None for no such end.
        save_minutes: minutes between two saved states within an epoch.
        save_steps: steps between two saved states within an epoch; None to go by minutes only.
        device: `cpu`, `cuda` or `auto`.
        threads: decode threads of a process; None shares the cores out.
        verify: which records to compare with their checksums: `first`, `always` or `never`, see `shards.Store`; True
            and False, as in runs of version 0.1, stand for `always` and `first`.
        mapped: decode records of files in a memory file system where they lie, see `shards.Store`.
        test: evaluate the best checkpoint on the test split at the end.
        allow_mixed_version: take weights that were trained on the other version of BigEarthNet.
    """

    data: Path
    out: Path
    model: str = DEFAULT_MODEL
    pretrained: bool = False
    weights: Path | None = None
    weights_bands: str | None = None
    weights_classes: str | None = None
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    bands: tuple[str, ...] = BandSelection().names
    normalise: Method = "standard"
    interpolation: Interpolation = "nearest"
    where: str | None = None
    fraction: float | None = None
    patches: Path | None = None
    augmentation: Augmentation = RECIPES["standard"]
    order: Literal["auto", "global", "block"] = "auto"
    loader: Backend = "auto"
    cache: Literal["none", "ram", "gpu", "auto"] = "none"
    epochs: int = 10
    batch_size: int = 256
    accumulate: int = 1
    optimizer: Literal["adamw", "sgd", "lamb"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    decay: Literal["weights", "all"] = "weights"
    momentum: float = 0.9
    clip: float | None = None
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    warmup_steps: int | None = None
    step_epochs: int = 30
    step_gamma: float = 0.1
    loss: Literal["bce", "asymmetric", "focal"] = "bce"
    label_smoothing: float = 0.0
    positive_weights: bool = False
    max_positive_weight: float = 10.0
    precision: Precision = "auto"
    compile: str | None = None
    ema: float | None = None
    seed: int = 0
    patience: int | None = None
    max_steps: int | None = None
    max_minutes: float | None = None
    save_minutes: float = 10.0
    save_steps: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    verify: Verify = "first"
    mapped: bool = True
    test: bool = False
    allow_mixed_version: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "verify", verify_mode(self.verify))
        hints = get_type_hints(type(self))
        for field in fields(self):
            check_type(field.name, getattr(self, field.name), hints[field.name])
        for name in ("data", "out", "weights", "patches", "where", "model"):
            # Neither can stand in the files of a run: NUL, and the surrogates that stand for bytes that are no text.
            if (text := str(getattr(self, name))) != text.encode(errors="ignore").decode().replace("\0", ""):
                raise InvalidValue(f"{name} is {text!r}, expected text in UTF-8 without NUL")
        BandSelection(self.bands)
        _choice("normalise", self.normalise, METHODS)
        _choice("interpolation", self.interpolation, INTERPOLATIONS)
        _choice("precision", self.precision, PRECISIONS)
        if self.compile is not None:
            _choice("compile", self.compile, COMPILE_MODES)
        for name in ("epochs", "batch_size", "accumulate", "threads", "patience", "max_steps", "save_steps"):
            value, most = getattr(self, name), MOST_THREADS if name == "threads" else MOST
            if value is not None and not 1 <= value <= most:
                raise InvalidValue(f"{name} is {value}, expected at least 1 and at most {most:,}")
        if not 0 <= self.seed < 2**63:
            raise InvalidValue(f"seed is {self.seed}, expected 0 to 2**63 - 1")
        # Not `<= 0`: a comparison with NaN is false, and NaN must not pass.
        for name in ("lr", "clip", "max_minutes", "save_minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InvalidValue(f"{name} is {value}, expected a number above 0")
        for name in ("drop_rate", "drop_path_rate", "ema"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise InvalidValue(f"{name} is {value}, expected at least 0 and less than 1")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise InvalidValue(f"fraction is {self.fraction}, expected above 0 and at most 1")
        if self.pretrained and self.weights:
            raise InvalidValue("pretrained and weights are two places to take weights from; name one")
        for name in ("weights_bands", "weights_classes"):
            if getattr(self, name) is not None and self.weights is None:
                raise InvalidValue(f"{name} describes the file of `weights=`; name that too")
        if self.weights_bands is not None:
            parse_channels(self.weights_bands)
        if self.weights_classes is not None:
            check_classes(self.weights_classes)
        # Each checks what it is made of.
        _ = self.optimizer_config, self.schedule_config, self.loss_config

    @property
    def optimizer_config(self) -> OptimizerConfig:
        """Which optimiser."""
        return OptimizerConfig(
            name=self.optimizer,
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            decay=self.decay,
        )

    @property
    def schedule_config(self) -> ScheduleConfig:
        """How the learning rate goes."""
        return ScheduleConfig(
            name=self.schedule,
            warmup_steps=self.warmup_steps,
            step_epochs=self.step_epochs,
            gamma=self.step_gamma,
        )

    @property
    def loss_config(self) -> LossConfig:
        """Which loss."""
        return LossConfig(
            name=self.loss,
            label_smoothing=self.label_smoothing,
            positive_weights=self.positive_weights,
            max_positive_weight=self.max_positive_weight,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}

    @classmethod
    def read(cls, folder: Path) -> "TrainConfig":
        """Read the configuration of a run from its `config.json`.

        Raises:
            TrainError: there is no run, or the file is not what a run has written.
            OSError: the file cannot be read.
        """
        path = folder / CONFIG
        try:
            values = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            raise TrainError(f"{folder} holds no run: there is no {CONFIG}") from None
        try:
            return cls.from_json(values["options"])
        except KeyError:
            raise TrainError(f"{path} is not the configuration of a run: it has no `options`") from None
        except InvalidValue as err:
            raise TrainError(f"{path} is not the configuration of a run: {err}") from err

    @classmethod
    def from_json(cls, values: object) -> "TrainConfig":
        """Return the configuration that `to_json` described; options that it lacks have their defaults.

        Raises:
            InvalidValue: an option is unknown, missing, or of another type or value than it may have.
        """
        if not isinstance(values, Mapping):
            raise InvalidValue(f"options are {shown(values)}, expected an object of names and values")
        hints = get_type_hints(cls)
        unknown = [str(name) for name in values if name not in hints]
        missing = [name for name in ("data", "out") if name not in values]
        if unknown or missing:
            raise InvalidValue(
                f"options have {', '.join(unknown)}, which this program does not know"
                if unknown
                else f"options lack {' and '.join(missing)}"
            )
        return cls(**{name: from_json(name, value, hints[name]) for name, value in values.items()})


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidValue(f"{name} is {value!r}, expected one of {', '.join(allowed)}")


REBEN: Final[dict[str, Any]] = {
    "model": "resnet50",
    "drop_rate": 0.15,
    "drop_path_rate": 0.15,
    "bands": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "normalise": "standard",
    "interpolation": "nearest",
    "augmentation": RECIPES["flips"],
    "loss": "bce",
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.01,
    "decay": "all",
    "schedule": "cosine",
    "warmup_steps": 1000,
    "epochs": 100,
    "batch_size": 512,
    "patience": 5,
}
"""The recipe behind the published results of BigEarthNet v2 (Clasen et al., "reBEN", 2024), as options of a run."""
RUN_RECIPES: Final = {"reben": REBEN}
