"""Classes that a run ignores: neither trained, nor measured, nor predicted."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import shards
from bigearth_pipeline.cli import main
from bigearth_pipeline.report.page.blocks import Figure, Table
from bigearth_pipeline.report.run.classes import classes
from bigearth_pipeline.report.run.contents import open_run
from bigearth_pipeline.serve.check.disagreement import disagreements
from bigearth_pipeline.serve.contents.runs import OpenRun
from bigearth_pipeline.serve.contents.stores import OpenStore
from shards import CLASSES
from shards.errors import InvalidValue
from shards.layout.class_names import class_names
from shards.testing.stores import make_store
from tests.support.examples import examples
from tests.trainer.metrics.predictions import predictions
from tests.trainer.training.comparing import assert_same_weights, lines, without_times
from trainer.config.options import TrainConfig
from trainer.definition.choices import LOSSES
from trainer.definition.optimisation import LossConfig
from trainer.evaluation.measure import measure
from trainer.evaluation.run import EvaluationConfig, evaluate_run
from trainer.evaluation.weights import WeightsEvaluationConfig, evaluate_weights
from trainer.export.export import ExportConfig, export
from trainer.inference.ensemble import Ensemble
from trainer.inference.predictor import load
from trainer.metrics.metrics import Metrics
from trainer.models.classifier import IGNORED
from trainer.models.create import ModelSpec, create
from trainer.optimisation import losses
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.predictions import Predictions
from trainer.runtime.stop import Request
from trainer.training.start import resume, train

FAST: dict[str, Any] = {"model": "test_resnet", "device": "cpu", "loader": "torch", "batch_size": 8, "epochs": 2}
LEFT_OUT = ("Beaches, dunes, sands", "Broad-leaved forest")
PLACES = [CLASSES.index(name) for name in LEFT_OUT]
KEPT = [i for i in range(len(CLASSES)) if i not in PLACES]


@pytest.fixture(scope="module")
def part(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A run that ignores two classes, tested."""
    config = TrainConfig.of(
        shards=tiny, out=tmp_path_factory.mktemp("part") / "run", test=True, ignore_labels=LEFT_OUT, **FAST
    )
    train(config)
    return config


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_that_of_the_other_classes(name: Any) -> None:
    """Labels of an ignored class change the loss or its gradients, or the others weigh less."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 19, generator=generator).requires_grad_()
    labels = torch.randint(0, 2, (6, 19), generator=generator).float()
    config = LossConfig(loss=name, label_smoothing=0.1, positive_weights=name == "bce")
    counts = {each: 10 + 40 * i for i, each in enumerate(CLASSES)}
    found = losses.create(config, counts, 1000, ignored=LEFT_OUT)
    flipped = labels.clone()
    flipped[:, PLACES] = 1 - flipped[:, PLACES]
    assert torch.equal(found(logits, labels), found(logits, flipped))
    (gradient,) = torch.autograd.grad(found(logits, labels).sum(), logits)
    assert not gradient[:, PLACES].any()
    assert gradient[:, KEPT].all()
    # The mean over 19 equal columns is that over 17.
    column = torch.randn(6, 1, generator=generator).expand(6, 19)
    same = dict.fromkeys(CLASSES, 100)
    truth = labels[:, :1].expand(6, 19)
    whole = losses.create(config, same, 1000)(column, truth)
    assert torch.allclose(
        losses.create(config, same, 1000, ignored=LEFT_OUT)(column, labels[:, :1].expand(6, 19)), whole
    )


@pytest.mark.long
@examples(12)
@given(predictions(), st.sets(st.sampled_from(CLASSES), min_size=1, max_size=18))
def test_metrics_do_not_depend_on_ignored_classes(drawn: Any, names: set[str]) -> None:
    """Scores of an ignored class leak into macro, micro, ranking or thresholds."""
    logits, labels = drawn
    ignored = tuple(name for name in CLASSES if name in names)
    places = [CLASSES.index(name) for name in ignored]
    found, thresholds = measure(logits, labels, ignored=ignored)
    other, flipped = logits.clone(), labels.clone()
    other[:, places], flipped[:, places] = -other[:, places] + 1, 1 - flipped[:, places]
    assert measure(other, flipped, ignored=ignored) == (found, thresholds)
    assert {thresholds[name] for name in ignored} == {0.5}
    whole, _ = measure(logits, labels)
    for name in CLASSES:
        one, two = found.classes[name], whole.classes[name]
        assert name in ignored or (one.positives, one.ap, one.fixed, one.tuned, one.auroc) == (
            two.positives, two.ap, two.fixed, two.tuned, two.auroc
        )  # fmt: skip
    positives = sum(values.positives for values in found.classes.values())
    frequency = positives / (len(labels) * (19 - len(ignored))) if positives else None
    assert found.label_frequency_micro == frequency
    assert Metrics.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_network_never_predicts_an_ignored_class() -> None:
    """A class that nobody trained is predicted by chance, or its row of the classifier is trained."""
    for name in ("bepnet-s", "test_resnet"):
        torch.manual_seed(0)
        model = create(ModelSpec(name, ("B02", "B03", "B04"), ignored=LEFT_OUT)).eval()
        torch.manual_seed(0)
        whole = create(ModelSpec(name, ("B02", "B03", "B04"))).eval()
        assert model.state_dict().keys() == whole.state_dict().keys()
        inputs = {"image": torch.randn(2, 3, 120, 120), "b10": torch.randn(2, 3, 120, 120)}
        logits = model(inputs)
        assert (logits[:, PLACES] == IGNORED).all()
        assert torch.equal(logits[:, KEPT], whole(inputs)[:, KEPT])
        logits.sum().backward()
        assert not any(dict(model.named_parameters())[head].grad[PLACES].any() for head in model.heads)  # type: ignore[index]


def test_a_run_names_what_it_ignores(part: TrainConfig, tiny: Path) -> None:
    """Results, predictions or checkpoints pass ignored classes off as measured."""
    best = Checkpoint.read(part.run.out / "checkpoints/best.pt")
    assert best.model.ignored == LEFT_OUT
    found = json.loads((part.run.out / "metrics-test.json").read_text())
    assert found["ignored"] == list(LEFT_OUT)
    assert all(found["classes"][name]["ap"] is None for name in LEFT_OUT)
    predicted = Predictions.read(part.run.out / "predictions-test.parquet")
    assert predicted.ignored == LEFT_OUT
    assert not predicted.probabilities[:, PLACES].any()
    assert not predicted.labels[:, PLACES].any()
    with shards.open(tiny) as store:
        there = store.index.labels()[store.index.rows("test")]
        assert there[:, KEPT].tolist() == predicted.labels[:, KEPT].tolist()
    again, _ = evaluate_run(EvaluationConfig(run=part.run.out, device="cpu"))
    assert again.metrics.to_json()["ap_macro"] == found["ap_macro"]
    weights = WeightsEvaluationConfig(
        weights=part.run.out / "checkpoints/best.pt", shards=tiny, device="cpu", batch_size=8
    )
    assert evaluate_weights(weights).metrics.ignored == LEFT_OUT


@pytest.mark.long
def test_it_resumes(part: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run trains the classes that it ignored before."""
    requests = [Request.NONE] * 3 + [Request.TIME_UP]
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runtime.stop.Stop.request", lambda self: requests.pop(0))
        train(part.replace(out=tmp_path / "run"))
    resume(tmp_path / "run")
    assert_same_weights(tmp_path / "run", part.run.out)
    assert list(map(without_times, lines(tmp_path / "run"))) == list(map(without_times, lines(part.run.out)))


