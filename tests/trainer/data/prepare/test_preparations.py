"""Preparation by DALI and by numba against the reference in torch."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shards import BANDS
from tests.support.examples import examples
from tests.trainer.data.prepare.ways import CPU, D4, KINDS, Kind, assert_same, create, run_both
from tests.trainer.data.records import (
    ALL_TURNS,
    augmentations,
    host_batch,
    identity,
    percentile,
    random_records,
    selections,
    standard,
)
from trainer.data.augment.draw import draw
from trainer.data.bands import BAND_SETS
from trainer.data.batch import CELLS, Draws, Layout
from trainer.data.prepare.reference import TorchPreparation
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import INTERPOLATIONS, Interpolation

pytestmark = pytest.mark.usefixtures("interpreter")

LAYOUTS: tuple[Layout, ...] = ("stacked", "native")
# Values differ by up to 25 between neighbours. DALI multiplies by a reciprocal, and knows a place between two of 120
# pixels only in float32: to about 1e-5 along either axis.
TOLERANCE = {"nearest": 1e-5, "bilinear": 1e-3}
WAYS: tuple[tuple[Kind, Interpolation], ...] = (
    ("dali", "nearest"),
    ("dali", "bilinear"),
    ("batched", "nearest"),
    ("batched", "bilinear"),
    ("numba", "nearest"),
)


@examples(40)
@given(
    bands=selections,
    layout=st.sampled_from(LAYOUTS),
    way=st.sampled_from(WAYS),
    augmentation=augmentations(),
    clamp=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_all_equal_the_reference(
    bands: tuple[str, ...],
    layout: Layout,
    way: tuple[Kind, Interpolation],
    augmentation: Augmentation,
    clamp: bool,
    seed: int,
) -> None:
    """Training gets other images than those of the reference, for some bands, layout or augmentation."""
    draws = draw(augmentation, np.arange(5), len(bands), seed, 0)
    kind, how = way
    norm = percentile(bands) if clamp else standard(bands)
    ours, expected = run_both(kind, draws, norm, layout=layout, augmentation=augmentation, **_named(how))
    assert_same(ours, expected, rtol=1e-6, atol=TOLERANCE[how])


def _named(how: Interpolation) -> dict[str, Any]:
    return {} if how == "nearest" else {"interpolation": how}


@pytest.mark.product
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.long) if way == ("batched", "bilinear") else way for way in WAYS]
)
def test_all_turns_of_boxes_at_the_edge(layout: Layout, way: tuple[Kind, Interpolation]) -> None:
    """A turn of a box that is no square, or lies in part or altogether outside of the patch, shows other pixels."""
    boxes = [(-3, 2, 11, 7), (5, 14, 3, 19), (15, -10, 20, 13), (0, 0, 20, 20), (-20, 3, 5, 5), (19, 19, 1, 1)]
    bands, step = BANDS, 1
    if way == ("batched", "nearest"):
        boxes = [(9, 2, 11, 7), (5, 1, 3, 19), (0, 7, 20, 13), (0, 0, 20, 20), (0, 15, 5, 5), (19, 19, 1, 1)]
    elif way[0] == "batched":
        # For the interpreter, a band of each group, and each box with two turns.
        bands, step = ("B01", "B05", "B02"), 4
    pairs = [(box, turn) for i, box in enumerate(boxes) for turn in ALL_TURNS[i % step :: step]]
    draws = Draws(turn=np.array([turn for _, turn in pairs]), crop=np.array([box for box, _ in pairs], np.int32))
    augmentation = Augmentation(turn="d4", crop="resized")
    kind, how = way
    ours, expected = run_both(kind, draws, standard(bands), layout=layout, augmentation=augmentation, **_named(how))
    assert_same(ours, expected, rtol=1e-6, atol=TOLERANCE[how])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("how", INTERPOLATIONS)
def test_boxes_that_are_shifted_far_are_filled(layout: Layout, how: Interpolation) -> None:
    """The graph for a GPU cuts a turned patch out at another place than the reference, or fills with other values."""
    shifts = [(-19, 0), (3, -7), (19, 19), (-1, 12), (20, 0), (0, -25)]
    crop = np.array([(*shift, CELLS, CELLS) for shift in shifts for _ in ALL_TURNS], np.int32)
    draws = Draws(turn=np.tile(ALL_TURNS, (len(shifts), 1)), crop=crop)
    augmentation = Augmentation(turn="d4", crop="pad")
    ours, expected = run_both("batched", draws, standard(), layout=layout, augmentation=augmentation, **_named(how))
    assert_same(ours, expected, rtol=1e-6, atol=TOLERANCE[how])


def test_the_graph_for_a_gpu_enlarges_boxes_of_the_patch_only() -> None:
    """A box that reaches outside of the patch is filled with the pixels at its edge, in silence."""
    draws = Draws(crop=np.array([[0, 0, 20, 20], [-1, 0, 5, 5], [0, 0, 5, 5]], np.int32))
    with pytest.raises(ValueError, match="reaches outside of the patch"):
        run_both("batched", draws, standard(), augmentation=Augmentation(crop="resized"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_sides_of_boxes_are_exact(layout: Layout) -> None:
    """A pixel at the edge of two is taken from the wrong one, for some side of a box, after rounding in float32."""
    sides = [*range(1, CELLS, 2), CELLS]
    crop = np.array([(CELLS - side, (CELLS - side) // 2, side, side) for side in sides], np.int32)
    turns = ALL_TURNS[np.arange(len(crop)) % len(ALL_TURNS)]
    augmentation = Augmentation(turn="d4", crop="resized")
    draws = Draws(turn=turns, crop=crop)
    host = host_batch(random_records(len(crop), high=65_536), draws)
    options: dict[str, Any] = {"batch_size": len(crop), "layout": layout, "augmentation": augmentation}
    (ours,) = create("batched", identity(), **options).run([host])
    (expected,) = TorchPreparation(identity(), device=CPU, num_threads=1, **options).run([host])
    for name in ours.batch:
        assert torch.equal(ours.batch[name], expected.batch[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_exact(kind: Kind) -> None:
    """Pixels are rounded or cut off on their way, or wrap above 32,767."""
    host = host_batch(random_records(8, high=65_536), Draws(turn=ALL_TURNS))
    (ours,) = create(kind, identity(), batch_size=8, augmentation=D4).run([host])
    reference = TorchPreparation(identity(), batch_size=8, device=CPU, num_threads=1, augmentation=D4)
    (expected,) = reference.run([host])
    assert torch.equal(ours.batch["image"], expected.batch["image"])
    assert ours.batch["image"].max() > 65_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_dropped_band_is_exactly_zero(layout: Layout, kind: Kind) -> None:
    """A band that the model must not see shines through."""
    augmentation = Augmentation(band_dropout=0.5, offset=0.5)
    draws = draw(augmentation, np.arange(16), 12, 0, 0)
    ours, _ = run_both(kind, draws, standard(), layout=layout, augmentation=augmentation)
    assert draws.gain is not None
    images = [ours["image"]] if layout == "stacked" else [ours["b10"], ours["b20"], ours["b60"]]
    empty = torch.cat([(image == 0).flatten(2).all(2) for image in images], 1)
    np.testing.assert_array_equal(empty.numpy(), draws.gain == 0)
    assert 0 < empty.float().mean() < 1


@pytest.mark.gpu
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("how", INTERPOLATIONS)
@pytest.mark.parametrize("recipe", [*RECIPES, "everything"])
def test_gpu_equals_cpu(layout: Layout, how: Interpolation, recipe: str) -> None:
    """The GPU trains on other images than the tests on the CPU have seen, by DALI or by torch."""
    everything = Augmentation(
        "d4", "pad", gain=0.3, offset=0.3, band_dropout=0.3, erase=0.7, mixup=0.4, cutmix=1.0, crop_pad=9
    )
    augmentation = RECIPES.get(recipe, everything)
    device = torch.device("cuda", 0)
    for bands in (BAND_SETS["all"], BAND_SETS["rgb-swir"]):
        for norm in (standard(bands), percentile(bands)):
            draws = draw(augmentation, np.arange(9), len(bands), 0, 0)
            options: dict[str, Any] = {"layout": layout, "interpolation": how, "augmentation": augmentation}
            ours, expected = run_both("dali", draws, norm, device=device, **options)
            # float16 has 11 bits, values are up to 20, and mixing rounds patches, shares and results.
            assert_same(ours, expected, rtol=2e-3, atol=2e-2)
            host = host_batch(random_records(9), draws)
            preparation = TorchPreparation(norm, batch_size=9, device=device, num_threads=2, **options)
            (theirs,) = preparation.run([host])
            assert_same(theirs.batch, expected, rtol=2e-3, atol=2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_records_need_no_preparation(kind: Kind) -> None:
    """A loader of records is given images, or an obscure error."""
    with pytest.raises(ValueError, match="layout record"):
        create(kind, standard(), batch_size=2, layout="record")


def test_compiled_code_need_not_be_kept() -> None:
    """Nothing can be loaded on a CPU where no folder can be written, as in a container of another user."""
    code = "import numba, trainer.data.prepare.numba\n@numba.njit(cache=True)\ndef f(): pass"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"NUMBA_CACHE_DIR": "/proc/none"}, capture_output=True, text=True
    )
    # It is numba's own complaint about `f` that ends the process, behind ours.
    assert "cannot cache function 'f'" in done.stderr
