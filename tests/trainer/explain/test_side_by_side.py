"""Explanations by several threads, a batch each, beside those of plain loops."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from shards import BANDS
from trainer.data.normalisation import Normalisation
from trainer.explain.maps import Maps
from trainer.explain.methods.permutation import num_predicted, permutation
from trainer.explain.methods.registry import explained_by, methods
from trainer.explain.names import GRAD_CAM, OCCLUSION
from trainer.explain.score.faithfulness import STEPS, faithfulness, num_orders
from trainer.explain.score.units import mixed
from trainer.explain.side_by_side import cores, side_by_side
from trainer.explain.subject import CannotExplain, Inputs, Subject
from trainer.models.create import create
from trainer.models.spec import ModelSpec

PAIRS = 5
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def subject() -> Subject:
    """An untrained network whose scores differ from patch to patch."""
    torch.manual_seed(0)
    zeros, ones = (0.0,) * len(BANDS), (1.0,) * len(BANDS)
    return Subject(create(ModelSpec("bepnet-s", BANDS)), Normalisation(BANDS, zeros, zeros, ones, clamp=False))


@pytest.fixture(scope="module")
def inputs(subject: Subject) -> Inputs:
    """Random images of five pairs."""
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.randn((PAIRS, len(image.channels), image.size, image.size), generator=generator)
        for image in subject.images
    )


TARGETS = torch.tensor([0, 3, 5, 3, 18])


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Keep the number of torch's threads, which each test must leave as it was."""
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


def test_results_are_in_order_and_errors_are_raised() -> None:
    """Results change places, an error is lost, or a thread shares its batch with others."""
    assert side_by_side(lambda i: (i, torch.get_num_threads()), range(9), CPU) == [(i, 1) for i in range(9)]
    assert side_by_side(lambda i: i, [], CPU) == []

    def fails(i: int) -> int:
        if i == 3:
            raise CannotExplain("no")
        return i

    with pytest.raises(CannotExplain, match="no"):
        side_by_side(fails, range(9), CPU)


def test_explanations_need_no_call_of_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS, which cannot say which processors a process may use, no score is explained."""
    assert cores(CPU) == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores(CPU) == os.cpu_count()
    assert cores(torch.device("cuda")) == 1


@pytest.mark.parametrize("name", [GRAD_CAM, OCCLUSION])
def test_maps_are_those_of_one_call(name: str, subject: Subject, inputs: Inputs) -> None:
    """Threads mix the maps of pairs, or what a method leaves in the network."""
    method = methods(600)[name]
    told: list[int] = []
    found, expected = (
        explained_by(name, method, subject, inputs, TARGETS, told.append),
        method(subject, inputs, TARGETS),
    )
    assert found.pixels is not None
    assert expected.pixels is not None
    np.testing.assert_allclose(found.pixels, expected.pixels, atol=1e-5)
    assert sum(told) == PAIRS


@pytest.mark.long
def test_areas_are_those_of_plain_loops(subject: Subject, inputs: Inputs) -> None:
    """A step of a curve is of another pair, of another curve, or is left out."""
    rng = np.random.default_rng(2)
    maps = {"one": Maps(bands=rng.normal(size=(PAIRS, 12)).astype(np.float32), pixels=None)}
    maps["two"] = Maps(pixels=rng.normal(size=(PAIRS, 120, 120)).astype(np.float32))
    told: list[int] = []
    found = faithfulness(subject, inputs, TARGETS, np.arange(PAIRS), maps, orders=1, done=told.append)
    assert sum(told) == num_orders(maps, PAIRS, 1)
    bands = maps["one"].bands
    assert bands is not None
    cells = maps["two"].pixels
    assert cells is not None
    for name, kind, values in (
        ("one", "bands", bands),
        ("two", "pixels", cells.reshape(PAIRS, 20, 6, 20, 6).mean((2, 4)).reshape(PAIRS, 400)),
    ):
        (score,) = found[name]
        order = np.argsort(-values, axis=1, kind="stable")
        count = order.shape[1]
        ends = np.unique(np.linspace(0, count, min(STEPS, count) + 1).round()).astype(int)
        areas = []
        for keeps in (lambda place, end: place >= end, lambda place, end: place < end):
            curves = []
            for pair in range(PAIRS):
                place = torch.from_numpy(np.argsort(order[pair]))
                images = tuple(image[pair : pair + 1] for image in inputs)
                curves.append([
                    float(subject.probabilities(
                        mixed(subject, images, keeps(place, int(end))[None], kind), TARGETS[pair : pair + 1]
                    ))
                    for end in ends
                ])  # fmt: skip
            areas.append(np.trapezoid(np.array(curves), ends / count, axis=1).mean())
        assert (score.kind, score.deletion) == (kind, pytest.approx(areas[0], abs=1e-5))
        assert score.insertion == pytest.approx(areas[1], abs=1e-5)


def test_patches_as_they_are_are_predicted_once() -> None:
    """Every permutation predicts the unchanged patches again, or a permutation is taken for them."""
    rng = np.random.default_rng(3)
    records = rng.integers(1, 4000, (6, 80_000)).astype(np.uint16)
    labels = rng.integers(0, 2, (6, 19)).astype(np.uint8)
    seen: list[bool] = []
    told: list[int] = []

    def logits(changed: np.ndarray) -> torch.Tensor:  # type: ignore[type-arg]
        seen.append(bool((changed == records).all()))
        return torch.from_numpy(changed[:, :19].astype(np.float32) / 4000)

    found = permutation(logits, records, labels, ("B02", "B03"), repeats=3, done=told.append)
    assert sum(told) == num_predicted(6, 2, 3)
    assert seen.count(True) == 1
    # The network sees the first 19 values of B02 alone.
    assert np.nanmax(np.abs(found.loss[:, 1])) == 0
    assert np.nanmax(np.abs(found.loss[:, 0])) > 0
