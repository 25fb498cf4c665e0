"""bepnet draft."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from shards import CLASSES
from trainer.data.bands import BandSelection
from trainer.models.classifier import Classifier
from trainer.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Plan:
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    gate: str = "se"
    pool: str = "avg"
    merge: str = "patch"


PLANS: Final = {
    "bepnet-s": Plan((32, 64, 128, 256), (1, 2, 2, 1)),
    "bepnet-m": Plan((32, 128, 256, 384), (1, 2, 2, 1)),
    "bepnet-l": Plan((64, 192, 384, 512), (1, 2, 3, 2)),
}
STRIDES = (2, 3, 2, 2)


class BepNet(Classifier):
    layout = "native"

    def __init__(self, spec: ModelSpec, plan: Plan | None = None) -> None:
        super().__init__(spec)
        plan = plan or PLANS[spec.name]
        counts = {group: len(b) for group, b in BandSelection(spec.bands).by_group().items()}
        chances = iter(torch.linspace(0, spec.drop_path_rate, sum(plan.depths)).tolist())
        self.levels = nn.ModuleList()
        below = 0
        inputs = ({"b10": (6, 2, 2), "b20": (3, 1, 1)}, {"b60": (3, 1, 1)}, {}, {})
        for i, (width, depth) in enumerate(zip(plan.widths, plan.depths, strict=True)):
            ch = [next(chances) for _ in range(depth)]
            stems = {g: nn.Conv2d(counts[g], width, *k, bias=False) for g, k in inputs[i].items() if g in counts}
            if not stems and not below:
                continue
            s = STRIDES[i]
            merge = None
            if below:
                if plan.merge == "patch":
                    merge = nn.Conv2d(below, width, s, s, bias=False)
                else:
                    merge = nn.Conv2d(below, width, s + 2, s, 1, bias=False)
            self.levels.append(Level(stems, merge, width, ch, plan.gate if i else ""))
            below = width
        self.maxpool = plan.pool == "avgmax"
        self.dropout = nn.Dropout(spec.drop_rate)
        self.head = nn.Linear(below, len(CLASSES))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        x = None
        for level in self.levels:
            x = level(x, {g: self.images(inputs, g) for g in level.stems})
        return x

    def scores(self, features: Tensor) -> Tensor:
        pooled = features.mean((2, 3))
        if self.maxpool:
            pooled = pooled + features.amax((2, 3))
        return self.head(self.dropout(pooled))


class Level(nn.Module):
    def __init__(self, stems, merge, width, chances, gate) -> None:
        super().__init__()
        self.stems = nn.ModuleDict(stems)
        self.merge = merge
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)
        self.blocks = nn.Sequential(*(Block(width, c, gate) for c in chances))

    def forward(self, below, inputs):
        parts = [conv(inputs[g]) for g, conv in self.stems.items()]
        if self.merge is not None:
            parts.append(self.merge(below))
        x = parts[0]
        for p in parts[1:]:
            x = x + p
        return self.blocks(self.act(self.norm(x)))


class Block(nn.Module):
    def __init__(self, width, chance, gate) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm2.weight)
        self.gate = {"se": Squeeze, "eca": Eca}[gate](width) if gate else nn.Identity()
        self.skip = StochasticDepth(chance, "row")
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.act(self.norm1(self.conv1(x)))
        y = self.gate(self.norm2(self.conv2(y)))
        return self.act(x + self.skip(y))


class Squeeze(nn.Module):
    def __init__(self, width) -> None:
        super().__init__()
        self.down = nn.Linear(width, width // 8)
        self.up = nn.Linear(width // 8, width)

    def forward(self, x):
        y = x.mean((2, 3))
        return x * torch.sigmoid(self.up(torch.relu(self.down(y))))[:, :, None, None]


class Eca(nn.Module):
    def __init__(self, width) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 5, padding=2, bias=False)

    def forward(self, x):
        y = x.mean((2, 3))[:, None]
        return x * torch.sigmoid(self.conv(y)).squeeze(1)[:, :, None, None]
