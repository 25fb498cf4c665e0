"""Training from end to end."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import shards
from shards import BANDS, CLASSES, ShardError
from shards.testing.stores import NUM_CLASSES, make_store
from tests.trainer.conftest import Run
from tests.trainer.training.comparing import assert_same_weights, lines, weights
from trainer.config import stored
from trainer.config.assemble import Setting, assemble
from trainer.config.options import TrainConfig
from trainer.config.recipes import REBEN
from trainer.definition.augmentation import RECIPES
from trainer.errors import BadCheckpoint, NonFiniteLoss, TrainError
from trainer.runs.checkpoint import Checkpoint
from trainer.runtime.stop import Request
from trainer.training.start import resume, train


def test_training_learns(run: Run) -> None:
    """The model sees wrong labels or wrong pixels, or no gradient reaches it."""
    validation, test = run.result.validation, run.result.test
    assert validation is not None
    assert validation.ap_macro > validation.label_frequency + 0.3
    assert test is not None
    assert test.ap_macro > test.label_frequency + 0.3
    train_losses = [line["train_loss"] for line in lines(run.config.run.out)]
    assert train_losses[-1] < train_losses[0]


def test_the_folder_of_a_run_is_complete(run: Run) -> None:
    """A result cannot be traced to what it was made of."""
    out = run.config.run.out
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    events = {name for name in names if name.startswith("events.out.tfevents")}
    assert len(events) == 1
    assert names - events == {
        "config.toml",
        "description.json",
        "statistics.json",
        "metrics.jsonl",
        "metrics-test.json",
        "predictions-test.parquet",
        "checkpoints/last.pt",
        "checkpoints/best.pt",
    }
    config = json.loads((out / "description.json").read_text())
    assert stored.read(out) == run.config
    assert config["bands"] == list(BANDS)
    assert config["classes"] == list(CLASSES)
    assert config["patches"] == {"train": 96, "validation": 40, "test": 20}
    assert {"python", "torch", "timm", "torchmetrics", "numpy"} <= config["versions"].keys()
    assert any(name.startswith("nvidia-dali") for name in config["versions"])
    assert json.loads((out / "metrics-test.json").read_text())["count"] == 20
    with shards.open(run.config.data.shards) as store:
        expected = store.manifest.splits["train"].statistics["B02"].mean
    assert json.loads((out / "statistics.json").read_text())["B02"]["mean"] == expected


def test_the_configuration_repeats_the_run(run: Run) -> None:
    """The options in config.toml are not those of the run."""
    assert stored.read(run.config.run.out) == run.config


@pytest.mark.parametrize(("written", "expected"), [(True, "always"), (False, "first"), ("never", "never")])
def test_runs_of_the_first_version_say_how_to_check(run: Run, tmp_path: Path, written: object, expected: str) -> None:
    """A run of before cannot be resumed or evaluated, or is checked otherwise than it was told."""
    options = {"data": str(run.config.data.shards), "out": str(tmp_path), "verify": written, "epochs": 4}
    (tmp_path / "config.json").write_text(json.dumps({"options": options}))
    found = stored.read(tmp_path)
    assert (found.machine.verify, found.machine.mapped) == (expected, True)
    assert found.optimisation.epochs == 4


def test_metrics_have_a_line_an_epoch(run: Run) -> None:
    """A learning curve has gaps, or claims a figure for a class that does not occur."""
    found = lines(run.config.run.out)
    assert [line["epoch"] for line in found] == list(range(1, run.config.optimisation.epochs + 1))
    for line in found:
        classes = line["validation"]["classes"]
        assert [name for name, values in classes.items() if values["ap"] is None] == list(CLASSES[NUM_CLASSES:])
        assert 0 <= line["wait_share"] <= 1
        assert line["patches_per_second"] > 0
        assert 0 <= line["lr"] < run.config.optimisation.lr
    seconds = [line["seconds"] for line in found]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < seconds[-1]
    best = max(found, key=lambda line: line["validation"]["ap_macro"])
    assert run.result.validation is not None
    assert best["validation"] == json.loads(json.dumps(run.result.validation.to_json()))


def test_tensorboard_shows_the_run(run: Run) -> None:
    """TensorBoard is empty, or shows other numbers than the run's."""
    events = EventAccumulator(str(run.config.run.out)).Reload()
    tags = events.Tags()["scalars"]
    assert {"train/loss", "train/lr", "speed/patches_per_second", "validation/ap_macro"} <= set(tags)
    shown = [event.value for event in events.Scalars("validation/ap_macro")]
    assert shown == pytest.approx([line["validation"]["ap_macro"] for line in lines(run.config.run.out)])


