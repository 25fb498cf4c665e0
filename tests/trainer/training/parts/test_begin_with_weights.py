"""A run that begins with the weights of a file."""

import shutil
from pathlib import Path

import pytest
import timm
import torch

from shards.errors import InvalidValue
from trainer.config import stored
from trainer.config.assemble import Setting, assemble
from trainer.config.options import TrainConfig
from trainer.errors import BadCheckpoint
from trainer.export.export import ExportConfig, export
from trainer.models.create import ModelSpec, create
from trainer.runs.checkpoint import Checkpoint
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


@pytest.fixture(scope="module", params=["bepnet-s", "test_resnet"])
def exported(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a run that sees three bands; the run lies beside it."""
    folder = tmp_path_factory.mktemp("exported")
    options = {"shards": tiny, "out": folder / "run", "epochs": 1, "batch_size": 24, "model": request.param}
    train(TrainConfig.of(**options, bands=("B11", "B02", "B8A")))
    export(ExportConfig(run=folder / "run", out=folder / "net", formats=()))
    return folder / "net"


def begun(*settings: Setting) -> TrainConfig:
    """Return what `bep train` makes of settings."""
    names = [Setting("data.shards", Path("store"), "flag"), Setting("run.out", Path("run"), "flag")]
    return assemble([*names, *settings])[0]


def test_an_export_says_what_it_is(exported: Path, tmp_path: Path) -> None:
    """Network and bands of an export must be said again, or replace those that are said."""
    weights = Setting("model.weights", exported, "flag")
    best = Checkpoint.read(exported.with_name("run") / "checkpoints/best.pt")
    config = begun(weights)
    assert (config.model.model, config.data.bands) == (best.model.name, ("B11", "B02", "B8A"))
    other = begun(weights, Setting("data.bands", "B02,B11", "flag"), Setting("model.model", "bepnet-m", "set"))
    assert (other.model.model, other.data.bands) == ("bepnet-m", ("B02", "B11"))
    for recipe, name in (("reben", "resnet50"), (None, best.model.name)):
        found, _ = assemble(
            [weights, Setting("data.shards", Path("s"), "flag"), Setting("run.out", Path("r"), "flag")], recipe=recipe
        )
        assert found.model.model == name
    file = tmp_path / "config.toml"
    file.write_text(f'[data]\nshards = "s"\nbands = "rgb"\n[model]\nweights = "{exported}"\n[run]\nout = "r"\n')
    found, _ = assemble([], file=file)
    assert (found.model.model, found.data.bands) == (best.model.name, ("B04", "B03", "B02"))


def test_a_network_begins_with_an_export(exported: Path) -> None:
    """Weights of an export are refused, are those of other bands, or damage is not noticed."""
    path = exported.with_name("run") / "checkpoints/best.pt"
    best = Checkpoint.read(path).create_model(path)
    config = begun(Setting("model.weights", exported, "flag"))
    same = create(ModelSpec(config.model.model, config.data.bands), weights=exported)
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in best.state_dict().items())
    assert same.loaded is not None
    assert (set(same.loaded.matched), same.loaded.averaged, same.loaded.initial) == ({"B11", "B02", "B8A"}, (), ())
    turned = create(ModelSpec(config.model.model, ("B8A", "B11", "B02")), weights=exported)
    moved = 0
    for name, bands in turned.filter_bands(turned.spec.bands).items():
        before = best.filter_bands(best.spec.bands)[name]
        weight, own = turned.state_dict()[name], best.state_dict()[name]
        for place, band in enumerate(bands):
            assert torch.equal(weight[:, place], own[:, before.index(band)])
            moved += before.index(band) != place
    assert moved
    with pytest.raises(InvalidValue, match="an export of ours, which knows its bands"):
        create(ModelSpec(config.model.model, config.data.bands), weights=exported, weights_bands="rgb")


def test_changed_exports_are_one_line(exported: Path, tmp_path: Path) -> None:
    """Weights that are not those of the configuration begin a run."""
    folder = tmp_path / "net"
    shutil.copytree(exported, folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    config = begun(Setting("model.weights", folder, "flag"))
    with pytest.raises(BadCheckpoint, match=r"are damaged, or not of the config\.json beside them"):
        create(ModelSpec(config.model.model, config.data.bands), weights=folder)
    for content, message in (("{", "is no JSON"), ('{"library_name": "bigearth-pipeline", "model": {}}', "network")):
        (folder / "config.json").write_text(content)
        with pytest.raises(BadCheckpoint, match=message):
            begun(Setting("model.weights", folder, "flag"))
