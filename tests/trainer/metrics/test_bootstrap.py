"""Intervals beside a plain bootstrap, patch by patch, with scikit-learn."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score

from shards import CLASSES
from trainer.metrics.bootstrap import group_of, intervals

V1 = "S2A_MSIL2A_20170613T101031_69_24"


def predictions(n: int = 60, seed: int = 0) -> tuple[list[str], NDArray[np.uint8], NDArray[np.float16]]:
    """Return names of patches of five tiles, labels of a few classes, and probabilities with ties."""
    rng = np.random.default_rng(seed)
    tiles = rng.choice(["33UUP", "29UPV", "35VLF", "34TCR", "31UER"], n)
    keys = [f"S2A_MSIL2A_20170613T101031_N9999_R022_T{tile}_{i}_{i + 1}" for i, tile in enumerate(tiles)]
    labels = (rng.random((n, 19)) < np.r_[np.full(6, 0.3), 0.02, np.zeros(12)]).astype(np.uint8)
    scores = np.clip(0.4 * labels + rng.random((n, 19)) * 0.7, 0, 1).round(1).astype(np.float16)
    return keys, labels, scores


@pytest.mark.parametrize("tuned", [False, True])
def test_intervals_are_those_of_a_plain_bootstrap(tuned: bool) -> None:
    """Patches are drawn in place of tiles, ties are counted apart, or absent classes count as 0."""
    keys, labels, scores = predictions()
    draws = 40
    thresholds = {name: 0.3 + 0.02 * i for i, name in enumerate(CLASSES)} if tuned else None
    found = intervals(keys, labels, scores, thresholds=thresholds, draws=draws, seed=5)
    tiles = np.array([group_of(key) for key in keys])
    names = np.unique(tiles)
    weights = np.random.default_rng(5).multinomial(5, np.full(5, 0.2), size=draws)
    least = np.array(list(thresholds.values())) if thresholds else 0.5
    expected: dict[str, list[float]] = {"ap_macro": [], "ap_micro": [], "f1_macro": [], "f1_micro": []}
    first = []
    for weight in weights:
        rows = np.concatenate(
            [np.repeat(np.flatnonzero(tiles == name), k) for name, k in zip(names, weight, strict=True)]
        )
        y, s = labels[rows], scores[rows].astype(np.float64)
        occurs = y.any(0)
        each = [average_precision_score(y[:, i], s[:, i]) for i in np.flatnonzero(occurs)]
        expected["ap_macro"].append(np.mean(each))
        expected["ap_micro"].append(average_precision_score(y.ravel(), s.ravel()))
        chosen = s >= least
        f1 = f1_score(y, chosen, average=None, zero_division=0)
        expected["f1_macro"].append(f1[occurs].mean())
        expected["f1_micro"].append(f1_score(y, chosen, average="micro"))
        first.append(average_precision_score(y[:, 0], s[:, 0]))
    assert found is not None
    assert (found.unit, found.num_units) == ("tiles", 5)
    for name, values in expected.items():
        assert getattr(found, name) == pytest.approx(np.quantile(values, [0.025, 0.975])), name
    assert found.classes[CLASSES[0]] == pytest.approx(np.quantile(first, [0.025, 0.975]))
    assert found.classes[CLASSES[18]] is None


def test_there_is_nothing_to_draw_of_one_tile_or_unknown_ones() -> None:
    """An interval of width 0 is reported, or patches of unknown places count as a tile each."""
    keys, labels, scores = predictions()
    assert intervals([keys[0]] * len(keys), labels, scores) is None
    assert intervals([*keys[1:], "test_7"], labels, scores) is None
    assert intervals([f"test_{i}" for i in range(len(keys))], labels, scores) is None


def test_groups_by_name() -> None:
    """The tile is not found, or patches of v1 are each a group of their own."""
    assert group_of("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57") == "33UUP"
    assert group_of(V1) == group_of(V1.replace("_69_", "_1_")) == "S2A_MSIL2A_20170613T101031"
    assert group_of("S2B_MSIL2A_20170613T93020_69_24") == "S2B_MSIL2A_20170613T93020"
    assert group_of("test_7") is None
    keys, labels, scores = predictions()
    names = [f"S2{'AB'[i % 2]}_MSIL2A_20170613T101031_{i}_1" for i in range(len(keys))]
    found = intervals(names, labels, scores, draws=10)
    assert found is not None
    assert (found.unit, found.num_units) == ("acquisitions", 2)
