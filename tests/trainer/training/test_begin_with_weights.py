"""A run that begins with the weights of a file."""

from pathlib import Path

import pytest
import timm
import torch

from shards.errors import InvalidValue
from trainer.config import stored
from trainer.config.options import TrainConfig
from trainer.errors import BadCheckpoint
from trainer.training.start import resume, train


def test_a_run_needs_its_weights_only_to_begin(tiny: Path, tmp_path: Path) -> None:
    """A run cannot be resumed where the file that it began with is gone, or does not say its bands any more."""
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), path)
    config = TrainConfig.of(
        shards=tiny,
        out=tmp_path / "run",
        model="test_resnet",
        bands=("B02", "B04"),
        epochs=1,
        batch_size=24,
        weights=path,
    )
    with pytest.raises(BadCheckpoint, match="look at 3 channels and do not say which bands"):
        train(config)
    assert not config.run.out.exists()
    config = config.replace(weights_bands="rgb")
    train(config)
    assert stored.read(config.run.out) == config
    path.unlink()
    assert resume(config.run.out).best_epoch == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights_bands": "rgb"}, "weights_bands describes the file of `weights=`"),
        ({"weights_classes": "paper"}, "weights_classes describes the file of `weights=`"),
        ({"weights": Path("w.pt"), "weights_bands": "B02,B13"}, "'B13' is no band of Sentinel-2"),
        ({"weights": Path("w.pt"), "weights_classes": "reversed"}, "expected one of alphabetical, paper, none"),
    ],
)
def test_descriptions_of_weights_are_checked(options: dict[str, object], message: str) -> None:
    """A description of weights that has no effect, or is none, is found late or never."""
    with pytest.raises(InvalidValue, match=message):
        TrainConfig.of(shards=Path("store"), out=Path("run"), **options)  # type: ignore[arg-type]
