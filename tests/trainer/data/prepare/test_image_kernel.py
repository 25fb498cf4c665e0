"""The kernel that makes images, in Triton's interpreter against the reference, and compiled for an H100."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.paths import ROOT
from tests.trainer.data.prepare.compiler import launches_compiled
from tests.trainer.data.prepare.interpreter import TILE, images_interpreted
from tests.trainer.data.records import ALL_TURNS, NOTHING, host_batch, percentile, random_records, standard
from trainer.data.augment.draw import draw
from trainer.data.bands import BAND_SETS
from trainer.data.batch import Batch, Draws, Layout
from trainer.data.device.transfer import send
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.reference import TorchPreparation, prepare
from trainer.data.prepare.triton import images, preparation
from trainer.data.prepare.triton.images import Drawn, ImageKernel, drawn_arrays
from trainer.data.prepare.triton.preparation import TritonPreparation
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import INTERPOLATIONS, Interpolation

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")

CPU = torch.device("cpu")
LAYOUTS: tuple[Layout, ...] = ("stacked", "native")
EVERYTHING = Augmentation("d4", "pad", gain=0.3, offset=0.3, band_dropout=0.3, erase=0.7, crop_pad=9)
RESIZED = Augmentation("d4", "resized", gain=0.3, offset=0.3, band_dropout=0.3, erase=0.7)
MIXED_ORDER = ("B09", "B12", "B02", "B11", "B01")


@pytest.fixture
def interpreter() -> Iterator[None]:
    """Kernels run on the CPU."""
    with images_interpreted(preparation):
        yield


def drawn(draws: Draws) -> Drawn:
    """Return draws as the kernel takes them."""
    return Drawn.of(send(drawn_arrays(draws), CPU))


def make(
    records: NDArray[np.uint16], draws: Draws, norm: Normalisation, layout: Layout, how: Interpolation, **options: Any
) -> Batch:
    """Return what the kernel makes."""
    kernel = ImageKernel(norm, layout, CPU, how, tile=TILE, **options)
    return kernel(torch.from_numpy(records), drawn(draws))


def assert_bits_equal(found: Batch, expected: Batch) -> None:
    """Compare images, which must lie channels-last in memory."""
    assert found.keys() == expected.keys()
    for name, image in expected.items():
        assert found[name].dtype == image.dtype, name
        assert found[name].is_contiguous(memory_format=torch.channels_last), name
        assert torch.equal(found[name], image), f"{name}: {int((found[name] != image).sum())} values differ"


CASES = [
    (recipe, layout, bands, clamp, how)
    for i, recipe in enumerate([*RECIPES.values(), EVERYTHING, RESIZED])
    for j, layout in enumerate(LAYOUTS)
    for k, bands in enumerate((BAND_SETS["all"], BAND_SETS["rgb-swir"], MIXED_ORDER))
    for clamp in (False, True)
    for m, how in enumerate(INTERPOLATIONS)
    # Half of all cases, so that each pair of choices is there.
    if (i + j + k + clamp + m) % 2 == 0
]


@pytest.mark.product
@pytest.mark.parametrize(("augmentation", "layout", "bands", "clamp", "how"), CASES)
def test_bits_equal_those_of_the_reference(
    interpreter: None, augmentation: Augmentation, layout: Layout, bands: tuple[str, ...], clamp: bool,
    how: Interpolation,
) -> None:  # fmt: skip
    """A run by Triton trains on other images than a run by torch."""
    n = 1 if how == "bilinear" else 2
    records = random_records(n, seed=len(bands), high=65_536)
    draws = draw(augmentation, np.arange(100, 100 + n), len(bands), 3, 1)
    norm = percentile(bands) if clamp else standard(bands)
    expected = prepare(torch.from_numpy(records), draws, norm, layout, how)
    assert_bits_equal(make(records, draws, norm, layout, how), expected)


@pytest.mark.long
@pytest.mark.parametrize("how", INTERPOLATIONS)
def test_boxes_at_the_edge_are_turned_alike(interpreter: None, how: Interpolation) -> None:
    """A box that is no square, or lies in part or altogether outside, shows other pixels when it is turned."""
    boxes = [(-3, 2, 11, 7), (5, 14, 3, 19), (15, -10, 20, 13), (0, 0, 20, 20), (-20, 3, 5, 5), (19, 19, 1, 1)]
    # Each turn with a box or two, each box with a turn or two.
    crop = np.array([boxes[i % len(boxes)] for i in range(len(ALL_TURNS))], np.int32)
    records = random_records(len(crop))
    draws, bands = Draws(turn=ALL_TURNS, crop=crop), ("B01", "B05", "B02")
    expected = prepare(torch.from_numpy(records), draws, standard(bands), "stacked", how)
    assert_bits_equal(make(records, draws, standard(bands), "stacked", how), expected)


def test_float16_is_rounded_once(interpreter: None) -> None:
    """Images on a GPU are cut off in place of rounded, or computed in the narrow type."""
    records, draws = random_records(2, high=65_536), draw(EVERYTHING, np.arange(2), 4, 0, 0)
    norm = standard(BAND_SETS["rgb-nir"])
    expected = prepare(torch.from_numpy(records), draws, norm, "native")
    found = make(records, draws, norm, "native", "nearest", dtype=torch.float16)
    assert_bits_equal(found, {name: image.half() for name, image in expected.items()})


def test_bfloat16_is_computed_in_float32(interpreter: None) -> None:
    """Images are computed in bfloat16. That the result is rounded is seen where the kernel is compiled."""
    records, norm = random_records(2, high=65_536), standard(("B02",))
    expected = prepare(torch.from_numpy(records), NOTHING, norm, "native")["b10"]
    found = make(records, NOTHING, norm, "native", "nearest", dtype=torch.bfloat16)["b10"]
    # The interpreter cuts off: at most one of 2^8 steps, towards 0.
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=2**-7, atol=0)


@pytest.mark.parametrize("tile", [64, 128, 16_384])
def test_the_last_tile_ends_with_the_image(interpreter: None, tile: int) -> None:
    """Pixels beyond the image are written over the next patch, or those at its end are left as they were."""
    records, norm = random_records(3), standard(("B01",))
    expected = prepare(torch.from_numpy(records), NOTHING, norm, "native")
    kernel = ImageKernel(norm, "native", CPU, tile=tile)
    assert_bits_equal(kernel(torch.from_numpy(records), Drawn()), expected)


def test_records_are_taken_by_their_places_in_a_large_cache(interpreter: None) -> None:
    """A patch shows another record; or a place is computed in 32 bits, which 2.1 billion values do not fit into."""
    # Pages that nobody writes to take no memory.
    cache = np.zeros((27_000, 80_000), np.uint16)
    records = random_records(3)
    places = np.array([26_999, 3, 26_998])
    cache[places] = records
    norm = standard(("B09", "B02"))
    kernel = ImageKernel(norm, "native", CPU, tile=TILE)
    found = kernel(torch.from_numpy(cache), Drawn(), torch.from_numpy(places))
    assert_bits_equal(found, prepare(torch.from_numpy(records), NOTHING, norm, "native"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_equal_those_of_torch(interpreter: None, layout: Layout) -> None:
    """Labels, rows or masks are lost, patches are not mixed, or a batch is a view of what the loader overwrites."""
    options: dict[str, Any] = {"batch_size": 3, "device": CPU, "num_threads": 1, "layout": layout}
    options["augmentation"] = RECIPES["strong"]
    made = [host_batch(random_records(n), draw(RECIPES["strong"], np.arange(n), 12, n, 0), n) for n in (3, 1)]
    expected = [prepared.batch for prepared in TorchPreparation(standard(), **options).run(made)]
    found = []
    for prepared in TritonPreparation(standard(), **options).run(made):
        assert prepared.host is not None
        prepared.host.buffer[:] = 999
        prepared.host.labels[:] = prepared.host.rows[:] = prepared.host.mask[:] = 1
        found.append(prepared.batch)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_draws_of_another_augmentation_are_refused() -> None:
    """Draws that were not asked for are used, or those that were are left out in silence."""
    preparation = TritonPreparation(standard(), batch_size=2, device=CPU, num_threads=1)
    with pytest.raises(ValueError, match="draws of turn, expected nothing"):
        list(preparation.run([host_batch(random_records(2), Draws(turn=ALL_TURNS[:2]))]))


def test_arrays_are_sent_together() -> None:
    """Draws, which lie column by column, arrive transposed; or an array overlaps its neighbour."""
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {
        "turn": rng.integers(0, 2, (3, 5), np.uint8).T,
        "gain": rng.random((5, 3), np.float32),
        "none": np.zeros((0, 4), np.int32),
        "row": rng.integers(0, 2**60, 5),
        "mask": rng.random(5) < 0.5,
    }
    sent = send(arrays, CPU)
    assert list(sent) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(sent[name].numpy(), array)
        assert sent[name].numpy().dtype == array.dtype
        assert sent[name].is_contiguous()
        # Wide loads need it, and Triton compiles anew for pointers that are aligned otherwise.
        assert not len(array) or sent[name].data_ptr() % 16 == 0
    assert send({}, CPU) == {}


@pytest.mark.long
@pytest.mark.parametrize("how", INTERPOLATIONS)
def test_the_kernel_compiles_for_an_h100(how: Interpolation) -> None:
    """Code that the interpreter accepts is not valid Triton, which would first show on a GPU."""
    records, norm = torch.from_numpy(random_records(1)), standard()
    with launches_compiled(images) as kernels:
        for layout, augmentation, dtype in (
            ("stacked", Augmentation(), torch.bfloat16),
            ("native", EVERYTHING, torch.float16),
        ):
            kernel = ImageKernel(norm, layout, CPU, how, dtype=dtype)
            places = torch.zeros(1, dtype=torch.int64) if layout == "native" else None
            kernel(records, drawn(draw(augmentation, np.zeros(1, np.int64), 12, 0, 0)), places)
    assert [name for name, _ in kernels] == ["_images"] * 4
    assert "cvt.rn.bf16x2.f32" in kernels[0][1]
    # The reference rounds after each operation, and its division is exact to the last bit.
    assert not any(re.search(r"fma\.rn[.a-z]*f32", ptx) for _, ptx in kernels)
    assert all("div.rn." in ptx and "div.full" not in ptx for _, ptx in kernels)


def test_kernels_are_imported_only_where_they_are_asked_for() -> None:
    """A machine without Triton cannot load at all."""
    code = (
        "import sys; sys.modules['triton'] = None; import trainer.data.loader; "
        "assert not [name for name in sys.modules if name.startswith('trainer.data.prepare.triton')]"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
