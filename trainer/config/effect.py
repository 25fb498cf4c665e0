"""Options that a run would ignore, or could not honour: refused by name, if somebody gave them.

What a recipe or a default says is no wish of anybody, so it may be without effect. A limit that a run does not reach
(`max_steps`, `max_minutes`, `save_steps`) and a value that stands for none of a thing (`mixup=0`,
`fraction=1`) are honoured as they are.
"""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Final

import torch

from shards.errors import InvalidValue
from shards.layout.bands import GROUP_OF, GROUPS
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.data.batch import IMAGE_SIZE
from trainer.definition.choices import CUDA_GRAPH, Precision
from trainer.definition.tables import AUGMENT
from trainer.models.bepnet import PLANS
from trainer.models.create import create
from trainer.models.spec import ModelSpec
from trainer.runtime.ranks import Ranks

LAMB_CLIP: Final = 1.0
"""The norm that LAMB scales gradients down to by itself: `max_grad_norm` of timm's."""


def check(config: TrainConfig, given: Given) -> None:
    """Check that each option that was given has an effect, as far as the options alone can tell.

    Args:
        config: of a new run.
        given: options that somebody gave.

    Raises:
        InvalidValue: one has none, or needs a library that is not installed; the message names it as it was written,
            and what it goes with.
    """
    if (logger := config.run.logger) is not None and find_spec(logger) is None:
        raise InvalidValue(
            f"{given.setting('run.logger', logger)} needs {logger}, which is not installed: "
            f"pip install 'bigearth-pipeline[{logger}]'"
        )
    for key, reason in _ignored(config, given):
        if key in given:
            raise InvalidValue(f"{given.name(key)} has no effect: {reason}; leave it out")


def _ignored(config: TrainConfig, given: Given) -> Iterator[tuple[str, str]]:
    """Yield the options without effect, given or not, by key, and why they have none."""
    yield from _ignored_in_optimisation(config, given)
    if not config.data.validation:
        off = _now(config, given, "data.validation")
        for key in ("run.monitor", "run.patience", "run.keep"):
            yield key, f"{off} leaves no score to go by"
        if config.optimisation.schedule == "plateau":
            yield "optimisation.schedule", f"{off} leaves no score to go by"
    if config.run.patience is not None and config.run.patience >= config.optimisation.epochs:
        yield "run.patience", f"the run ends after {_now(config, given, 'optimisation.epochs')} in any case"
    yield from _ignored_when_frozen(config, given)
    if config.data.normalise != "standard":
        standard = given.setting("data.normalise", "standard")
        yield "data.statistics", f"it goes with {standard}, and this run has {config.data.normalise}"
    if config.model.weights is None:
        yield "model.allow_mixed_version", "it goes with `weights=FILE`"
    yield from _ignored_in_images(config, given)


def _ignored_in_optimisation(config: TrainConfig, given: Given) -> Iterator[tuple[str, str]]:
    optimisation = config.optimisation
    if optimisation.optimizer != "sgd":
        sgd = given.setting("optimisation.optimizer", "sgd")
        yield "optimisation.momentum", f"it goes with {sgd}, and this run has {optimisation.optimizer}"
    if optimisation.optimizer == "lamb" and optimisation.clip is not None and optimisation.clip >= LAMB_CLIP:
        lamb = _now(config, given, "optimisation.optimizer")
        yield (
            "optimisation.clip",
            (f"{lamb} scales gradients down to a norm of {LAMB_CLIP:g} by itself, so only less counts"),
        )
    if optimisation.weight_decay == 0:
        yield "optimisation.decay", f"it goes with a {given.name('optimisation.weight_decay')} above 0"
    yield from _ignored_in_schedule(config, given)
    if optimisation.warmup_steps == 0:
        yield "optimisation.start_factor", f"{_now(config, given, 'optimisation.warmup_steps')} leaves no warm-up"
    if not optimisation.positive_weights:
        weights = given.setting("optimisation.positive_weights", True)
        yield "optimisation.max_positive_weight", f"it goes with {weights}"
    if optimisation.accumulate > optimisation.batch_size:
        size = _now(config, given, "optimisation.batch_size")
        yield "optimisation.accumulate", f"{size} cannot be cut into {optimisation.accumulate} parts"


