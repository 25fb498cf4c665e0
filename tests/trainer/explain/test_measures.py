"""Measures of explanations, against definitions and by hand; methods on networks that they cannot explain."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from shards import BANDS
from shards.errors import InvalidValue
from trainer.data.normalisation import Normalisation
from trainer.explain.maps import Maps, spread
from trainer.explain.methods.grad_cam import grad_cam
from trainer.explain.methods.occlusion import occlusion
from trainer.explain.sanity.likeness import likeness, rank_correlation
from trainer.explain.sanity.randomise import layers, randomised
from trainer.explain.score.agreement import agreement
from trainer.explain.score.faithfulness import bootstrap, order_of
from trainer.explain.subject import CannotExplain, Subject
from trainer.models.create import create
from trainer.models.spec import ModelSpec

RGB = ("B04", "B03", "B02")
NORMALISATION = Normalisation(RGB, (5.0, 5.0, 5.0), (1.0, 5.0, 9.0), (2.0, 2.0, 2.0), clamp=True)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=30))
def test_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    """Equal values do not share their ranks."""
    a, b = np.array(pairs, np.float64).T
    if np.ptp(a) and np.ptp(b):
        assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    else:
        assert rank_correlation(a, b) == 0


def test_likeness_of_equal_and_of_opposite_maps() -> None:
    """Signs are ignored, or maps are compared with those of other patches."""
    pixels = np.random.default_rng(0).normal(size=(2, 120, 120)).astype(np.float32)
    same, opposite = (
        likeness(Maps(pixels=pixels), Maps(pixels=3 * pixels)),
        likeness(Maps(pixels=pixels), Maps(pixels=-pixels)),
    )
    assert same.rank == pytest.approx(1)
    assert same.ssim == pytest.approx(1, abs=1e-4)
    assert opposite.rank == pytest.approx(-1)
    assert opposite.ssim is not None
    assert opposite.ssim < 0.5
    swapped = likeness(Maps(pixels=pixels), Maps(pixels=pixels[::-1]))
    assert abs(swapped.rank) < 0.3


def test_agreement_by_hand() -> None:
    """Attribution below 0 counts, the largest value is looked for elsewhere, or areas are mixed up."""
    is_class = np.zeros((120, 120), np.bool_)
    is_class[:60] = True
    pixels = np.full((120, 120), -5, np.float32)
    pixels[3, 4], pixels[100, 5] = 3, 1
    found = agreement(pixels, is_class)
    assert found.hit
    assert found.share == pytest.approx(0.75)
    assert found.area == pytest.approx(0.5)
    assert not agreement(-pixels * (pixels < 0) * ~is_class, is_class).hit
    perfect = agreement(is_class.astype(np.float32), is_class)
    assert (perfect.hit, perfect.share, perfect.iou) == (True, 1, 1)
    assert agreement(1 - is_class.astype(np.float32), is_class).iou == 0
    with pytest.raises(ValueError, match="no pixel"):
        agreement(pixels, is_class & False)


def test_agreement_of_equal_values() -> None:
    """A map without differences points at the middle, or equal values are taken from the top of the patch."""
    is_class = np.zeros((120, 120), np.bool_)
    is_class[:60] = True
    for top in (is_class, is_class[::-1]):
        found = agreement(np.zeros((120, 120), np.float32), top)
        assert not found.hit
        assert found.iou == pytest.approx(1 / 3)  # By chance: half of the class, half of the others.
        pixels = np.zeros((120, 120), np.float32)
        pixels[30:90] = top[30:90]
        # 30 rows of the class, and 30 of 90 rows of zeros, a third of which have the class.
        assert agreement(pixels, top).iou == pytest.approx(40 / 80)


def test_equal_values_are_deleted_in_no_order() -> None:
    """Cells of equal attribution go from the upper left to the lower right, which is no random order."""
    values = np.zeros((2, 400), np.float32)
    values[:, 200:] = 1
    for order in order_of(values):
        assert sorted(order[:200]) == list(range(200, 400))
        for part in (order[:200], order[200:]):
            assert abs(spearmanr(part, np.arange(200)).statistic) < 0.3
    assert (order_of(values) == order_of(values)).all()
    different = np.random.default_rng(0).random((3, 12)).astype(np.float32)
    assert (order_of(different) == (-different).argsort(1)).all()


def test_bootstrap_draws_patches() -> None:
    """Pairs of one patch count as independent, so that intervals are too narrow."""
    values = np.array([0.0, 1.0, 0.0, 1.0] * 10)
    each = bootstrap(values, np.arange(40))
    assert each.mean == pytest.approx(0.5)
    assert each.high - each.low == pytest.approx(4 * 0.5 / np.sqrt(40), rel=0.15)
    two = bootstrap(values, np.array([0, 1] * 20))
    assert (two.low, two.high) == (0, 1)
    assert np.isnan(bootstrap(values, np.zeros(40, np.int64)).low)


def test_spread_keeps_sums() -> None:
    """A pixel of 60 m counts 36 times."""
    image = torch.arange(800.0).reshape(1, 2, 20, 20)
    found = spread(image)
    assert found.shape == (1, 2, 120, 120)
    torch.testing.assert_close(found.sum((2, 3)), image.sum((2, 3)))
    torch.testing.assert_close(found[0, 1, :6, 6:12], torch.full((6, 6), 401 / 36))


def test_the_baseline_is_the_mean_as_the_network_sees_it() -> None:
    """Zero stands for the mean where the normalisation is by percentiles."""
    subject = Subject(create(ModelSpec("test_resnet", RGB)), NORMALISATION)
    [base] = subject.baseline
    assert base.shape == (1, 3, 120, 120)
    assert base[0, :, 0, 0].tolist() == [1, 0, 0]  # (5 − 1) / 2 is cut to 1, (5 − 9) / 2 to 0.


def test_a_class_token_has_no_grid() -> None:
    """A map of zeros is passed off as an explanation."""
    subject = Subject(create(ModelSpec("test_vit", RGB)), NORMALISATION)
    inputs = (torch.rand(2, 3, 120, 120),)
    with pytest.raises(CannotExplain, match="class token alone"):
        grad_cam(subject, inputs, torch.tensor([0, 1]))


def test_squares_fit_the_patch() -> None:
    """Squares that cut pixels are taken."""
    subject = Subject(create(ModelSpec("test_resnet", RGB)), NORMALISATION)
    with pytest.raises(InvalidValue, match="square=70"):
        occlusion(subject, (torch.rand(1, 3, 120, 120),), torch.tensor([0]), square=70)


@pytest.mark.parametrize("name", ["bepnet-s", "test_resnet", "test_vit"])
def test_layers_are_randomised_from_the_top(name: str) -> None:
    """A layer keeps its weights, another one changes with it, or the given network changes."""
    network = create(ModelSpec(name, BANDS))
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(17)
    names = layers(network)
    order = []
    for layer, changed in randomised(network):
        order.append(layer)
        for key, value in changed.state_dict().items():
            owner = next((each for each in names if key.startswith(f"{each}.")), None)
            is_new = owner in order or (owner is None and len(order) == len(names))
            assert torch.equal(value, network.state_dict()[key]) != is_new, (layer, key)
    assert order == names[::-1]
