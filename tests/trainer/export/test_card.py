"""Model cards as the hub's own library and a YAML parser read them."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results

from shards import CLASSES
from tests.trainer.conftest import Run
from tests.trainer.metrics.predictions import named_predictions
from trainer.export.card import card
from trainer.export.export import Exported
from trainer.export.scores import Intervals, measured
from trainer.inference.trained import TrainedRun
from trainer.runs.folder import read_json
from trainer.runs.predictions import Predictions


def front_matter(text: str) -> dict[str, object]:
    """Return what YAML reads between the first two lines of dashes."""
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert match is not None
    return yaml.safe_load(match[1])


def test_the_hub_reads_the_scores(exported: Exported, run: Run) -> None:
    """Scores are not those of the run's files, or the front matter is no card of the hub."""
    path = exported.out / "README.md"
    content = ModelCard.load(path)
    assert content.data.to_dict() == metadata_load(path) == front_matter(path.read_text())
    name, results = model_index_to_eval_results(metadata_load(path)["model-index"])
    assert name == exported.out.name
    kept = read_json(run.config.run.out / "metrics-test.json")
    found = {each.metric_name: each.metric_value for each in results if each.dataset_split == "test"}
    assert found == {
        "macro average precision": pytest.approx(kept["ap_macro"], abs=5e-5),
        "micro average precision": pytest.approx(kept["ap_micro"], abs=5e-5),
        "macro F1 at 0.5": pytest.approx(kept["f1_macro"], abs=5e-5),
        "micro F1 at 0.5": pytest.approx(kept["f1_micro"], abs=5e-5),
    }
    assert {each.dataset_split for each in results} == {"test", "validation"}
    assert content.data.to_dict()["library_name"] == "bigearth-pipeline"
    assert "license" not in content.data.to_dict()
    for text in ("CDLA-Permissive-1.0", "## Limits", "Intended for", *CLASSES):
        assert text in content.text


@pytest.fixture
def with_tiles(run: Run, tmp_path: Path) -> Path:
    """The run with predictions of patches that have names of BigEarthNet."""
    folder = tmp_path / "run"
    shutil.copytree(run.config.run.out, folder)
    keys, labels, scores = named_predictions()
    logits = torch.from_numpy(scores.astype(np.float32)).logit(1e-6)
    about = read_json(folder / "metrics-test.json")
    found = Predictions.of(keys, logits, torch.from_numpy(labels))
    found.write(folder / "predictions-test.parquet", {name: about[name] for name in ("rows_sha256", "epoch")})
    return folder


def test_intervals_are_in_the_card(with_tiles: Path) -> None:
    """Intervals are missing, of other predictions, or of the wrong score."""
    trained = TrainedRun.read(with_tiles)
    scores = measured(trained)
    kept = Predictions.read(with_tiles / "predictions-test.parquet")
    expected = Intervals.of(kept)
    assert expected is not None
    text = card(trained, trained.create_model(), scores, name="a", files={}, license="apache-2.0")
    values = front_matter(text)
    assert values["license"] == "apache-2.0"
    _, results = model_index_to_eval_results(values["model-index"])
    for each in results:
        if each.dataset_split == "validation":
            assert each.metric_args is None
            continue
        name = {"average_precision": "ap", "f1": "f1"}[each.metric_type] + f"_{each.metric_name.split()[0]}"
        assert each.metric_args["interval"] == pytest.approx(getattr(expected, name), abs=5e-5)
        assert each.metric_args["tiles"] == 5
    low, high = expected.ap_macro or (0, 0)
    assert f"({low:.3f} to {high:.3f})" in text


def test_scores_of_another_epoch_or_of_other_patches_are_left_out(with_tiles: Path) -> None:
    """A card shows the scores of other weights, or intervals of other patches."""
    path = with_tiles / "predictions-test.parquet"
    kept = Predictions.read(path)
    kept.write(path, kept.about | {"rows_sha256": "0" * 64})
    trained = TrainedRun.read(with_tiles)
    assert [(each.split, each.intervals) for each in measured(trained)] == [("test", None), ("validation", None)]
    metrics = with_tiles / "metrics-test.json"
    epoch = read_json(metrics)["epoch"]
    metrics.write_text(metrics.read_text().replace(f'"epoch": {epoch}', f'"epoch": {epoch + 1}', 1))
    assert [each.split for each in measured(trained)] == ["validation"]
    metrics.write_text("{}")
    assert [each.split for each in measured(trained)] == ["validation"]


@pytest.mark.parametrize("name", ["--- \n x: 1", "a: [b", "'\"{}", "# no", "\x1b[31m"])
def test_any_name_makes_a_card(name: str, run: Run) -> None:
    """The name of a folder ends the front matter, or steers the terminal."""
    trained = TrainedRun.read(run.config.run.out)
    text = card(trained, trained.create_model(), measured(trained), name=name, files={})
    found, _ = model_index_to_eval_results(front_matter(text)["model-index"])
    assert found == name


def test_the_card_says_what_was_best(run: Run) -> None:
    """Weights that were chosen by another value, or without validation, or of no real data, pass for others."""
    trained = TrainedRun.read(run.config.run.out)
    network = trained.create_model()

    def of(table: str, synthetic: bool = False, **options: object) -> str:
        config = replace(trained.trained, **{table: replace(getattr(trained.trained, table), **options)})
        checkpoint = replace(trained.checkpoint, synthetic=synthetic)
        return card(replace(trained, checkpoint=checkpoint, trained=config), network, [], name="net", files={})

    assert "by macro average precision on the validation split." in of("run")
    assert "by loss on the validation split." in of("run", monitor="loss")
    assert "Weights of the last epoch" in of("data", validation=False)
    assert "European" in of("run")
    assert "European" not in of("run", synthetic=True)
