"""Steps, evaluations and metrics on a GPU that is not there: devices agree, types are right, and nothing waits.

The cases of every run of the tests let every two values of two options meet. The whole product of the main options has
1,728 cases, on a network of fewer blocks; they take about half an hour (`pytest -m soak`).
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shards import Store
from tests.trainer.fake_gpu import DEVICE, Waits, WaitsError, fake_gpu, move, pairwise, whole_product
from trainer.config.options import TrainConfig
from trainer.data.bands import BAND_SETS, BandSelection
from trainer.data.batch import Batch
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.definition.augmentation import RECIPES
from trainer.definition.choices import INTERPOLATIONS, LOSSES, METHODS, OPTIMIZERS
from trainer.evaluation.measure import predict
from trainer.metrics.metrics import compute
from trainer.metrics.thresholds import tune
from trainer.models.bepnet import PLANS, Plan
from trainer.models.create import Classifier, ModelSpec, create
from trainer.optimisation import losses
from trainer.runtime.precision import autocast, why_steps_wait
from trainer.runtime.ranks import Ranks
from trainer.training.running_loss import RunningLoss
from trainer.training.step import Stepper

MAIN: dict[str, tuple[Any, ...]] = {
    "recipe": tuple(RECIPES),
    "model": ("test_resnet", "bepnet-s"),
    "precision": ("bf16", "fp16", "fp32"),
    "optimizer": OPTIMIZERS,
    "loss": LOSSES,
    "ema": (None, 0.99),
    "accumulate": (1, 2),
    "cache": ("none", "gpu"),
}
"""The models take the two layouts: one image, and the three groups of bands."""
FURTHER: dict[str, tuple[Any, ...]] = {
    "interpolation": INTERPOLATIONS,
    "bands": ("all", "rgb-swir"),
    "normalise": METHODS,
    "clip": (None, 1.0),
}


def name(case: dict[str, Any]) -> str:
    return " ".join(map(str, case.values()))


def open_loader(store: Store, split: str, case: dict[str, Any], layout: Any) -> Loader:
    normalisation = Normalisation.of_train_split(
        store.manifest, BandSelection(BAND_SETS[case["bands"]]), case["normalise"]
    )
    return Loader(
        store,
        store.index.rows(split)[:21],
        normalisation,
        LoaderConfig(
            batch_size=8,
            device=DEVICE,
            layout=layout,
            order="global" if split == "train" else "sequential",
            interpolation=case["interpolation"],
            augmentation=RECIPES[case["recipe"] if split == "train" else "none"],
            loader="torch",
            cache=case["cache"],
        ),
    )


def check_batch(batch: Batch) -> None:
    assert all(values.device == DEVICE for values in batch.values())
    for values in batch.values():
        if values.ndim == 4:
            assert values.dtype is torch.float16
            assert values.is_contiguous(memory_format=torch.channels_last)
    assert [batch[name].dtype for name in ("label", "row", "mask")] == [torch.float32, torch.int64, torch.bool]


def train(stepper: Stepper, loader: Loader) -> None:
    """Train two epochs; the last batch of each is a short one."""
    running = RunningLoss(DEVICE)
    for _ in range(2):
        for step, batch in enumerate(loader, 1):
            check_batch(batch)
            loss = stepper.step(batch, len(batch["label"]), 1e-3, measure=step == 2)
            running.add(loss, len(batch["label"]), step, stepper.norm)
            assert (stepper.norm is not None) == (step == 2 or stepper._config.optimisation.clip is not None)
            assert (loss.device, loss.dtype, loss.shape) == (DEVICE, torch.float32, ())
            assert not loss.requires_grad
    assert running.num_patches == 42


def watch_searches(model: Classifier, accumulate: int) -> set[tuple[bool, bool, bool]]:
    """Return what forward passes add to: does it train, is its batch whole, does cuDNN try all convolutions."""
    seen: set[tuple[bool, bool, bool]] = set()

    def look(module: nn.Module, arguments: tuple[Batch]) -> None:
        whole = 8 // accumulate if module.training else 8
        seen.add((module.training, len(arguments[0]["label"]) == whole, torch.backends.cudnn.benchmark))

    model.register_forward_pre_hook(look)
    return seen


@pytest.mark.long
@pytest.mark.parametrize("case", pairwise(MAIN | FURTHER), ids=name)
def test_nothing_waits(case: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step fails on a GPU, or makes it wait for the host: devices mix, types are wrong, or a value is looked at."""
    try_case(case, store, monkeypatch)


@pytest.mark.soak
@pytest.mark.parametrize("case", whole_product(MAIN, FURTHER), ids=name)
def test_nothing_waits_whatever_the_options(
    case: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three options or more together do what no two of them do."""
    # A block does what the blocks before it do.
    monkeypatch.setitem(PLANS, "bepnet-s", Plan((8, 16, 16, 16), (0, 1, 0, 0)))
    try_case(case, store, monkeypatch)


def try_case(case: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {name: case[name] for name in ("model", "precision", "optimizer", "loss", "ema", "accumulate", "clip")}
    config = TrainConfig.of(
        shards=Path(), out=Path(), batch_size=8, positive_weights=case["loss"] == "bce", bands=BAND_SETS[case["bands"]],
        **options,
    )  # fmt: skip
    torch.manual_seed(0)
    model = create(ModelSpec(name=case["model"], bands=config.data.bands, drop_rate=0.1, drop_path_rate=0.1))
    with fake_gpu(monkeypatch) as waits:
        move(model)
        check(case, config, model, store, waits)


def check(case: dict[str, Any], config: TrainConfig, model: Classifier, store: Store, waits: Waits) -> None:
    counts = dict.fromkeys(store.manifest.splits["train"].class_counts, 3)
    searches = watch_searches(model, config.optimisation.accumulate)
    stepper = Stepper(model, losses.create(config.optimisation, counts, 21, DEVICE), config, Ranks(DEVICE))
    before = {name: (values.dtype, values.stride()) for name, values in model.state_dict().items()}
    with open_loader(store, "train", case, model.layout) as loader:
        if why_steps_wait(case["precision"], case["optimizer"]) is not None:
            # A run says so in its first lines.
            with pytest.raises(WaitsError, match="_local_scalar_dense"):
                train(stepper, loader)
            return
        train(stepper, loader)
    for name, values in model.state_dict().items():
        assert (values.dtype, values.stride(), values.device) == (*before[name], DEVICE), name
    for parameter, values in stepper._optimizer.state.items():
        assert parameter.device == DEVICE
        assert all(value.device == DEVICE for value in values.values() if isinstance(value, Tensor))
    assert all(parameter.grad is None for parameter in model.parameters())
    with open_loader(store, "validation", case, model.layout) as loader, autocast(config.machine.precision, DEVICE):
        waits.count = 0
        logits, labels = predict(stepper.evaluated(), loader, Ranks(DEVICE))
    # Once, however many batches there are.
    assert waits.count == 1
    # Trying all convolutions takes longer than a step, which is for naught where the shape comes once an epoch.
    assert searches == {(trains, whole, whole) for trains in (True, False) for whole in (True, False)}
    assert logits.shape == labels.shape == (21, 19)
    assert logits.dtype is labels.dtype is torch.float32
    assert logits.device == labels.device == DEVICE
    thresholds = tune(logits, labels)
    # The first number that metrics ask for is that of patches without finite logits; then come counts.
    waits.whole = 0
    assert compute(logits, labels, 0.5, thresholds=thresholds).count == 21
