"""Options that a run would ignore, or could not honour: refused by name, if somebody gave them.

What a recipe or a default says is no wish of anybody, so it may be without effect. A limit that a run does not reach
(`max_steps`, `max_minutes`, `save_steps`) and a value that stands for none of a thing (`mixup=0`,
`fraction=1`) are honoured as they are.
"""

from collections.abc import Collection, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

import torch

from shards.errors import InvalidValue
from shards.layout.bands import GROUP_OF, GROUPS
from trainer.config.options import CUDA_GRAPH, TrainConfig
from trainer.data.augment.recipe import RECIPES
from trainer.data.batch import IMAGE_SIZE
from trainer.models.bepnet import PLANS
from trainer.models.create import create
from trainer.models.spec import ModelSpec
from trainer.runtime.precision import Precision
from trainer.runtime.ranks import Ranks

LAMB_CLIP: Final = 1.0
"""The norm that LAMB scales gradients down to by itself: `max_grad_norm` of timm's."""


def changed(config: TrainConfig) -> frozenset[str]:
    """Return the options that are not as they are by default, those of the augmentation by their own names.

    For callers that do not know what was given: a value that nobody gave is the default.
    """
    default = TrainConfig(data=Path(), out=Path())
    names = {field.name for field in fields(config) if getattr(config, field.name) != getattr(default, field.name)}
    if config.augmentation not in RECIPES.values():
        base = default.augmentation
        names |= {part.name for part in fields(base) if getattr(config.augmentation, part.name)}
    return frozenset(names)


def check(config: TrainConfig, given: Collection[str]) -> None:
    """Check that each option that was given has an effect, as far as the options alone can tell.

    Args:
        config: of a new run.
        given: names of the options that somebody gave.

    Raises:
        InvalidValue: one has none; the message names it and what it goes with.
    """
    for name, reason in _ignored(config):
        if name in given:
            raise InvalidValue(f"{option(name)} has no effect: {reason}; leave it out")


def option(name: str) -> str:
    """Return an option as messages name it, see `shards.errors`."""
    return "`mapped=False`" if name == "mapped" else f"`{name}=`"


