"""Computed bounds of a training step, and of saturation: `python -m tools.gpu.predict.steps`.

Nothing of it is measured. A step is no faster than its multiplications at the peak of the card, than the bytes that its
operators read and write at the bandwidth of the memory, and than its launches from Python. A loader that is faster than
the slowest of these can leave no step waiting.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.flop_counter import FlopCounterMode

from shards import BANDS
from shards.layout.classes import CLASSES
from tools.arguments import count, run
from tools.gpu.check.targets import SATURATION
from tools.gpu.predict.counts import Cost, TorchCost
from tools.gpu.predict.engines import CARDS, LAUNCH_SECONDS, Card, Case, by_dali
from tools.gpu.predict.launches import table
from trainer.data.batch import Layout
from trainer.data.prepare.image_layout import images_of
from trainer.models.classifier import Classifier
from trainer.models.create import create
from trainer.models.spec import ModelSpec

NETWORKS: Final = ("resnet50", "bepnet-s", "bepnet-m", "resnet18")
_SMALL: Final = 4
"""Patches of the smaller batch that is counted."""
PEAK: Final = 989.4e12
"""Operations per second on bfloat16 with dense matrices, of both cards' SXM boards, by NVIDIA's data sheets."""


@dataclass(frozen=True)
class Step:
    """A step of a network: forward in bfloat16 where autocast says so, loss and backward; without the optimiser.

    Attributes:
        network: its name.
        layout: of its images.
        patches: of the batch.
        flops: operations, a multiplication and an addition as two.
        cost: launches and bytes, each operator of torch on its own: what a compiler fuses is less.
    """

    network: str
    layout: Layout
    patches: int
    flops: float
    cost: Cost

    def bounds(self, card: Card) -> dict[str, float]:
        """Return the rates in patches per second that the step cannot exceed, by what limits it."""
        return {
            "multiplications": self.patches * PEAK / self.flops,
            "memory": self.patches * card.bandwidth / self.cost.device_bytes,
            "launches": self.patches / (self.cost.launches * LAUNCH_SECONDS),
        }


def step_of(name: str, patches: int) -> Step:
    """Count a step of a network on all bands.

    It is made twice on the CPU, on `_SMALL` patches and on twice as many: operations and bytes are a constant and a
    share of each patch, and launches do not depend on the batch.

    Args:
        name: of the network.
        patches: of the batch.
    """
    model = create(ModelSpec(name, BANDS)).train()
    flops, costs = zip(*(_count(model, num) for num in (_SMALL, 2 * _SMALL)), strict=True)
    more = patches / _SMALL - 1
    num_bytes = costs[0].device_bytes + more * (costs[1].device_bytes - costs[0].device_bytes)
    return Step(
        name, model.layout, patches, flops[0] + more * (flops[1] - flops[0]), replace(costs[0], device_bytes=num_bytes)
    )


def _count(model: Classifier, patches: int) -> tuple[float, Cost]:
    """Return operations and cost of a step of a network."""
    images = {
        image.name: torch.zeros(patches, len(image.bands), image.size, image.size).to(memory_format=torch.channels_last)
        for image in images_of(BANDS, model.layout)
    }
    labels = torch.zeros(patches, len(CLASSES))
    with TorchCost("cpu") as made, FlopCounterMode(display=False) as counter:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        binary_cross_entropy_with_logits(logits.float(), labels).backward()
    model.zero_grad()
    return counter.get_total_flops(), made.cost


def render(steps: Sequence[Step]) -> str:
    """Return the bounds as a table, beside what DALI is predicted to deliver with `standard`."""
    titles = (
        "network",
        "GFLOP",
        "launches",
        "MB a patch",
        "card",
        "at most",
        "limit",
        "loader",
        "saturation",
        "target",
    )
    rows = [titles]
    for step in steps:
        loader = by_dali(Case("standard", step.layout, "nearest"))
        for card in CARDS:
            bounds, fed = step.bounds(card), loader.patches_per_second(card, step.patches)
            limit = min(bounds, key=lambda name: bounds[name])
            rows.append(
                (
                    step.network,
                    f"{step.flops / step.patches / 1e9:.2f}",
                    f"{step.cost.launches:,}",
                    f"{step.cost.device_bytes / step.patches / 1e6:.1f}",
                    card.name,
                    f"{bounds[limit]:,.0f}/s",
                    limit,
                    f"{fed:,.0f}/s",
                    f"{min(1.0, fed / bounds[limit]):.0%}",
                    f"≥ {SATURATION:.0%}",
                )
            )
    return table(f"Predicted, not measured: steps of {steps[0].patches} patches, bfloat16, eager.", rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Predict how fast a step can be at most, and whether it is fed.",
        prog="python -m tools.gpu.predict.steps",
    )
    parser.add_argument("--batch-size", type=count, default=512, help="default: 512")
    options = parser.parse_args(arguments)
    print(render([step_of(name, options.batch_size) for name in NETWORKS]))
    return 0


if __name__ == "__main__":
    run(main)
