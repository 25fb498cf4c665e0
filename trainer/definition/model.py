"""Table `model`: the network and the weights that it begins with."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from trainer.definition.check import Checked
from trainer.definition.choices import ClassOrder, Freeze
from trainer.definition.option import option


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Checked):
    """Options of the table `model`."""

    TABLE: ClassVar[str] = "model"

    model: str = option(
        "bepnet-s", flag=True, metavar="NAME", help="Network: bepnet-s, bepnet-m, bepnet-l, or any of timm."
    )
    pretrained: bool = option(False, flag=True, help="Start from the weights that timm publishes; bands by name.")
    weights: Path | None = option(
        None,
        flag=True,
        metavar="FILE",
        help="Start from the weights in a file, or in a folder whose config.json may name network and bands.",
    )
    weights_bands: str | None = option(
        None,
        flag=True,
        metavar="PRESET|NAMES",
        help="Channels of that file, if it does not name them: reben-s2-v0.2.0, reben-all-v0.2.0, reben-s2-v0.1.1, "
        "reben-all-v0.1.1, configilm-s2, configilm-all, s2-l1c, s2-l2a, rgb, or names such as VV,VH,B02,B03.",
    )
    weights_classes: ClassOrder | None = option(
        None, help="Order of its 19 classes, if it does not name them; none leaves its classifier out."
    )
    allow_mixed_version: bool = option(False, help="Take weights trained on the other version of BigEarthNet.")
    freeze: Freeze | None = option(
        None,
        unset="nothing",
        help="Keep all but the classifier as it is, with its BatchNorm statistics: a linear probe.",
    )
    checkpointing: bool = option(
        False, help="Compute features again for the gradients in place of keeping them: less memory, slower steps."
    )
    drop_rate: float = option(0.0, at_least=0, below=1, help="Dropout before the classifier.")
    drop_path_rate: float = option(0.0, at_least=0, below=1, help="Stochastic depth.")
