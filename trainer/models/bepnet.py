"""BepNet: small residual networks that take every band at its own resolution.

A patch is 1,200 m wide: 120 pixels at 10 m, 60 at 20 m, 20 at 60 m. The networks work on grids of 60×60, 20×20, 10×10
and 5×5, so that each group of bands meets the features on a grid that it has: nothing is upsampled, and each grid
divides the one before without remainder.

- The 60×60 grid is one convolution over the 10 m and the 20 m bands, taken as a sum of two: 6×6 with stride 2 over the
  10 m bands sees the same ground as 3×3 over the 20 m bands. No blocks follow: one would add more than half to the
  memory traffic of all activations, and on synthetic patches networks of the same cost learn faster without.
- The 60 m bands join where the grid is theirs, at 20×20, likewise as a summand before the normalisation. That is early
  enough for all blocks to see them, and a summand makes no convolution wider.
- Grids change by convolutions that overlap by a pixel on each side (kernel = stride + 2). Those that only tile the grid
  (kernel = stride) learn markedly slower there.
- A block is two full 3×3 convolutions of 64 to 384 channels, which is what tensor cores are best at, and a
  squeeze-and-excitation gate: x → ReLU(x + gate(BN(conv(ReLU(BN(conv(x))))))).

Stages with all 12 bands, with the multiply-adds of their convolutions and linear layers. Conv a×a/s has kernel a and
stride s; the convs listed before the blocks are summed, and BN and ReLU follow.

| bepnet-s | layers | output | parameters | multiply-adds |
|---|---|---|---|---|
| grids.60 | conv 6×6/2 of b10, conv 3×3/1 of b20 | 32×60×60 | 6,400 | 22,809,600 |
| grids.20 | conv 5×5/3, conv 3×3/1 of b60, 2 blocks | 64×20×20 | 202,640 | 79,925,248 |
| grids.10 | conv 4×4/2, 2 blocks | 128×10×10 | 730,656 | 72,097,792 |
| grids.5 | conv 4×4/2, 1 block | 256×5×5 | 1,722,144 | 42,614,784 |
| head | mean, dropout, linear | 19 | 4,883 | 4,864 |
| all | | 19 | 2,666,723 | 217,452,288 |

| bepnet-m | layers | output | parameters | multiply-adds |
|---|---|---|---|---|
| grids.60 | conv 6×6/2 of b10, conv 3×3/1 of b20 | 48×60×60 | 9,600 | 34,214,400 |
| grids.20 | conv 5×5/3, conv 3×3/1 of b60, 3 blocks | 96×20×20 | 623,172 | 245,843,712 |
| grids.10 | conv 4×4/2, 3 blocks | 192×10×10 | 2,316,552 | 228,584,448 |
| grids.5 | conv 4×4/2, 1 block | 384×5×5 | 3,873,456 | 95,883,264 |
| head | mean, dropout, linear | 19 | 7,315 | 7,296 |
| all | | 19 | 6,830,095 | 604,533,120 |

| bepnet-l | layers | output | parameters | multiply-adds |
|---|---|---|---|---|
| grids.60 | conv 6×6/2 of b10, conv 3×3/1 of b20 | 64×60×60 | 12,800 | 45,619,200 |
| grids.20 | conv 5×5/3, conv 3×3/1 of b60, 3 blocks | 128×20×20 | 1,106,352 | 436,748,288 |
| grids.10 | conv 4×4/2, 4 blocks | 256×10×10 | 5,314,176 | 524,353,536 |
| grids.5 | conv 4×4/2, 1 block | 384×5×5 | 4,266,672 | 105,713,664 |
| head | mean, dropout, linear | 19 | 7,315 | 7,296 |
| all | | 19 | 10,707,315 | 1,112,441,984 |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final

import torch
from torch import Tensor, nn

from trainer.data.bands import BandSelection
from trainer.models.classifier import Classifier, Features
from trainer.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a network: channels and number of blocks at 60×60, 20×20, 10×10 and 5×5."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


PLANS: Final = {
    "bepnet-s": Plan((32, 64, 128, 256), (0, 2, 2, 1)),
    "bepnet-m": Plan((48, 96, 192, 384), (0, 3, 3, 1)),
    "bepnet-l": Plan((64, 128, 256, 384), (0, 3, 4, 1)),
}
"""Our networks by name."""

_SIZES: Final = (60, 20, 10, 5)
_JOINS: Final = {"b10": (60, 6, 2, 2), "b20": (60, 3, 1, 1), "b60": (20, 3, 1, 1)}
"""For each group of bands the grid it joins at, and kernel, stride and padding of its convolution."""
_SQUEEZE: Final = 8
"""Ratio of the channels of a gate to those of the layer through which it looks at them."""


class BepNet(Classifier):
    """A network of `PLANS`, for any set of bands: what no band needs is absent."""

    layout = "native"

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        plan = PLANS[spec.name]
        self.groups = {group: len(bands) for group, bands in BandSelection(spec.bands).by_group().items()}
        num_blocks = sum(plan.depths)
        # Linear in the place, as in Huang et al., "Deep networks with stochastic depth" (ECCV 2016).
        chances = iter([spec.drop_path_rate * (i + 1) / num_blocks for i in range(num_blocks)])
        self.grids = nn.ModuleDict()
        finer: nn.Conv2d | None = None
        for i, (size, width) in enumerate(zip(_SIZES, plan.widths, strict=True)):
            bands = {group: count for group, count in self.groups.items() if _JOINS[group][0] == size}
            if not bands and not self.grids:
                continue  # Of 60 m bands alone nothing is seen at 60×60.
            finer = _shrink(plan.widths[i - 1], width, _SIZES[i - 1] // size) if self.grids else None
            blocks = [Block(width, next(chances)) for _ in range(plan.depths[i])]
            self.grids[str(size)] = Grid(bands, finer, width, blocks)
        self._checkpoints = False
        self.dropout = nn.Dropout(spec.drop_rate)
        self.head = nn.Linear(plan.widths[-1], len(spec.nomenclature))
        self._initialise()

    def features(self, inputs: Mapping[str, Tensor]) -> Features:
        """Return the features of `b10`, `b20` and `b60`, as far as bands of them are selected; (n, C, 5, 5)."""
        images = {group: self.images(inputs, group) for group in self.groups}
        features: Tensor | None = None
        for grid in self.grids.values():
            features = self._recomputed(grid, features, images) if self._checkpoints else grid(features, images)
        assert features is not None
        return features

    def _recomputed(self, grid: nn.Module, features: Tensor | None, images: Mapping[str, Tensor]) -> Tensor:
        """Return the features of a grid, which are computed again for the gradients."""
        # Its import brings torch's compiler along.
        from torch.utils.checkpoint import checkpoint

        # Stochastic depth has to draw the same again; without it there is no state to keep.
        draws = self.spec.drop_path_rate > 0
        found: Tensor = checkpoint(grid, features, images, use_reentrant=False, preserve_rng_state=draws)
        return found

    def set_checkpointing(self) -> None:
        """Keep the features between the grids alone, and compute those within a grid again."""
        self._checkpoints = True

    def layer_scales(self, decay: float) -> dict[str, float]:
        """Return `decay` to the power of the number of grids from a parameter's own to the classifier."""
        distances = {size: len(self.grids) - i for i, size in enumerate(self.grids)}
        return {
            name: decay ** distances[name.split(".")[1]] if name.startswith("grids.") else 1.0
            for name, _ in self.named_parameters()
        }

    def scores(self, features: Features) -> Tensor:
        """Return the logits: mean over the places, dropout, linear layer."""
        assert isinstance(features, Tensor)
        return self.head(self.dropout(features.mean((2, 3))))

    def filter_bands(self, bands: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the bands of each convolution over pixels, by name of weight: one for each group."""
        return {
            f"grids.{_JOINS[group][0]}.bands.{group}.weight": names
            for group, names in BandSelection(tuple(bands)).by_group().items()
        }

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the classifier's entries in the state dict."""
        return ("head.weight", "head.bias")

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Block):
                nn.init.zeros_(module.norm2.weight)  # A block starts as nothing: Goyal et al., arXiv:1706.02677.
        # Variance 1 / inputs. With a smaller one all that lies before it learns slower at first.
        nn.init.normal_(self.head.weight, std=self.head.in_features**-0.5)
        nn.init.zeros_(self.head.bias)


