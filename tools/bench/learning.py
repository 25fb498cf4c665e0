"""Compare how fast networks learn a store: `python -m tools.bench.learning STORE --out learning.json`.

A loop of plain torch, the same for all networks: pixels standardised by the train split, bands upsampled by repetition
for networks that want all at 10 m, one of the eight turns and flips for each batch, AdamW, warm-up over one epoch,
cosine to 0. After each epoch it prints the mean average precision over the classes that the validation patches have.
"""

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.flop_counter import FlopCounterMode
from torchmetrics.functional.classification import multilabel_average_precision

import shards
from shards import BANDS, CLASSES, GROUPS, RECORD_VALUES, Store
from tools.arguments import count, run
from trainer.data.batch import IMAGE_SIZE, Batch, Layout
from trainer.data.normalisation import Normalisation
from trainer.models.create import Classifier, ModelSpec, create

PACKAGES: Final = ("numpy", "torch", "timm", "torchmetrics")
EVALUATION_BATCH: Final = 64
COST_ROUNDS: Final = 12


@dataclass(frozen=True, slots=True)
class Options:
    """Settings that a run depends on, besides the store; written to the result."""

    models: tuple[str, ...]
    epochs: int
    seeds: tuple[int, ...]
    batch_size: int
    train_patches: int
    validation_patches: int
    lr: float
    weight_decay: float
    threads: int


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Records (n, 80000) uint16 and labels (n, 19) float32 of patches, in memory."""

    records: NDArray[np.uint16]
    labels: Tensor
    normalisation: Normalisation

    @classmethod
    def read(cls, store: Store, split: str, limit: int) -> "Patches":
        """Read the first patches of a split; their order in a store is random."""
        rows = store.index.rows(split)[:limit]
        records = store.read_into(rows, np.empty((len(rows), RECORD_VALUES), np.uint16))
        labels = torch.from_numpy(store.index.labels()[rows].astype(np.float32))
        return cls(records, labels, Normalisation.of_train_split(store.manifest))

    def __len__(self) -> int:
        return len(self.records)

    def batch(self, places: NDArray[np.int64], layout: Layout, turn: int = 0) -> Batch:
        """Return prepared images and labels of some patches; bits of `turn`: transpose, left-right, up-down."""
        images = {}
        first = 0
        for group in GROUPS:
            last = first + len(group.bands)
            centre, scale = (
                torch.tensor(values[first:last])[:, None, None]
                for values in (self.normalisation.centre, self.normalisation.scale)
            )
            pixels = torch.from_numpy(self.records[places, group.slice].astype(np.float32)).reshape(-1, *group.shape)
            values = (pixels - centre) / scale
            values = values.transpose(2, 3) if turn & 1 else values
            values = values.flip([axis for axis, bit in ((3, 2), (2, 4)) if turn & bit])
            images[group.name] = values.contiguous(memory_format=torch.channels_last)
            first = last
        if layout == "stacked":
            images = {"image": torch.cat([_upsample(image) for image in images.values()], 1)}
        return images | {"label": self.labels[places]}


def _upsample(image: Tensor) -> Tensor:
    repeat = IMAGE_SIZE // image.shape[-1]
    return image.repeat_interleave(repeat, 2).repeat_interleave(repeat, 3).contiguous(memory_format=torch.channels_last)


def learn(name: str, seed: int, train: Patches, validation: Patches, options: Options) -> Iterator[dict[str, float]]:
    """Train a network and yield what each epoch came to: loss, average precision and seconds, all three of it alone."""
    torch.manual_seed(seed)
    model = create(ModelSpec(name, BANDS))
    optimizer = torch.optim.AdamW(model.parameters(), options.lr, weight_decay=options.weight_decay)
    random = np.random.default_rng(seed)
    num_steps = len(train) // options.batch_size
    for epoch in range(options.epochs):
        model.train()
        order = random.permutation(len(train))[: num_steps * options.batch_size].reshape(num_steps, -1)
        losses, start = [], time.perf_counter()
        for step, places in enumerate(order, epoch * num_steps):
            warm_up = min(1.0, (step + 1) / num_steps)
            decay = (1 + math.cos(math.pi * step / (num_steps * options.epochs))) / 2
            for group in optimizer.param_groups:
                group["lr"] = options.lr * warm_up * decay
            losses.append(train_step(model, optimizer, train.batch(places, model.layout, int(random.integers(8)))))
        seconds = time.perf_counter() - start
        yield {"loss": statistics.mean(losses), "ap_macro": evaluate(model, validation), "seconds": seconds}


def train_step(model: Classifier, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """Train on one batch and return its loss."""
    loss = binary_cross_entropy_with_logits(model(batch), batch["label"])
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


@torch.inference_mode()
def evaluate(model: Classifier, patches: Patches) -> float:
    """Return the mean average precision over the classes that the patches have."""
    model.eval()
    parts = np.array_split(np.arange(len(patches)), math.ceil(len(patches) / EVALUATION_BATCH))
    scores = torch.cat([model(patches.batch(places, model.layout)) for places in parts])
    labels = patches.labels.int()
    precision = multilabel_average_precision(scores, labels, len(CLASSES), average=None)
    return precision[labels.any(0)].mean().item()


def cost(train: Patches, options: Options) -> dict[str, dict[str, float]]:
    """Return size and time of a step of each network, steps taken in turn so that the machine's load hits all alike."""
    found: dict[str, dict[str, float]] = {}
    runs = {}
    for name in options.models:
        model = create(ModelSpec(name, BANDS))
        batch = train.batch(np.arange(options.batch_size), model.layout)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(train.batch(np.arange(1), model.layout))
        model.train()
        runs[name] = model, torch.optim.AdamW(model.parameters(), 0.0), batch
        found[name] = {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "multiply_adds": counter.get_total_flops() // 2,
        }
    seconds: dict[str, list[float]] = {name: [] for name in options.models}
    for _ in range(COST_ROUNDS):
        for name, prepared in runs.items():
            start = time.perf_counter()
            train_step(*prepared)
            seconds[name].append(time.perf_counter() - start)
    reference = seconds[options.models[0]]
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times, reference, strict=True)]
        found[name] |= {
            "step_seconds_lowest": min(times),
            "step_seconds_median": statistics.median(times),
            f"step_times_{options.models[0]}": statistics.median(ratios[1:]),  # The first step allocates.
        }
    return found


