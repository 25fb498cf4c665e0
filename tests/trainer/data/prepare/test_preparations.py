"""Preparation by DALI and by numba against the reference in torch, and how batches pass through them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shards import BANDS
from tests.examples import examples
from tests.trainer.data.prepare.interpreter import images_interpreted
from tests.trainer.data.records import (
    ALL_TURNS,
    NOTHING,
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
from trainer.data.batch import CELLS, Batch, Draws, Layout
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.backend import Preparation
from trainer.data.prepare.dali import record_graph
from trainer.data.prepare.dali.pipeline import DaliPreparation
from trainer.data.prepare.numba import FusedPreparation
from trainer.data.prepare.reference import TorchPreparation
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import INTERPOLATIONS, Interpolation

CPU = torch.device("cpu")
LAYOUTS: tuple[Layout, ...] = ("stacked", "native")
D4 = Augmentation(turn="d4")
# Values differ by up to 25 between neighbours. DALI multiplies by a reciprocal, and knows a place between two of 120
# pixels only in float32: to about 1e-5 along either axis.
TOLERANCE = {"nearest": 1e-5, "bilinear": 1e-3}


# `batched` is DALI with the graphs for a GPU, on the CPU.
Kind = Literal["dali", "batched", "numba"]
KINDS: tuple[Kind, ...] = ("dali", "batched", "numba")
WAYS: tuple[tuple[Kind, Interpolation], ...] = (
    ("dali", "nearest"),
    ("dali", "bilinear"),
    ("batched", "nearest"),
    ("batched", "bilinear"),
    ("numba", "nearest"),
)


@pytest.fixture(autouse=True)
def interpreter(request: pytest.FixtureRequest) -> Iterator[None]:
    """The kernel runs on the CPU, but for tests on a GPU."""
    with nullcontext() if request.node.get_closest_marker("gpu") else images_interpreted(record_graph):
        yield


def create(kind: Kind, norm: Normalisation, **options: Any) -> Preparation:
    """Return a preparation on the CPU, unless the options say otherwise, by two threads."""
    if kind == "numba":
        return FusedPreparation(norm, num_threads=2, **options)
    return DaliPreparation(norm, batched=kind == "batched", **{"device": CPU, "num_threads": 2, **options})


def run_both(kind: Kind, draws: Draws, norm: Normalisation, **options: Any) -> tuple[Batch, Batch]:
    """Prepare as many records as there are draws in one way, and by torch on the CPU."""
    n = next((len(v) for v in (getattr(draws, name) for name in Draws.__slots__) if v is not None), 3)
    host = host_batch(random_records(n), draws)
    # A larger batch is expected than the one that comes, as at the end of an epoch.
    (ours,) = create(kind, norm, batch_size=n + 1, **options).run([host])
    options["device"] = CPU
    (expected,) = TorchPreparation(norm, batch_size=n + 1, num_threads=2, **options).run([host])
    return ours.batch, expected.batch


def assert_same(ours: Batch, expected: Batch, rtol: float, atol: float) -> None:
    """Compare two batches of which the second one is on the CPU."""
    assert ours.keys() == expected.keys()
    on_gpu = ours["label"].is_cuda
    for name, tensor in ours.items():
        assert tensor.is_cuda == on_gpu, name
        if tensor.ndim == 4:
            assert tensor.dtype == (torch.float16 if on_gpu else torch.float32), name
            assert tensor.is_contiguous(memory_format=torch.channels_last), name
            torch.testing.assert_close(tensor.cpu().float(), expected[name], rtol=rtol, atol=atol, msg=name)
        else:
            torch.testing.assert_close(tensor.cpu(), expected[name], rtol=0, atol=1e-6, msg=name)


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
def test_draws_of_another_augmentation_are_refused(kind: Kind) -> None:
    """Draws that the pipeline has no operators for are left out in silence."""
    preparation = create(kind, standard(), batch_size=2, augmentation=D4)
    crop = np.full((2, 4), CELLS, np.int32)
    with pytest.raises(ValueError, match="draws of crop, turn, expected turn"):
        list(preparation.run([host_batch(random_records(2), Draws(turn=ALL_TURNS[:2], crop=crop))]))
    # The pipeline is not broken by it.
    good = [host_batch(random_records(2), Draws(turn=ALL_TURNS[:2]))]
    assert len(list(preparation.run(good))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_records_need_no_preparation(kind: Kind) -> None:
    """A loader of records is given images, or an obscure error."""
    with pytest.raises(ValueError, match="layout record"):
        create(kind, standard(), batch_size=2, layout="record")


@pytest.fixture(scope="module", params=KINDS)
def preparation(request: pytest.FixtureRequest) -> Preparation:
    """A pipeline for batches of up to three patches, which several tests use in turn."""
    return create(request.param, identity(), batch_size=3)


@examples(25)
@given(sizes=st.lists(st.integers(1, 3), max_size=6), taken=st.integers(0, 7))
def test_batches_keep_order_and_size(preparation: Preparation, sizes: list[int], taken: int) -> None:
    """Batches are swapped, or what an iteration that was broken off has left comes out in the next one."""
    made = [host_batch(np.zeros((n, 80_000), np.uint16), NOTHING, 10 * i) for i, n in enumerate(sizes)]
    seen = 0
    with closing(preparation.run(made)) as batches:
        for i, prepared in enumerate(batches):
            host, batch = made[i], prepared.batch
            assert prepared.host is host
            assert prepared.done is None
            assert batch["row"].tolist() == host.rows.tolist()
            np.testing.assert_array_equal(batch["label"].numpy(), host.labels)
            np.testing.assert_array_equal(batch["mask"].numpy(), host.mask)
            assert len(batch["image"]) == len(host.rows)
            seen += 1
            if seen >= taken:
                break
    # An iteration begins before it can be broken off, so 0 takes one.
    assert seen == min(len(sizes), max(1, taken))


def test_images_stay_as_they_are(preparation: Preparation) -> None:
    """A later batch is written into the memory of one that the model still uses."""
    made = (host_batch(np.full((3, 80_000), i, np.uint16)) for i in range(8))
    kept = [prepared.batch for prepared in preparation.run(made)]
    assert [batch["image"].unique().tolist() for batch in kept] == [[i] for i in range(8)]


@pytest.mark.parametrize("kind", KINDS)
def test_buffers_may_be_reused_once_a_batch_is_out(kind: Kind) -> None:
    """A host buffer or draws are read when the loader fills them again, or a batch is a view of host memory."""
    augmentation = Augmentation(turn="d4", crop="pad", gain=0.5, erase=1.0, mixup=1.0)
    preparation = create(kind, standard(), batch_size=3, augmentation=augmentation)
    sources = [random_records(3, seed=i) for i in range(20)]
    draws = [draw(augmentation, np.arange(3 * i, 3 * i + 3), 12, 0, 0) for i in range(20)]
    reference = TorchPreparation(standard(), batch_size=3, device=CPU, num_threads=1, augmentation=augmentation)
    made = (host_batch(sources[i], draws[i], 3 * i) for i in range(20))
    expected = [prepared.batch for prepared in reference.run(made)]
    free = [np.empty((3, 80_000), np.uint16) for _ in range(4)]

    def refill() -> Iterator[Any]:
        for i, source in enumerate(sources):
            buffer = free.pop(0)
            buffer[:] = source
            copied = {name: getattr(draws[i], name) for name in Draws.__slots__}
            copied = {name: None if array is None else array.copy() for name, array in copied.items()}
            yield host_batch(buffer, Draws(**copied), 3 * i)

    kept = []
    for prepared in preparation.run(refill()):
        host = prepared.host
        assert host is not None
        host.buffer[:] = 999
        host.labels[:] = host.rows[:] = host.mask[:] = 1
        for name in augmentation.fields:
            getattr(host.draws, name)[:] = 1
        free.append(host.buffer)
        kept.append(prepared.batch)
    for ours, wanted in zip(kept, expected, strict=True):
        assert_same(ours, wanted, rtol=1e-6, atol=1e-5)


def test_an_error_comes_behind_the_batches_before_it(preparation: Preparation) -> None:
    """A damaged record loses good batches before it, or leaves the pipeline unusable."""

    def failing() -> Iterator[Any]:
        for i in range(3):
            yield host_batch(np.full((3, 80_000), i, np.uint16), NOTHING, i)
        raise OSError("disk gone")

    for _ in range(2):
        seen: list[int] = []
        with pytest.raises(OSError, match="disk gone"):
            seen.extend(int(prepared.batch["row"][0]) for prepared in preparation.run(failing()))
        assert seen == [0, 1, 2]


def test_compiled_code_need_not_be_kept() -> None:
    """Nothing can be loaded on a CPU where no folder can be written, as in a container of another user."""
    code = "import numba, trainer.data.prepare.numba\n@numba.njit(cache=True)\ndef f(): pass"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"NUMBA_CACHE_DIR": "/proc/none"}, capture_output=True, text=True
    )
    # It is numba's own complaint about `f` that ends the process, behind ours.
    assert "cannot cache function 'f'" in done.stderr