class Grid(nn.Module):
    """All that happens at one grid: what comes in is summed and normalised, then passes the blocks.

    Args:
        bands: number of bands of each group that joins here.
        finer: convolution from the finer grid; None at the finest.
        width: channels.
        blocks: what follows.
    """

    def __init__(
        self, bands: Mapping[str, int], finer: nn.Conv2d | None, width: int, blocks: Sequence["Block"]
    ) -> None:
        super().__init__()
        self.bands = nn.ModuleDict()
        for group, count in bands.items():
            _, kernel, stride, padding = _JOINS[group]
            self.bands[group] = nn.Conv2d(count, width, kernel, stride, padding, bias=False)
        self.finer = finer
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, features: Tensor | None, images: Mapping[str, Tensor]) -> Tensor:
        """Return (n, width, size, size) from the features of the finer grid and the images of all groups."""
        parts: list[Tensor] = [conv(images[group]) for group, conv in self.bands.items()]
        if self.finer is not None:
            parts.append(self.finer(features))
        return self.blocks(self.relu(self.norm(reduce(add, parts))))


class Block(nn.Module):
    """A residual block; `chance` is that of being skipped for a sample in training."""

    def __init__(self, width: int, chance: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.gate = Gate(width)
        self.skip = _stochastic_depth(chance)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, width, size, size) from the same."""
        branch = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(features)))))
        return self.relu(features + self.skip(self.gate(branch)))


class Gate(nn.Module):
    """Squeeze and excitation (Hu et al., arXiv:1709.01507), times 2 so that it starts near 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, width // _SQUEEZE)
        self.excite = nn.Linear(width // _SQUEEZE, width)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features, each channel times a factor from 0 to 2 that depends on the means of all channels."""
        factors = 2 * torch.sigmoid(self.excite(torch.relu(self.squeeze(features.mean((2, 3))))))
        return features * factors[:, :, None, None]


def _stochastic_depth(chance: float) -> nn.Module:
    """Return a module that leaves a block out for a sample in training, with a chance from 0 to 1."""
    if not chance:
        return nn.Identity()
    # Its import brings torch's compiler along, which takes as long as torch itself.
    from torchvision.ops import StochasticDepth

    skip: nn.Module = StochasticDepth(chance, "row")
    return skip


def _shrink(finer: int, width: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(finer, width, stride + 2, stride, 1, bias=False)
