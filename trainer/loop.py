"""The training loop. `train` does what `bep train` does."""

import hashlib
import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import shards
from shards import BANDS, CLASSES, Store
from shards.manifest import MANIFEST
from trainer import models, run_folder
from trainer.checkpoint import Checkpoint
from trainer.config import TrainConfig
from trainer.errors import TrainError
from trainer.evaluate import evaluate
from trainer.loader import Loader, LoaderConfig
from trainer.metrics import Metrics
from trainer.normalisation import Normalisation
from trainer.progress import EpochReport, Phase, Progress, Silent, StepReport, Stopwatch
from trainer.running_loss import RunningLoss
from trainer.schedule import lr_factor

STEPS_AHEAD: Final = 2
"""Steps that the host may be ahead of a GPU: enough to keep it busy, few enough that waiting for the loader shows."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run has come to.

    Attributes:
        best_epoch: epoch, from 1, of the checkpoint.
        validation: its metrics on the validation split.
        test: its metrics on the test split; None unless asked for.
    """

    best_epoch: int
    validation: Metrics
    test: Metrics | None


def train(config: TrainConfig, progress: Progress | None = None) -> Result:
    """Train a model and leave config, metrics and the best checkpoint in `config.out`.

    The best checkpoint is that of the highest macro average precision on the validation split.

    Raises:
        ShardError: the shards are damaged, or are none.
        TrainError: the folder of the run is in use, a split is missing, or the loss is not finite.
        OSError: a file cannot be read or written.
    """
    progress = progress or Silent()
    run_folder.check_unused(config.out)
    with shards.open(config.data, num_threads=config.threads) as store:
        _check_splits(store, ("train", "validation", "test") if config.test else ("train", "validation"))
        normalisation = Normalisation.of_train_split(store.manifest)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(config.seed)
        model = models.create().to(device)
        manifest_sha256 = hashlib.sha256((store.folder / MANIFEST).read_bytes()).hexdigest()
        config.out.mkdir(parents=True, exist_ok=True)
        description = _describe(config, store, normalisation, device, manifest_sha256)
        run_folder.write_json(config.out / run_folder.CONFIG, description)
        best = _fit(model, config, store, normalisation, progress, manifest_sha256)
        if not config.test:
            return Result(*best, test=None)
        checkpoint = Checkpoint.read(config.out / run_folder.CHECKPOINT, device)
        with _loader(store, "test", checkpoint.normalisation, config, device) as loader:
            test = evaluate(checkpoint.create_model().to(device), loader, Phase("test"), progress)
        run_folder.write_json(config.out / run_folder.TEST_METRICS, {"epoch": checkpoint.epoch} | test.to_json())
        return Result(*best, test=test)


def _fit(
    model: nn.Module,
    config: TrainConfig,
    store: Store,
    normalisation: Normalisation,
    progress: Progress,
    manifest_sha256: str,
) -> tuple[int, Metrics]:
    """Run all epochs and return number and validation metrics of the best one."""
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    best: tuple[int, Metrics] | None = None
    with (
        _loader(store, "train", normalisation, config, device) as train_loader,
        _loader(store, "validation", normalisation, config, device) as validation_loader,
    ):
        for epoch in range(1, config.epochs + 1):
            phase = Phase("train", epoch, config.epochs)
            last = train_epoch(model, optimizer, train_loader, config.lr, phase, progress)
            validation_phase = Phase("validation", epoch, config.epochs)
            metrics = evaluate(model, validation_loader, validation_phase, progress)
            if best is None or _score(metrics) > _score(best[1]):
                best = (epoch, metrics)
                Checkpoint(
                    model=models.MODEL,
                    state=model.state_dict(),
                    normalisation=normalisation,
                    epoch=epoch,
                    metrics=metrics.to_json(),
                    config=config.to_json(),
                    manifest_sha256=manifest_sha256,
                ).write(config.out / run_folder.CHECKPOINT)
            assert last.loss is not None
            report = EpochReport(
                phase, last.loss, metrics, last.patches_per_second, last.wait_share, is_best=best[0] == epoch
            )
            run_folder.append_line(config.out / run_folder.METRICS, _epoch_line(report))
            progress.epoch(report)
    assert best is not None
    return best


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: Loader, lr: float, phase: Phase, progress: Progress
) -> StepReport:
    """Train one epoch and return the report of its last step.

    The host waits for the device only to report, and to stay at most `STEPS_AHEAD` steps ahead of it.

    Raises:
        NonFiniteLoss: the loss of a step was infinite or not a number.
    """
    model.train()
    running_loss = RunningLoss(next(model.parameters()).device, phase.epoch)
    stopwatch = Stopwatch(phase, loader, progress)
    first_step, num_steps = (phase.epoch - 1) * len(loader), phase.num_epochs * len(loader)
    steps_ahead: deque[torch.cuda.Event] = deque()
    for batch in loader.epoch(phase.epoch):
        for group in optimizer.param_groups:
            group["lr"] = lr * lr_factor(first_step + stopwatch.step, num_steps)
        loss = binary_cross_entropy_with_logits(models.logits(model, batch.images), batch.labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        report_due = stopwatch.count(len(batch))
        running_loss.add(loss, len(batch), stopwatch.step)
        if report_due:
            last = stopwatch.report(running_loss.mean())
        if batch.images.is_cuda:
            steps_ahead.append(torch.cuda.Event())
            steps_ahead[-1].record()
            if len(steps_ahead) > STEPS_AHEAD:
                steps_ahead.popleft().synchronize()
    return last


def _loader(
    store: Store, split: str, normalisation: Normalisation, config: TrainConfig, device: torch.device
) -> Loader:
    loader_config = LoaderConfig(
        batch_size=config.batch_size,
        device=device,
        training=split == "train",
        seed=config.seed,
        verify=config.verify,
    )
    return Loader(store, store.index.rows(split), normalisation, loader_config)


def _check_splits(store: Store, needed: tuple[str, ...]) -> None:
    for split in needed:
        if split not in store.manifest.splits or not len(store.index.rows(split)):
            there = ", ".join(f"{name} ({info.count})" for name, info in store.manifest.splits.items()) or "none"
            raise TrainError(f"{store.folder} has no patches in the split {split}, which this needs; it has {there}")


def _score(metrics: Metrics) -> float:
    return -math.inf if metrics.ap_macro is None else metrics.ap_macro


def _describe(
    config: TrainConfig, store: Store, normalisation: Normalisation, device: torch.device, manifest_sha256: str
) -> dict[str, Any]:
    """Return what `config.json` holds: all that the result depends on."""
    return {
        "options": config.to_json(),
        "model": models.MODEL,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": store.num_threads,
        "manifest_sha256": manifest_sha256,
        "source_version": store.manifest.source_version,
        "patches": {split: info.count for split, info in store.manifest.splits.items()},
        "bands": BANDS,
        "classes": CLASSES,
        "normalisation": asdict(normalisation),
        "versions": run_folder.versions(),
    }


def _epoch_line(report: EpochReport) -> dict[str, Any]:
    return {
        "epoch": report.phase.epoch,
        "train_loss": report.train_loss,
        "patches_per_second": round(report.patches_per_second, 1),
        "wait_share": round(report.wait_share, 4),
        "is_best": report.is_best,
        "validation": report.validation.to_json(),
    }
