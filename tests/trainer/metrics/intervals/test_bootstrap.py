"""Intervals: of tiles, not of patches; and differences of two sets of predictions of the same patches."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score

from shards import CLASSES
from tests.trainer.metrics.predictions import named_predictions, random_predictions
from trainer.metrics.intervals.average_precision import average_precisions
from trainer.metrics.intervals.bootstrap import RESAMPLES, draw, estimate
from trainer.metrics.intervals.table import estimates, resample, score
from trainer.metrics.intervals.tiles import FEWEST_TILES, Tiles, acquisitions_of_names, tiles_of_names, tiles_of_places


def tiles_of(numbers: NDArray[np.int64]) -> Tiles:
    return Tiles(numbers, int(numbers.max()) + 1, "tiles")


def test_draws_are_of_whole_tiles_and_the_same_each_time() -> None:
    """Resamples hold another number of tiles, differ between reports, or are all the same."""
    drawn = draw(12)
    assert drawn.shape == (12, RESAMPLES)
    assert (drawn.sum(axis=0) == 12).all()
    np.testing.assert_array_equal(drawn, draw(12))
    assert drawn.mean() == 1
    assert abs(drawn.var() - (1 - 1 / 12)) < 0.02  # Of binomial counts of 12 draws with a chance of 1/12.


def test_intervals_are_percentiles_of_resampled_tiles() -> None:
    """An interval is not that of a plain loop that puts the patches of the drawn tiles together."""
    probabilities, labels, tiles = random_predictions(150, 9)
    found = score(probabilities, labels, None, tiles_of(tiles)).ap[5]
    values = []
    for column in draw(9).T.astype(int):
        rows = np.concatenate([np.flatnonzero(tiles == tile) for tile in np.repeat(np.arange(9), column)])
        if labels[rows, 5].any():
            values.append(average_precision_score(labels[rows, 5], probabilities[rows, 5].astype(float)))
    assert found.value == pytest.approx(average_precision_score(labels[:, 5], probabilities[:, 5].astype(float)))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))), abs=1e-12)


@pytest.mark.parametrize("tuned", [False, True])
def test_all_scores_are_those_of_a_plain_bootstrap(tuned: bool) -> None:
    """Patches are drawn in place of tiles, ties are counted apart, or absent classes count as 0."""
    keys, labels, scores = named_predictions()
    thresholds = {name: 0.3 + 0.02 * i for i, name in enumerate(CLASSES)} if tuned else None
    least = np.array(list(thresholds.values())) if thresholds else 0.5
    tiles = tiles_of_names(keys)
    assert tiles is not None
    found = resample(scores, labels, thresholds, tiles)
    for column, counts in enumerate(draw(tiles.count).T[:40].astype(int), 1):
        rows = np.concatenate([np.flatnonzero(tiles.number == tile) for tile in np.repeat(np.arange(5), counts)])
        y, s = labels[rows], scores[rows].astype(np.float64)
        occurs = y.any(0)
        ap = [average_precision_score(y[:, i], s[:, i]) for i in np.flatnonzero(occurs)]
        f1 = f1_score(y, s >= least, average=None, zero_division=0)[occurs]
        np.testing.assert_array_equal(np.isfinite(found.ap[:-2, column]), occurs)
        assert found.ap[:-2, column][occurs] == pytest.approx(ap)
        assert found.f1[:-2, column][occurs] == pytest.approx(f1)
        assert found.ap[-2, column] == pytest.approx(np.mean(ap))
        assert found.f1[-2, column] == pytest.approx(np.mean(f1))
        assert found.ap[-1, column] == pytest.approx(average_precision_score(y.ravel(), s.ravel()))
        assert found.f1[-1, column] == pytest.approx(f1_score(y, s >= least, average="micro"))


def region(
    num_tiles: int, rng: np.random.Generator
) -> tuple[NDArray[np.float16], NDArray[np.uint8], NDArray[np.int64]]:
    """Return probabilities and labels (N, 1) of 25 patches in each tile, and their tiles; skill differs by tile."""
    tiles = np.repeat(np.arange(num_tiles), 25)
    skill = 1.5 + 2.5 * rng.normal(size=num_tiles)
    labels = (rng.random(len(tiles)) < 0.3).astype(np.uint8)
    logits = (labels - 0.5) * skill[tiles] + rng.normal(size=len(tiles))
    return np.round(1 / (1 + np.exp(-logits)), 2).astype(np.float16)[:, None], labels[:, None], tiles


def test_intervals_hold_the_truth_where_neighbours_are_alike() -> None:
    """Intervals are as narrow as if patches were independent, and miss the score of the region most of the time."""
    rng = np.random.default_rng(1)
    scores, labels, _ = region(20_000, rng)
    truth = average_precision_score(labels[:, 0], scores[:, 0].astype(float))
    trials, hits, widths = 60, {"tiles": 0, "patches": 0}, {"tiles": 0.0, "patches": 0.0}
    for _ in range(trials):
        scores, labels, tiles = region(40, rng)
        for name, groups in (("tiles", tiles), ("patches", np.arange(len(tiles)))):
            weights = draw(int(groups.max()) + 1, 200)
            found = estimate(0.0, average_precisions(scores, labels, groups, weights).classes[0])
            assert found.low is not None
            assert found.high is not None
            hits[name] += found.low <= truth <= found.high
            widths[name] += found.high - found.low
    assert widths["tiles"] > 1.3 * widths["patches"]
    assert hits["tiles"] >= 0.85 * trials
    assert hits["patches"] < 0.8 * trials


def test_few_tiles_have_no_interval() -> None:
    """Four tiles, or a class in four of many, pass for enough."""
    probabilities, labels, tiles = random_predictions(100, 10)
    labels[:, 7] = 0
    labels[np.isin(tiles, range(FEWEST_TILES - 1)), 7] = 1
    found = score(probabilities, labels, None, tiles_of(tiles)).ap
    assert found[7].value is not None
    assert found[7].low is None
    assert found[8].low is not None
    assert found[-1].low is not None
    few = score(probabilities, labels, None, tiles_of(tiles % (FEWEST_TILES - 1)))
    assert all(each.low is None and each.value is not None for each in [*few.ap, *few.f1])
    none = score(probabilities, labels, None, None)
    assert [each.value for each in none.ap] == [each.value for each in few.ap]


def test_differences_of_the_same_predictions_are_zero() -> None:
    """Predictions differ from themselves, because their resamples are others; or differences are not paired."""
    probabilities, labels, numbers = random_predictions(400, 20)
    tiles = tiles_of(numbers)
    one, two = (resample(probabilities, labels, None, tiles) for _ in range(2))
    for found in estimates(one.ap - two.ap, labels, tiles):
        assert (found.value, found.low, found.high) == (0, 0, 0)
        assert not found.excludes_zero
    # A little worse everywhere: far less than scores vary between resamples, and yet larger than the noise.
    worse = probabilities.copy()
    worse[::40] = 1 - worse[::40]
    three = resample(worse, labels, None, tiles)
    macro = estimates(three.ap - one.ap, labels, tiles)[-2]
    own = estimates(one.ap, labels, tiles)[-2]
    assert macro.excludes_zero
    assert macro.high is not None
    assert macro.low is not None
    assert own.low is not None
    assert own.high is not None
    assert macro.high < 0
    assert macro.high - macro.low < own.high - own.low


def test_tiles_are_those_of_names_or_places() -> None:
    """Patches of a tile at two dates count as independent, or a tile is made up where names hold none."""
    names = [f"S2A_MSIL2A_20170613T101031_N9999_R022_T{tile}_26_{i}" for i, tile in enumerate(["33UUP", "33UUQ"])]
    again = "S2B_MSIL2A_20180421T114349_N9999_R123_T33UUP_63_59"
    found = tiles_of_names([*names, again])
    assert found is not None
    assert (found.number.tolist(), found.count, found.words) == ([0, 1, 0], 2, "Sentinel-2 tiles")
    assert tiles_of_names([*names, "S2A_MSIL2A_20170613T101031_45_65"]) is None
    v1 = ["S2A_MSIL2A_20170613T101031_69_24", "S2A_MSIL2A_20170613T101031_1_24", "S2B_MSIL2A_20170613T93020_69_24"]
    acquisitions = acquisitions_of_names(v1)
    assert acquisitions is not None
    assert (acquisitions.number.tolist(), acquisitions.words) == ([0, 0, 1], "Sentinel-2 acquisitions")
    assert acquisitions_of_names([*v1, "test_7"]) is None
    squares = tiles_of_places(
        np.array([32633, 32633, 32633, 32634], np.int32),
        np.array([300_000.0, 399_999.0, 400_000.0, 300_000.0]),
        np.array([5_300_000.0, 5_399_999.0, 5_300_000.0, 5_300_000.0]),
    )
    assert squares.number[0] == squares.number[1]
    assert squares.count == 3