_SCHEDULES: Final = {
    "final_factor": ("cosine", "restarts"),
    "step_epochs": ("step",),
    "step_gamma": ("step", "plateau"),
    "plateau_epochs": ("plateau",),
    "restart_epochs": ("restarts",),
    "restart_growth": ("restarts",),
}
"""Options of the table `optimisation` that go with some schedules only, and those."""
_CHANGES: Final = {
    "step": ("step_epochs", "the rate falls after"),
    "plateau": ("plateau_epochs", "the rate falls after"),
    "restarts": ("restart_epochs", "the rate restarts after"),
}
"""Option that says after which epochs a schedule does something for the first time, and what that is."""


def _ignored_in_schedule(config: TrainConfig, given: Given) -> Iterator[tuple[str, str]]:
    optimisation = config.optimisation
    for name, schedules in _SCHEDULES.items():
        if optimisation.schedule not in schedules:
            right = " or ".join(given.setting("optimisation.schedule", schedule) for schedule in schedules)
            yield f"optimisation.{name}", f"it goes with {right}, and this run has {optimisation.schedule}"
    changes = _CHANGES.get(optimisation.schedule)
    if changes is not None and getattr(optimisation, changes[0]) >= optimisation.epochs:
        every, epochs = (_now(config, given, f"optimisation.{name}") for name in (changes[0], "epochs"))
        for name in (*(name for name, right in _SCHEDULES.items() if optimisation.schedule in right), "schedule"):
            if name != "final_factor":
                yield f"optimisation.{name}", f"{changes[1]} {every}, and the run has {epochs}"


def _ignored_when_frozen(config: TrainConfig, given: Given) -> Iterator[tuple[str, str]]:
    if config.model.freeze is None:
        return
    frozen = _now(config, given, "model.freeze")
    for key in ("optimisation.backbone_lr", "optimisation.layer_decay"):
        yield key, f"{frozen} leaves the classifier alone to train"
    yield "model.drop_path_rate", f"{frozen} leaves no layer to skip in training"
    yield "model.checkpointing", f"{frozen} needs no gradients of features"


def _ignored_in_images(config: TrainConfig, given: Given) -> Iterator[tuple[str, str]]:
    augmentation, bands = config.augmentation, config.data.bands
    resized = given.setting("augmentation.crop", "resized")
    if config.model.model in PLANS and augmentation.crop != "resized":
        yield (
            "data.interpolation",
            (f"{config.model.model} takes bands at their own resolution; it goes with networks of timm or {resized}"),
        )
    if augmentation.crop != "resized" and all(GROUP_OF[band] is GROUPS[0] for band in bands):
        yield (
            "data.interpolation",
            (f"all {given.name('data.bands')} of this run are at 10 m; it goes with others or with {resized}"),
        )
    if augmentation.crop != "pad":
        pad = given.setting("augmentation.crop", "pad")
        yield "augmentation.crop_pad", f"it goes with {pad}, and this run has {augmentation.crop}"
    if augmentation.crop != "resized":
        yield "augmentation.crop_scale", f"it goes with {resized}, and this run has {augmentation.crop}"
    if augmentation.erase == 0:
        yield "augmentation.erase_area", f"it goes with a {given.name('augmentation.erase')} above 0"
    if config.optimisation.batch_size == 1:
        size = _now(config, given, "optimisation.batch_size")
        for name in ("mixup", "cutmix"):
            if getattr(augmentation, name):
                reason = f"it mixes the patches of a batch, and {size} leaves none to mix with"
                yield f"augmentation.{name}", reason
                yield AUGMENT, reason
    if augmentation.band_dropout and len(bands) == 1:
        only = _now(config, given, "data.bands")
        yield "augmentation.band_dropout", f"one band is always left, and {only} is the only one"


def _now(config: TrainConfig, given: Given, key: str) -> str:
    """Return an option as it is written with the value that it has."""
    return given.setting(key, config.values()[key])