@pytest.mark.long
def test_a_run_can_be_repeated(tiny: Path, tmp_path: Path) -> None:
    """The same seed gives another result, or another seed the same, or decode threads change it."""
    for name, seed, threads in (("a", 1, 1), ("b", 1, 3), ("c", 2, 1)):
        config = TrainConfig.of(shards=tiny, out=tmp_path / name, epochs=1, batch_size=16, drop_rate=0.2)
        train(config.replace(seed=seed, threads=threads))
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    first, other = weights(tmp_path / "a"), weights(tmp_path / "c")
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_a_run_goes_on_with_the_same_shards_only(run: Run, tiny: Path, tmp_path: Path) -> None:
    """A run continues with other patches, or is evaluated with other statistics."""
    with pytest.raises(BadCheckpoint, match="a run resumes with the same shards only"):
        resume(run.config.run.out, shards=tiny)
    moved = shutil.copytree(run.config.data.shards, tmp_path / "moved")
    assert resume(shutil.copytree(run.config.run.out, tmp_path / "run"), shards=moved).stopped_by is None


@pytest.mark.long
def test_early_stopping(tiny: Path, tmp_path: Path) -> None:
    """A run continues long after it has stopped learning, or ends while it still learns."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", epochs=30, batch_size=24, lr=1e-12, patience=2)
    result = train(config)
    scores = [line["validation"]["ap_macro"] for line in lines(config.run.out)]
    best = scores.index(max(scores)) + 1
    assert result.best_epoch == best
    assert len(scores) == best + 2


def test_max_steps_ends_the_run(tiny: Path, tmp_path: Path) -> None:
    """A run of a number of steps makes more, or ends without a result."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", epochs=30, batch_size=7, max_steps=6)
    result = train(config)
    assert result.stopped_by is None
    assert [line["step"] for line in lines(config.run.out)] == [4, 6]
    assert resume(config.run.out).validation == result.validation


@pytest.mark.long
def test_max_minutes_stops_the_run(tiny: Path, tmp_path: Path) -> None:
    """A job is killed by its scheduler before it has saved anything."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", epochs=1000, batch_size=7, max_minutes=0.02)
    assert train(config).stopped_by is Request.TIME_UP
    checkpoint = Checkpoint.read(config.run.out / "checkpoints/last.pt")
    assert (checkpoint.epoch, checkpoint.step) > (0, 0)


@pytest.mark.parametrize(
    ("counts", "missing"),
    [({"validation": 2}, "train"), ({"train": 2}, "validation"), ({"train": 2, "validation": 2}, "test")],
)
def test_missing_splits_are_named(tmp_path: Path, counts: dict[str, int], missing: str) -> None:
    """Shards without a split that is needed end in an error from deep within, perhaps after hours of training."""
    data = make_store(tmp_path / "store", counts)
    with pytest.raises(TrainError, match=missing):
        train(TrainConfig.of(shards=data, out=tmp_path / "run", test=True))
    assert not (tmp_path / "run").exists()


def test_no_store_is_named(tmp_path: Path) -> None:
    """A wrong path leaves an empty run behind, or is not named."""
    with pytest.raises(ShardError, match="it is not a shard store"):
        train(TrainConfig.of(shards=tmp_path, out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_ends_the_run(tiny: Path, tmp_path: Path, no_new_threads: None) -> None:
    """A run continues for days with a model of NaN."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", epochs=1, batch_size=8, lr=1e30, warmup_steps=0)
    with pytest.raises(NonFiniteLoss, match=r"the loss of step [23] of epoch 1 is not finite; its batch holds train_"):
        train(config)
    found = json.loads((config.run.out / "checkpoints/non-finite.json").read_text())
    assert len(found["keys"]) == 8
    saved = Checkpoint.read(config.run.out / "checkpoints/non-finite.pt")
    assert saved.step == found["step"]
    assert Checkpoint.read(config.run.out / "checkpoints/last.pt").step == 0
    assert not (config.run.out / "checkpoints/best.pt").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"threads": 0},
        {"lr": float("nan")},
        {"lr": 0.0},
        {"clip": 0.0},
        {"ema": 1.0},
        {"seed": -1},
    ],
)
def test_wrong_options_are_named(run: Run, wrong: dict[str, float]) -> None:
    """A wrong option is found out late, or never."""
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}, expected"):
        run.config.replace(**wrong)


def test_the_published_recipe_is_that_of_the_paper(tmp_path: Path) -> None:
    """Results of the recipe are compared with the paper's, but it is another one."""
    config = TrainConfig.of(shards=tmp_path, out=tmp_path, **REBEN)
    model, optimisation = config.model, config.optimisation
    assert config.data.bands == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    assert (model.model, model.drop_rate, model.drop_path_rate) == ("resnet50", 0.15, 0.15)
    assert (optimisation.optimizer, optimisation.lr, optimisation.weight_decay) == ("adamw", 1e-3, 0.01)
    assert (optimisation.loss, optimisation.batch_size, optimisation.epochs) == ("bce", 512, 100)
    assert (optimisation.warmup_steps, config.run.patience) == (1000, 5)
    assert config.augmentation == RECIPES["flips"]
    assert (
        assemble([Setting("data.shards", tmp_path, "flag"), Setting("run.out", tmp_path, "flag")], recipe="reben")[0]
        == config
    )
