"""The memory that a training needs beside the records that it keeps."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

import shards
from tests.trainer.models.images import random_batch
from trainer.config.options import TrainConfig
from trainer.data.stream import cache
from trainer.models.create import Classifier, ModelSpec, create
from trainer.runtime.ranks import Ranks
from trainer.training.parts.memory import LIBRARIES, reserve_bytes, step_bytes
from trainer.training.start import train

CPU: Final = torch.device("cpu")
ONE: Final = Ranks(CPU)
NAMES: Final = ("bepnet-s", "resnet18")


def _model(name: str) -> Classifier:
    return create(ModelSpec(name=name, bands=("B02", "B05", "B01")))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_measured_without_changing_the_network(name: str) -> None:
    """A measured pass that moved BatchNorm or the random numbers would change the run."""
    torch.manual_seed(1)
    model = _model(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.random.get_rng_state()
    few, many = step_bytes(model, 8), step_bytes(model, 24)
    assert [3 * size for size in few] == list(many)
    assert torch.equal(random, torch.random.get_rng_state())
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    images = {k: v for k, v in random_batch(model, 24).items() if k not in ("row", "label")}
    assert many[0] == sum(tensor.nbytes for tensor in images.values())
    # What is kept holds at least the output of the first convolutions.
    sizes = []
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _, __, output: sizes.append(output.nbytes))
    model.train()(images)
    assert max(sizes) < many[1] < 6 * sum(sizes)


@pytest.mark.parametrize("name", NAMES)
def test_optimizer_average_and_batch_are_reserved(name: str, tar_store: Path, tmp_path: Path) -> None:
    """A part that is left out is taken from the records, and the kernel ends the run."""
    model = _model(name)
    weights = sum(p.nbytes for p in model.parameters())
    config = TrainConfig.of(shards=tar_store, out=tmp_path / "run", optimizer="sgd", batch_size=8)

    def size(ranks: Ranks = ONE, **options: Any) -> int:
        return reserve_bytes(model, config.replace(**options), ranks)

    sgd = size()
    assert sgd > LIBRARIES + 2 * weights + sum(step_bytes(model, 8))
    assert size(optimizer="adamw") == sgd + weights
    assert size(ema=0.9) == sgd + weights
    assert size(batch_size=16) > sgd + step_bytes(model, 8)[1]
    assert size(batch_size=16, accumulate=2) < size(batch_size=16)
    assert size(Ranks(CPU, num_ranks=2, num_local=2), batch_size=16) == 2 * sgd
    model.freeze_backbone()
    assert size() < sgd


def test_records_leave_memory_for_the_training(
    tar_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, a cache that fits leaves nothing for the network: the run is killed in place of an error."""
    with shards.open(tar_store) as store:
        records = store.encoded_bytes(range(len(store)))
    config = TrainConfig.of(shards=tar_store, out=tmp_path / "run", cache="ram", epochs=1)
    needed = reserve_bytes(create(ModelSpec(name=config.model.model, bands=config.data.bands)), config, ONE)
    free = needed
    monkeypatch.setattr("shards.storage.shared_cache.available_bytes", lambda: free)
    with pytest.raises(shards.NotEnoughMemory, match=rf"the network and its batches will take {needed:,}"):
        train(config)
    free = needed + records
    train(config.replace(out=tmp_path / "other"))


def test_the_cache_that_is_chosen_leaves_memory_for_the_training(
    tar_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` takes half of what is free, and training needs more than the other half."""
    with shards.open(tar_store) as store:
        rows = np.arange(100)
        free = 3 * store.encoded_bytes(rows)
        monkeypatch.setattr("shards.storage.shared_cache.available_bytes", lambda: free)
        for reserve, tier in ((0, "ram"), (free // 4, "ram"), (free // 2, "none"), (2 * free, "none")):
            found = cache.plan(store, {"train": rows}, CPU, decodes=False, on_device=False, reserve_bytes=reserve)
            assert found["train"].tier == tier