@pytest.mark.long
def test_an_export_keeps_what_is_ignored(part: TrainConfig, tmp_path: Path) -> None:
    """An exported network predicts classes that it was not trained for, or its card does not say so."""
    export(ExportConfig(run=part.run.out, out=tmp_path / "net"))
    card = (tmp_path / "net/README.md").read_text()
    assert "Neither trained nor measured: Beaches, dunes, sands; Broad-leaved forest." in card
    assert "| Broad-leaved forest, not trained: always 0 |" in card
    records = np.random.default_rng(0).integers(1, 4000, (2, 80000)).astype(np.uint16)
    one, two = (load(folder, device="cpu") for folder in (part.run.out, tmp_path / "net"))
    assert np.array_equal(one.probabilities(records), two.probabilities(records))
    assert (two.probabilities(records)[:, PLACES] < 1e-12).all()
    assert math.isclose(sum(two.measured), 17)


def test_reports_see_no_mistakes_in_ignored_classes(part: TrainConfig) -> None:
    """Pages show an ignored class as one that the network never finds, or take the store for another one."""
    with open_run(part.run.out) as contents:
        assert contents.store is not None, contents.no_store
        assert all(contents.scores.ap[place].value is None for place in PLACES)
        figure, table = classes(contents).blocks
        assert isinstance(figure, Figure)
        assert "Neither trained nor measured (data.ignore_labels): Beaches, dunes, sands" in figure.caption
        assert isinstance(table, Table)
        assert [row[0].text for row in table.rows if "ignored" in row[0].text] == [f"{x} (ignored)" for x in LEFT_OUT]
        opened = OpenStore(0, part.data.shards, contents.store)
        predicted = OpenRun(0, part.run.out, "run", "cpu").predicted(opened)
        assert predicted is not None
        assert not np.isin(disagreements(opened, predicted).labels, PLACES).any()


