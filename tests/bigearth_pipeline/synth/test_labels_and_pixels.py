"""Labels and pixels of synthetic patches: as frequent, bright and telling as real ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bigearth_pipeline.synth.pixels import draw_patch
from bigearth_pipeline.synth.plan import SynthPatch, plan_patches
from shards.layout.bands import BAND_SLICES, BANDS
from shards.layout.classes import CLASSES, encode_labels, multi_hot

Float = NDArray[np.float64]


@pytest.fixture(scope="module")
def drawn() -> tuple[list[SynthPatch], NDArray[np.uint16]]:
    """A plan of 800 patches without the flagged ones, and their records."""
    plan = [patch for patch in plan_patches(800, "v2", 3) if not (patch.snow or patch.cloud)]
    return plan, np.stack([draw_patch(p.labels, p.pixel_source(3), snow=False, cloud=False) for p in plan])


def average_precision(truth: NDArray[np.bool_], score: Float) -> float:
    """Area under the precision-recall curve of one class, as the mean precision at its positives."""
    hits = truth[np.argsort(-score, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_split_shows_every_class(seed: int) -> None:
    """A class is missing from a split, and its score cannot be computed."""
    plan = [patch for patch in plan_patches(100, "v2", seed) if not (patch.snow or patch.cloud)]
    for split in ("train", "validation", "test"):
        assert {label for patch in plan if patch.split == split for label in patch.labels} == set(CLASSES)


def test_class_frequencies_resemble_the_real_ones() -> None:
    """Class weights or thresholds tried on synthetic data say nothing about the real one."""
    plan = plan_patches(3000, "v2", 0)
    share = {name: sum(name in patch.labels for patch in plan) / len(plan) for name in CLASSES}
    for name, real in {
        "Arable land": 0.39, "Coniferous forest": 0.32, "Mixed forest": 0.35, "Pastures": 0.20,
        "Urban fabric": 0.13, "Marine waters": 0.13, "Agro-forestry areas": 0.07,
    }.items():  # fmt: skip
        assert share[name] == pytest.approx(real, abs=0.07), name
    assert max(share["Beaches, dunes, sands"], share["Coastal wetlands"]) < 0.06


@pytest.mark.long
def test_band_means_are_near_the_published_ones(drawn: tuple[list[SynthPatch], NDArray[np.uint16]]) -> None:
    """Published normalisation constants do not fit synthetic pixels."""
    published = {"B01": 361, "B02": 438, "B04": 588, "B08": 2193, "B8A": 2236, "B11": 1568, "B12": 998}
    for band, mean in published.items():
        assert drawn[1][:, BAND_SLICES[band]].mean() == pytest.approx(mean, rel=0.15), band
    assert drawn[1].min() > 0


def test_resolutions_see_the_same_scene(drawn: tuple[list[SynthPatch], NDArray[np.uint16]]) -> None:
    """A 20 m or 60 m band is shifted, flipped or of another scene than the 10 m bands."""
    for record in drawn[1][:50]:
        near = record[BAND_SLICES["B08"]].reshape(60, 2, 60, 2).mean((1, 3))
        assert np.corrcoef(near.ravel(), record[BAND_SLICES["B8A"]])[0, 1] > 0.9 or near.std() < 100
        near = near.reshape(20, 3, 20, 3).mean((1, 3))
        assert np.corrcoef(near.ravel(), record[BAND_SLICES["B09"]])[0, 1] > 0.85 or near.std() < 100


def test_labels_can_be_learnt_from_the_pixels(drawn: tuple[list[SynthPatch], NDArray[np.uint16]]) -> None:
    """Pixels say nothing about the labels: a training run on synthetic data cannot tell a good trainer from a bad."""
    plan, records = drawn
    values = [records[:, BAND_SLICES[band]].astype(np.float64) for band in BANDS]
    features = np.log(np.stack([number for band in values for number in (band.mean(1), band.std(1))], axis=1))
    truth = multi_hot(np.array([encode_labels(patch.labels) for patch in plan], np.uint32)).astype(bool)
    train = np.array([patch.split == "train" for patch in plan])
    features = (features - features[train].mean(0)) / features[train].std(0)
    features = np.c_[features, np.ones(len(features))]
    # Ridge regression, the simplest model with a closed form.
    gram = features[train].T @ features[train] + np.eye(features.shape[1])
    scores = features[~train] @ np.linalg.solve(gram, features[train].T @ truth[train])
    precision = [average_precision(truth[~train, i], scores[:, i]) for i in range(len(CLASSES))]
    frequency = truth[~train].mean(0)
    assert np.mean(precision) > 0.5 > 2.5 * frequency.mean()
    assert sum(p > 1.5 * f for p, f in zip(precision, frequency, strict=True)) >= len(CLASSES) - 3
