"""MixUp and CutMix against loops over patches and pixels."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.augment.draw import draw
from trainer.data.augment.mix import mix
from trainer.data.batch import CELLS, Batch, Draws
from trainer.definition.augmentation import Augmentation

AUGMENTATIONS = {
    "mixup": Augmentation(mixup=0.5),
    "cutmix": Augmentation(cutmix=1.0),
    "both": Augmentation(mixup=0.5, cutmix=1.0),
}


def random_batch(n: int, layout: str = "native", seed: int = 0) -> Batch:
    """Return a batch of random images, channels-last, and random labels."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {"image": (5, 120)} if layout == "stacked" else {"b10": (2, 120), "b20": (3, 60), "b60": (1, 20)}
    batch = {
        name: torch.rand(n, size, size, c, generator=generator).permute(0, 3, 1, 2) for name, (c, size) in sizes.items()
    }
    label = (torch.rand(n, 19, generator=generator) < 0.3).float()
    return batch | {"label": label, "row": torch.arange(n), "mask": torch.ones(n, dtype=torch.bool)}


def mixed_by_hand(values: NDArray[np.float32], draws: Draws) -> NDArray[np.float64]:
    """Mix images (n, C, H, H) or labels (n, 19) patch by patch."""
    result = values.astype(np.float64)
    for p in range(len(values)):
        q = p - 1 if p % 2 else min(p + 1, len(values) - 1)
        share = 1.0 if draws.share is None else float(draws.share[p])
        top, left, height, width = (0, 0, 0, 0) if draws.paste is None else draws.paste[p].tolist()
        blended = share * values[p].astype(np.float64) + (1 - share) * values[q]
        if values.ndim == 4:
            k = values.shape[2] // CELLS
            blended[:, top * k : (top + height) * k, left * k : (left + width) * k] = values[
                q, :, top * k : (top + height) * k, left * k : (left + width) * k
            ]
            result[p] = blended
        else:
            area = height * width / 400
            result[p] = (1 - area) * blended + area * values[q]
    return result


@settings(max_examples=30)
@given(n=st.integers(1, 7), kind=st.sampled_from(sorted(AUGMENTATIONS)), layout=st.sampled_from(["stacked", "native"]))
def test_patches_are_mixed_with_their_neighbours(n: int, kind: str, layout: str) -> None:
    """A patch is mixed with another one than its label is, in another place, or in another proportion."""
    batch = random_batch(n, layout)
    draws = draw(AUGMENTATIONS[kind], np.arange(n), 5, seed=n, epoch=0)
    kept = {name: tensor.clone() for name, tensor in batch.items()}
    mixed = mix(batch, draws)
    assert mixed.keys() == batch.keys()
    for name, tensor in mixed.items():
        if name in ("row", "mask"):
            expected = kept[name].numpy()
        else:
            expected = mixed_by_hand(kept[name].numpy(), draws)
            assert tensor.dtype == torch.float32
        np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-6, err_msg=name)
        assert tensor.ndim != 4 or tensor.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(batch[name], kept[name]), f"{name} of the batch itself is changed"


def test_both_at_once_paste_over_the_blend() -> None:
    """A patch that draws both has a blend in its box, or a label of other weights than its pixels."""
    batch = random_batch(4)
    draws = Draws(share=np.full(4, 0.25, np.float32), paste=np.array([[2, 3, 10, 5]] * 4, np.int32))
    mixed = mix(batch, draws)
    for name in ("b10", "b60", "label"):
        np.testing.assert_allclose(mixed[name].numpy(), mixed_by_hand(batch[name].numpy(), draws), atol=1e-6)


@pytest.mark.parametrize("kind", sorted(AUGMENTATIONS))
def test_a_batch_that_is_cut_at_even_places_is_mixed_the_same(kind: str) -> None:
    """Two ranks mix other pairs than one."""
    batch = random_batch(11)
    draws = draw(AUGMENTATIONS[kind], np.arange(11), 5, seed=0, epoch=0)
    whole = mix(batch, draws)

    def part(start: int, stop: int) -> Batch:
        cut = {f.name: getattr(draws, f.name) for f in dataclasses.fields(draws)}
        chosen = Draws(**{name: None if v is None else v[start:stop] for name, v in cut.items()})
        return mix({name: tensor[start:stop] for name, tensor in batch.items()}, chosen)

    parts = [part(0, 4), part(4, 10), part(10, 11)]
    for name, tensor in whole.items():
        assert torch.equal(torch.cat([p[name] for p in parts]), tensor), name


def test_nothing_is_mixed_without_draws() -> None:
    """Batches of evaluation are mixed, or copied for nothing."""
    batch = random_batch(4)
    assert mix(batch, Draws()) is batch


def test_the_whole_of_a_patch_or_of_its_partner_is_exact() -> None:
    """A patch that keeps all of itself is changed by rounding, or a box is not exactly the partner's."""

    def swapped(tensor: Tensor) -> Tensor:
        return tensor[[1, 0, 3, 2]]

    batch = random_batch(4)
    for share, expected in ((1, lambda t: t), (0, swapped)):
        mixed = mix(batch, Draws(share=np.full(4, share, np.float32)))
        assert all(torch.equal(mixed[name], expected(batch[name])) for name in ("b10", "b20", "b60", "label"))
    mixed = mix(batch, Draws(paste=np.array([[0, 0, CELLS, CELLS]] * 4, np.int32)))
    assert all(torch.equal(mixed[name], swapped(batch[name])) for name in ("b10", "b20", "b60", "label"))