def describe(store: Store) -> dict[str, Any]:
    """Return what was measured where."""
    cpu = next(x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name"))
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu.partition(":")[2].strip(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: version(name) for name in PACKAGES},
        "patches": {split: info.count for split, info in store.manifest.splits.items()},
        "source_version": store.manifest.source_version,
    }


def main() -> None:
    """Run the comparison and write its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the result")
    parser.add_argument("--models", nargs="+", default=["resnet18", "bepnet-s", "bepnet-m"])
    parser.add_argument("--epochs", type=count, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch-size", type=count, default=32)
    parser.add_argument("--train-patches", type=count, default=1024)
    parser.add_argument("--validation-patches", type=count, default=600)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--threads", type=count, default=torch.get_num_threads())
    arguments: dict[str, Any] = vars(parser.parse_args())
    store_path, out = arguments.pop("store"), arguments.pop("out")
    options = Options(**arguments | {name: tuple(arguments[name]) for name in ("models", "seeds")})
    torch.set_num_threads(options.threads)
    with shards.open(store_path) as store:
        train = Patches.read(store, "train", options.train_patches)
        validation = Patches.read(store, "validation", options.validation_patches)
        result: dict[str, Any] = describe(store) | {"options": asdict(options), "cost": cost(train, options)}
    for name, values in result["cost"].items():
        print(f"{name}: {', '.join(f'{key} {value:,.4g}' for key, value in values.items())}", flush=True)
    result["curves"] = {name: [] for name in options.models}
    for seed in options.seeds:
        for name in options.models:
            epochs = []
            for epoch in learn(name, seed, train, validation, options):
                epochs.append(epoch)
                print(f"{name} seed {seed} epoch {len(epochs)}: {epoch}", flush=True)
            result["curves"][name].append({"seed": seed, "epochs": epochs})
            out.write_text(json.dumps(result | {"ap_macro": summary(result["curves"])}) + "\n")


def summary(curves: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, float]]]:
    """Return median, lowest and highest average precision over the seeds, by network and epoch."""
    return {
        name: [
            {"median": statistics.median(values), "lowest": min(values), "highest": max(values), "n": len(values)}
            for values in zip(*([epoch["ap_macro"] for epoch in run["epochs"]] for run in runs), strict=True)
        ]
        for name, runs in curves.items()
        if runs
    }


if __name__ == "__main__":
    run(main)
