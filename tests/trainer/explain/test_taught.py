"""Networks that know a class of one quadrant and one band are explained by these, by every method."""

import numpy as np
import pytest
import torch

from shards import BANDS
from tests.trainer.explain.teaching import BAND, CLASS, QUADRANT, Taught, taught
from trainer.explain.maps import Maps
from trainer.explain.methods.integrated_gradients import is_complete
from trainer.explain.methods.permutation import permutation
from trainer.explain.methods.registry import methods
from trainer.explain.sanity.cascade import randomisation_test
from trainer.explain.score.faithfulness import faithfulness

pytestmark = pytest.mark.long
NETWORKS = ("bepnet-s", "resnet18", "convnextv2_atto")
METHODS = methods(square=300)


@pytest.fixture(scope="module", params=NETWORKS)
def explained(request: pytest.FixtureRequest) -> tuple[Taught, dict[str, Maps]]:
    """A network that knows the class, and its explanations of four patches by all methods."""
    pupil = taught(request.param)
    return pupil, {name: method(pupil.subject, pupil.inputs, pupil.targets) for name, method in METHODS.items()}


def test_the_class_is_known(explained: tuple[Taught, dict[str, Maps]]) -> None:
    """Nothing can be said of explanations of a network that has not learnt the class."""
    pupil, _ = explained
    scores = pupil.logits(pupil.records)[:, CLASS]
    assert scores[1::2].min() > scores[::2].max() + 1


@pytest.mark.parametrize("name", ["grad-cam", "integrated-gradients", "occlusion"])
def test_maps_show_the_quadrant(name: str, explained: tuple[Taught, dict[str, Maps]]) -> None:
    """A map is turned, mirrored or shifted, or is of another class."""
    pixels = explained[1][name].pixels
    assert pixels is not None
    assert pixels.shape == (4, 120, 120)
    above = np.maximum(pixels, 0).reshape(4, 2, 60, 2, 60).sum((2, 4))
    shares = above / above.sum((1, 2), keepdims=True)
    # A quarter by chance; no other quadrant has as much.
    assert (shares.reshape(4, 4).argmax(1) == 1).all()
    assert np.maximum(pixels, 0)[(slice(None), *QUADRANT)].sum() > 0.4 * np.maximum(pixels, 0).sum()


@pytest.mark.parametrize("name", ["integrated-gradients", "band-occlusion"])
def test_weights_show_the_band(name: str, explained: tuple[Taught, dict[str, Maps]]) -> None:
    """Weights of bands are in another order than the bands."""
    bands = explained[1][name].bands
    assert bands is not None
    assert bands.shape == (4, 12)
    assert {BANDS[place] for place in bands.argmax(1)} == {BAND}


def test_permutation_shows_the_band(explained: tuple[Taught, dict[str, Maps]]) -> None:
    """Another band is permuted than said, or the loss is that of another class."""
    pupil, _ = explained
    found = permutation(pupil.logits, pupil.records, pupil.labels, BANDS, repeats=2)
    assert found.precision[CLASS] == 1
    assert np.isnan(np.delete(found.precision, CLASS)).all()
    assert BANDS[found.loss[CLASS].argmax()] == BAND
    assert found.loss[CLASS].max() > 0.1
    assert np.isnan(np.delete(found.loss, CLASS, 0)).all()


def test_gradients_are_complete(explained: tuple[Taught, dict[str, Maps]]) -> None:
    """Attributions do not sum to the difference of logits from a patch of means, or a sum leaves a band out."""
    pupil, maps = explained
    found = maps["integrated-gradients"]
    assert is_complete(found).all()
    with torch.no_grad():
        start = pupil.subject(*pupil.subject.baseline)[0, CLASS]
    expected = pupil.logits(pupil.records)[1::2, CLASS] - start
    assert found.bands is not None
    assert found.pixels is not None
    np.testing.assert_allclose(found.difference, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.bands.sum(1), expected, rtol=0.06, atol=0.06)
    np.testing.assert_allclose(found.pixels.sum((1, 2)), found.bands.sum(1), rtol=1e-3, atol=1e-3)


def test_random_weights_change_the_maps(explained: tuple[Taught, dict[str, Maps]]) -> None:
    """Layers keep their weights, so that explanations of an untrained network are those of the trained one."""
    pupil, maps = explained
    # The integral takes most steps for untrained networks, so two networks are enough.
    names = ["grad-cam", "band-occlusion"]
    maps_fade = pupil.subject.network.spec.name in ("bepnet-s", "resnet18")
    if maps_fade:
        names += ["integrated-gradients", "occlusion"]
    inputs, targets = tuple(image[:2] for image in pupil.inputs), pupil.targets[:2]
    chosen = {name: METHODS[name] for name in names}
    first = {name: Maps(**{part: _rows(getattr(maps[name], part)) for part in Maps.__slots__}) for name in names}
    before = {key: value.clone() for key, value in pupil.subject.network.state_dict().items()}
    found = randomisation_test(pupil.subject, inputs, targets, chosen, first)
    assert all(torch.equal(value, before[key]) for key, value in pupil.subject.network.state_dict().items())
    for name, cascade in found.items():
        assert len(cascade.layers) == len(cascade.likeness) >= 5
        assert cascade.pairs == 2
        assert cascade.likeness[-1].rank < 0.9, name
        assert cascade.fails == (abs(cascade.likeness[-1].rank) > 0.5)
    for name in ("grad-cam", "integrated-gradients", "occlusion") if maps_fade else ():
        likeness = found[name].likeness
        assert not found[name].fails, (name, likeness)
        # After the last layer nothing of the class is left; a method that lags behind by a layer would show it.
        assert abs(likeness[-1].rank) < 0.5
        assert likeness[-1].ssim is not None
        assert likeness[-1].ssim < 0.9


def _rows(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else values[:2]


def test_named_parts_matter_more_than_random_ones(explained: tuple[Taught, dict[str, Maps]]) -> None:
    """Parts are deleted in another order than the explanation's, or inserted in that of deletion."""
    pupil, maps = explained
    names = ("integrated-gradients", "band-occlusion")
    chosen = {name: Maps(**{part: _rows(getattr(maps[name], part)) for part in Maps.__slots__}) for name in names}
    inputs = tuple(image[:2] for image in pupil.inputs)
    found = faithfulness(pupil.subject, inputs, pupil.targets[:2], np.arange(2), chosen, orders=2)
    assert [each.kind for each in found["integrated-gradients"]] == ["pixels", "bands"]
    assert [each.kind for each in found["band-occlusion"]] == ["bands"]
    for each in (part for parts in found.values() for part in parts):
        assert each.deletion_gain.low > 0
        assert each.insertion_gain.low > 0
        assert each.insertion > each.deletion
