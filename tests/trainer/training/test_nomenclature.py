"""Runs on the 43 classes of BigEarthNet v1: every file of a run has them, in their order."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import shards
from shards.errors import InvalidValue
from shards.layout.classes import CLASSES, FORTY_THREE
from shards.testing.stores import make_store
from trainer.config import stored
from trainer.config.assemble import Setting, assemble
from trainer.config.options import TrainConfig
from trainer.data.subset.repeats import repeat_factors
from trainer.data.subset.rows import Subset, select
from trainer.errors import BadCheckpoint
from trainer.evaluation.run import EvaluationConfig, evaluate_run
from trainer.export.export import ExportConfig, export
from trainer.inference.ensemble import load_ensemble
from trainer.inference.predictor import load
from trainer.models.create import ModelSpec, create
from trainer.runs import checksum
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.predictions import Predictions
from trainer.training.start import resume, train

NAMES = FORTY_THREE.names
ROADS = "Road and rail networks and associated land"
SMALL = {"model": "bepnet-s", "bands": ("B01", "B09"), "batch_size": 8, "max_steps": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with labels of the 43 classes."""
    counts = {"train": 16, "validation": 8, "test": 8}
    return make_store(tmp_path_factory.mktemp("v1") / "store", counts, source_version="v1", labels43=True)


@pytest.fixture(scope="module")
def run(store: Path) -> Path:
    """A run on it."""
    out = store.parent / "run"
    train(TrainConfig.of(shards=store, out=out, classes=43, ignore_labels=(ROADS,), test=True, **SMALL))
    return out


@pytest.fixture(scope="module")
def of_19(store: Path) -> Path:
    """A run on the 19 classes of the same store."""
    out = store.parent / "of-19"
    train(TrainConfig.of(shards=store, out=out, **SMALL))
    return out


def test_a_run_on_43_classes(run: Path, store: Path) -> None:
    """A file of the run has other classes, another order or other labels than the store."""
    assert stored.read(run).data.classes == 43
    assert "classes = 43\n" in (run / "config.toml").read_text()
    best = Checkpoint.read(run / "checkpoints" / "best.pt")
    assert (best.classes, best.model.nomenclature) == (NAMES, FORTY_THREE)
    assert list(best.thresholds or {}) == list(NAMES)
    assert json.loads((run / "description.json").read_text())["classes"] == list(NAMES)
    result = json.loads((run / "metrics-test.json").read_text())
    assert list(result["classes"]) == list(NAMES)
    path = run / "predictions-test.parquet"
    assert pq.read_schema(path).names == ["key", "labels", *NAMES]
    found = Predictions.read(path)
    with shards.open(store) as opened:
        rows = {opened.index.key(row): row for row in range(len(opened))}
        for key, names, labels in zip(found.keys, pq.read_table(path)["labels"].to_pylist(), found.labels, strict=True):
            expected = [name for name in opened.read(rows[key]).names43 or () if name != ROADS]
            assert names == expected == [name for name, label in zip(NAMES, labels, strict=True) if label]
        for i, name in enumerate(NAMES):
            positives = int(found.labels[:, i].sum())
            assert result["classes"][name]["positives"] == positives
    assert (found.probabilities[:, NAMES.index(ROADS)] == 0).all()
    assert found.labels.any(axis=0).sum() > 6
    # An evaluation gives the same again, and the run resumes with these classes.
    again, _ = evaluate_run(EvaluationConfig(run=run, device="cpu"))
    assert again.metrics.to_json() == {name: result[name] for name in again.metrics.to_json()}
    longer = shutil.copytree(run, run.with_name("longer"))
    resume(longer, max_steps=3)
    assert Checkpoint.read(longer / "checkpoints" / "last.pt").classes == NAMES


def test_a_network_is_exported_with_its_classes(run: Path, store: Path, tmp_path: Path) -> None:
    """The outputs of an export are taken for other classes."""
    export(ExportConfig(run=run, out=tmp_path / "net", formats=()))
    described = json.loads((tmp_path / "net" / "config.json").read_text())
    assert (described["class_names"], described["model"]["classes"]) == (list(NAMES), 43)
    assert f"| {ROADS}, not trained: always 0 |" in (tmp_path / "net" / "README.md").read_text()
    ours, theirs = load(run, device="cpu"), load(tmp_path / "net", device="cpu")
    with shards.open(store) as opened:
        records = opened.read(0).s2[None]
    assert theirs.classes == NAMES
    assert ours.probabilities(records).shape == (1, 43)
    np.testing.assert_array_equal(ours.probabilities(records), theirs.probabilities(records))
    described["model"]["classes"] = 19
    (tmp_path / "net" / "config.json").write_text(json.dumps(described))
    with pytest.raises(BadCheckpoint, match=r"config\.json does not describe a network: "):
        load(tmp_path / "net", device="cpu")


def test_the_loss_looks_at_the_classes_of_the_run(store: Path) -> None:
    """Weights of rare classes or repeats follow from labels of other classes."""
    from trainer.optimisation.losses import positive_weights

    with shards.open(store) as opened:
        labels = opened.index.labels(FORTY_THREE)[opened.index.rows("train")]
    counts = labels.sum(0).tolist()
    weights = positive_weights(dict(zip(NAMES, counts, strict=True)), len(labels), 100.0)
    assert weights.tolist() == pytest.approx([max(1.0, (16 - n) / n) if n else 1.0 for n in counts])
    _, factors = repeat_factors(labels, 1.0, (ROADS,), FORTY_THREE)
    assert factors[NAMES.index(ROADS)] == 1
    assert ((factors > 1) == ((labels.any(0)) & (np.array(NAMES) != ROADS))).all()


