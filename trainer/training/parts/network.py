"""The network of a run, with the weights to begin with."""

import torch

from shards import Store
from trainer.config.options import TrainConfig
from trainer.models.create import Classifier, ModelSpec, create
from trainer.runs.checkpoint import Checkpoint


def create_network(config: TrainConfig, store: Store, *, resumed: bool) -> Classifier:
    """Return the network on the CPU, frozen and checkpointed as the options say.

    Args:
        config: of the run.
        store: its shards.
        resumed: whether the weights come from the run's own checkpoint later.

    Raises:
        InvalidValue: there is no such network, or it cannot be frozen or checkpointed.
        TrainError: the weights cannot be loaded, or do not fit.
    """
    model = _create(config, store, resumed=resumed)
    if config.model.freeze is not None:
        model.freeze_backbone()
    if config.model.checkpointing:
        model.set_checkpointing()
    return model


def describe_training(config: TrainConfig, model: Classifier) -> str | None:
    """Return a line about what of a network is trained; None for all of it."""
    if config.model.freeze is None:
        return None
    parameters = [(p.numel(), p.requires_grad) for p in model.parameters()]
    trained = sum(count for count, is_trained in parameters if is_trained)
    line = f"freeze backbone: {trained:,} of {sum(count for count, _ in parameters):,} parameters are trained"
    begun = config.model.pretrained or config.model.weights is not None
    return line if begun else f"{line}; the backbone is random, as neither `weights=` nor `pretrained=` is given"


def _create(config: TrainConfig, store: Store, *, resumed: bool) -> Classifier:
    spec = ModelSpec(
        name=config.model.model,
        bands=config.data.bands,
        drop_rate=config.model.drop_rate,
        drop_path_rate=config.model.drop_path_rate,
        ignored=tuple(name for name in config.data.nomenclature.names if name in config.data.ignore_labels),
        classes=config.data.classes,
    )
    torch.manual_seed(config.run.seed)
    if resumed:
        return create(spec)
    if config.model.weights is not None and (checkpoint := Checkpoint.read_if_ours(config.model.weights)) is not None:
        checkpoint.check_version(config.model.weights, store.manifest, allow_mixed=config.model.allow_mixed_version)
    return create(
        spec,
        pretrained=config.model.pretrained,
        weights=config.model.weights,
        weights_bands=config.model.weights_bands,
        weights_classes=config.model.weights_classes,
    )
