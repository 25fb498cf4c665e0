"""Finished runs applied to records: as evaluations see them, turned, and averaged."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import shards
from bigearth_pipeline.cli import main
from shards.errors import InvalidValue
from shards.layout.bands import BAND_SLICES, GROUP_OF
from tests.trainer.conftest import Run
from tests.trainer.data.records import random_records
from trainer.config.options import TrainConfig
from trainer.errors import TrainError
from trainer.inference import load, load_ensemble, one_thread_a_batch
from trainer.inference.average import TURNS, mean_logits, turned
from trainer.runs.predictions import Predictions
from trainer.training.start import train


@pytest.fixture(scope="module")
def stacked(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network of timm, which sees five bands at 10 m."""
    out = tmp_path_factory.mktemp("runs") / "stacked"
    bands = ("B04", "B03", "B02", "B11", "B01")
    train(TrainConfig.of(shards=tiny, out=out, epochs=1, batch_size=8, model="test_resnet", bands=bands))
    return out


def test_records_are_seen_as_evaluations_see_them(run: Run) -> None:
    """Bands, normalisation or weights differ from those of `bep evaluate`."""
    folder = run.config.run.out
    with shards.open(run.config.data.shards) as store:
        rows = store.index.rows("test")
        records = np.empty((len(rows), 80_000), np.uint16)
        store.read_into(rows, records)
    evaluated = Predictions.read(folder / "predictions-test.parquet")
    predictor = load(str(folder), device="cpu", batch_size=7)
    found = predictor.probabilities(records)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, evaluated.probabilities.astype(np.float32), atol=2e-3)
    assert predictor.thresholds == evaluated.about["thresholds"]
    assert predictor.probabilities(records[:0]).shape == (0, 19)


@pytest.mark.parametrize(
    "records",
    [
        np.zeros((5, 9), np.uint16),
        np.zeros((2, 90_000), np.uint16),
        np.zeros(80_000, np.uint16),
        np.zeros((2, 80_000), np.float32),
        np.zeros((2, 80_000), np.int16),
        np.zeros((2, 12, 120, 120), np.uint16),
    ],
    ids=lambda records: f"{records.dtype}-{records.shape}",
)
def test_what_is_no_record_is_refused(run: Run, records: np.ndarray) -> None:
    """Compiled code reads past the end of an array, and what lies there becomes probabilities."""
    with pytest.raises(InvalidValue, match=r"expected uint16 of shape \(n, 80000\)"):
        load(run.config.run.out, device="cpu").probabilities(records)


def test_threads_do_not_change_a_bit(run: Run) -> None:
    """The same batch gives other bits beside others, or another thread's images."""
    predictor = load(run.config.run.out, device="cpu")
    batches = [random_records(9, seed) for seed in range(6)]
    found: dict[int, np.ndarray] = {}
    with one_thread_a_batch():
        alone = [predictor.probabilities(batch) for batch in batches]
        threads = [
            threading.Thread(target=lambda i=i: found.update({i: predictor.probabilities(batches[i])}))
            for i in range(len(batches))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for i, expected in enumerate(alone):
        np.testing.assert_array_equal(found[i], expected)


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=9),
)
def test_mean_logits_are_those_of_the_mean_probability(values: list[float]) -> None:
    """Logits are averaged in place of probabilities, or digits are lost near 1."""
    tensors = [torch.tensor([value]) for value in values]
    exact = torch.tensor(values, dtype=torch.float64)
    found = mean_logits(tensors).double()
    np.testing.assert_allclose(found.sigmoid(), exact.sigmoid().mean(), rtol=1e-5)
    np.testing.assert_allclose((-found).sigmoid(), (-exact).sigmoid().mean(), rtol=1e-5)


def turned_record(record: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    found = np.empty_like(record)
    for band, values in BAND_SLICES.items():
        size = GROUP_OF[band].size
        found[values] = turned(torch.from_numpy(record[values].reshape(size, size)), turn).numpy().ravel()
    return found


@pytest.mark.parametrize("network", ["native", "stacked"])
def test_turned_patches_have_the_same_probabilities(network: str, run: Run, stacked: Path) -> None:
    """Bands of one resolution are turned and others are not, or a turn is missing from the mean."""
    folder = run.config.run.out if network == "native" else stacked
    record = random_records(1)[0]
    records = np.stack([turned_record(record, turn) for turn in TURNS])
    assert len({each.tobytes() for each in records}) == 8
    plain, averaged = load(folder, device="cpu"), load(folder, device="cpu", tta="d4")
    each = plain.probabilities(records)
    found = averaged.probabilities(records)
    np.testing.assert_allclose(found, np.broadcast_to(each.mean(0), found.shape), atol=1e-5)
    assert np.ptp(each, 0).max() > 1e-4


def test_an_ensemble_averages_probabilities_and_thresholds(run: Run, stacked: Path) -> None:
    """One run counts more than another, or its bands are missing."""
    folders = [run.config.run.out, stacked]
    each = [load(folder, device="cpu") for folder in folders]
    both = load_ensemble(folders, device="cpu")
    records = random_records(3)
    expected = np.mean([member.probabilities(records) for member in each], 0)
    np.testing.assert_allclose(both.probabilities(records), expected, atol=1e-6)
    for name, threshold in both.thresholds.items():
        assert threshold == pytest.approx(np.mean([member.thresholds[name] for member in each]))
    assert both.bands == tuple(BAND_SLICES)
    assert load_ensemble([stacked], device="cpu").bands == ("B02", "B03", "B04", "B11", "B01")
    with pytest.raises(InvalidValue, match="named twice"):
        load_ensemble([stacked, stacked.parent / "x" / ".." / stacked.name], device="cpu")
    with pytest.raises(TrainError, match="holds no run"):
        load(stacked.parent, device="cpu")


@pytest.mark.long
def test_evaluations_of_averages_have_their_own_files(run: Run, stacked: Path) -> None:
    """The result of an average replaces that of the run, or is that of the run."""
    folder = run.config.run.out

    def evaluate(*options: str) -> dict[str, object]:
        result = CliRunner().invoke(main, ["evaluate", str(folder), "--device", "cpu", "--json", *options])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    before = (folder / "metrics-test.json").read_bytes()
    files = {path.name for path in folder.glob("*-test*")}
    found = [evaluate("--tta", "d4"), evaluate("--with", str(stacked)), evaluate("--with", str(stacked), "--tta", "d4")]
    assert (folder / "metrics-test.json").read_bytes() == before
    new = {path.name for path in folder.glob("*-test*")} - files
    assert len(new) == 6, new
    assert len({each["loss"] for each in found} | {json.loads(before)["loss"]}) == 4
    assert found[1]["averaged"] == {"runs": [str(folder), str(stacked)], "tta": "none"}
    with shards.open(run.config.data.shards) as store:
        rows = store.index.rows("test")
        records = np.empty((len(rows), 80_000), np.uint16)
        store.read_into(rows, records)
    expected = load_ensemble([folder, stacked], device="cpu", tta="d4").probabilities(records)
    kept = [Predictions.read(folder / name) for name in new if name.endswith(".parquet")]
    assert min(np.abs(each.probabilities.astype(np.float32) - expected).max() for each in kept) < 2e-3
    for name in new:
        (folder / name).unlink()
