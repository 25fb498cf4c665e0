"""The preparation in torch against NumPy, patch by patch and band by band."""

from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF
from tests.support.examples import examples
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
from trainer.data.augment.mix import complete
from trainer.data.batch import CELLS, Draws, Layout
from trainer.data.device.on_device import Decoded
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.reference import TorchPreparation, prepare
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import Interpolation

CPU = torch.device("cpu")
LAYOUTS: tuple[Layout, ...] = ("stacked", "native")
N = 2


def resized(pixels: NDArray[np.float64], size: int, interpolation: Interpolation) -> NDArray[np.float64]:
    """Resize the rows of a band, (h, w) → (size, w)."""
    if interpolation == "nearest":
        # Divide every pixel into 2·size parts; the centre of a new one lies where a part begins.
        return pixels.repeat(2 * size, 0)[len(pixels) :: 2 * len(pixels)]
    centres = (np.arange(size) + 0.5) * len(pixels) / size - 0.5
    return np.stack([np.interp(centres, np.arange(len(pixels)), column) for column in pixels.T], 1)


def band_by_hand(
    record: NDArray[np.uint16], band: str, size: int, p: int, draws: Draws, norm: Normalisation, how: Interpolation
) -> NDArray[np.float64]:
    """Prepare one band of the patch at place p."""
    channel = norm.bands.index(band)
    group = GROUP_OF[band]
    pixels = record[BAND_SLICES[band]].reshape(group.size, group.size).astype(np.float64)
    if draws.crop is not None:
        top, left, height, width = (draws.crop[p] * group.size // CELLS).tolist()
        canvas = np.pad(pixels, group.size, constant_values=np.rint(norm.mean[channel]))
        top, left = top + group.size, left + group.size
        pixels = canvas[top : top + height, left : left + width]
    pixels = resized(resized(pixels, size, how).T, size, how).T
    if draws.turn is not None:
        transposed, left_right, up_down = draws.turn[p]
        pixels = pixels.T if transposed else pixels
        pixels = np.fliplr(pixels) if left_right else pixels
        pixels = np.flipud(pixels) if up_down else pixels
    values = (pixels - norm.centre[channel]) / norm.scale[channel]
    values = values * (1.0 if draws.gain is None else draws.gain[p, channel])
    values = values + (0.0 if draws.offset is None else draws.offset[p, channel])
    values = np.clip(values, 0, 1) if norm.clamp else values
    if draws.erase is not None:
        top, left, height, width = (draws.erase[p] * size // CELLS).tolist()
        values[top : top + height, left : left + width] = 0
    return values


def compare(records: NDArray[np.uint16], draws: Draws, norm: Normalisation, layout: Layout, how: Interpolation) -> None:
    """Prepare records both ways and compare every band."""
    images = prepare(torch.from_numpy(records), draws, norm, layout, how)
    seen = []
    for name, image in images.items():
        bands = norm.bands if name == "image" else tuple(band for band in norm.bands if GROUP_OF[band].name == name)
        size = image.shape[2]
        assert size == (120 if name == "image" else {"b10": 120, "b20": 60, "b60": 20}[name])
        assert image.shape == (len(records), len(bands), size, size)
        assert image.dtype == torch.float32
        assert image.is_contiguous(memory_format=torch.channels_last)
        for p, record in enumerate(records):
            for channel, band in enumerate(bands):
                expected = band_by_hand(record, band, size, p, draws, norm, how)
                np.testing.assert_allclose(image[p, channel].numpy(), expected, rtol=1e-5, atol=2e-5, err_msg=band)
        seen += bands
    assert sorted(seen) == sorted(norm.bands)


@examples(50)
@given(
    bands=selections,
    layout=st.sampled_from(LAYOUTS),
    how=st.sampled_from(["nearest", "bilinear"]),
    augmentation=augmentations(),
    clamp=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_torch_equals_numpy(
    bands: tuple[str, ...], layout: Layout, how: Interpolation, augmentation: Augmentation, clamp: bool, seed: int
) -> None:
    """A band is cut, turned, enlarged, normalised or erased otherwise than the description says."""
    norm = percentile(bands) if clamp else standard(bands)
    draws = draw(augmentation, np.arange(N), len(bands), seed, 0)
    compare(random_records(N, seed), draws, norm, layout, how)


@examples(25)
@given(
    boxes=st.lists(
        st.tuples(st.integers(-20, 20), st.integers(-20, 20), *[st.sampled_from([*range(1, CELLS, 2), CELLS])] * 2),
        min_size=N,
        max_size=N,
    ),
    layout=st.sampled_from(LAYOUTS),
    how=st.sampled_from(["nearest", "bilinear"]),
)
def test_boxes_may_lie_anywhere(boxes: list[tuple[int, int, int, int]], layout: Layout, how: Interpolation) -> None:
    """A box over the edge of the patch shows pixels of another place or another fill than the mean."""
    draws = Draws(crop=np.array(boxes, np.int32), turn=ALL_TURNS[[3, 6]])
    compare(random_records(N), draws, standard(("B09", "B03", "B12")), layout, how)


def test_upsampling_repeats_pixels_exactly() -> None:
    """A pixel at 10 m has another value than the pixel of the 20 m or 60 m band around it, or wraps above 32,767."""
    records = random_records(2, high=65_536)
    images = prepare(torch.from_numpy(records), NOTHING, identity(), "stacked", "nearest")["image"].numpy()
    for channel, band in enumerate(BANDS):
        group = GROUP_OF[band]
        pixels = records[:, BAND_SLICES[band]].reshape(2, group.size, group.size)
        repeat = 120 // group.size
        np.testing.assert_array_equal(images[:, channel], np.kron(pixels, np.ones((repeat, repeat), np.int64)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_turns_are_told_apart(layout: Layout) -> None:
    """Two of the eight turns are the same, or one is no turn of the square."""
    records = random_records(1).repeat(8, 0)
    for image in prepare(torch.from_numpy(records), Draws(turn=ALL_TURNS), standard(), layout, "bilinear").values():
        plain = image[0].numpy()
        expected = [np.rot90(side, k, (1, 2)) for side in (plain, plain[:, :, ::-1]) for k in range(4)]
        found = [min(range(8), key=lambda i: np.abs(turned.numpy() - expected[i]).max()) for turned in image]
        assert sorted(found) == list(range(8))
        for turned, i in zip(image, found, strict=True):
            np.testing.assert_allclose(turned.numpy(), expected[i], atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_preparation_adds_labels_and_mixes(layout: Layout) -> None:
    """The loader without DALI loses labels, rows or the mask, does not mix, or keeps views of host memory."""
    augmentation = RECIPES["strong"]
    preparation = TorchPreparation(
        standard(), batch_size=5, device=CPU, num_threads=1, layout=layout, augmentation=augmentation
    )
    made = [
        host_batch(random_records(n, n), draw(augmentation, np.arange(10 * n, 11 * n), 12, 0, 0), 10 * n)
        for n in (5, 3, 1)
    ]
    expected = []
    for host in made:
        images = prepare(torch.tensor(host.records), host.draws, standard(), layout)
        expected.append(complete(images, host.labels.copy(), host.rows.copy(), host.mask.copy(), host.draws))
        directly = preparation.prepare_at(Decoded(torch.tensor(host.records)), host)
        assert all(torch.equal(directly[name], tensor) for name, tensor in expected[-1].items())
    kept = []
    with closing(preparation.run(made)) as batches:
        for host, prepared in zip(made, batches, strict=True):
            assert prepared.host is host
            kept.append(prepared.batch)
            for array in (host.buffer, host.labels, host.rows, host.mask):
                array[:] = 1
    for batch, wanted in zip(kept, expected, strict=True):
        assert batch.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert torch.equal(batch[name], tensor), name
    assert kept[1]["row"].tolist() == [30, 31, 32]
    assert kept[0]["mask"].tolist() == [True, True, False, True, True]


def test_draws_of_another_augmentation_are_refused() -> None:
    """A loader that augments and one that does not are mixed up in silence."""
    preparation = TorchPreparation(
        standard(), batch_size=2, device=CPU, num_threads=1, augmentation=Augmentation(turn="d4", erase=0.5)
    )
    with pytest.raises(ValueError, match="draws of nothing, expected erase, turn"):
        next(preparation.run([host_batch(random_records(2))]))


def test_records_need_no_preparation() -> None:
    """A loader of records is given images, or an obscure error."""
    with pytest.raises(ValueError, match="layout record"):
        TorchPreparation(standard(), batch_size=2, device=CPU, num_threads=1, layout="record")