def _ignored(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """Yield the options without effect, given or not, and why they have none."""
    augmentation = config.augmentation
    if config.optimizer != "sgd":
        yield "momentum", f"it goes with `optimizer=sgd`, and this run has {config.optimizer}"
    if config.optimizer == "lamb" and config.clip is not None and config.clip >= LAMB_CLIP:
        yield (
            "clip",
            f"`optimizer=lamb` scales gradients down to a norm of {LAMB_CLIP:g} by itself, so only less counts",
        )
    if config.weight_decay == 0:
        yield "decay", "it goes with a `weight_decay=` above 0"
    if config.schedule != "step":
        for name in ("step_epochs", "step_gamma"):
            yield name, f"it goes with `schedule=step`, and this run has {config.schedule}"
    elif config.step_epochs >= config.epochs:
        reason = f"the rate falls after `step_epochs={config.step_epochs}`, and the run has `epochs={config.epochs}`"
        for name in ("step_epochs", "schedule", "step_gamma"):
            yield name, reason
    if config.patience is not None and config.patience >= config.epochs:
        yield "patience", f"the run ends after `epochs={config.epochs}` in any case"
    if not config.positive_weights:
        yield "max_positive_weight", "it goes with `positive_weights=True`"
    if config.model in PLANS and augmentation.crop != "resized":
        reason = (
            f"{config.model} takes every band at its own resolution; it goes with networks of timm or `crop=resized`"
        )
        yield "interpolation", reason
    if augmentation.crop != "resized" and all(GROUP_OF[band] is GROUPS[0] for band in config.bands):
        yield "interpolation", "all `bands=` of this run are at 10 m; it goes with others or with `crop=resized`"
    if config.weights is None:
        yield "allow_mixed_version", "it goes with `weights=FILE`"
    if config.batch_size == 1:
        for name in ("mixup", "cutmix"):
            if getattr(augmentation, name):
                reason = "it mixes the patches of a batch, and `batch_size=1` leaves none to mix with"
                yield name, reason
                yield "augmentation", reason
    if augmentation.band_dropout and len(config.bands) == 1:
        reason = f"one band is always left, and `bands={config.bands[0]}` is the only one"
        yield "band_dropout", reason
    if config.accumulate > config.batch_size:
        reason = f"`batch_size={config.batch_size}` cannot be cut into {config.accumulate} parts"
        yield "accumulate", reason


def check_device(config: TrainConfig, given: Collection[str], ranks: Ranks, precision: Precision) -> None:
    """Check what depends on the device and the processes.

    Args:
        config: of the run, new or resumed.
        given: names of the options that somebody gave.
        ranks: this process among those of the run.
        precision: that the run has.

    Raises:
        InvalidValue: an option has no effect there, or cannot be honoured.
    """
    if ranks.device.type != "cuda":
        if "compile" in given and config.compile in ("reduce-overhead", CUDA_GRAPH):
            raise InvalidValue(
                f"`compile={config.compile}` has no effect: it records CUDA graphs, which need a GPU; take "
                "`compile=default`"
            )
        return
    if config.compile in ("reduce-overhead", "max-autotune") and config.accumulate > 1:
        # The graph of the backward pass leaves gradients in memory that its next replay overwrites.
        raise InvalidValue(
            f"`compile={config.compile}` cannot be honoured: it records CUDA graphs, whose gradients do not outlive "
            f"the next part of `accumulate={config.accumulate}`; take `compile=default`, or `compile={CUDA_GRAPH}`"
        )
    if config.compile != CUDA_GRAPH:
        return
    for is_given, what, instead in (
        (ranks.num_ranks > 1, f"{ranks.num_ranks} processes", "`compile=reduce-overhead`"),
        (precision == "fp16", "`precision=fp16`", "`precision=bf16`"),
        (config.optimizer == "lamb", "`optimizer=lamb`", "`optimizer=adamw`"),
    ):
        if is_given:
            raise InvalidValue(
                f"`compile={CUDA_GRAPH}` cannot be honoured with {what}, whose steps need the host; take {instead}"
            )


def check_size(
    config: TrainConfig, given: Collection[str], *, num_steps: int, largest_part: int, num_patches: int
) -> None:
    """Check what depends on the number of patches.

    Args:
        config: of a new run.
        given: names of the options that somebody gave.
        num_steps: steps of the run.
        largest_part: most patches that a rank gets of a batch.
        num_patches: training patches.

    Raises:
        InvalidValue: an option has no effect in a run of this size, or cannot be honoured.
    """
    warmup = config.warmup_steps
    if "warmup_steps" in given and warmup is not None and warmup >= num_steps:
        raise InvalidValue(
            f"`warmup_steps={warmup}` cannot be honoured: the run has {num_steps} steps and would never reach the "
            "highest learning rate; give fewer, or leave it out for a tenth of the run"
        )
    if "accumulate" in given and config.accumulate > largest_part:
        raise InvalidValue(
            f"`accumulate={config.accumulate}` cannot be honoured: a process gets {largest_part} patches of a step at "
            "most; give that or less"
        )
    if num_patches == 1:
        for name in ("mixup", "cutmix"):
            if not {name, "augmentation"}.isdisjoint(given) and getattr(config.augmentation, name):
                raise InvalidValue(f"{option(name)} has no effect: the train split has one patch, and none to mix with")


def check_rates(spec: ModelSpec, given: Collection[str]) -> None:
    """Check that a network of timm uses the rates of dropout that were given; some take them and do nothing.

    Raises:
        InvalidValue: it does not.
    """
    for name in ("drop_rate", "drop_path_rate"):
        if name in given and getattr(spec, name) and spec.name not in PLANS:
            alone = replace(spec, drop_rate=0.0, drop_path_rate=0.0)
            if not _draws(replace(alone, **{name: getattr(spec, name)})):
                raise InvalidValue(f"{option(name)} has no effect: {spec.name} has nothing that it applies to")


def _draws(spec: ModelSpec) -> bool:
    """Whether a network draws random numbers in a training step."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = create(spec).train()
        before = torch.get_rng_state()
        model({"image": torch.zeros(2, len(spec.bands), IMAGE_SIZE, IMAGE_SIZE)})
        return not torch.equal(before, torch.get_rng_state())
