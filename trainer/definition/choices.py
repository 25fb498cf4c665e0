"""Names that options may have as values."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

Method = Literal["standard", "percentile"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
Interpolation = Literal["nearest", "bilinear"]
INTERPOLATIONS: Final[tuple[Interpolation, ...]] = get_args(Interpolation)
Order = Literal["auto", "global", "block"]
TrainSplit = Literal["train", "validation"]
Turn = Literal["none", "flips", "d4"]
Crop = Literal["none", "pad", "resized"]
ClassNumber = Literal[19, 43]
CLASS_NUMBERS: Final[tuple[ClassNumber, ...]] = get_args(ClassNumber)
"""Numbers of classes of the nomenclatures, as keys of `shards.layout.classes.NOMENCLATURES`."""
ClassOrder = Literal["alphabetical", "paper", "none"]
Freeze = Literal["backbone"]
OptimizerName = Literal["adamw", "sgd", "lamb"]
OPTIMIZERS: Final[tuple[OptimizerName, ...]] = get_args(OptimizerName)
Decay = Literal["weights", "all"]
DECAYS: Final[tuple[Decay, ...]] = get_args(Decay)
ScheduleName = Literal["cosine", "constant", "step", "plateau", "restarts"]
SCHEDULES: Final[tuple[ScheduleName, ...]] = get_args(ScheduleName)
LossName = Literal["bce", "asymmetric", "focal"]
LOSSES: Final[tuple[LossName, ...]] = get_args(LossName)
Monitor = Literal["ap_macro", "ap_micro", "auroc_macro", "auroc_micro", "f1_macro", "f1_micro", "loss"]
MONITORS: Final[tuple[Monitor, ...]] = get_args(Monitor)
"""Values of the validation split that epochs can be compared by."""
MONITOR_WORDS: Final[Mapping[Monitor, str]] = {
    "ap_macro": "macro average precision",
    "ap_micro": "micro average precision",
    "auroc_macro": "macro AUROC",
    "auroc_micro": "micro AUROC",
    "f1_macro": "macro F1 at 0.5",
    "f1_micro": "micro F1 at 0.5",
    "loss": "loss",
}
"""The same in words."""
LoggerName = Literal["wandb", "mlflow"]
DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp16", "fp32"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
CompileMode = Literal["default", "reduce-overhead", "max-autotune", "cuda-graph"]
"""Modes of torch.compile, of which the two in the middle record CUDA graphs; and the step as it is, recorded as one."""
CUDA_GRAPH: Final = "cuda-graph"
Backend = Literal["auto", "dali", "numba", "torch", "triton"]
BACKENDS: Final[tuple[Backend, ...]] = get_args(Backend)
Tta = Literal["none", "d4"]
"""Test-time augmentation: none, or the eight flips and turns of a square (the dihedral group D4)."""
TTAS: Final[tuple[Tta, ...]] = get_args(Tta)
Cache = Literal["none", "ram", "gpu", "auto"]
Verify = Literal["first", "always", "never"]
"""As `shards.Verify`, which cannot be imported without the libraries that read shards."""