def check_device(config: TrainConfig, given: Given, ranks: Ranks, precision: Precision) -> None:
    """Check what depends on the device and the processes.

    Args:
        config: of the run, new or resumed.
        given: options that somebody gave.
        ranks: this process among those of the run.
        precision: that the run has.

    Raises:
        InvalidValue: an option has no effect there, or cannot be honoured.
    """
    machine, optimisation = config.machine, config.optimisation
    compiled, default = (given.setting("machine.compile", mode or "default") for mode in (machine.compile, "default"))
    if config.model.checkpointing and machine.compile is not None:
        # Compilers choose themselves what to compute again, and a graph cannot record torch's way.
        raise InvalidValue(
            f"{_now(config, given, 'model.checkpointing')} cannot be honoured with {compiled}; leave one of them out"
        )
    if ranks.device.type != "cuda":
        if "machine.compile" in given and machine.compile in ("reduce-overhead", CUDA_GRAPH):
            raise InvalidValue(f"{compiled} has no effect: it records CUDA graphs, which need a GPU; leave it out")
        return
    if machine.compile in ("reduce-overhead", "max-autotune") and optimisation.accumulate > 1:
        # The graph of the backward pass leaves gradients in memory that its next replay overwrites.
        raise InvalidValue(
            f"{compiled} cannot be honoured: it records CUDA graphs, whose gradients do not outlive the next part of "
            f"{_now(config, given, 'optimisation.accumulate')}; take {default}, or "
            f"{given.setting('machine.compile', CUDA_GRAPH)}"
        )
    if machine.compile != CUDA_GRAPH:
        return
    for is_given, what, instead in (
        (
            ranks.num_ranks > 1,
            f"{ranks.num_ranks} processes",
            given.setting("machine.compile", "reduce-overhead"),
        ),
        (
            precision == "fp16",
            given.setting("machine.precision", "fp16"),
            given.setting("machine.precision", "bf16"),
        ),
        (
            optimisation.optimizer == "lamb",
            given.setting("optimisation.optimizer", "lamb"),
            given.setting("optimisation.optimizer", "adamw"),
        ),
    ):
        if is_given:
            raise InvalidValue(
                f"{compiled} cannot be honoured with {what}, whose steps wait for the host; take {instead}"
            )


def check_size(config: TrainConfig, given: Given, *, num_steps: int, largest_part: int, num_patches: int) -> None:
    """Check what depends on the number of patches.

    Args:
        config: of a new run.
        given: options that somebody gave.
        num_steps: steps of the run.
        largest_part: most patches that a rank gets of a batch.
        num_patches: training patches.

    Raises:
        InvalidValue: an option has no effect in a run of this size, or cannot be honoured.
    """
    optimisation = config.optimisation
    warmup = optimisation.warmup_steps
    if "optimisation.warmup_steps" in given and warmup is not None and warmup >= num_steps:
        raise InvalidValue(
            f"{_now(config, given, 'optimisation.warmup_steps')} cannot be honoured: the run has {num_steps} steps and "
            "would never reach the highest learning rate; give fewer, or leave it out for a tenth of the run"
        )
    if "optimisation.accumulate" in given and optimisation.accumulate > largest_part:
        raise InvalidValue(
            f"{_now(config, given, 'optimisation.accumulate')} cannot be honoured: a process gets {largest_part} "
            "patches of a step at most; give that or less"
        )
    if "run.log_steps" in given and config.run.log_steps is not None and config.run.log_steps > num_steps:
        raise InvalidValue(
            f"{_now(config, given, 'run.log_steps')} has no effect: the run has {num_steps} steps; give that or fewer"
        )
    if num_patches == 1:
        for name in ("mixup", "cutmix"):
            if getattr(config.augmentation, name):
                for key in (f"augmentation.{name}", AUGMENT):
                    if key in given:
                        raise InvalidValue(
                            f"{given.name(key)} has no effect: the train split has one patch, and none to mix with"
                        )


def check_rates(spec: ModelSpec, given: Given) -> None:
    """Check that a network of timm uses the rates of dropout that were given; some take them and do nothing.

    Raises:
        InvalidValue: it does not.
    """
    for name in ("drop_rate", "drop_path_rate"):
        if f"model.{name}" in given and getattr(spec, name) and spec.name not in PLANS:
            alone = replace(spec, drop_rate=0.0, drop_path_rate=0.0)
            if not _draws(replace(alone, **{name: getattr(spec, name)})):
                written = given.name(f"model.{name}")
                raise InvalidValue(f"{written} has no effect: {spec.name} has nothing that it applies to")


def _draws(spec: ModelSpec) -> bool:
    """True if a network draws random numbers in a training step."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = create(spec).train()
        before = torch.get_rng_state()
        model({"image": torch.zeros(2, len(spec.bands), IMAGE_SIZE, IMAGE_SIZE)})
        return not torch.equal(before, torch.get_rng_state())
