"""Draws for a patch: as a function, by its contract, and in distribution."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.trainer.data.records import augmentations
from trainer.data.augment.draw import draw
from trainer.data.batch import CELLS, Draws
from trainer.definition.augmentation import RECIPES, Augmentation

MANY = np.arange(40_000)
EVERYTHING = Augmentation("d4", "resized", gain=0.2, offset=0.3, band_dropout=0.2, erase=0.5, mixup=0.3, cutmix=0.7)


def fields(draws: Draws) -> dict[str, NDArray]:
    """Return what is drawn, by name."""
    named = {field.name: getattr(draws, field.name) for field in dataclasses.fields(draws)}
    return {name: values for name, values in named.items() if values is not None}


@given(augmentations(), st.lists(st.integers(0, 2**31), min_size=1, max_size=20), st.data())
def test_a_row_draws_the_same_in_any_company(augmentation: Augmentation, rows: list[int], data: st.DataObject) -> None:
    """A patch is prepared otherwise on two GPUs than on one, or with another batch size."""
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1))
    together = fields(draw(augmentation, np.array(rows), 12, 7, 3))
    apart = fields(draw(augmentation, np.array(rows)[chosen], 12, 7, 3))
    assert together.keys() == apart.keys() == augmentation.fields
    for name, values in together.items():
        np.testing.assert_array_equal(values[chosen], apart[name], err_msg=name)


@pytest.mark.parametrize("crop", ["pad", "resized"])
def test_draws_change_with_seed_epoch_and_row(crop: str) -> None:
    """Every epoch, every seed or every patch is varied in the same way."""
    augmentation = dataclasses.replace(EVERYTHING, crop=crop)
    base = fields(draw(augmentation, MANY[:64], 12, 0, 0))
    others = [(MANY[:64], 1, 0), (MANY[:64], 0, 1), (MANY[64:128], 0, 0)]
    for rows, seed, epoch in others:
        for name, values in fields(draw(augmentation, rows, 12, seed, epoch)).items():
            assert np.mean(values == base[name]) < 0.9, f"{name} for seed {seed}, epoch {epoch}, row {rows[0]}"


@given(augmentations(), st.integers(1, 12), st.integers(0, 2**32))
def test_draws_keep_their_contract(augmentation: Augmentation, num_bands: int, seed: int) -> None:
    """A box lies where it must not, a crop has ties, all bands of a patch are dropped, or a type is another."""
    n = 100
    draws = draw(augmentation, MANY[:n], num_bands, seed, 0)
    for name, values in fields(draws).items():
        shape, dtype = {
            "turn": ((n, 3), np.uint8),
            "crop": ((n, 4), np.int32),
            "gain": ((n, num_bands), np.float32),
            "offset": ((n, num_bands), np.float32),
            "erase": ((n, 4), np.int32),
            "share": ((n,), np.float32),
            "paste": ((n, 4), np.int32),
        }[name]
        assert (values.shape, values.dtype) == (shape, dtype), name
    if draws.turn is not None:
        assert set(np.unique(draws.turn)) <= {0, 1}
        assert augmentation.turn == "d4" or not draws.turn[:, 0].any()
    for boxes in (draws.erase, draws.paste, draws.crop if augmentation.crop == "resized" else None):
        if boxes is not None:
            assert boxes.min() >= 0
            assert (boxes[:, :2] + boxes[:, 2:]).max() <= CELLS
    if draws.crop is not None:
        assert set(np.unique(draws.crop[:, 2:])) <= {*range(1, CELLS, 2), CELLS}
        if augmentation.crop == "pad":
            assert (draws.crop[:, 2:] == CELLS).all()
            assert np.abs(draws.crop[:, :2]).max() <= augmentation.crop_pad
    if draws.gain is not None:
        dropped = draws.gain == 0
        assert dropped.any() <= (augmentation.band_dropout > 0)
        assert not dropped.all(1).any()
        assert np.abs(draws.gain[~dropped] - 1).max() <= np.float32(augmentation.gain) + 1e-6
        if draws.offset is not None:
            assert not draws.offset[dropped].any()
    if draws.offset is not None:
        assert np.abs(draws.offset).max() <= augmentation.offset
    if draws.share is not None:
        assert draws.share.min() >= 0
        assert draws.share.max() <= 1
        if draws.paste is not None:
            assert not ((draws.share < 1) & (draws.paste[:, 2] > 0)).any()


def test_turns_are_equally_likely() -> None:
    """One of the eight turns, or of the four flips, is missing or comes too often."""
    for turn, count in (("d4", 8), ("flips", 4)):
        turns = draw(Augmentation(turn=turn), MANY, 1, 0, 0).turn
        assert turns is not None
        counts = np.bincount(turns @ np.array([4, 2, 1]), minlength=8)
        np.testing.assert_allclose(counts[:count], len(MANY) / count, rtol=0.05)
        assert not counts[count:].any()


def test_shifts_are_equally_likely() -> None:
    """Padded crops prefer a side, or never reach the longest shift."""
    crop = draw(Augmentation(crop="pad", crop_pad=2), MANY, 1, 0, 0).crop
    assert crop is not None
    counts = np.histogramdd(crop[:, :2], bins=[np.arange(-2.5, 3)] * 2)[0]
    np.testing.assert_allclose(counts, len(MANY) / 25, rtol=0.15)


def test_crops_and_erased_boxes_have_the_area_that_is_asked_for() -> None:
    """Crops show less of the patch than said, boxes that are erased are larger, or prefer a corner."""
    augmentation = Augmentation(crop="resized", crop_scale=(0.4, 0.8), erase=0.25, erase_area=(0.05, 0.25))
    draws = draw(augmentation, MANY, 1, 0, 0)
    assert draws.crop is not None
    assert draws.erase is not None
    erased = draws.erase[draws.erase[:, 2] > 0]
    np.testing.assert_allclose(len(erased) / len(MANY), 0.25, atol=0.01)
    for boxes, (low, high) in ((draws.crop, augmentation.crop_scale), (erased, augmentation.erase_area)):
        areas = boxes[:, 2] * boxes[:, 3] / CELLS**2
        # Sides are rounded to cells: by up to a whole one if they must be odd.
        np.testing.assert_allclose(areas.mean(), (low + high) / 2, atol=0.02)
        assert areas.min() > low - 0.1
        assert areas.max() < high + 0.1
        centres = boxes[:, :2] + boxes[:, 2:] / 2
        np.testing.assert_allclose(centres.mean(0), CELLS / 2, atol=0.1)
        assert 0.4 < np.mean(boxes[:, 2] > boxes[:, 3]) / np.mean(boxes[:, 2] != boxes[:, 3]) < 0.6


def test_bands_vary_independently_and_evenly() -> None:
    """Jitter is one-sided or too small, bands vary in step, or more bands are dropped than said."""
    draws = draw(Augmentation(gain=0.2, offset=0.3, band_dropout=0.1), MANY, 12, 0, 0)
    assert draws.gain is not None
    assert draws.offset is not None
    kept = (draws.gain != 0).all(1)
    np.testing.assert_allclose(kept.mean(), 0.9**12, atol=0.01)
    np.testing.assert_allclose((draws.gain == 0).mean(0), 0.1, atol=0.01)
    for values, centre, amplitude in ((draws.gain[kept], 1, 0.2), (draws.offset[kept], 0, 0.3)):
        quantiles = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        expected = centre + amplitude * np.array([-0.9, -0.5, 0, 0.5, 0.9])
        np.testing.assert_allclose(quantiles, expected[:, None].repeat(12, 1), atol=0.02)
    both = np.concatenate([draws.gain[kept], draws.offset[kept]], 1)
    np.testing.assert_allclose(np.corrcoef(both.T), np.eye(24), atol=0.06)


def test_a_single_band_is_never_dropped() -> None:
    """A patch of one band becomes empty."""
    gain = draw(Augmentation(band_dropout=0.99), MANY, 1, 0, 0).gain
    assert gain is not None
    assert (gain == 1).all()


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.4, 1.0, 3.0, 50.0])
def test_shares_are_beta_distributed(alpha: float) -> None:
    """MixUp mixes more or less than its alpha says."""
    share = draw(Augmentation(mixup=alpha), MANY, 1, 0, 0).share
    assert share is not None
    other = np.random.default_rng(0).beta(alpha, alpha, 200_000)
    # Up to the ends, where float32 rounds to 1.
    places = np.linspace(0, 1, 201)[1:-1]
    ours, theirs = (np.searchsorted(np.sort(x), places) / len(x) for x in (share, other))
    # Kolmogorov-Smirnov distance: 1.63 / sqrt(40,000) would be met by 99 of 100 samples.
    assert np.abs(ours - theirs).max() < 0.01


def test_half_of_the_patches_are_mixed_either_way() -> None:
    """With both on, MixUp or CutMix is rarely done, both are done to a patch, or boxes have another area than drawn."""
    draws = draw(Augmentation(mixup=1.0, cutmix=1.0), MANY, 1, 0, 0)
    assert draws.share is not None
    assert draws.paste is not None
    blended, pasted = draws.share < 1, draws.paste[:, 2] > 0
    np.testing.assert_allclose(blended.mean(), 0.5, atol=0.02)
    # Small boxes round to none.
    np.testing.assert_allclose(pasted.mean(), 0.5, atol=0.03)
    assert not (blended & pasted).any()
    # A square of area a, centred anywhere, keeps (1 − √a / 4)² of it inside: the mean over a is 1/2 − 1/5 + 1/48.
    areas = draws.paste[~blended, 2] * draws.paste[~blended, 3] / CELLS**2
    np.testing.assert_allclose(areas.mean(), 1 / 2 - 1 / 5 + 1 / 48, atol=0.01)


def test_recipes_do_what_their_names_say() -> None:
    """`none` varies something, or `flips` more than the published recipe did."""
    assert RECIPES["none"].fields == frozenset()
    assert RECIPES["flips"] == Augmentation(turn="flips")
    strengths = [len(RECIPES[name].fields) for name in ("none", "flips", "standard", "strong")]
    assert strengths == sorted(strengths)


@pytest.mark.parametrize(
    "wrong",
    [
        {"turn": "rotate"},
        {"crop": "centre"},
        {"crop_pad": 0},
        {"crop_pad": 20},
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": (0.9, 0.5)},
        {"crop_scale": (0.5, float("nan"))},
        {"erase_area": (0.1, 1.1)},
        {"gain": 1.0},
        {"gain": -0.1},
        {"offset": float("inf")},
        {"offset": -1.0},
        {"band_dropout": 1.0},
        {"erase": 1.5},
        {"mixup": -0.2},
        {"cutmix": float("nan")},
    ],
)
def test_impossible_augmentations_are_refused(wrong: dict[str, object]) -> None:
    """A mistyped option trains with something else, and says so nowhere."""
    (name,) = wrong
    with pytest.raises(ValueError, match=rf"^augmentation\.{name} is"):
        Augmentation(**wrong)  # type: ignore[arg-type]