def test_a_fraction_keeps_each_class_of_the_run(store: Path, tmp_path: Path) -> None:
    """A class of the run loses all its patches in a fraction that keeps each of the 19 classes."""
    data = TrainConfig.of(shards=store, out=tmp_path / "run", classes=43, fraction=0.1).data
    with shards.open(store) as opened:
        labels = opened.index.labels(FORTY_THREE)
        rows = {split: select(Subset.of(data), opened.index, 0)[split] for split in ("train", "validation")}
        assert labels[rows["train"]].any(0).tolist() == labels[opened.index.rows("train")].any(0).tolist()
        assert len(rows["train"]) < len(opened.index.rows("train"))
        assert rows["validation"].tolist() == opened.index.rows("validation").tolist()


def test_weights_of_other_classes_give_all_but_the_classifier(of_19: Path, store: Path, tmp_path: Path) -> None:
    """A classifier of 19 classes is taken for that of the first 19 of the 43."""
    spec = ModelSpec("bepnet-s", ("B01", "B09"), classes=43)
    begun = create(spec, weights=of_19 / "checkpoints" / "best.pt")
    assert begun.loaded is not None
    assert begun.loaded.initial == begun.heads
    assert begun.head.weight.shape[0] == 43
    with pytest.raises(InvalidValue, match=r"`weights_classes=paper` is an order of 19 classes, and the run has 43"):
        TrainConfig.of(shards=store, out=tmp_path / "x", weights=Path("w.pt"), weights_classes="paper", classes=43)
    # Nobody knows the order of 43 rows of a file of others.
    net = create(ModelSpec("test_resnet", ("B02", "B03"), classes=43))
    torch.save({name.removeprefix("net."): value for name, value in net.state_dict().items()}, tmp_path / "theirs.pt")
    again = create(
        ModelSpec("test_resnet", ("B02", "B03"), classes=43), weights=tmp_path / "theirs.pt", weights_bands="B02,B03"
    )
    assert again.loaded is not None
    assert set(again.loaded.initial) == set(again.heads)


def test_runs_of_other_classes_are_not_averaged(run: Path, of_19: Path) -> None:
    """Probabilities of different classes are averaged."""
    message = r"is trained on 43 classes, and .*of-19 on 19; average runs that were trained for the same classes"
    with pytest.raises(InvalidValue, match=message):
        load_ensemble([run, of_19], device="cpu")
    with pytest.raises(InvalidValue, match=message):
        evaluate_run(EvaluationConfig(run=run, ensemble=(of_19,), device="cpu"))


def test_a_store_without_such_labels_is_refused(run: Path, tmp_path: Path) -> None:
    """A run on 43 classes trains on the 19, or ends in a traceback."""
    plain = make_store(tmp_path / "s", {"train": 8, "validation": 8, "test": 8}, source_version="v1")
    message = r"the store has no labels of 43 classes \(column labels43 of the index\), build .* option labels43"
    with pytest.raises(InvalidValue, match=message):
        train(TrainConfig.of(shards=plain, out=tmp_path / "run", classes=43, **SMALL))
    with pytest.raises(InvalidValue, match=message):
        evaluate_run(EvaluationConfig(run=run, shards=plain, device="cpu"))
    with pytest.raises(InvalidValue, match=r"data\.classes is 20, expected one of 19, 43"):
        TrainConfig.of(shards=plain, out=tmp_path / "run", classes=20)


def test_names_of_classes_are_those_of_the_run(run: Path, tmp_path: Path) -> None:
    """A class that only one nomenclature has is refused, or the order of the options decides."""
    base = [Setting("data.shards", "s", "flag"), Setting("run.out", "r", "flag")]
    ignored = Setting("data.ignore_labels", "peatbogs, sea and ocean", "set")
    number = Setting("data.classes", 43, "flag")
    for settings in ([*base, ignored, number], [number, ignored, *base]):
        assert assemble(settings)[0].data.ignore_labels == ("Peatbogs", "Sea and ocean")
    with pytest.raises(InvalidValue, match="no class 'peatbogs'"):
        assemble([*base, ignored])
    with pytest.raises(InvalidValue, match="no class 'inland waters'"):
        assemble([*base, number, Setting("data.ignore_labels", "inland waters", "set")])
    # By hand in the file of a run, too.
    text = (run / "config.toml").read_text()
    edited = text.replace(f'ignore_labels = ["{ROADS}"]', 'ignore_labels = "peatbogs, salines"')
    (tmp_path / "config.toml").write_text(edited)
    assert stored.read(tmp_path).data.ignore_labels == ("Peatbogs", "Salines")


def test_a_checkpoint_whose_classes_do_not_fit_its_network(run: Path, tmp_path: Path) -> None:
    """Outputs are taken for classes of another nomenclature."""
    values = checksum.read(run / "checkpoints" / "best.pt")
    checksum.write(tmp_path / "best.pt", values | {"classes": CLASSES})
    with pytest.raises(BadCheckpoint, match="has other classes: it lacks"):
        Checkpoint.read(tmp_path / "best.pt")
    checksum.write(tmp_path / "best.pt", values | {"model": values["model"] | {"classes": [43]}})
    with pytest.raises(BadCheckpoint, match=r"classes is \[43\], expected 19 or 43"):
        Checkpoint.read(tmp_path / "best.pt")