@pytest.mark.long
def test_runs_with_other_classes_are_not_averaged(part: TrainConfig, tiny: Path, tmp_path: Path) -> None:
    """Averaged probabilities of a class are half of those of the one run that was trained for it."""
    train(TrainConfig.of(shards=tiny, out=tmp_path / "all", **FAST | {"epochs": 1}))
    words = "ignores no class .* average runs that were trained for the same classes"
    with pytest.raises(InvalidValue, match=r"ignores Beaches, dunes, sands; Broad-leaved forest .*ignores no class"):
        Ensemble([load(folder, device="cpu") for folder in (part.run.out, tmp_path / "all")])
    with pytest.raises(InvalidValue, match=words):
        evaluate_run(EvaluationConfig(run=tmp_path / "all", ensemble=(part.run.out,), device="cpu"))


@pytest.mark.long
def test_names_on_the_command_line(tiny: Path, tmp_path: Path) -> None:
    """Names with commas cannot be given, or a class is ignored in silence."""
    assert class_names("broad, Beaches, dunes, sands") == LEFT_OUT
    assert class_names(", ".join(CLASSES)) == CLASSES
    words = ["--set", "model.model=test_resnet", "--device", "cpu", "--batch-size", "8", "--epochs", "1"]
    given_ = ["--set", "data.ignore_labels=broad,Beaches, dunes, sands"]
    result = CliRunner().invoke(main, ["train", str(tiny), "--out", str(tmp_path / "run"), *words, *given_])
    assert result.exit_code == 0, result.output
    assert "neither trained nor measured: Beaches, dunes, sands; Broad-leaved forest" in result.stderr
    assert result.stdout.count("ignored") == 2
    again = CliRunner().invoke(
        main, ["train", "--config", str(tmp_path / "run/config.toml"), "--out", str(tmp_path / "b")]
    )
    assert again.exit_code == 0, again.output
    assert_same_weights(tmp_path / "run", tmp_path / "b")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("Sea",), r"data\.ignore_labels has 'Sea', expected names of classes: Agro"),
        (("Broad-leaved forest", "Broad-leaved forest"), "names a class twice"),
        (CLASSES, "leaves no class to train"),
    ],
)
def test_other_names_are_refused(names: tuple[str, ...], words: str) -> None:
    """A class that there is not is ignored, and another one is not."""
    with pytest.raises(InvalidValue, match=words):
        TrainConfig.of(shards=Path(), out=Path(), ignore_labels=names)


def test_a_class_of_no_patch_is_refused(tmp_path: Path) -> None:
    """An option without effect passes in silence."""
    folder = make_store(tmp_path / "store", {"train": 2, "validation": 1})
    with shards.open(folder) as store:
        absent = CLASSES[int(np.flatnonzero(~store.index.labels().any(0))[0])]
    config = TrainConfig.of(shards=folder, out=tmp_path / "run", ignore_labels=(absent,), **FAST)
    with pytest.raises(InvalidValue, match=f"`ignore_labels=` has no effect for {absent}"):
        train(config)
    assert not (tmp_path / "run").exists()
